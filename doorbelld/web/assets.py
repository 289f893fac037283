"""The page's files: read once at the start, served from memory."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from doorbelld.server.replies import reply
from doorbelld.server.response import Response

CERTIFICATE, PROFILE = "/ca.crt", "/doorbelld.mobileconfig"
OF_THE_AUTHORITY = (CERTIFICATE, PROFILE)
"""What a phone needs to trust the authority. It is public, and needed before there is trust."""

_STATIC = Path(__file__).parent / "static"
_BASE = "base.css"
"""What several styles have in common. It is put where they import it: so each is one request."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}


class Asset(NamedTuple):
    """A static file: its bytes, its Content-Type and its ETag."""

    body: bytes
    content_type: str
    etag: str


def load(name: str) -> Mapping[str, Asset]:
    """Read every file of the page, keyed by its path in URLs; the page itself is "/".

    The login form is "/login"; ``{{message}}`` in it is still to be replaced. The page of visits is
    "/visits", where the comments are still to be replaced.

    ``name`` is the name of the camera; it is written into the page and the manifest.
    """
    files = (path for path in _STATIC.iterdir() if path.name != _BASE)
    found = {f"/{path.name}": _asset(path, name) for path in files}
    found["/"] = found["/index.html"]
    found["/login"] = found.pop("/login.html")
    found["/visits"] = found.pop("/visits.html")
    return found


def of_the_authority(root: bytes, name: str) -> Mapping[str, Asset]:
    """Return the files by which a phone can trust an authority, keyed by their paths in URLs.

    ``root`` is the authority's certificate in DER form, ``name`` the name of the camera.
    """
    return {
        CERTIFICATE: Asset(root, "application/x-x509-ca-cert", _etag(root)),
        PROFILE: _profile(root, name),
    }


def _profile(root: bytes, name: str) -> Asset:
    """Return a configuration profile for Apple's systems that has the authority's certificate."""
    import plistlib  # Only a daemon with an authority needs these.
    import uuid

    def identity(part: str) -> dict[str, object]:
        # The same each time, so that a profile replaces the one before.
        digest = hashlib.sha256(root + part.encode()).digest()
        return {
            "PayloadUUID": str(uuid.UUID(bytes=digest[:16], version=5)).upper(),
            "PayloadIdentifier": f"doorbelld.{digest.hex()[:16]}",
            "PayloadVersion": 1,
        }

    certificate = {
        **identity("certificate"),
        "PayloadType": "com.apple.security.root",
        "PayloadDisplayName": f"{name}: certificate",
        "PayloadCertificateFileName": CERTIFICATE[1:],
        "PayloadContent": root,
    }
    profile = {
        **identity("profile"),
        "PayloadType": "Configuration",
        "PayloadDisplayName": name,
        "PayloadDescription": "Makes this device trust the doorbell's own certificate.",
        "PayloadContent": [certificate],
    }
    body = plistlib.dumps(profile)
    return Asset(body, "application/x-apple-aspen-config", _etag(body))


def _asset(path: Path, name: str) -> Asset:
    body = path.read_bytes()
    if path.suffix == ".html":
        body = body.replace(b"{{name}}", html.escape(name).encode())
    elif path.suffix == ".webmanifest":
        body = body.replace(b"{{name}}", json.dumps(name)[1:-1].encode())
    elif path.suffix == ".css":
        base = (_STATIC / _BASE).read_bytes()
        body = body.replace(f'@import "{_BASE}";\n'.encode(), base)
    return Asset(body, _TYPES[path.suffix], _etag(body))


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def reply_with(asset: Asset, known: str) -> Response:
    """Return a file, or 304 if the browser has it already: ``known`` is its If-None-Match."""
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if known.strip() == "*" or asset.etag in known:
        return Response(HTTPStatus.NOT_MODIFIED, headers)
    return reply(HTTPStatus.OK, asset.content_type, asset.body, headers)

"""Schema: the sections of the configuration; every key with its kind, default and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doorbelld.config import values
from doorbelld.config.values import Kind, Listen, Resolution, number

PASSWORD_FILE = Path("/etc/doorbelld/password")
"""May be missing; any other file that is configured must exist."""

_EMBED_KEY_FILE = Path("/etc/doorbelld/embed_key")


def _key(default: Any, kind: Kind, meaning: str) -> Any:
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


@dataclass(frozen=True)
class CameraSection:
    """``[camera]``: which camera, and what its picture is like."""

    source: str = _key("auto", values.SOURCE, "Which camera: auto takes the first that is found.")
    verify: bool = _key(
        True, values.YES_NO, "Checks the certificate of a camera with an https:// URL."
    )
    resolution: Resolution = _key(  # noqa: RUF009  # a NamedTuple never changes
        Resolution(640, 480),
        values.RESOLUTION,
        "Size of the picture in pixels; the camera uses its nearest size.",
    )
    framerate: float = _key(
        30.0, number(float, 0.1, 240, " of frames a second"), "Frames a second."
    )
    quality: int = _key(80, number(int, 1, 100), "JPEG quality, 1 to 100.")
    rotation: int = _key(0, values.ROTATION, "Turns the picture clockwise, in degrees.")
    hflip: bool = _key(False, values.YES_NO, "Mirrors the picture left to right.")
    vflip: bool = _key(False, values.YES_NO, "Turns the picture upside down.")
    stall_timeout: float = _key(
        5.0,
        values.PATIENCE,
        "Seconds without a picture until the camera counts as lost and is reopened.",
    )
    name: str = _key("Front door", values.NAME, "What the page calls it.")


@dataclass(frozen=True)
class ServerSection:
    """``[server]``: where the page is served, and to how many viewers."""

    listen: tuple[Listen, ...] = _key(
        (Listen("", 5000),),
        values.LISTEN,
        "Address and port, HOST:PORT or :PORT for all; several separated by commas.",
    )
    max_viewers: int = _key(
        100,
        number(int, 1, 100_000),
        "How many may watch at once; others get status 503 and may try again.",
    )
    max_requests: int = _key(
        32, number(int, 1, 1024), "How many threads answer requests (watching takes none)."
    )
    header_timeout: float = _key(
        10.0,
        number(float, 0.1, 3600, " of seconds"),
        "Seconds a client has to send its whole request.",
    )
    stall_timeout: float = _key(
        10.0, values.PATIENCE, "Seconds without progress until a viewer is dropped."
    )


@dataclass(frozen=True)
class AccessSection:
    """``[access]``: who may watch."""

    networks: tuple[str, ...] = _key(
        ("lan",),
        values.NETWORKS,
        "Who may watch: lan, any, or networks such as 203.0.113.0/24, separated by commas.",
    )
    trusted_proxies: tuple[str, ...] = _key(
        (),
        values.PROXIES,
        "Addresses of proxies whose X-Forwarded-For is trusted, separated by commas.",
    )
    hosts: tuple[str, ...] = _key(
        (),
        values.HOSTS,
        "Further names of this machine, such as door.example.org or *.example.org.",
    )
    embed: tuple[str, ...] = _key(
        (),
        values.ORIGINS,
        "Web sites that may show the picture, such as https://dashboard.example.",
    )
    password_file: Path | None = _key(  # noqa: RUF009  # a Path never changes
        PASSWORD_FILE,
        values.PATH,
        "The file with the password; without this file the page asks for none.",
    )
    embed_key_file: Path | None = _key(  # noqa: RUF009  # a Path never changes
        _EMBED_KEY_FILE,
        values.PATH,
        "The file with the key of embed URLs; without this file there are none.",
    )
    tls_certificate: Path | None = _key(  # noqa: RUF009  # a Path never changes
        None,
        values.PATH,
        "The certificate for HTTPS, a PEM file; with it nothing is served in plain text.",
    )
    tls_key: Path | None = _key(  # noqa: RUF009  # a Path never changes
        None, values.PATH, "The certificate's key, a PEM file without a password."
    )
    hsts: bool = _key(False, values.YES_NO, "Makes browsers use only HTTPS for a year.")


@dataclass(frozen=True)
class Config:
    """The effective configuration."""

    camera: CameraSection = field(default_factory=CameraSection)
    server: ServerSection = field(default_factory=ServerSection)
    access: AccessSection = field(default_factory=AccessSection)


SECTIONS: dict[str, Any] = {
    "camera": CameraSection,
    "server": ServerSection,
    "access": AccessSection,
}

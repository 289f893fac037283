"""Home Assistant: what its ingress does to requests and answers, on the way to an add-on and back.

Written after what Home Assistant 2025.4 and its Supervisor were seen to send, both hops in one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.daemon import GUARD
from tests.support.other_site import OtherSite

PREFIX = "/api/hassio_ingress/TOKEN/"
CORE = "172.30.32.1"
"""The address that Home Assistant has for its Supervisor, whose client it is."""

_NOT_SENT = {
    *("content-length", "content-encoding", "transfer-encoding", "accept-encoding"),
    *("sec-websocket-extensions", "sec-websocket-protocol"),
    *("sec-websocket-version", "sec-websocket-key"),
}
_NOT_RETURNED = {"transfer-encoding", "content-length", "content-type", "content-encoding"}
_ADDED = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Server": "",
}
_TO_READ = 1 << 16


class HomeAssistant(OtherSite):
    """Has a page with a frame at ``/panel``, and in it the add-on on a port of this machine.

    ``client`` is the address of the browser. The frame is under ``http://homeassistant.local``,
    which Chromium finds here.
    """

    def __init__(self, port: int, client: str = "127.0.0.1") -> None:
        ingress = self
        self.client = client
        self.addon = port

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # its name there
                """Answer with the panel, or what the add-on answers."""
                if self.path != "/panel":
                    ingress._pass_on(self, b"")
                    return
                page = f"<!doctype html><iframe width=500 height=700 src='{PREFIX}'></iframe>"
                self.send_response(HTTPStatus.OK)
                _send(self, {**_ADDED, "Content-Type": "text/html"}, page.encode())

            def do_POST(self) -> None:  # its name there
                """Answer what the add-on answers."""
                ingress._pass_on(self, self.rfile.read(int(self.headers["Content-Length"] or 0)))

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        super().__init__("homeassistant.local", Handler)

    def _pass_on(self, browser: BaseHTTPRequestHandler, body: bytes) -> None:
        connection = HTTPConnection("127.0.0.1", self.addon, timeout=GUARD)
        try:
            connection.putrequest(
                browser.command,
                "/" + browser.path[len(PREFIX) :],
                skip_host=True,
                skip_accept_encoding=True,
            )
            for name, value in self._sent(browser).items():
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            _return(browser, connection.getresponse())
        except (OSError, HTTPException):  # One of them has gone.
            browser.close_connection = True
        finally:
            connection.close()

    def _sent(self, browser: BaseHTTPRequestHandler) -> dict[str, str]:
        """Return the headers that the add-on gets: of each name the last."""
        asked = browser.headers
        kept = {name: value for name, value in asked.items() if name.lower() not in _NOT_SENT}
        return {
            **kept,
            "X-Hass-Source": "core.ingress",
            "X-Ingress-Path": PREFIX.rstrip("/"),
            "X-Forwarded-For": f"{self.client}, {CORE}",
            "X-Forwarded-Host": asked["Host"],
            "X-Forwarded-Proto": "http",
            "Accept-Encoding": "gzip, deflate",
        }


def _return(browser: BaseHTTPRequestHandler, answer: HTTPResponse) -> None:
    """Return an answer as Home Assistant does: of each header the last, and no parameters."""
    kind = answer.headers.get("Content-Type", "application/octet-stream").partition(";")[0]
    kept = {name: value for name, value in answer.getheaders() if name.lower() not in _NOT_RETURNED}
    browser.send_response_only(answer.status)
    if answer.length is not None:
        _send(browser, {**kept, **_ADDED, "Content-Type": kind}, answer.read())
        return
    headers = {**kept, "Content-Type": kind, "Transfer-Encoding": "chunked"}
    if is_deflated := _is_deflated(kind) and "deflate" in browser.headers.get(
        "Accept-Encoding", ""
    ):
        headers["Content-Encoding"] = "deflate"
    for name, value in headers.items():
        browser.send_header(name, value)
    browser.end_headers()
    for data in _deflated(answer) if is_deflated else _chunks(answer):
        browser.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    browser.wfile.write(b"0\r\n\r\n")


def _chunks(answer: HTTPResponse) -> Iterator[bytes]:
    while data := answer.read1(_TO_READ):
        yield data


def _deflated(answer: HTTPResponse) -> Iterator[bytes]:
    """Yield what comes out of a compressor that is not flushed before the end."""
    compressor: Any = zlib.compressobj()
    for data in _chunks(answer):
        if ready := compressor.compress(data):
            yield ready
    yield compressor.flush()


def _is_deflated(kind: str) -> bool:
    """Return whether Home Assistant compresses a stream of this type."""
    if kind.startswith("application/"):
        return any(each in kind for each in ("json", "xml", "javascript"))
    if kind.startswith("image/"):
        return "svg" in kind
    return not kind.startswith(("video/", "audio/", "font/"))


def _send(browser: BaseHTTPRequestHandler, headers: dict[str, str], body: bytes) -> None:
    for name, value in headers.items():
        browser.send_header(name, value)
    browser.send_header("Content-Length", str(len(body)))
    browser.end_headers()
    browser.wfile.write(body)

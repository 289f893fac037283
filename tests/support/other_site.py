"""OtherSite: a web server that is not ours, as far as all of them are alike."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

from typing_extensions import Self

S = TypeVar("S", bound="OtherSite")


class OtherSite:
    """Answers with ``handler`` under the host name ``host``, which Chromium finds here."""

    def __init__(self, host: str, handler: type[BaseHTTPRequestHandler]) -> None:
        self._host = host
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    @property
    def origin(self) -> str:
        """Its origin."""
        return f"http://{self._host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

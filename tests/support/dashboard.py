"""Dashboard: a page of another site that shows the doorbell."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Dashboard:
    """Serves one page with ``body`` at ``http://dashboard.local``, which Chromium finds here.

    ``headers`` are sent with it.
    """

    def __init__(self) -> None:
        self.body = ""
        self.headers: dict[str, str] = {}
        dashboard = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # its name there
                """Answer with the page."""
                data = f"<!doctype html><body>{dashboard.body}".encode()
                self.send_response(HTTPStatus.OK)
                for name, value in dashboard.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    @property
    def origin(self) -> str:
        """Its origin."""
        return f"http://dashboard.local:{self.port}"

    def __enter__(self) -> Dashboard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

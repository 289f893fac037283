"""Dashboard: a page of another site that shows the doorbell."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from tests.support.other_site import OtherSite


class Dashboard(OtherSite):
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

        super().__init__("dashboard.local", Handler)

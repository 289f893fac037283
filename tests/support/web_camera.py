"""A camera on the network: an HTTP server with one endless multipart stream."""

from __future__ import annotations

import base64
import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebCamera:
    """Serves the pictures it is given, over and over, until :meth:`hang_up`.

    ``requests`` has the header block of each request, ``sent`` counts the pictures sent. If given,
    ``credentials``, USER:PASSWORD, are required.
    """

    def __init__(self, pictures: list[bytes], framerate: float = 30, credentials: str = "") -> None:
        self.requests: list[str] = []
        self.sent = 0
        encoded = base64.b64encode(credentials.encode()).decode()
        self._password = f"Basic {encoded}" if credentials else ""
        self._hang_up = threading.Event()
        self._cut = threading.Event()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), self._make_handler(pictures, framerate)
        )
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def hang_up(self) -> None:
        """End every stream."""
        self._hang_up.set()

    def come_back(self) -> None:
        """Serve streams again."""
        self._hang_up.clear()

    def cut_off(self) -> None:
        """Cut off every stream in the middle of a picture, new ones included."""
        self._cut.set()

    def go_on(self) -> None:
        """Serve whole pictures again."""
        self._cut.clear()

    def __enter__(self) -> WebCamera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _make_handler(self, pictures: list[bytes], framerate: float) -> Any:
        hang_up, cut, requests, password = self._hang_up, self._cut, self.requests, self._password
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(str(self.headers))
                if password and self.headers["Authorization"] != password:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
                self.end_headers()
                for data in itertools.cycle(pictures):
                    head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
                    part = head.encode() + b"\r\n\r\n" + data + b"\r\n"
                    try:
                        self.wfile.write(part[: len(part) // 2] if cut.is_set() else part)
                    except OSError:
                        return
                    camera.sent += 1
                    if cut.is_set() or hang_up.wait(1 / framerate):
                        return

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        return Handler

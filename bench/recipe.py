"""The common recipe for an MJPEG server in Python: a thread per viewer, and a Condition.

A fair comparison: the frame is read once, the part is built once, and each viewer's thread
waits once and sends once per frame. ``python -m bench.recipe HOST PORT FPS FOLDER``.
"""

from __future__ import annotations

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_HEAD = "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {:.6f}\r\n\r\n"


class Latest:
    """The newest part, and the Condition that announces it."""

    def __init__(self) -> None:
        self.part = b""
        self.changed = threading.Condition()

    def put(self, part: bytes) -> None:
        """Publish a part."""
        with self.changed:
            self.part = part
            self.changed.notify_all()

    def wait(self) -> bytes:
        """Wait for the next part and return it."""
        with self.changed:
            self.changed.wait()
            return self.part


latest = Latest()


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the stream."""

    def do_GET(self) -> None:
        """Send parts until the viewer disconnects."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            while True:
                self.wfile.write(latest.wait())
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """Has a backlog that is large enough for a thousand viewers."""

    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    """Serve the JPEGs of a folder in a loop."""
    host, port, fps, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    pictures = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    server = Server((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    due, number = time.monotonic(), 0
    while True:
        picture = pictures[number % len(pictures)]
        latest.put(_HEAD.format(len(picture), time.time()).encode() + picture + b"\r\n")
        number += 1
        due += 1 / fps
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()

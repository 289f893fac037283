"""The paths that a daemon serves."""

from __future__ import annotations

STREAMS = ["/video_feed", "/stream", "/stream.mjpg", "/?action=stream"]
SNAPSHOTS = ["/snapshot.jpg", "/snapshot", "/?action=snapshot"]
PAGE = [
    ("/", "text/html; charset=utf-8"),
    ("/index.html", "text/html; charset=utf-8"),
    ("/app.js", "text/javascript; charset=utf-8"),
    ("/app.css", "text/css; charset=utf-8"),
    ("/icon.svg", "image/svg+xml"),
    ("/manifest.webmanifest", "application/manifest+json"),
]
SAME_EVERY_TIME = [path for path, _ in PAGE]
EVERY_PATH = [*SAME_EVERY_TIME, *STREAMS, *SNAPSHOTS, "/status", "/healthz"]

"""The paths that a daemon serves."""

from __future__ import annotations

STREAMS = ["/video_feed", "/stream", "/stream.mjpg", "/?action=stream"]
SNAPSHOTS = ["/snapshot.jpg", "/snapshot", "/?action=snapshot"]
MORE_STREAMS = [
    *("/video", "/?action=stream_0"),
    *(f"/webcam{slash}?action=stream{input_}" for slash in ("", "/") for input_ in ("", "_0")),
    *("/video_feed/", "/stream/", "/stream.mjpg/", "/video/"),
]
"""Further addresses of the stream, which people type or copy from elsewhere."""
MORE_SNAPSHOTS = [
    *("/shot.jpg", "/?action=snapshot_0"),
    *(f"/webcam{slash}?action=snapshot{input_}" for slash in ("", "/") for input_ in ("", "_0")),
    *("/snapshot.jpg/", "/snapshot/", "/shot.jpg/"),
]
SCRIPTS = [
    *("app", "clock", "controls", "fallback", "live", "pace", "painter", "panel", "screen"),
    *("snapshot", "snapshots", "states", "watch", "words"),
]
PAGE = [
    ("/", "text/html; charset=utf-8"),
    ("/index.html", "text/html; charset=utf-8"),
    *((f"/{name}.js", "text/javascript; charset=utf-8") for name in SCRIPTS),
    ("/app.css", "text/css; charset=utf-8"),
    ("/icon.svg", "image/svg+xml"),
    ("/manifest.webmanifest", "application/manifest+json"),
]
SAME_EVERY_TIME = [path for path, _ in PAGE]
PICTURES = [*STREAMS, *MORE_STREAMS, *SNAPSHOTS, *MORE_SNAPSHOTS]
LIVE = "/live"
"""The page's stream, with pictures and the state."""
ENDLESS = [*STREAMS, LIVE]
_SCRIPTS_LIKE_APP = [f"/{name}.js" for name in SCRIPTS if name != "app"]
EVERY_PATH = [
    *(path for path in SAME_EVERY_TIME if path not in _SCRIPTS_LIKE_APP),
    *(*ENDLESS, *SNAPSHOTS, "/status", "/metrics", "/healthz"),
]

"""The bytes of a multipart/x-mixed-replace stream (MJPEG over HTTP); pure, no I/O.

There are two forms of the same stream. *Exact* is for programs: every part has
Content-Length and X-Timestamp, and the next part's boundary follows it at once, because many
programs look for that and not at the length. *Advance* is for browsers, which draw frame N only
when the headers of part N + 1 have arrived: so these follow as well, and the picture on the phone
is never one frame late. That part's length is not known yet.

No live stream has a closing boundary, because a client that reads one does not connect again:
``ffmpeg -reconnect`` would end as if all were well. The advance form just ends.
"""

from __future__ import annotations

from doorbelld.media.frame import Frame

CONTENT_TYPE = "multipart/x-mixed-replace; boundary=frame"

BOUNDARY = b"--frame\r\n"
"""The beginning of the exact form, before the first part."""

CLOSING = b"--frame--\r\n"
"""The end of a film, which is complete: no client needs to come back for more."""

ADVANCE_HEAD = BOUNDARY + b"Content-Type: image/jpeg\r\n\r\n"
"""The beginning of the advance form, before the first JPEG."""

ENDING = b"X-Ended: "
"""The end of the exact form, if the daemon stops between two parts. ``ffmpeg -reconnect`` reads
the next stream as if it were the rest of this one: without this, it would find two boundaries
where it wants a header, and give up. So the second one becomes the value of a header."""

_ONLY_BROWSERS_ACCEPT = ("image/webp", "image/avif", "application/xhtml+xml")
_JAVAS_ACCEPT = "text/html, image/gif, image/jpeg, *"
"""The beginning of what Java sends, also if the program calls itself Mozilla."""


def exact_part(data: bytes, timestamp: float, made_width: int = 0) -> bytes:
    """Return one part without its boundary, then the boundary of the next.

    The part has headers with Content-Length and X-Timestamp, and the JPEG. ``timestamp`` is the
    capture in Unix seconds; it is written with microseconds. ``made_width`` is written as X-Quality
    if the picture is not the camera's own.
    """
    return b"%b%b\r\n%b" % (exact_head(len(data), timestamp, made_width), data, BOUNDARY)


def exact_head(length: int, timestamp: float, made_width: int = 0) -> bytes:
    """Return the headers of such a part, for a JPEG of this length."""
    quality = f"X-Quality: {made_width}\r\n" if made_width else ""
    head = (
        "Content-Type: image/jpeg\r\n"
        f"Content-Length: {length}\r\n"
        f"X-Timestamp: {timestamp:.6f}\r\n"
        f"{quality}\r\n"
    )
    return head.encode("ascii")


def json_part(body: bytes) -> bytes:
    """Return one part of JSON in the exact form, then the boundary of the next."""
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"%b%b\r\n%b" % (head.encode("ascii"), body, BOUNDARY)


def advance_part(data: bytes) -> bytes:
    """Return one JPEG, then the boundary and headers of the next part."""
    return b"%b\r\n%b" % (data, ADVANCE_HEAD)


def wants_advance(accept: str, user_agent: str) -> bool:
    """Return whether these headers, Accept and User-Agent, are those of a browser.

    A browser's <img> names image/ types and its address bar text/html. Some programs do so too,
    but they do not call themselves Mozilla as all browsers do. If User-Agent was left out, only
    types that no program names by default tell a browser. (Sec-Fetch-Dest is not sent over plain
    HTTP.)
    """
    if accept.startswith(_JAVAS_ACCEPT):
        return False
    if not user_agent:
        return any(each in accept for each in _ONLY_BROWSERS_ACCEPT)
    return user_agent.startswith("Mozilla/") and ("image/" in accept or "text/html" in accept)


class Parts(dict[bool, bytes]):
    """A frame's part in the advance form (True) and in the exact form (False), each made once."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __missing__(self, advance: bool) -> bytes:
        """Make a part the first time that it is needed."""
        frame = self._frame
        part = (
            advance_part(frame.data)
            if advance
            else exact_part(frame.data, frame.timestamp, frame.made_width)
        )
        self[advance] = part
        return part

"""The bytes of a multipart/x-mixed-replace stream (MJPEG over HTTP); pure, no I/O.

There are two forms of the same stream. *Exact* is for programs: every part has
Content-Length and X-Timestamp. *Advance* is for browsers, which draw frame N only when the
headers of part N + 1 have arrived: the next part's boundary and headers follow each JPEG at
once, so the picture on the phone is never one frame late. That part's length is not known yet.
"""

from __future__ import annotations

from doorbelld.media.frame import Frame

CONTENT_TYPE = "multipart/x-mixed-replace; boundary=frame"

ADVANCE_HEAD = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
"""The beginning of the advance form, before the first JPEG."""

CLOSING_BOUNDARY = b"--frame--\r\n"
"""The end of the exact form. The advance form just ends: an empty part would make a browser
clear the picture, and the last one should stay on the screen."""


def exact_part(data: bytes, timestamp: float) -> bytes:
    """Return one part: boundary, headers with Content-Length and X-Timestamp, JPEG.

    ``timestamp`` is the capture in Unix seconds; it is written with microseconds.
    """
    head = (
        "--frame\r\n"
        "Content-Type: image/jpeg\r\n"
        f"Content-Length: {len(data)}\r\n"
        f"X-Timestamp: {timestamp:.6f}\r\n"
        "\r\n"
    )
    return b"%b%b\r\n" % (head.encode("ascii"), data)


def advance_part(data: bytes) -> bytes:
    """Return one JPEG, then the boundary and headers of the next part."""
    return b"%b\r\n%b" % (data, ADVANCE_HEAD)


def wants_advance(accept: str) -> bool:
    """Return whether the Accept header is that of a browser, which will draw the stream.

    A browser's <img> names image/ types and its address bar text/html; programs send
    ``*/*`` or nothing. (Sec-Fetch-Dest is not sent over plain HTTP.)
    """
    return "image/" in accept or "text/html" in accept


class Parts(dict[bool, bytes]):
    """A frame's part in the advance form (True) and in the exact form (False), each made once."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._frame = frame

    def __missing__(self, advance: bool) -> bytes:
        """Make a part the first time that it is needed."""
        frame = self._frame
        part = advance_part(frame.data) if advance else exact_part(frame.data, frame.timestamp)
        self[advance] = part
        return part

"""ViewerRecord: what the next process has to know of a viewer."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE, TORN, RESUMABLE, BEGUN, RESUMABLE_BEGUN = range(5)
"""How far a viewer's stream has come: all parts were sent whole; the last one only in part; the
same, but the rest of it is stored. BEGUN is WHOLE in the exact form, whose next boundary has been
sent as well, and RESUMABLE_BEGUN has a rest that ends with that boundary. A daemon that is older
than these two values closes such a stream, and continues those of browsers."""


@dataclass(frozen=True)
class ViewerRecord:
    """A viewer, without its socket.

    ``period`` is the seconds between two frames under a rate cap, 0 without, ``due`` when the
    next may go, and ``since`` when the viewer came: on time.monotonic()'s clock, which is the
    same for all processes. ``ticket`` stands for the embed URL that opened the stream, in 8
    bytes or none. ``rest`` is what is still to be sent before the next part.
    """

    address: str
    key: str
    period: float
    advance: bool
    since: float
    sent: int
    dropped: int
    due: float
    ticket: bytes = b""
    rest: bytes = b""


def between_parts(*, advance: bool) -> int:
    """Return how far a stream has come after each part."""
    return WHOLE if advance else BEGUN

"""ViewerRecord: what the next process has to know of a viewer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ViewerRecord:
    """A viewer, without its socket.

    ``period`` is the seconds between two frames under a rate cap, 0 without, ``due`` when the
    next may go, and ``since`` when the viewer came: on time.monotonic()'s clock, which is the
    same for all processes. ``ticket`` stands for the embed URL that opened the stream, in 8
    bytes or none. ``rest`` is what is still to be sent of the last part.
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

"""ViewerRecord: what the next process has to know of a viewer, and what keeps it until then."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

WHOLE, TORN, RESUMABLE, BEGUN, RESUMABLE_BEGUN, MORE_BEGUN, RESUMABLE_MORE_BEGUN = range(7)
"""How far a viewer's stream has come: all parts were sent whole; the last one only in part; the
same, but the rest of it is stored. BEGUN is WHOLE in the exact form, whose next boundary has been
sent as well, and RESUMABLE_BEGUN has a rest that ends with that boundary. A daemon that is older
than these two values closes such a stream, and continues those of browsers. The two with MORE are
the same for a viewer with more than plain MJPEG in the exact form, which an older daemon would
continue in the other form."""


@dataclass(frozen=True)
class ViewerRecord:
    """A viewer, without its socket.

    ``period`` is the seconds between two frames under a rate cap, 0 without, ``due`` when the
    next may go, and ``since`` when the viewer came: on time.monotonic()'s clock, which is the
    same for all processes. ``ticket`` stands for the embed URL that opened the stream, in 8
    bytes or none. ``rest`` is what is still to be sent before the next part. ``news`` says that
    it reads the state as well, and ``pictures`` that it does not read that alone. With ``auto`` it
    may be sent smaller pictures, and ``tier`` (0 to 7) is the largest that it needs.
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
    news: bool = False
    pictures: bool = True
    auto: bool = False
    tier: int = 0


def between_parts(*, advance: bool, more: bool) -> int:
    """Return how far a stream has come after each part; ``more`` if it is not plain MJPEG."""
    if advance:
        return WHOLE
    return MORE_BEGUN if more else BEGUN


class Storable(Protocol):
    """A viewer, as far as the table has to know it. The table sets ``row``, 0 for none."""

    row: int
    fd: int
    sent: int
    dropped: int
    due: float
    pending: memoryview | None

    @property
    def tier(self) -> int:
        """The largest step of the pictures that it needs; it may change with the camera's."""

    @property
    def is_settled(self) -> bool:
        """Whether it has been here for a second at least."""

    @property
    def is_encrypted(self) -> bool:
        """Whether it is over TLS: the state of a TLS session cannot be handed over."""

    def record(self) -> ViewerRecord:
        """Return what the next process has to know."""


class SavedViewers(Protocol):
    """Keeps viewers for the next process, each in a row; row 0 stands for none.

    A process may end at any moment, and the next one can continue a stream only where a part
    ended. So ``torn[row]`` is to be set to True as long as a part is sent only in part, and to the
    viewer's ``whole`` after that; ``writing[0]`` to the row of the viewer that is being written to.
    """

    writing: memoryview
    torn: memoryview

    @property
    def active(self) -> bool:
        """Whether another process will continue."""

    def restore(self, limit: int) -> Iterator[tuple[int, socket.socket, ViewerRecord]]:
        """Yield row, socket and record of each viewer of the process before."""

    def sync(self, viewers: Sequence[Storable]) -> None:
        """Once a second: store new viewers, and bring the records up to date."""

    def save(self, viewers: Sequence[Storable]) -> None:
        """Leave all viewers to the next process."""

    def remove(self, row: int, sock: socket.socket) -> None:
        """Forget a viewer that leaves, and end its connection."""

    def set_password_id(self, password_id: bytes) -> None:
        """Set the id of the password with which the viewers were let in."""

    def close(self) -> None:
        """Release what was needed to save them."""

"""SavedViewers: the viewers that outlive the process, as far as the broadcaster has to know."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Protocol

from doorbelld.handover.record import ViewerRecord
from doorbelld.stream.viewer import Viewer


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

    def sync(self, viewers: Sequence[Viewer]) -> None:
        """Once a second: store new viewers, and bring the records up to date."""

    def save(self, viewers: Sequence[Viewer]) -> None:
        """Leave all viewers to the next process."""

    def remove(self, row: int, sock: socket.socket) -> None:
        """Forget a viewer that leaves, and end its connection."""

    def set_password_id(self, password_id: bytes) -> None:
        """Set the id of the password with which the viewers were let in."""

    def close(self) -> None:
        """Release what was needed to save them."""

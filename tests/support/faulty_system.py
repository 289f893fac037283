"""FaultySystem: an operating system that refuses a process something, or sets its clock."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from tests.support import preload

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_FAULTS = ("clock_offset", "no_threads", "no_watches")
"""As in faulty_system.c, 64 bits each."""


class FaultySystem:
    """What is wrong with the system for those processes that have ``environ``."""

    def __init__(self, folder: Path) -> None:
        path = folder / "faults"
        path.write_bytes(bytes(8 * len(_FAULTS)))
        with path.open("r+b") as file:
            self._faults = mmap.mmap(file.fileno(), 0)
        library = preload.build("faulty_system", folder)
        self.environ = {"LD_PRELOAD": str(library), "FAULTY_SYSTEM": str(path)}
        """What a process needs in its environment to feel it."""

    def set_clock(self, ahead: int) -> None:
        """Put the clock on the wall so many seconds ahead of the true time, or behind it."""
        self._set("clock_offset", ahead)

    def refuse_threads(self, refuse: bool = True, after: int = 0) -> None:
        """Let no new thread begin, after so many of a process that is yet to start."""
        self._set("no_threads", refuse and after + 1)

    def refuse_watches(self, refuse: bool = True) -> None:
        """Let nothing more be waited for with epoll."""
        self._set("no_watches", refuse)

    def _set(self, name: str, value: int) -> None:
        struct.pack_into("q", self._faults, 8 * _FAULTS.index(name), value)

    def __enter__(self) -> FaultySystem:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._faults.close()

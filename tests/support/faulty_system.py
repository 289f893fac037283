"""FaultySystem: an operating system that refuses things, or changes its clock."""

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
    """The faults of the system for processes that have ``environ``."""

    def __init__(self, folder: Path) -> None:
        path = folder / "faults"
        path.write_bytes(bytes(8 * len(_FAULTS)))
        with path.open("r+b") as file:
            self._faults = mmap.mmap(file.fileno(), 0)
        library = preload.build("faulty_system", folder)
        self.environ = {"LD_PRELOAD": str(library), "FAULTY_SYSTEM": str(path)}
        """What a process needs in its environment to be affected."""

    def set_clock(self, ahead: int) -> None:
        """Set the wall clock so many seconds ahead of the true time, or behind it."""
        self._set("clock_offset", ahead)

    def refuse_threads(self, refuse: bool = True, after: int = 0) -> None:
        """Refuse new threads, after so many of a process that is still to be started."""
        self._set("no_threads", refuse and after + 1)

    def refuse_watches(self, refuse: bool = True) -> None:
        """Refuse new descriptors for epoll."""
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

"""LiveStream: a viewer that reads /live part by part, as the page does, and accepts no mistake."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.support.daemon import GUARD, Daemon
from tests.support.stream import Part, Stream
from tests.support.stream_parser import StreamParser


class LiveStream(Stream):
    """Reads pictures and states. ``query`` is what follows the path."""

    def __init__(self, daemon: Daemon, query: str = "?v=1", headers: str = "") -> None:
        super().__init__(daemon, f"/live{query}", headers=headers)

    def _new_parser(self) -> StreamParser:
        return StreamParser(live=True)

    def __enter__(self) -> LiveStream:
        return self

    def state(self) -> dict[str, Any]:
        """Return the next part, which must be a state."""
        return self.part().state

    def picture(self) -> Part:
        """Return the next picture; there may be states before it."""
        return self._next(lambda part: not part.is_state, "a picture")

    def wait_for(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next state that is as it should be; there may be anything before it."""
        return self._next(lambda part: part.is_state and is_it(part.state), "the state").state

    def read_to_end(self, *, stopped: bool = False) -> None:
        """Read until the daemon ends the stream: it says so if it has ``stopped`` on purpose."""
        give_up_at = time.monotonic() + GUARD
        while self._parser.read(self.file) is not None:
            assert time.monotonic() < give_up_at, "never: the end"
        assert self._parser.ended is stopped

    def _next(self, is_it: Callable[[Part], bool], what: str) -> Part:
        give_up_at = time.monotonic() + GUARD
        while not is_it(part := self.part()):
            assert time.monotonic() < give_up_at, f"never: {what}"
        return part

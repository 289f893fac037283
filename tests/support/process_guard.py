"""ProcessGuard: fails a test that starts a process without the marker ``process``.

``make check`` leaves out the tests with that marker, so it has to be on every test that starts a
process. An audit hook sees every way to start one: in the test, its fixtures and the code under
test.
"""

from __future__ import annotations

import sys

_EVENTS = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "subprocess.Popen",
    }
)
"""What Python calls the ways to start a process."""


class ProcessStartedError(AssertionError):
    """A test started a process that must not."""


class ProcessGuard:
    """Watches this Python process. Make only one: an audit hook cannot be removed."""

    def __init__(self) -> None:
        self._forbidden = False
        self._started: list[str] = []
        sys.addaudithook(self._on_event)

    def forbid(self) -> None:
        """Raise where a process is started, from now on."""
        self._forbidden = True

    def allow(self) -> None:
        """Allow processes again. Raises for one that was started before."""
        self._forbidden = False
        # A second time, because the code under test may have caught the first one.
        started, self._started = self._started, []
        if started:
            raise ProcessStartedError(started[0])

    def _on_event(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._forbidden and event in _EVENTS:
            message = f"a test that starts a process needs @pytest.mark.process: {arguments[:2]}"
            self._started.append(message)
            raise ProcessStartedError(message)

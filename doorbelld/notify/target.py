"""Target: one place that hears what happens at the door, such as a broker or a push service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from doorbelld.visits.visit import Event, News, Visit

__all__ = [
    "MAX_AGE",
    "Event",
    "Facts",
    "News",
    "Result",
    "State",
    "Status",
    "Target",
    "describe_fault",
]

MAX_AGE = 60.0
"""Seconds after which news is not passed on any more: the visitor has gone."""


@dataclass(frozen=True)
class Facts:
    """How everything is now. Targets that show it get it whenever it changes.

    ``reason`` is the code for why there is no live picture, "" if there is. ``motion`` is whether
    a visit of motion is open. ``last`` is the newest visit of a person who rang. ``address`` is
    the page's, with a slash at its end.
    """

    name: str
    reason: str
    watching: int
    motion: bool
    is_paused: bool
    last: Visit | None
    address: str

    def visit_url(self, visit: int) -> str:
        """Return where the page shows a visit."""
        return f"{self.address}visits#{visit}"


class Result(NamedTuple):
    """How a test message went, in one sentence."""

    target: str
    is_delivered: bool
    sentence: str


State = Literal["starting", "ok", "failed"]


class Status(NamedTuple):
    """How a target is, and what became of its messages; see docs/notifications.md.

    ``detail`` is why it has failed, or what there is to say of it, and ``since`` the Unix time at
    which it began to fail.
    """

    state: State
    detail: str = ""
    since: float | None = None
    delivered: int = 0
    failed: int = 0
    dropped: int = 0


class Target(Protocol):
    """One of them. None of the methods waits for the network but ``test`` and ``stop``."""

    name: str

    def start(self) -> None:
        """Begin. Raises RuntimeError if the system is out of threads."""

    def stop(self, timeout: float) -> bool:
        """End; return whether everything did in time. May be called more than once."""

    def tell(self, news: News) -> None:
        """Pass on what has happened, soon or never: nothing is sent that is a minute old."""

    def show(self, facts: Facts) -> None:
        """Pass on how everything is."""

    def test(self, news: News, timeout: float) -> Result:
        """Send a test message, and wait until it has arrived or it is known why not."""

    def status(self) -> Status:
        """Return how it is."""


def describe_fault(error: Exception) -> str:
    """Return what went wrong without the error's own text, which may have a secret."""
    at, frame = "", error.__traceback__
    while frame is not None:
        at = f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return f"failed in doorbelld ({type(error).__name__}{at}): please report this"

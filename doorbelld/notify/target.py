"""Target: one place that hears what happens at the door, such as a broker or a push service.

Each keeps its :class:`Health`, and is :class:`Guarded`: its failures end nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from doorbelld.system import clock
from doorbelld.system.limited_log import OnceLog
from doorbelld.visits.visit import Event, News, Visit

__all__ = [
    "MAX_AGE",
    "MQTT_PASSWORD",
    "NTFY_TOKEN",
    "WEBHOOK_KEY",
    "Event",
    "Facts",
    "Guarded",
    "Health",
    "News",
    "Result",
    "State",
    "Status",
    "Target",
    "describe_fault",
    "failed",
]

_log = logging.getLogger(__name__)

MAX_AGE = 60.0
"""Seconds after which news is not passed on any more: the visitor has gone."""

NTFY_TOKEN = "ntfy_token"
WEBHOOK_KEY = "webhook_key"
MQTT_PASSWORD = "mqtt_password"
"""What the credentials are called in LoadCredential=, see systemd.exec(5)."""

_HANGING = 5.0
"""Seconds after which a target that should only queue is said to hang."""

_AGAIN = 60.0
"""Seconds until a target that could not be started is started again."""

_HANGS = "it hangs, and the others with it: restart doorbelld"


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


class Health:
    """How a target is. Any thread may note what has happened, or ask.

    What was before has a ``since`` on time.monotonic()'s clock: the system's may have been set.
    """

    def __init__(self, state: State) -> None:
        self._lock = threading.Lock()
        self._status = Status(state)

    @property
    def status(self) -> Status:
        """How it is now."""
        found = self._status
        return found if found.since is None else found._replace(since=clock.unix(found.since))

    def fail(self, why: str) -> Status:
        """Note that it fails, and why; return how it was before."""
        with self._lock:
            before = self._status
            since = before.since if before.state == "failed" else time.monotonic()
            self._status = before._replace(state="failed", detail=why, since=since)
        return before

    def work(self, remark: str = "") -> Status:
        """Note that it works, and what there is to say of that; return how it was before."""
        with self._lock:
            before = self._status
            self._status = before._replace(state="ok", detail=remark, since=None)
        return before

    def count(self, *, delivered: int = 0, failed: int = 0, dropped: int = 0) -> None:
        """Count what has become of messages."""
        with self._lock:
            there = self._status
            self._status = there._replace(
                delivered=there.delivered + delivered,
                failed=there.failed + failed,
                dropped=there.dropped + dropped,
            )


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


class Guarded:
    """A target, and what is wrong with it. ``make`` makes it.

    Only one thread calls the methods, but any thread ``test`` and ``status``.
    """

    def __init__(self, name: str, make: Callable[[], Target]) -> None:
        self.name = name
        self._make = make
        self._target: Target | None = None
        self._shown: Facts | None = None
        # By the method that has failed: why and since when.
        self._faults: dict[str, tuple[str, float]] = {}
        self._called_at: float | None = None
        self._once = OnceLog(_log)

    def start(self) -> None:
        """Make and start it, unless it has started or has just failed to."""
        _, failed_at = self._faults.get("start", ("", -_AGAIN))
        if self._target is None and time.monotonic() - failed_at >= _AGAIN:
            self._faults.pop("start", None)
            self._safely("start", self._start)

    def tell(self, news: News) -> None:
        """Pass this on."""
        target = self._target
        if target is not None:
            self._safely("tell", lambda: target.tell(news))

    def show_first(self, facts: Facts) -> None:
        """Pass these on if there were none before."""
        if self._shown is None:
            self.show(facts)

    def show(self, facts: Facts) -> None:
        """Pass these on if they are others than before."""
        target = self._target
        if target is not None and facts != self._shown:
            self._shown = facts
            self._safely("show", lambda: target.show(facts))

    def stop(self, timeout: float) -> None:
        """Stop it, if it has started."""
        target = self._target
        if target is not None:
            self._safely("stop", lambda: self._stop(target, timeout))

    def test(self, news: News, timeout: float) -> Result:
        """Send a test message."""
        target = self._target
        if target is None:
            sentence = self._faults.get("start", ("it has not started yet", 0.0))[0]
            return Result(self.name, is_delivered=False, sentence=sentence)
        try:
            return target.test(news, timeout)
        except Exception as error:  # noqa: BLE001  # it is the answer to a request
            return Result(self.name, is_delivered=False, sentence=describe_fault(error))

    def status(self) -> Status:
        """Return how it is."""
        found = Status("starting")
        target, faults, called_at = self._target, list(self._faults.values()), self._called_at
        if called_at is not None and time.monotonic() - called_at > _HANGING:
            faults = [(_HANGS, called_at)]
        if target is not None:
            try:
                found = target.status()
            except Exception as error:  # noqa: BLE001  # the rest of /status has to be shown
                faults = faults or [(describe_fault(error), time.monotonic())]
        if not faults:
            return found
        fault = failed(*faults[0])
        return found._replace(state=fault.state, detail=fault.detail, since=fault.since)

    def _start(self) -> None:
        target = self._make()
        try:
            target.start()
        except Exception:
            with suppress(Exception):
                target.stop(0)
            raise
        self._target = target

    def _stop(self, target: Target, timeout: float) -> None:
        if not target.stop(timeout):
            _log.warning("%s: left behind, still at work", self.name)

    def _safely(self, method: str, step: Callable[[], object]) -> None:
        self._called_at = time.monotonic()
        try:
            step()
            self._faults.pop(method, None)
        except Exception as error:  # noqa: BLE001  # the other targets must not notice
            why = describe_fault(error)
            self._faults.setdefault(method, (why, time.monotonic()))
            self._once.log(logging.ERROR, f"{self.name}: {why}")
        finally:
            self._called_at = None


def failed(why: str, since: float) -> Status:
    """Return the status of a target that never was; ``since`` is on time.monotonic()'s clock."""
    return Status("failed", why, round(clock.unix(since), 3))


def describe_fault(error: Exception) -> str:
    """Return what went wrong without the error's own text, which may have a secret."""
    at, frame = "", error.__traceback__
    while frame is not None:
        at = f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return f"failed in doorbelld ({type(error).__name__}{at}): please report this"

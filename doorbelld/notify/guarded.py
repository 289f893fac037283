"""Guarded: a target whose failures end nothing else, and are shown in ``/status``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from doorbelld.notify.target import Facts, News, Result, Status, Target, describe_fault
from doorbelld.system import clock
from doorbelld.system.limited_log import OnceLog

_log = logging.getLogger(__name__)

_HANGING = 5.0
"""Seconds after which a target that should only queue is said to hang."""

_AGAIN = 60.0
"""Seconds until a target that could not be started is started again."""

_HANGS = "it hangs, and the others with it: restart doorbelld"


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

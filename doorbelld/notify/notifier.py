"""Notifier: passes on what happens at the door to every target that is configured."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from doorbelld.notify.target import MAX_AGE, Facts, Guarded, Result, Status, Target, failed
from doorbelld.system import clock
from doorbelld.system.limited_log import OnceLog
from doorbelld.system.worker import Worker
from doorbelld.visits.visit import Event, Kind, News, Visit, VisitState

_log = logging.getLogger(__name__)

_MOST_WAITING = 50
_INTERVAL = 1.0
"""Seconds between two looks at what reports no change, such as how many watch."""

_STOPPING = 0.9
"""Seconds in which all targets have to stop: a little less than the thread itself has."""

_NO_THREADS = "the system is out of threads"


class Choice(NamedTuple):
    """A target that is configured. It is made again only if its settings have changed.

    ``load`` loads the modules that ``make`` needs.
    """

    name: str
    settings: object
    make: Callable[[], Target]
    load: Callable[[], object] = lambda: None


class Notifier(Worker):
    """Passes on news and facts. Its thread runs only once there is a target.

    ``facts`` returns how everything is, ``is_ready`` whether the newest ring is known, and
    ``picture`` the still of a visit or, without one, the picture of now.

    Whatever a target does, and however long it takes, ends nothing and delays no ring.
    """

    def __init__(
        self,
        facts: Callable[[], Facts],
        is_ready: Callable[[], bool],
        picture: Callable[[Visit | None], bytes | None],
    ) -> None:
        super().__init__("notify")
        self._facts, self._is_ready, self._picture = facts, is_ready, picture
        self._chosen: Sequence[Choice] = ()
        self._is_needed = True  # until it is known: the bell may ring before choose()
        self._waiting: deque[News] = deque(maxlen=_MOST_WAITING)
        # Only the thread changes these. The first is replaced as a whole.
        self._targets: dict[Choice, Guarded] = {}
        self._followed: Sequence[Choice] = ()
        self._last: Visit | None = None
        self._fault = ""
        self._fault_at = 0.0
        self._once = OnceLog(_log)

    # Called from any thread.

    def hear(self, news: News) -> None:
        """Pass this on soon. Called in the thread that rings: it waits for nothing."""
        if self._is_needed:
            self._waiting.append(news)
            self._wakeup.set()

    def changed(self) -> None:
        """Look soon whether the facts have changed."""
        if self._chosen:
            self._wakeup.set()

    def status(self) -> dict[str, Status]:
        """Return how each target is."""
        fault = self._fault
        if not fault and self._has_begun and not self.alive:
            fault = "the thread that passes on what happens does not run: restart doorbelld"
        targets = {each.name: found for each, found in self._targets.items()}
        return {
            each.name: failed(fault, self._fault_at or self.beat)
            if fault
            else (targets.get(each.name) or Guarded(each.name, each.make)).status()
            for each in self._chosen
        }

    def test(self, timeout: float) -> list[Result]:
        """Send a test message to all targets at once; return how that went.

        It has the newest still, or the picture of now.
        """
        news, results = self._test_news(), {}

        def send(target: Guarded) -> None:
            results[target.name] = target.test(news, timeout)

        found = list(self._targets.values())
        threads = [
            threading.Thread(target=send, args=(each,), name="notify test", daemon=True)
            for each in found
        ]
        until = time.monotonic() + timeout + 1.0
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        late = f"nothing has answered within {timeout:g} s"
        return [
            results.get(each.name) or Result(each.name, is_delivered=False, sentence=late)
            for each in found
        ]

    # Called from the main thread.

    def choose(self, choices: Sequence[Choice]) -> None:
        """Use these targets from now on; those that have not changed go on."""
        self._chosen, self._is_needed = tuple(choices), bool(choices)
        if not choices:
            self._waiting.clear()
        for each in choices:
            # In this thread, whose memory has room for it: in another one it takes a megabyte more.
            with suppress(Exception):  # It is tried again, and reported, when it is made.
                each.load()
        self.poll()
        self._wakeup.set()

    def poll(self) -> None:
        """Start the thread if it is needed; a system that was out of threads may have one now."""
        if not self._chosen or self._has_begun or self._stopping:
            return
        try:
            self.start()
            self._fault = ""
        except RuntimeError as error:  # threading raises no better one
            if not self._fault:
                self._fault, self._fault_at = _NO_THREADS, time.monotonic()
                _log.error("nothing is notified of a ring, %s: %s", _NO_THREADS, error)

    # The thread.

    @property
    def _has_begun(self) -> bool:
        return self._thread.ident is not None

    def _loop(self) -> None:
        while not self._stopping:
            self._round()
            self._wakeup.wait(_INTERVAL)
            self._wakeup.clear()

    def _round(self) -> None:
        self.beat = time.monotonic()
        self._follow()
        if not (self._waiting or self._is_ready()):
            return
        targets = list(self._targets.values())
        facts = self._look()
        if facts is None:
            return
        for each in targets:  # The first message needs a name and an address.
            each.show_first(facts)
        if self._waiting:
            self._pass_on(targets)
            facts = self._look() or facts
        last, self._last = self._last, facts.last
        if last is not None and (facts.last is None or facts.last.id < last.id):
            deleted = News(Event.DELETED, last, None, time.monotonic())
            for each in targets:
                each.tell(deleted)
        for each in targets:
            each.show(facts)

    def _look(self) -> Facts | None:
        try:
            return self._facts()
        except Exception as error:  # noqa: BLE001  # such as a shortage of descriptors
            self._once.log(logging.ERROR, f"notify: cannot see how everything is: {error}")
            return None

    def _pass_on(self, targets: Sequence[Guarded]) -> None:
        while self._waiting:
            news = self._waiting.popleft()
            if time.monotonic() - news.at > MAX_AGE:
                continue
            if news.event is Event.RING:
                self._last = news.visit
            for each in targets:
                each.tell(news)

    def _follow(self) -> None:
        """Start and stop targets as they are configured now."""
        chosen = self._chosen
        if chosen is not self._followed:
            self._followed = chosen
            there = {(choice.name, choice.settings): choice for choice in self._targets}
            kept = [there.get((each.name, each.settings), each) for each in chosen]
            left = [found for each, found in self._targets.items() if each not in kept]
            self._targets = {
                each: self._targets.get(each) or Guarded(each.name, each.make) for each in kept
            }
            self._end(left)
        for each in self._targets.values():
            each.start()

    def _end(self, targets: Sequence[Guarded]) -> None:
        until = time.monotonic() + _STOPPING
        for number, each in enumerate(targets):
            each.stop(max(0.0, until - time.monotonic()) / (len(targets) - number))

    def _close(self) -> None:
        if self._has_begun:
            self._round()  # The bell may have rung a moment ago.
        self._end(list(self._targets.values()))
        super()._close()

    def _test_news(self) -> News:
        facts, now = self._facts(), time.monotonic()
        last, at = facts.last, clock.unix(now)
        still = self._picture(last)
        visit = Visit(
            last.id if last else 0,
            Kind.RING,
            "test",
            VisitState.DONE,
            at,
            at,
            until=at,
            still=last.still if last else 0,
            reason="" if still else facts.reason,
        )
        return News(Event.RING, visit, still, now)

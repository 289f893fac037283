"""Outbox: messages that wait for one server, the thread that sends them, and its target."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import ClassVar, Protocol

from doorbelld.notify.push import Push, PushError
from doorbelld.notify.target import (
    MAX_AGE,
    Event,
    Facts,
    Health,
    News,
    Result,
    Status,
    describe_fault,
)
from doorbelld.system import clock, secretfile
from doorbelld.system.limited_log import MINUTE, StateLog
from doorbelld.system.worker import Worker

_log = logging.getLogger(__name__)

_MOST_WAITING = 50
_MOST_BYTES = 4 * 1024 * 1024
"""Messages that wait, and bytes of their pictures. If there are more, the oldest are dropped."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
"""Seconds until a message that could not be sent is tried again; each time it is twice as long."""

_SLOW = 10.0
"""Seconds after which a message that has not arrived is a failure to be shown."""

_NO_ANSWER = "the server has not answered a message for {:.0f} s; its log may say why"

_GRACE = 0.7
"""How much of the time to stop the message has that is being sent."""


class Deliver(Protocol):
    """Sends a message in at most ``seconds``; ``is_test`` is whether it says that it is a test."""

    def __call__(self, news: News, seconds: float, *, is_test: bool) -> str:
        """Return what there is to say of it. Raises PushError."""


class _Letter:
    """A message that waits. If it is a test, ``done`` is set once ``result`` is there."""

    def __init__(self, news: News, seconds: float, *, is_test: bool = False) -> None:
        self.news = news
        self.until = (time.monotonic() if is_test else news.at) + seconds
        self.is_test = is_test
        self.done = threading.Event()
        self.result: Result | None = None

    def finish(self, result: Result) -> None:
        """Note how it went; a message that is tried again has more than one."""
        self.result = result
        self.done.set()


class _Queue:
    """Messages that wait, in their order. Any thread may call it."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._lock = threading.Lock()
        self._letters: deque[_Letter] = deque()

    def add(self, letter: _Letter) -> None:
        """Add it as the last; if there are too many then, the oldest are dropped."""
        with self._lock:
            self._letters.append(letter)
            while len(self._letters) > 1 and not self._has_room():
                self._drop(self._letters.popleft())

    def add_first(self, letter: _Letter) -> None:
        """Add it before all others."""
        with self._lock:
            self._letters.appendleft(letter)

    def next(self, again_at: float) -> _Letter | None:
        """Take the message to send now: until ``again_at`` only a test. Drop what is too old."""
        with self._lock:
            now = time.monotonic()
            while self._letters and self._letters[0].until <= now:
                self._drop(self._letters.popleft())
            if not self._letters or (now < again_at and not self._letters[0].is_test):
                return None
            return self._letters.popleft()

    def seconds_to_wait(self, again_at: float) -> float:
        """Return how long there is nothing to do."""
        with self._lock:
            if not self._letters:
                return MINUTE
            due = min(again_at, self._letters[0].until)
        return max(0.0, due - time.monotonic()) + 0.001  # poll() rounds down.

    def clear(self) -> None:
        """Drop all, and end the wait for the result of a test."""
        with self._lock:
            left, self._letters = self._letters, deque()
        for letter in left:
            self._drop(letter)
            letter.done.set()

    def _has_room(self) -> bool:
        size = sum(len(letter.news.still or b"") for letter in self._letters)
        return len(self._letters) <= _MOST_WAITING and size <= _MOST_BYTES

    def _drop(self, letter: _Letter) -> None:
        self._health.count(dropped=not letter.is_test)


class _Retry:
    """When the next message may be sent: after each one that failed, twice as long is waited."""

    def __init__(self) -> None:
        self.at = 0.0
        self._pause = 0.0

    def put_off(self, *, retry: bool) -> None:
        """Note that one has failed; unless it is to be sent again, the next may go at once."""
        self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        self.at = time.monotonic() + self._pause if retry else 0.0

    def reset(self) -> None:
        """Note that one has arrived."""
        self.at = self._pause = 0.0


class Outbox(Worker):
    """Sends messages one by one, each until it has arrived or is too old.

    ``deliver`` sends one; it returns what there is to say of that, mostly "", and raises PushError
    if it has not arrived. ``cut`` makes it return soon. A thread that waits for the resolver cannot
    be woken: it is a daemon thread, so it ends with the process.
    """

    def __init__(
        self,
        name: str,
        deliver: Deliver,
        cut: Callable[[], None],
        max_age: float = MAX_AGE,
    ) -> None:
        super().__init__(name)
        self._name = name
        self._deliver = deliver
        self._cut = cut
        self._max_age = max_age
        self._health = Health("ok")
        self._queue = _Queue(self._health)
        self._retry = _Retry()
        self._began_at: float | None = None  # to send
        self._dropped_before = 0  # the last one that has arrived
        self._state_log = StateLog(_log)

    def put(self, news: News) -> None:
        """Send this as soon as possible; never blocks."""
        self._queue.add(_Letter(news, self._max_age))
        self._wakeup.set()

    def test(self, news: News, timeout: float) -> Result:
        """Send this before all others, once; return how that went."""
        if not self.alive:
            return Result(self._name, is_delivered=False, sentence="its thread does not run")
        letter = _Letter(news, timeout, is_test=True)
        self._queue.add_first(letter)
        self._wakeup.set()
        letter.done.wait(timeout)  # If it still waits after that, it is too old to be sent.
        return letter.result or Result(
            self._name, is_delivered=False, sentence=f"nothing has answered within {timeout:g} s"
        )

    def fail(self, sentence: str) -> None:
        """Say from now on that nothing can be sent, and why; log that if it is another reason."""
        before = self._health.fail(sentence)
        if before.state != "failed" or before.detail != sentence:
            self._state_log.log(logging.WARNING, f"{self._name}: {sentence}")

    def status(self) -> Status:
        """Return how it is."""
        found, began_at = self._health.status, self._began_at
        if found.state == "failed" or began_at is None:
            return found
        seconds = time.monotonic() - began_at
        if seconds <= _SLOW:
            return found
        detail = _NO_ANSWER.format(seconds)
        return found._replace(state="failed", detail=detail, since=clock.unix(began_at))

    def stop(self, timeout: float = 1.0) -> bool:
        """End; a message that is being sent has most of the time to arrive."""
        if not super().stop(timeout * _GRACE):
            self._cut()
        return super().stop(timeout * (1 - _GRACE))

    def _loop(self) -> None:
        while not self._stopping:
            self.beat = time.monotonic()
            letter = self._queue.next(self._retry.at)
            if letter is None:
                self._state_log.flush()
                self._wakeup.wait(self._queue.seconds_to_wait(self._retry.at))
                self._wakeup.clear()
            else:
                self._send(letter)

    def _close(self) -> None:
        self._queue.clear()
        super()._close()

    def _send(self, letter: _Letter) -> None:
        self._began_at = time.monotonic()
        try:
            remark = self._deliver(
                letter.news, letter.until - time.monotonic(), is_test=letter.is_test
            )
        except PushError as error:
            self._has_failed(letter, str(error), retry=error.retry)
        except Exception as error:  # noqa: BLE001  # The next message may be sent all the same.
            self._has_failed(letter, describe_fault(error), retry=False)
        else:
            self._has_arrived(letter, remark)
        self._began_at = None

    def _has_arrived(self, letter: _Letter, remark: str) -> None:
        before = self._health.work(remark)
        self._health.count(delivered=not letter.is_test)
        self._retry.reset()
        dropped = before.dropped - self._dropped_before
        self._dropped_before = before.dropped
        if before.state == "failed":
            lost = f"; {dropped} messages were dropped" if dropped else ""
            seconds = time.monotonic() - (before.since or 0)
            self._state_log.log(
                logging.INFO, f"{self._name}: works again, after {seconds:.0f} s{lost}"
            )
        if remark and remark != before.detail:
            self._state_log.log(logging.WARNING, f"{self._name}: {remark}")
        letter.finish(Result(self._name, is_delivered=True, sentence=remark or "delivered"))

    def _has_failed(self, letter: _Letter, sentence: str, *, retry: bool) -> None:
        self.fail(sentence)
        if not letter.is_test:
            self._retry.put_off(retry=retry)
            if not retry:
                self._health.count(failed=1)
            elif self._stopping or letter.until <= time.monotonic():
                self._health.count(dropped=1)
            else:
                self._queue.add_first(letter)
        letter.finish(Result(self._name, is_delivered=False, sentence=sentence))


class OutboxTarget:
    """A target that sends ``events`` to one URL; a subclass sends each of them in ``_deliver``.

    ``secret_file`` has what proves there who we are, unless systemd's ``credential`` does; it is
    read for each message.
    """

    name: str
    events: ClassVar[Collection[Event]]
    credential: ClassVar[str]

    def __init__(self, url: str, secret_file: Path | None, max_age: float) -> None:
        self._secret_file = secret_file
        self._facts: Facts | None = None
        self._push = Push(url)
        self._outbox = Outbox(self.name, self._deliver, self._push.cut, max_age)

    def start(self) -> None:
        """Begin."""
        try:
            self._read_secret()
        except PushError as error:
            self._outbox.fail(str(error))
        self._outbox.start()

    def stop(self, timeout: float) -> bool:
        """End."""
        return self._outbox.stop(timeout)

    def tell(self, news: News) -> None:
        """Send what is to be sent."""
        if news.event in self.events:
            self._outbox.put(news)

    def show(self, facts: Facts) -> None:
        """Keep the name and the address for the next message."""
        self._facts = facts

    def test(self, news: News, timeout: float) -> Result:
        """Send a test message and wait for it."""
        return self._outbox.test(news, timeout)

    def status(self) -> Status:
        """Return how it is."""
        return self._outbox.status()

    def _read_secret(self) -> str | None:
        """Return the secret, None if there is none. Raises PushError."""
        try:
            return secretfile.read_given(self._secret_file, self.credential)
        except secretfile.SecretError as error:
            raise PushError(str(error), retry=False) from None

    def _deliver(self, news: News, seconds: float, *, is_test: bool) -> str:
        """Send a message, see :class:`Deliver`."""
        raise NotImplementedError

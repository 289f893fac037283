"""Outgoing: what is published at a broker, and in which order; see docs/notifications.md."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from datetime import datetime, timezone
from typing import Any, NamedTuple

from doorbelld.notify.target import MAX_AGE, Event, Facts, Health, News
from doorbelld.stream.state import CameraState

_MOST_RINGS = 50
"""Rings that wait for a slow connection."""

_MOST_UNCONFIRMED = 10
"""Rings on their way at a time; fewer than paho would keep in a queue of its own."""

_NO_NUMBER = 0
"""Of a message that is just being published: that may fail, and it must not get lost then."""

_MOST_TRIES = 2
"""Connections that an image may end before rings come without it: the broker has a limit."""

OFFLINE = b"offline"
"""What is published where we are not."""


class Ring(NamedTuple):
    """A press; ``at`` is on time.monotonic()'s clock."""

    at: float
    payload: bytes


class Message(NamedTuple):
    """``ring`` is what it says; None if it is to be retained."""

    topic: str
    payload: bytes
    qos: int = 0
    ring: Ring | None = None


class Outgoing:
    """What is to be published. Any thread may call it.

    Of what is retained it has the newest, and what of it is still to be published. Rings wait for
    the connection, or for its acknowledgement. The image is acknowledged as well (QoS 1): otherwise
    a broker with Nagle's algorithm, such as mosquitto, may hold back the ring that follows it for
    40 ms, until its client's kernel says that it has the image.
    """

    def __init__(self, topic: str, health: Health) -> None:
        self.will = availability(topic)
        self.event = f"{topic}/event"
        self._image_topic = f"{topic}/image"
        self._lock = threading.Lock()
        self._retained = {self.will: b"online"}
        self._unpublished: dict[str, None] = {}
        self.knows_states = False  # how everything is
        self._image = _Image()
        self._rings = _Rings(health)

    def retain(self, contents: dict[str, bytes]) -> None:
        """Publish these, as far as they have changed."""
        with self._lock:
            for topic, payload in contents.items():
                self._retain(topic, payload)
            self.knows_states = True

    def tell(self, news: News) -> None:
        """Publish what has happened, as far as there is a topic for it."""
        with self._lock:
            image = self._image.after(news)
            if image is not None:
                self._retain(self._image_topic, self._image.fitting(image))
            if news.event is Event.RING:
                self._rings.add(Ring(news.at, event(news, "ring")))

    def image_is_of(self, number: int) -> None:
        """Note the visit of the image that an earlier process has published."""
        with self._lock:
            if self._image.visit is None:
                self._image.visit = number

    def begin(self) -> None:
        """Publish everything on a new connection, and from now on each ring."""
        self._rings.most = _MOST_RINGS
        self.announce()

    def announce(self) -> None:
        """Publish all that is retained again."""
        with self._lock:
            self._unpublished = dict.fromkeys(self._retained)

    def next(self) -> Message | None:
        """Return what to publish now: first that we are there; an image, its ring; all else."""
        with self._lock:
            self._rings.drop_late()
            topic = self._next_topic()
            if topic is not None:
                del self._unpublished[topic]
                payload, is_image = self._retained[topic], topic == self._image_topic
                if is_image:
                    self._image.take(len(payload))
                return Message(topic, payload, int(is_image))
            if self._may_ring():
                ring = self._rings.take()
                return Message(self.event, ring.payload, 1, ring)
            return None

    def sent(self, message: Message, number: int) -> None:
        """Note the number of a message that is to be acknowledged."""
        with self._lock:
            if message.ring is not None:
                self._rings.sent(number)
            elif message.qos:
                self._image.number = number

    def confirm(self, number: int) -> None:
        """Note that a message has arrived."""
        with self._lock:
            self._rings.confirm(number)
            self._image.confirm(number)

    @property
    def is_ringing(self) -> bool:
        """Whether a ring waits that may still be published."""
        with self._lock:
            self._rings.drop_late()
            return self._rings.is_due

    @property
    def too_large(self) -> int | None:
        """The bytes of the smallest image that seems to be too large for the broker."""
        return self._image.too_large

    def end(self) -> None:
        """Forget all rings but the newest: the connection has ended."""
        with self._lock:
            if self._image.end():
                image = self._retained[self._image_topic]  # perhaps a newer one
                self._retain(self._image_topic, self._image.fitting(image))
            self._rings.end()

    def _next_topic(self) -> str | None:
        """Return the topic that is due; None if a ring is, or nothing."""
        if self.will in self._unpublished:
            return self.will
        # One at a time: paho keeps it until it is acknowledged.
        if self._image_topic in self._unpublished and self._image.number is None:
            return self._image_topic
        if self._may_ring():
            return None
        return next((topic for topic in self._unpublished if topic != self._image_topic), None)

    def _may_ring(self) -> bool:
        """Return whether a ring may be published now: its image has been."""
        return self._rings.is_due and self._image_topic not in self._unpublished

    def _retain(self, topic: str, payload: bytes) -> None:
        if self._retained.get(topic) != payload:
            self._retained[topic] = payload
            self._unpublished[topic] = None


class _Image:
    """Which visit's image is retained, and whether it is too large for the broker.

    ``number`` is that of the message that is on its way.
    """

    def __init__(self) -> None:
        self.visit: int | None = None
        self.number: int | None = None
        self.too_large: int | None = None
        self._size = 0
        self._ended = 0  # connections in a row

    def after(self, news: News) -> bytes | None:
        """Return the image after this has happened; None if it is the same as before."""
        number = news.visit.id
        is_newest = self.visit is None or number >= self.visit
        if news.event is Event.RING or (news.event is Event.PICTURE and is_newest):
            self.visit = number
            return news.still or b""
        if news.event is Event.DELETED and number == self.visit:
            return b""
        return None

    def fitting(self, image: bytes) -> bytes:
        """Return the image, or none if it is too large."""
        return b"" if self.too_large is not None and len(image) >= self.too_large else image

    def take(self, size: int) -> None:
        """Note that it is just being published."""
        self.number, self._size = _NO_NUMBER, size

    def confirm(self, number: int) -> None:
        """Note that a message has arrived, which may be the image."""
        if number == self.number:
            self.number, self._ended = None, 0

    def end(self) -> bool:
        """Return whether the image must be given up, because it has ended connections.

        If this one had no image on its way, the next may be of any size.
        """
        is_too_large = False
        if self.number is None:
            self.too_large, self._ended = None, 0
        elif self._size:
            self._ended += 1
            is_too_large = self._ended >= _MOST_TRIES
            if is_too_large:
                self.too_large, self._ended = self._size, 0
        self.number = None
        return is_too_large


class _Rings:
    """Rings that wait, at most the ``most`` newest, and those that are on their way."""

    def __init__(self, health: Health) -> None:
        self.most = 1
        self._health = health
        self._waiting: deque[Ring] = deque()
        self._unconfirmed: dict[int, Ring] = {}

    def add(self, ring: Ring) -> None:
        """Add the newest one."""
        self._waiting.append(ring)
        self._drop_but(self.most)

    def drop_late(self) -> None:
        """Drop those that are too old."""
        while self._waiting and time.monotonic() - self._waiting[0].at > MAX_AGE:
            self._drop_but(len(self._waiting) - 1)

    @property
    def is_due(self) -> bool:
        """Whether one waits, and not too many are on their way."""
        return bool(self._waiting) and len(self._unconfirmed) < _MOST_UNCONFIRMED

    def take(self) -> Ring:
        """Return the oldest one, which is just being published."""
        ring = self._unconfirmed[_NO_NUMBER] = self._waiting.popleft()
        return ring

    def sent(self, number: int) -> None:
        """Note the number of that one."""
        self._unconfirmed[number] = self._unconfirmed.pop(_NO_NUMBER)

    def confirm(self, number: int) -> None:
        """Note that a message has arrived, which may be a ring."""
        self._health.count(delivered=self._unconfirmed.pop(number, None) is not None)

    def end(self) -> None:
        """Forget all but the newest: the connection has ended."""
        lost = list(self._unconfirmed.values())
        self._unconfirmed.clear()
        if lost and not self._waiting:
            self._waiting.append(lost.pop())
        self._health.count(failed=len(lost))
        self.most = 1
        self._drop_but(1)

    def _drop_but(self, count: int) -> None:
        while len(self._waiting) > count:
            self._waiting.popleft()
            self._health.count(dropped=1)


def availability(topic: str) -> str:
    """Return where it is published whether we are there."""
    return f"{topic}/availability"


def retained(topic: str) -> list[str]:
    """Return all topics of which the broker keeps a message."""
    return [*(f"{topic}/{end}" for end in ("image", *_STATES)), availability(topic)]


def event(news: News, kind: str) -> bytes:
    """Return what is published of something that has happened."""
    visit = news.visit
    return as_json(
        {
            "event_type": kind,
            "visit": visit.id,
            "presses": visit.presses,
            "at": round(visit.pressed_at, 3),
            "reason": visit.reason,
        }
    )


def states(facts: Facts) -> dict[str, bytes]:
    """Return what is retained of how everything is, by the end of its topic."""
    last = "None"
    if facts.last is not None:
        # Not its last press: of an earlier process's visit only the announced one is known.
        moment = datetime.fromtimestamp(facts.last.at, timezone.utc)
        last = moment.isoformat(timespec="milliseconds")
    camera = {
        "state": (CameraState.OFFLINE if facts.reason else CameraState.STREAMING).value,
        "reason": facts.reason,
        "stream_url": f"{facts.address}video_feed",
        "still_url": f"{facts.address}snapshot.jpg",
        "page_url": facts.address,
    }
    return {
        "motion": _switch(facts.motion),
        "last_visit": last.encode(),
        "watching": str(facts.watching).encode(),
        "shutter": _switch(facts.is_paused),
        "camera": as_json(camera),
    }


_STATES = ("motion", "last_visit", "watching", "shutter", "camera")
"""The ends of the topics of these."""


def as_json(content: dict[str, Any]) -> bytes:
    """Return it as a message has it."""
    return json.dumps(content).encode()


def _switch(is_on: bool) -> bytes:
    return b"ON" if is_on else b"OFF"

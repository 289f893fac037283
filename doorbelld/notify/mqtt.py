"""Mqtt: tells an MQTT broker, for Home Assistant and others; see docs/notifications.md."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import random
import socket
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from doorbelld.notify import discovery, secret
from doorbelld.notify.broker import Account, BrokerError, Connection
from doorbelld.notify.incoming import Door, Incoming
from doorbelld.notify.target import (
    MAX_AGE,
    Event,
    Facts,
    News,
    Result,
    State,
    Status,
    describe_fault,
)
from doorbelld.stream.state import CameraState
from doorbelld.system import clock
from doorbelld.system.limited_log import OnceLog, StateLog
from doorbelld.system.worker import Worker

_log = logging.getLogger(__name__)

_MOST_RINGS = 50
"""Rings that wait for a slow connection."""

_MOST_UNCONFIRMED = 10
"""Rings on their way at a time; fewer than paho would keep in a queue of its own."""

_NO_NUMBER = 0
"""Of a message that is just being published: that may fail, and it must not get lost then."""

_MOST_TRIES = 2
"""Connections that an image may end before rings come without it: the broker has a limit."""

_SHORTEST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_RINGING_PAUSE = 5.0
"""The longest while a ring waits: the broker may have come back a moment ago."""

_STEADY = 10.0
"""Seconds that a connection must last until the next pause is the shortest again."""

_ECHO = 2.0
"""Seconds in which a test message comes back from the broker after it was acknowledged."""

_APPLICATION = uuid.UUID("5d6f0f3c-5d0c-4b5e-9a2b-6c3f0f7a1e84")
"""Makes an id of this machine that is ours alone, and does not show the machine's own."""

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class MqttSettings:
    """The section [mqtt] of doorbelld.conf(5)."""

    host: str
    port: int = 1883
    secure: bool = False
    user: str | None = None
    password_file: Path | None = None
    topic: str | None = None
    discovery: str | None = "homeassistant"
    button_topic: str | None = None
    button_value: str | None = None


class _Ring(NamedTuple):
    at: float
    payload: bytes


class _Message(NamedTuple):
    """``ring`` is what it says; None if it is to be retained."""

    topic: str
    payload: bytes
    qos: int = 0
    ring: _Ring | None = None


class _Outgoing:
    """What is to be published. Any thread may call it.

    Of what is retained it has the newest, and what of it is still to be published. Rings wait for
    the connection, or for its acknowledgement. The image is acknowledged as well (QoS 1): otherwise
    a broker with Nagle's algorithm, such as mosquitto, may hold back the ring that follows it for
    40 ms, until its client's kernel says that it has the image.
    """

    def __init__(self, topic: str) -> None:
        self.will = f"{topic}/availability"
        self.event = f"{topic}/event"
        self.delivered = self.failed = self.dropped = 0
        self._image = f"{topic}/image"
        self._lock = threading.Lock()
        self._retained = {self.will: b"online"}
        self._unpublished: dict[str, None] = {}
        self._shown: int | None = None  # the visit of the image
        self._image_number: int | None = None  # of the message that is on its way
        self._image_size = self._ended_by_image = 0
        self._too_large: int | None = None
        self._rings: deque[_Ring] = deque()
        self._unconfirmed: dict[int, _Ring] = {}
        self._most_rings = 1

    def retain(self, contents: dict[str, bytes]) -> None:
        """Publish these, as far as they have changed."""
        with self._lock:
            for topic, payload in contents.items():
                self._retain(topic, payload)

    def tell(self, news: News) -> None:
        """Publish what has happened, as far as there is a topic for it."""
        number, event = news.visit.id, news.event
        with self._lock:
            is_newest = self._shown is None or number >= self._shown
            if event is Event.RING or (event is Event.PICTURE and is_newest):
                self._shown = number
                self._retain(self._image, news.still or b"")
            elif event is Event.DELETED and number == self._shown:
                self._retain(self._image, b"")
            if event is Event.RING:
                self._rings.append(_Ring(news.at, _event(news, "ring")))
                self._drop_but(self._most_rings)

    def image_is_of(self, number: int) -> None:
        """Note the visit of the image that an earlier process has published."""
        with self._lock:
            if self._shown is None:
                self._shown = number

    def begin(self) -> None:
        """Publish everything on a new connection, and from now on each ring."""
        self._most_rings = _MOST_RINGS
        self.announce()

    def announce(self) -> None:
        """Publish all that is retained again."""
        with self._lock:
            self._unpublished = dict.fromkeys(self._retained)

    def next(self) -> _Message | None:
        """Return what to publish now: first that we are there; an image, its ring; all else."""
        with self._lock:
            while self._rings and time.monotonic() - self._rings[0].at > MAX_AGE:
                self._drop_but(len(self._rings) - 1)
            topic = self._next_topic()
            if topic is not None:
                del self._unpublished[topic]
                payload, is_image = self._retained[topic], topic == self._image
                if is_image:
                    self._image_number, self._image_size = _NO_NUMBER, len(payload)
                return _Message(topic, payload, int(is_image))
            if self._may_ring():
                ring = self._unconfirmed[_NO_NUMBER] = self._rings.popleft()
                return _Message(self.event, ring.payload, 1, ring)
            return None

    def _next_topic(self) -> str | None:
        """Return the topic that is due; None if a ring is, or nothing."""
        if self.will in self._unpublished:
            return self.will
        # One at a time: paho keeps it until it is acknowledged.
        if self._image in self._unpublished and self._image_number is None:
            return self._image
        if self._may_ring():
            return None
        return next((topic for topic in self._unpublished if topic != self._image), None)

    def _may_ring(self) -> bool:
        """Return whether a ring may be published now: its image has been."""
        is_full = len(self._unconfirmed) >= _MOST_UNCONFIRMED
        return bool(self._rings) and self._image not in self._unpublished and not is_full

    def sent(self, message: _Message, number: int) -> None:
        """Note the number of a message that is to be acknowledged."""
        with self._lock:
            if message.ring is not None:
                self._unconfirmed[number] = self._unconfirmed.pop(_NO_NUMBER)
            elif message.qos:
                self._image_number = number

    def confirm(self, number: int) -> None:
        """Note that a message has arrived."""
        with self._lock:
            if self._unconfirmed.pop(number, None) is not None:
                self.delivered += 1
            elif number == self._image_number:
                self._image_number, self._ended_by_image = None, 0

    @property
    def is_ringing(self) -> bool:
        """Whether a ring waits that may still be published."""
        with self._lock:
            return bool(self._rings) and time.monotonic() - self._rings[-1].at < MAX_AGE

    @property
    def too_large(self) -> int | None:
        """The bytes of the smallest image that seems to be too large for the broker."""
        return self._too_large

    def end(self) -> None:
        """Forget all rings but the newest: the connection has ended."""
        with self._lock:
            lost = list(self._unconfirmed.values())
            self._unconfirmed.clear()
            self._judge_image()
            self._image_number = None
            if lost and not self._rings:
                self._rings.append(lost.pop())
            self.failed += len(lost)
            self._most_rings = 1
            self._drop_but(1)

    def _judge_image(self) -> None:
        """Give an image up that has ended connections; try the next if this one had no image."""
        if self._image_number is None:
            self._too_large, self._ended_by_image = None, 0
        elif self._image_size:
            self._ended_by_image += 1
            if self._ended_by_image >= _MOST_TRIES:
                self._too_large, self._ended_by_image = self._image_size, 0
                self._retain(self._image, self._retained[self._image])

    def _retain(self, topic: str, payload: bytes) -> None:
        limit = self._too_large
        if topic == self._image and limit is not None and len(payload) >= limit:
            payload = b""
        if self._retained.get(topic) != payload:
            self._retained[topic] = payload
            self._unpublished[topic] = None

    def _drop_but(self, count: int) -> None:
        while len(self._rings) > count:
            self._rings.popleft()
            self.dropped += 1


class _Test:
    """A test message on its way. ``problem`` is why it cannot be sent."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.number: int | None = None
        self.problem = ""
        self.may_read = True
        self.is_acknowledged = False
        self.is_judged = threading.Event()  # It was acknowledged, or there is a problem.
        self.is_back = threading.Event()


class Mqtt(Worker):
    """The target for a broker. Its thread makes one connection after the other.

    What is retained is published when it changes and on each new connection, always the newest. A
    ring that was not acknowledged when a connection ended is sent again on the next, if it is the
    newest one and not late. Everything else that waits is forgotten.
    """

    name = "mqtt"

    def __init__(self, settings: MqttSettings, door: Door) -> None:
        super().__init__("mqtt")
        self._settings = settings
        self._id = device_id()
        self._topic = settings.topic or f"doorbelld/{self._id}"
        self._outgoing = _Outgoing(self._topic)
        self._incoming = Incoming(
            door,
            self._topic,
            button=(settings.button_topic, settings.button_value),
            birth=(settings.discovery, self._outgoing.announce),
        )
        self._lock = threading.Lock()  # for all below
        self._state: State = "starting"
        self._detail = ""
        self._since: float | None = None  # on time.monotonic()'s clock
        self._connected_at: float | None = None
        self._is_stopped = False
        self._test: _Test | None = None
        self._lines = StateLog(_log)
        self._oddities = OnceLog(_log)

    # From any thread

    def stop(self, timeout: float = 1.0) -> bool:
        """End, after a last message to the broker; return whether that was in time."""
        self._is_stopped = True
        return super().stop(timeout)

    def tell(self, news: News) -> None:
        """Publish what has happened, as far as MQTT has a topic for it."""
        if news.event is Event.RING:
            self._incoming.newest = news.visit.id
        self._outgoing.tell(news)
        self._wakeup.set()

    def show(self, facts: Facts) -> None:
        """Publish how everything is, as far as it has changed."""
        if facts.last is not None:
            self._incoming.newest = facts.last.id
            self._outgoing.image_is_of(facts.last.id)
        contents = {}
        if self._settings.discovery is not None:
            suffix, content = discovery.message(self._topic, self._id, facts)
            contents[f"{self._settings.discovery}/{suffix}"] = _json(content)
        contents.update((f"{self._topic}/{key}", value) for key, value in _facts(facts).items())
        self._outgoing.retain(contents)
        self._wakeup.set()

    def status(self) -> Status:
        """Return how it is."""
        out = self._outgoing
        with self._lock:
            since = None if self._since is None else clock.unix(self._since)
            found = Status(
                *(self._state, self._detail, since),
                *(out.delivered, out.failed, out.dropped),
            )
        if self._thread.ident is not None and not self.alive and not self._is_stopped:
            why = "the thread for MQTT has ended: restart doorbelld"
            return found._replace(state="failed", detail=why)
        return found

    def test(self, news: News, timeout: float) -> Result:
        """Publish an event of the type "test", and wait until it comes back from the broker."""
        test = _Test(_event(news, "test"))
        give_up_at = time.monotonic() + timeout
        with self._lock:
            self._test = test
        self._wakeup.set()
        test.is_judged.wait(timeout)
        if test.is_acknowledged and test.may_read:
            test.is_back.wait(max(0.0, min(_ECHO, give_up_at - time.monotonic())))
        with self._lock:
            self._test = None
        self._wakeup.set()
        return self._judge(test)

    def _judge(self, test: _Test) -> Result:
        place = self._account(None).place
        acknowledged = f"{place} has acknowledged the message on {self._outgoing.event}"
        if test.is_back.is_set():
            return Result(self.name, True, f"{acknowledged} and passed it on")
        if test.is_acknowledged and not test.may_read:
            more = "whether it passes it on is unknown: its rules do not let doorbelld read there"
            return Result(self.name, True, f"{acknowledged}; {more}")
        if test.is_acknowledged:
            more = "but not passed it on: its access rules do not let doorbelld write or read there"
            return Result(self.name, False, f"{acknowledged}, {more}")
        late = f"{place} has not acknowledged the message in time"
        return Result(self.name, False, test.problem or self._detail or late)

    # In its thread

    def _loop(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopping:
            self._connected_at = None
            try:
                self._connect()
            except (BrokerError, secret.SecretError) as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001  # It must go on, whatever paho does.
                self._fail(describe_fault(error))
            if self._was_steady():
                pause = _SHORTEST_PAUSE
            self._rest(min(_LONGEST_PAUSE, pause * random.uniform(1, 1.25)))  # noqa: S311
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _was_steady(self) -> bool:
        connected_at = self._connected_at
        return connected_at is not None and time.monotonic() - connected_at > _STEADY

    def _connect(self) -> None:
        """Serve one connection until it ends. Raises BrokerError, SecretError."""
        password = secret.read(self._settings.password_file, secret.MQTT_PASSWORD)
        account = self._account(password)
        connection = Connection(account, self._received, self._delivered, self._subscribed)
        last = None
        try:
            if not connection.open(self._wakeup, lambda: self._stopping):
                return
            self._succeed(account.place)
            connection.subscribe(self._incoming.topics)
            while not self._stopping:
                self._publish(connection)
                self._lines.flush()
                connection.wait(self._wakeup)
            self._publish(connection)
            last = (self._outgoing.will, b"offline")
        finally:
            connection.close(last)
            self._outgoing.end()
            with self._lock:
                if self._test is not None:
                    self._test.number = None

    def _account(self, password: str | None) -> Account:
        settings = self._settings
        # The same after a restart, so that the broker ends what is left of the connection before;
        # another one for another daemon on this machine.
        number = hashlib.sha256(f"{self._id} {self._topic}".encode()).hexdigest()[:12]
        return Account(
            settings.host,
            settings.port,
            settings.secure,
            f"doorbelld-{number}",
            settings.user,
            password,
            (self._outgoing.will, b"offline"),
        )

    def _publish(self, connection: Connection) -> None:
        """Publish what there is, as far as the connection takes it at once."""
        self._publish_test(connection)
        while not connection.is_busy:
            message = self._outgoing.next()
            if message is None:
                return
            topic, payload, qos, ring = message
            number = connection.publish(topic, payload, qos=qos, retain=ring is None)
            self._outgoing.sent(message, number)

    def _publish_test(self, connection: Connection) -> None:
        with self._lock:
            test = self._test
        topic = self._outgoing.event
        if test is None:
            if connection.reads(topic):
                connection.unsubscribe(topic)
        elif test.number is None:
            connection.subscribe([topic])
            test.number = connection.publish(topic, test.payload, qos=1)

    def _rest(self, seconds: float) -> None:
        """Wait, unless it is stopped or tested; not for long if the bell rings."""
        began_at = time.monotonic()
        while not self._stopping:
            longest = min(seconds, _RINGING_PAUSE) if self._outgoing.is_ringing else seconds
            left = began_at + longest - time.monotonic()
            with self._lock:
                is_urgent = self._test is not None and not self._test.is_judged.is_set()
            if left <= 0 or is_urgent:
                return
            self._lines.flush()
            self._wakeup.wait(left)
            self._wakeup.clear()

    # What the connection reports

    def _received(self, topic: str, payload: bytes, retained: bool) -> None:
        with self._lock:
            test = self._test
        if test is not None and topic == self._outgoing.event and payload == test.payload:
            test.is_back.set()
        self._incoming.handle(topic, payload, retained=retained)

    def _delivered(self, number: int) -> None:
        self._outgoing.confirm(number)
        with self._lock:
            if self._test is not None and self._test.number == number:
                self._test.is_acknowledged = True
                self._test.is_judged.set()

    def _subscribed(self, topic: str, is_allowed: bool) -> None:
        if is_allowed:
            return
        if topic == self._outgoing.event:
            with self._lock:
                if self._test is not None:
                    self._test.may_read = False
            return
        line = f"MQTT: the broker's access rules do not let doorbelld read {topic}"
        self._oddities.log(logging.WARNING, line)

    # How it is

    def _succeed(self, place: str) -> None:
        self._outgoing.begin()  # Before anyone sees that it is ok: from now on, no ring is dropped.
        remark, size = "", self._outgoing.too_large
        if size is not None:
            remark = (
                f"{place} ends the connection at an image of {size} bytes, so rings come without;"
                " raise its limit (max_packet_size of mosquitto), or lower the camera's resolution"
            )
        with self._lock:
            again = " again" if self._state == "failed" else ""
            self._state, self._detail, self._since = "ok", remark, None
        self._connected_at = time.monotonic()
        self._lines.log(logging.INFO, f"MQTT: connected to {place}{again}")
        if remark:
            self._oddities.log(logging.WARNING, f"MQTT: {remark}")

    def _fail(self, why: str) -> None:
        with self._lock:
            is_new = self._detail != why
            if self._state != "failed":
                self._since = time.monotonic()
            self._state, self._detail = "failed", why
            if self._test is not None:
                self._test.problem = why
                self._test.is_judged.set()
        if is_new:
            self._lines.log(logging.WARNING, f"MQTT: {why}")


def device_id(path: Path = _MACHINE_ID) -> str:
    """Return an id of this machine that stays the same and is not that of any other program.

    It is what ``systemd-id128 machine-id --app-specific`` prints; without a machine id, one made of
    the host's name in the same way.
    """
    try:
        machine = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        machine = b""
    digest = hmac.digest(machine or socket.gethostname().encode(), _APPLICATION.bytes, "sha256")
    return uuid.UUID(bytes=digest[:16], version=4).hex


def _event(news: News, kind: str) -> bytes:
    """Return what is published of something that has happened."""
    visit = news.visit
    return _json(
        {
            "event_type": kind,
            "visit": visit.id,
            "presses": visit.presses,
            "at": round(visit.pressed_at, 3),
            "reason": visit.reason,
        }
    )


def _facts(facts: Facts) -> dict[str, bytes]:
    """Return what is retained, by the end of its topic."""
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
        "camera": _json(camera),
    }


def _switch(is_on: bool) -> bytes:
    return b"ON" if is_on else b"OFF"


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()

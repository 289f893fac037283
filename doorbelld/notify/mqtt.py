"""Mqtt: tells an MQTT broker, for Home Assistant and others; see docs/notifications.md."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from doorbelld.notify import discovery, outgoing
from doorbelld.notify.broker import Account, BrokerError, ClosedError, Connection
from doorbelld.notify.incoming import Door, Incoming
from doorbelld.notify.leftovers import Leftovers
from doorbelld.notify.outgoing import OFFLINE, Outgoing
from doorbelld.notify.target import (
    MQTT_PASSWORD,
    Event,
    Facts,
    Health,
    News,
    Result,
    Status,
    describe_fault,
)
from doorbelld.system import secretfile
from doorbelld.system.limited_log import OnceLog, StateLog
from doorbelld.system.worker import Worker

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_RINGING_PAUSE = 5.0
"""The longest while a ring waits: the broker may have come back a moment ago."""

_STEADY = 10.0
"""Seconds that a connection must last until the next pause is the shortest again."""

_SOON = 75.0
"""Seconds: a little more than another client pauses that takes our connection over."""

_MOST_CLOSED = 4
"""Connections in a row that the broker may close so soon before we say what may be the reason."""

_ECHO = 2.0
"""Seconds in which a test message comes back from the broker after it was acknowledged."""


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


class Mqtt(Worker):
    """The target for a broker. Its thread makes one connection after the other.

    What is retained is published when it changes and on each new connection, always the newest. A
    ring that was not acknowledged when a connection ended is sent again on the next, if it is the
    newest one and not late. Everything else that waits is forgotten. ``folder`` is that for what
    outlives the process, if there is one.
    """

    name = "mqtt"

    def __init__(self, settings: MqttSettings, door: Door, folder: Path | None = None) -> None:
        super().__init__("mqtt")
        self._settings = settings
        self._device = discovery.device_id()
        self._topic = settings.topic or f"doorbelld/{self._device}"
        self._discovery_topic = (
            discovery.topic_of(settings.discovery, self._device) if settings.discovery else None
        )
        health = Health("starting")
        self._report = _Report(health)
        self._outgoing = Outgoing(self._topic, health)
        self._incoming = Incoming(
            door,
            self._topic,
            button=(settings.button_topic, settings.button_value),
            birth=(settings.discovery, self._outgoing.announce),
        )
        place = self._account(None).place
        self._leftovers = Leftovers(folder, place, self._topic, self._discovery_topic)
        self._pauses = _Pauses()
        self._test: _Test | None = None
        self._is_stopped = False

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
        if self._discovery_topic is not None:
            content = discovery.message(self._topic, self._device, facts)
            contents[self._discovery_topic] = outgoing.as_json(content)
        for key, value in outgoing.states(facts).items():
            contents[f"{self._topic}/{key}"] = value
        self._outgoing.retain(contents)
        self._wakeup.set()

    def status(self) -> Status:
        """Return how it is."""
        found = self._report.status
        if self._thread.ident is not None and not self.alive and not self._is_stopped:
            why = "the thread for MQTT has ended: restart doorbelld"
            return found._replace(state="failed", detail=why)
        return found

    def test(self, news: News, timeout: float) -> Result:
        """Publish an event of the type "test", and wait until it comes back from the broker."""
        test = self._test = _Test(self._outgoing.event, outgoing.event(news, "test"))
        self._wakeup.set()
        test.wait(timeout)
        self._test = None
        self._wakeup.set()
        return test.result(self._account(None).place, self._report.status.detail)

    # In its thread

    def _loop(self) -> None:
        while not self._stopping:
            self._pauses.begin()
            try:
                self._connect()
            except ClosedError as error:
                if self._outgoing.too_large is None:  # Otherwise the reason is known.
                    self._pauses.closed()
                self._fail(self._contest() or str(error))
            except (BrokerError, secretfile.SecretError) as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001  # It must go on, whatever paho does.
                self._fail(describe_fault(error))
            self._rest(self._pauses.next())

    def _connect(self) -> None:
        """Serve one connection until it ends. Raises BrokerError, SecretError."""
        password = secretfile.read_given(self._settings.password_file, MQTT_PASSWORD)
        account = self._account(password)
        connection = Connection(account, self._received, self._delivered, self._subscribed)
        last = None
        try:
            if not connection.open(self._wakeup, lambda: self._stopping):
                return
            self._succeed(account.place)
            connection.subscribe([*self._incoming.topics, *self._leftovers.begin()])
            while not self._stopping:
                self._publish(connection)
                self._report.works(self._remark())
                self._report.flush()
                connection.wait(self._wakeup)
            self._publish(connection)
            last = (self._outgoing.will, OFFLINE)
        finally:
            connection.close(last)
            self._outgoing.end()
            test = self._test
            if test is not None:
                test.number = None

    def _account(self, password: str | None) -> Account:
        settings = self._settings
        # The same after a restart, so that the broker ends what is left of the connection before;
        # another one for another daemon on this machine.
        number = hashlib.sha256(f"{self._device} {self._topic}".encode()).hexdigest()[:12]
        return Account(
            settings.host,
            settings.port,
            settings.secure,
            f"doorbelld-{number}",
            settings.user,
            password,
            (self._outgoing.will, OFFLINE),
        )

    def _publish(self, connection: Connection) -> None:
        """Publish what there is, as far as the connection takes it at once."""
        self._publish_test(connection)
        while not connection.is_busy:
            message = self._outgoing.next()
            if message is None:
                self._empty_leftovers(connection)
                return
            topic, payload, qos, ring = message
            number = connection.publish(topic, payload, qos=qos, retain=ring is None)
            self._outgoing.sent(message, number)

    def _empty_leftovers(self, connection: Connection) -> None:
        """Empty what is left of earlier settings, once others have read of the new ones."""
        topic = self._leftovers.next() if self._outgoing.knows_states else None
        if topic is not None:
            self._leftovers.sent(connection.publish(topic, b"", qos=1, retain=True))

    def _publish_test(self, connection: Connection) -> None:
        test, topic = self._test, self._outgoing.event
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
            left, test = began_at + longest - time.monotonic(), self._test
            if left <= 0 or (test is not None and not test.is_judged):
                return
            self._report.flush()
            self._wakeup.wait(left)
            self._wakeup.clear()

    # What the connection reports

    def _received(self, topic: str, payload: bytes, retained: bool) -> None:
        test = self._test
        if test is not None:
            test.received(topic, payload)
        self._leftovers.received(topic, payload, retained=retained)
        self._incoming.handle(topic, payload, retained=retained)

    def _delivered(self, number: int) -> None:
        self._outgoing.confirm(number)
        self._leftovers.confirm(number)
        test = self._test
        if test is not None:
            test.confirm(number)

    def _subscribed(self, topic: str, is_allowed: bool) -> None:
        if is_allowed:
            return
        if topic == self._outgoing.event:
            test = self._test
            if test is not None:
                test.may_read = False
            return
        self._report.odd(f"the broker's access rules do not let doorbelld read {topic}")

    # How it is

    def _succeed(self, place: str) -> None:
        self._outgoing.begin()  # Before anyone sees that it is ok: from now on, no ring is dropped.
        self._pauses.connected()
        self._report.connected(place, self._remark())

    def _remark(self) -> str:
        size = self._outgoing.too_large
        if size is None:
            return self._contest()
        return (
            f"{self._account(None).place} ends the connection at an image of {size} bytes, so rings"
            " come without; raise its limit (max_packet_size of mosquitto), or lower the camera's"
            " resolution"
        )

    def _contest(self) -> str:
        """Return what may be the reason if the broker closes one connection after the other."""
        if not self._pauses.is_contested:
            return ""
        account = self._account(None)
        return (
            f"{account.place} closes each connection soon after it has accepted it: does another"
            f" doorbelld have the topic {self._topic}? Each needs its own [mqtt] topic; the"
            f" broker's log shows the client {account.client_id}"
        )

    def _fail(self, why: str) -> None:
        self._report.fails(why)
        test = self._test
        if test is not None:
            test.fail(why)


class _Report:
    """How the target is, as its status and the log say it."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._lines = StateLog(_log)
        self._oddities = OnceLog(_log)

    @property
    def status(self) -> Status:
        """How it is now."""
        return self._health.status

    def connected(self, place: str, remark: str) -> None:
        """Report a new connection, and what there is to say of it."""
        before = self._health.status
        self.works(remark)
        if not remark or remark != before.detail:
            again = " again" if before.state == "failed" else ""
            self._lines.log(logging.INFO, f"MQTT: connected to {place}{again}")

    def works(self, remark: str) -> None:
        """Report that it works, if that is new, and what there is to say of that."""
        before = self._health.status
        if (before.state, before.detail) == ("ok", remark):
            return
        self._health.work(remark)
        if remark and remark != before.detail:
            self.odd(remark)

    def fails(self, why: str) -> None:
        """Report why there is no connection."""
        if self._health.fail(why).detail != why:
            self._lines.log(logging.WARNING, f"MQTT: {why}")

    def odd(self, sentence: str) -> None:
        """Report what goes on beside that, once an hour."""
        self._oddities.log(logging.WARNING, f"MQTT: {sentence}")

    def flush(self) -> None:
        """Log what was held back, if it is time."""
        self._lines.flush()


class _Pauses:
    """How long to wait between two connections: each time twice as long, unless one was steady.

    It also knows whether the broker closes one after the other, as it does if two clients have the
    same id and take the connection from each other.
    """

    def __init__(self) -> None:
        self._seconds = _SHORTEST_PAUSE
        self._connected_at: float | None = None
        self._was_closed = False
        self._closed_soon = 0  # in a row

    def begin(self) -> None:
        """Note that a connection is tried."""
        self._connected_at = None
        self._was_closed = False

    def connected(self) -> None:
        """Note that the broker has accepted it."""
        self._connected_at = time.monotonic()

    def closed(self) -> None:
        """Note that the broker has closed it after that."""
        self._was_closed = True
        self._closed_soon += 1

    def next(self) -> float:
        """Return the seconds to wait now that it has ended."""
        lasted = self._lasted
        if lasted > _STEADY:
            self._seconds = _SHORTEST_PAUSE
        if lasted > _SOON or not self._was_closed:
            self._closed_soon = 0
        pause = min(_LONGEST_PAUSE, self._seconds * random.uniform(1, 1.25))  # noqa: S311
        self._seconds = min(_LONGEST_PAUSE, 2 * self._seconds)
        return pause

    @property
    def is_contested(self) -> bool:
        """Whether another client seems to take the connection over again and again."""
        return self._closed_soon >= _MOST_CLOSED and self._lasted <= _SOON

    @property
    def _lasted(self) -> float:
        at = self._connected_at
        return time.monotonic() - at if at is not None else 0.0


class _Test:
    """A test message on its way. ``number`` is None while it is on no connection."""

    def __init__(self, topic: str, payload: bytes) -> None:
        self.payload = payload
        self.number: int | None = None
        self.may_read = True
        self._topic = topic
        self._problem = ""  # why it cannot be sent
        self._is_acknowledged = False
        self._judged = threading.Event()  # It was acknowledged, or there is a problem.
        self._back = threading.Event()

    @property
    def is_judged(self) -> bool:
        """Whether it is known if the broker takes it."""
        return self._judged.is_set()

    def received(self, topic: str, payload: bytes) -> None:
        """Note a message of the broker, which may be this one."""
        if topic == self._topic and payload == self.payload:
            self._back.set()

    def confirm(self, number: int) -> None:
        """Note that a message has arrived, which may be this one."""
        if number == self.number:
            self._is_acknowledged = True
            self._judged.set()

    def fail(self, why: str) -> None:
        """Note why it cannot be sent."""
        self._problem = why
        self._judged.set()

    def wait(self, timeout: float) -> None:
        """Wait until it has come back, or there is no more to wait for."""
        give_up_at = time.monotonic() + timeout
        self._judged.wait(timeout)
        if self._is_acknowledged and self.may_read:
            self._back.wait(max(0.0, min(_ECHO, give_up_at - time.monotonic())))

    def result(self, place: str, detail: str) -> Result:
        """Return how it went; ``detail`` is what is known of the broker anyway."""
        acknowledged = f"{place} has acknowledged the message on {self._topic}"
        if self._back.is_set():
            return Result(Mqtt.name, True, f"{acknowledged} and passed it on")
        if self._is_acknowledged and not self.may_read:
            more = "whether it passes it on is unknown: its rules do not let doorbelld read there"
            return Result(Mqtt.name, True, f"{acknowledged}; {more}")
        if self._is_acknowledged:
            more = "but not passed it on: its access rules do not let doorbelld write or read there"
            return Result(Mqtt.name, False, f"{acknowledged}, {more}")
        late = f"{place} has not acknowledged the message in time"
        return Result(Mqtt.name, False, self._problem or detail or late)

"""The news of the bell at a real broker, with each version of paho that Debian has."""

from __future__ import annotations

import errno
import json
import logging
import signal
import socket
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from doorbelld.notify import broker as broker_module
from doorbelld.notify import mqtt
from doorbelld.notify.discovery import device_id
from doorbelld.notify.mqtt import Mqtt, MqttSettings
from doorbelld.notify.target import MAX_AGE, Event, Facts, News
from doorbelld.visits.visit import Kind, Visit, VisitState
from tests.support import mosquitto, paho_versions, secure
from tests.support.daemon import eventually
from tests.support.fake_broker import FakeBroker
from tests.support.mosquitto import PASSWORD, Listener, Mosquitto

pytestmark = pytest.mark.process

VISIT = Visit(7, Kind.RING, "button", VisitState.OPEN, at=1764147600.1234, pressed_at=1764147600.5)
FACTS = Facts("Front door", "", 2, False, False, None, "http://door.local:5000/")
PICTURE = b"\xff\xd8" + bytes(56_000) + b"\xff\xd9"

Start = Callable[..., Mqtt]


@pytest.fixture(params=paho_versions.VERSIONS)
def each_paho(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Import another version of paho, for this test alone."""
    _forget_paho()
    monkeypatch.syspath_prepend(paho_versions.folder(request.param))
    yield request.param
    used = {Path(module.__path__[0]) for name, module in sys.modules.items() if name == "paho"}
    _forget_paho()
    assert used == {paho_versions.folder(request.param) / "paho"}


def _forget_paho() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "paho"]:
        del sys.modules[name]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto.running(tmp_path) as broker:
        yield broker


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    with broker.listener() as listener:
        yield listener


@pytest.fixture
def door() -> Mock:
    return Mock()


@pytest.fixture
def start(door: Mock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return what starts a target; all are stopped in the end."""
    monkeypatch.setattr(mqtt, "_SHORTEST_PAUSE", 0.05)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    targets = []

    def started(port: int, **settings: object) -> Mqtt:
        known = {"host": "127.0.0.1", "port": port, "topic": "d", **settings}
        target = Mqtt(MqttSettings(**known), door)  # type: ignore[arg-type]
        targets.append(target)
        target.show(FACTS)
        target.start()
        return target

    yield started
    for target in targets:
        assert target.stop(10)


def news(event: Event, number: int = 7, still: bytes | None = PICTURE, presses: int = 1) -> News:
    return News(event, replace(VISIT, id=number, presses=presses), still, time.monotonic())


def state(target: Mqtt) -> str:
    return str(target.status().state)


def connected(target: Mqtt) -> Mqtt:
    eventually(lambda: state(target) == "ok", "connected")
    return target


def failed(target: Mqtt) -> str:
    """Wait until there is no connection; return why."""
    eventually(lambda: state(target) == "failed", "failed")
    return str(target.status().detail)


def rings(listener: Listener) -> list[int]:
    """Return the visits that have rung, in order."""
    return [json.loads(each)["visit"] for each in listener.of("d/event")]


def with_password(folder: Path, *lines: str) -> tuple[str, ...]:
    """Return the lines for a broker with one user."""
    path = folder / "users"
    path.write_text(f"door:{PASSWORD}\n")
    path.chmod(0o600)
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    mosquitto.hash_passwords(path)
    return ("allow_anonymous false", f"password_file {path}", *lines)


# What is published


@pytest.mark.usefixtures("each_paho")
def test_all_that_is_published(broker: Mosquitto, listener: Listener, start: Start) -> None:
    target = connected(start(broker.port))
    eventually(lambda: listener.of("d/camera"), "the state of everything")
    topics = [each.topic for each in listener.messages]
    config = f"homeassistant/device/doorbelld_{device_id()}/config"
    assert topics[:2] == ["d/availability", config]
    assert json.loads(listener.of(config)[0])["device"]["name"] == "Front door"
    assert listener.of("d/availability") == [b"online"]
    assert listener.of("d/last_visit") == [b"None"]
    assert listener.of("d/watching") == [b"2"]
    assert listener.of("d/motion") == listener.of("d/shutter") == [b"OFF"]
    assert json.loads(listener.of("d/camera")[0]) == {
        "state": "streaming",
        "reason": "",
        "stream_url": "http://door.local:5000/video_feed",
        "still_url": "http://door.local:5000/snapshot.jpg",
        "page_url": "http://door.local:5000/",
    }
    target.tell(news(Event.RING))
    target.show(replace(FACTS, last=VISIT, is_paused=True))
    listener.wait_for("d/shutter", b"ON")
    assert listener.of("d/last_visit")[1:] == [b"2025-11-26T09:00:00.123+00:00"]
    assert listener.of("d/watching") == [b"2"]  # only what has changed
    news_of_it = [each for each in listener.messages if each.topic in ("d/image", "d/event")]
    assert [each.topic for each in news_of_it] == ["d/image", "d/event"]
    assert news_of_it[0].payload == PICTURE
    assert json.loads(news_of_it[1].payload) == {
        "event_type": "ring",
        "visit": 7,
        "presses": 1,
        "at": 1764147600.5,
        "reason": "",
    }
    eventually(lambda: target.status().delivered == 1, "acknowledged")
    with broker.listener() as late:
        late.wait_for("d/shutter", b"ON")
        late.wait_for("d/image", PICTURE)
        assert not late.of("d/event")
        assert all(each.retained for each in late.messages)
    assert target.stop()
    listener.wait_for("d/availability", b"offline")
    eventually(lambda: "Received DISCONNECT from doorbelld-" in broker.log, "a proper end")


def test_pictures_follow_and_go(broker: Mosquitto, listener: Listener, start: Start) -> None:
    target = connected(start(broker.port))
    target.show(replace(FACTS, last=VISIT))  # of an earlier process
    target.tell(news(Event.DELETED, 6))
    target.tell(news(Event.PICTURE, 6, b"old"))
    target.show(replace(FACTS, last=VISIT, watching=9))
    listener.wait_for("d/watching", b"9")
    target.tell(news(Event.RING, 8, b"first"))
    listener.wait_for("d/image", b"first")
    target.tell(news(Event.PICTURE, 8, b"better"))
    listener.wait_for("d/image", b"better")
    target.tell(news(Event.DELETED, 7))
    target.tell(news(Event.ANSWERED, 8))
    target.tell(news(Event.DELETED, 8))
    listener.wait_for("d/image", b"")
    target.tell(news(Event.RING, 9, None))
    eventually(lambda: rings(listener) == [8, 9], "the ring without a picture")
    assert listener.of("d/image") == [b"first", b"better", b""]


@pytest.mark.usefixtures("each_paho")
def test_commands(broker: Mosquitto, listener: Listener, start: Start, door: Mock) -> None:
    broker.publish("d/shutter/set", "ON", "-r")
    broker.publish("d/answered/set", "x", "-r")
    broker.publish("zigbee/bell", '{"action": "single"}', "-r")
    broker.publish("homeassistant/status", "online", "-r")
    target = connected(start(broker.port, button_topic="zigbee/bell", button_value="single"))
    target.tell(news(Event.RING))
    broker.publish("d/shutter/set", "OFF")
    eventually(lambda: door.close_shutter.called, "the shutter")
    broker.publish("d/answered/set", "PRESS")
    broker.publish("zigbee/bell", '{"action": "single", "battery": 90}')
    broker.publish("zigbee/bell", '{"action": ""}')
    eventually(lambda: door.answer.called and door.ring.called, "answered, and rung")
    assert door.close_shutter.call_args_list == [((False,),)]
    assert door.answer.call_args_list == [((7,),)]
    assert door.ring.call_count == 1
    assert len(listener.of("d/availability")) == 1
    broker.publish("homeassistant/status", "online")
    eventually(lambda: len(listener.of("d/watching")) == 2, "all of it again")
    assert sum(each.topic.endswith("/config") for each in listener.messages) == 2
    assert rings(listener) == [7]


# Connections


@pytest.mark.usefixtures("each_paho")
def test_password(tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with mosquitto.running(tmp_path, *with_password(tmp_path)) as broker:
        place, secret = f"127.0.0.1:{broker.port}", tmp_path / "secret"
        why = failed(start(broker.port))
        assert why == f"{place} requires a password: set user and password_file"
        secret.write_text("wrong-MARKER")
        target = start(broker.port, user="door", password_file=secret, topic="other")
        assert failed(target) == f"{place} does not accept the user door with this password"
        since = target.status().since
        secret.write_text(PASSWORD)  # without a reload
        connected(target)
        assert since is not None
        assert target.status().since is None
        secret.chmod(0o644)
        broker.kill()
        eventually(lambda: "sudo chmod 600" in failed(target), "the file is not private")
    assert "MARKER" not in caplog.text
    own = [each for each in caplog.messages if "the user door" in each or "again" in each]
    assert len(own) == 2  # however often it tried


@pytest.mark.usefixtures("each_paho")
def test_tls(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    secure.make_signed_pair(tmp_path)
    pair = secure.sign(tmp_path, "IP:127.0.0.1")
    lines = (f"certfile {pair.certificate}", f"keyfile {pair.key}", "allow_anonymous true")
    with mosquitto.running(tmp_path, *lines) as broker:
        why = failed(start(broker.port, secure=True))
        assert why.startswith(f"127.0.0.1:{broker.port} has a certificate that is signed by an")
        assert why.endswith("run sudo update-ca-certificates")
        why = failed(start(broker.port, topic="plain"))
        assert why.endswith("; if it expects TLS, set broker = mqtts://…")
        monkeypatch.setenv("SSL_CERT_FILE", str(secure.root_of(tmp_path)))
        target = connected(start(broker.port, secure=True, topic="secure"))
        for number in range(20):
            target.tell(news(Event.RING, number))
        eventually(lambda: target.status().delivered == 20, "delivered over TLS")
        assert target.test(news(Event.RING), 10).is_delivered
        broker.kill()
        ca = f"cafile {pair.certificate}"
        broker.configure([*lines, ca, "require_certificate true"])
        broker.start()
        why = failed(start(broker.port, secure=True, topic="certificate"))
        assert "must not require a client certificate" in why


@pytest.mark.usefixtures("each_paho")
def test_tls_to_a_broker_without_it(broker: Mosquitto, start: Start) -> None:
    assert "does not speak TLS" in failed(start(broker.port, secure=True))


@pytest.mark.usefixtures("each_paho")
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (1, "does not speak MQTT 3.1.1"),
        (3, "is not available at the moment"),
        (4, "requires a password: set user and password_file"),
        (99, "refuses the connection with the code"),
    ],
)
def test_refusals(code: int, sentence: str, start: Start) -> None:
    with FakeBroker(code=code) as broker:
        why = failed(start(broker.port))
    assert why.startswith(f"127.0.0.1:{broker.port} {sentence}")


def test_nothing_listens_there(start: Start) -> None:
    with FakeBroker() as broker:
        port = broker.port
    assert "refuses connections" in failed(start(port))
    assert failed(start(port, host="name.invalid")).endswith("check: getent hosts name.invalid")


def test_filter_of_the_unit(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = Mock(side_effect=PermissionError(errno.EPERM, "Operation not permitted"))
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert failed(start(1)).endswith("by a filter; sudo doorbelld --check names it")


def test_library_is_missing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_paho()
    monkeypatch.setitem(sys.modules, "paho", None)
    target = start(1)
    assert "sudo apt install python3-paho-mqtt" in failed(target)
    monkeypatch.undo()


@pytest.mark.usefixtures("each_paho")
def test_what_is_not_used_is_not_loaded(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dns").mkdir()
    for name in ("dns/__init__.py", "dns/resolver.py", "socks.py"):
        (tmp_path / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    with FakeBroker() as broker:
        connected(start(broker.port))
    assert not {"dns", "dns.resolver", "socks"} & set(sys.modules)


@pytest.mark.usefixtures("each_paho")
@pytest.mark.parametrize(
    "extra",
    [
        b"\x00\x00",
        b"\x30\x02\xff\xff",  # a topic that is longer than its message
        b"\x30\xff\xff\xff\x7f\x00\x01d",  # 256 MB to come
        b"\x90\x02\x00\x01\x90\x00",
        b"\x34\x06\x00\x01d\x00\x01x",  # QoS 2
        b"\xf0" * 64,
    ],
)
def test_hostile_broker(extra: bytes, start: Start) -> None:
    with FakeBroker(extra=extra) as broker:
        target = start(broker.port)
        eventually(lambda: broker.connects > 1, "it tries again")
        assert target.alive


@pytest.mark.usefixtures("each_paho")
def test_forbidden_topics_are_named(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with FakeBroker(granted=0x80) as broker:
        target = connected(start(broker.port))
        eventually(lambda: caplog.text.count("do not let doorbelld read") == 3, "three topics")
        assert "read d/shutter/set" in caplog.text
        result = target.test(news(Event.RING), 10)
    assert result.is_delivered
    assert "whether it passes it on is unknown" in result.sentence


def test_two_with_the_same_topic_say_so(
    broker: Mosquitto,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mqtt, "_LONGEST_PAUSE", 0.3)
    caplog.set_level(logging.INFO)
    first, second = start(broker.port), start(broker.port)
    for target in (first, second):
        eventually(lambda: "does another doorbelld" in target.status().detail, "it says so")  # noqa: B023
    assert "have the topic d? Each needs its own [mqtt] topic" in first.status().detail
    client = first.status().detail.rpartition(" ")[2]
    assert f"Client {client} already connected, closing old connection" in broker.log
    counted = len(caplog.messages)
    closes = broker.log.count("already connected")
    eventually(lambda: broker.log.count("already connected") > closes + 4, "it goes on")
    assert len(caplog.messages) == counted, "it is said once by each"
    assert sum("does another doorbelld" in line for line in caplog.messages) == 2
    assert second.stop(10)
    connected(first)


def test_a_steady_connection_is_not_contested(
    broker: Mosquitto, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "_LOOK", 0.1)
    first, second = start(broker.port), start(broker.port)
    eventually(lambda: "does another doorbelld" in first.status().detail, "it says so")
    monkeypatch.setattr(mqtt, "_SOON", 0.5)
    assert second.stop(10)
    eventually(lambda: first.status()[:2] == ("ok", ""), "it works for itself")


def test_a_broker_that_restarts_is_not_contested(
    broker: Mosquitto, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "_LONGEST_PAUSE", 0.1)
    target = connected(start(broker.port))
    for _ in range(5):
        broker.kill()
        eventually(lambda: "refuses connections" in target.status().detail, "it is away")
        broker.start()
        assert connected(target).status().detail == ""


# What a test message says


@pytest.mark.parametrize(
    ("rule", "is_delivered", "sentence"),
    [
        ("topic readwrite #", True, "has acknowledged the message on d/event and passed it on"),
        ("topic read #", False, "but not passed it on: its access rules do not let doorbelld"),
        ("topic write #", False, "but not passed it on: its access rules do not let doorbelld"),
    ],
)
@pytest.mark.usefixtures("each_paho")
def test_access_rules(
    rule: str,
    is_delivered: bool,
    sentence: str,
    tmp_path: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mqtt, "_ECHO", 0.5 if not is_delivered else 10)
    (tmp_path / "acl").write_text(f"{rule}\n")
    with mosquitto.running(tmp_path, "allow_anonymous true", f"acl_file {tmp_path}/acl") as broker:
        result = connected(start(broker.port)).test(news(Event.RING), 10)
    assert (result.target, result.is_delivered) == ("mqtt", is_delivered)
    assert sentence in result.sentence


def test_a_test_connects_at_once(
    broker: Mosquitto, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "_SHORTEST_PAUSE", 1000)
    monkeypatch.setattr(mqtt, "_LONGEST_PAUSE", 1000)
    broker.kill()
    target = start(broker.port)
    failed(target)
    result = target.test(news(Event.RING), 10)
    assert not result.is_delivered
    assert "refuses connections" in result.sentence
    broker.start()
    with broker.listener() as listener:
        assert target.test(news(Event.RING), 10).is_delivered
        listener.wait_for("d/shutter", b"OFF")
        assert [json.loads(each)["event_type"] for each in listener.of("d/event")] == ["test"]
        assert not listener.of("d/image")


def test_a_ring_connects_soon(
    broker: Mosquitto, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that has come back is not noticed for a minute otherwise."""
    monkeypatch.setattr(mqtt, "_SHORTEST_PAUSE", 1000)
    monkeypatch.setattr(mqtt, "_LONGEST_PAUSE", 1000)
    monkeypatch.setattr(mqtt, "_RINGING_PAUSE", 0.05)
    broker.kill()
    target = start(broker.port)
    failed(target)
    target.tell(news(Event.RING))  # It is tried until then.
    with FakeBroker(port=broker.port) as there:
        connected(target)
        eventually(lambda: "d/event" in [topic for topic, _ in there.published], "it rings")


# Nothing late, nothing twice


@pytest.mark.usefixtures("each_paho")
def test_killed_under_presses(broker: Mosquitto, start: Start) -> None:
    target = connected(start(broker.port))
    for life in range(3):
        first = 100 * life
        with broker.listener() as listener:
            numbers = list(range(first, first + 30))
            for number in numbers:
                target.tell(news(Event.RING, number, b"%d" % number))
            delivered = 30 * (life + 1) + life
            eventually(lambda: target.status().delivered == delivered, "all")  # noqa: B023
            eventually(lambda: rings(listener)[-30:] == numbers, "all of them")  # noqa: B023
            broker.kill()
        failed(target)
        for number in range(first + 50, first + 60):
            target.tell(news(Event.RING, number, b"%d" % number))
        broker.start()
        with broker.listener() as listener:
            connected(target)
            eventually(lambda: target.status().delivered == delivered + 1, "newest")  # noqa: B023
            listener.wait_for("d/watching", b"2")
            assert set(rings(listener)) <= {first + 59}  # It may have come before the listener.
            listener.wait_for("d/image", b"%d" % (first + 59))
    assert target.status().dropped == 27


def test_a_late_ring_is_forgotten(broker: Mosquitto, start: Start) -> None:
    broker.kill()
    target = start(broker.port)
    failed(target)
    old = news(Event.RING)
    target.tell(old._replace(at=old.at - MAX_AGE - 1))
    broker.start()
    with broker.listener() as listener:
        connected(target)
        listener.wait_for("d/image", PICTURE)
        target.tell(news(Event.RING, 8, b"next"))
        eventually(lambda: rings(listener), "the next")
        assert rings(listener) == [8]
    assert target.status().dropped == 1


def test_an_unacknowledged_ring_is_sent_again(start: Start) -> None:
    with FakeBroker() as broker:
        target = connected(start(broker.port))
        eventually(lambda: len(broker.published) == 7, "all that is retained")
        broker.may_read.clear()
        for number in range(7, 22):
            target.tell(news(Event.RING, number, b"small"))
        eventually(lambda: len(target._outgoing._rings._unconfirmed) == 10, "on their way")
        broker.hang_up()
        eventually(lambda: target.status().failed == 10, "given up")
        broker.may_read.set()
        eventually(lambda: target.status().delivered == 1, "the newest")
        assert target.status().dropped == 4
        events = [json.loads(text) for topic, text in broker.published if topic == "d/event"]
    assert events[-1]["visit"] == 21
    assert all(each["visit"] < 17 for each in events[:-1])


def test_a_ring_is_not_lost_if_the_connection_ends_while_it_is_published(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = broker_module.Connection.publish

    def fail_once(self: broker_module.Connection, topic: str, *given: Any, **options: Any) -> int:
        if topic == "d/event":
            monkeypatch.setattr(broker_module.Connection, "publish", publish)
            raise broker_module.BrokerError("it has gone")
        return publish(self, topic, *given, **options)

    monkeypatch.setattr(broker_module.Connection, "publish", fail_once)
    with FakeBroker() as broker:
        target = connected(start(broker.port))
        target.tell(news(Event.RING, 8, b"small"))
        eventually(lambda: target.status().delivered == 1, "the ring")
        events = [json.loads(text) for topic, text in broker.published if topic == "d/event"]
    assert [each["visit"] for each in events] == [8]


def test_a_ring_waits_for_its_image(start: Start) -> None:
    with FakeBroker() as broker:
        target = connected(start(broker.port))
        eventually(lambda: len(broker.published) == 7, "all that is retained")
        broker.may_read.clear()
        outgoing = target._outgoing
        for number in (7, 8):
            target.tell(news(Event.RING, number, b"%d" % number))
            eventually(lambda: len(outgoing._rings._unconfirmed) == number - 6, "on its way")  # noqa: B023
        target.tell(news(Event.RING, 9, b"9"))
        target.show(replace(FACTS, watching=5))
        eventually(lambda: list(outgoing._unpublished) == ["d/image"], "only the image waits")
        broker.may_read.set()
        eventually(lambda: target.status().delivered == 3, "all")
        order = [text for topic, text in broker.published if topic in ("d/image", "d/event")]
    assert [each if each.isdigit() else json.loads(each)["visit"] for each in order] == [
        *(b"7", 7),
        *(b"8", 8),
        *(b"9", 9),
    ]


@pytest.mark.usefixtures("each_paho")
def test_frozen_broker(broker: Mosquitto, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "_KEEPALIVE", 1)
    monkeypatch.setattr(broker_module, "_LOOK", 0.2)
    monkeypatch.setattr(broker_module, "_ANSWER", 0.5)
    target = connected(start(broker.port))
    broker.send(signal.SIGSTOP)
    try:
        before = time.thread_time()
        for number in range(100):
            target.tell(news(Event.RING, number, PICTURE + b"%d" % number))
        assert time.thread_time() - before < 1
        assert "answer" in failed(target)
    finally:
        broker.send(signal.SIGCONT)
    connected(target)
    target.tell(news(Event.RING, 1000))
    eventually(lambda: target.status().delivered >= 1, "it goes on")


@pytest.mark.usefixtures("each_paho")
def test_ring_arrives_without_an_image_that_the_broker_refuses(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["allow_anonymous true", "max_packet_size 20000"]
    with mosquitto.running(tmp_path, *lines) as broker:
        target = connected(start(broker.port))
        with broker.listener() as listener:
            target.tell(news(Event.RING, 7, b"small"))
            eventually(lambda: target.status().delivered == 1, "the ring with a small image")
            target.tell(news(Event.RING, 8))
            eventually(lambda: rings(listener) == [7, 8], "the ring without its image")
            target.tell(news(Event.RING, 9))
            target.tell(news(Event.RING, 10, b"small too"))
            eventually(lambda: rings(listener) == [7, 8, 9, 10], "the next at once")
            assert listener.of("d/image")[-2:] == [b"", b"small too"]
        assert "at an image of 56004 bytes, so rings come without" in target.status().detail
        assert caplog.text.count("max_packet_size of mosquitto") == 1
        broker.kill()
        failed(target)
        broker.configure(lines[:1])
        broker.start()
        connected(target)
        with broker.listener() as listener:
            target.tell(news(Event.RING, 11))
            listener.wait_for("d/image", PICTURE)
        assert target.status().detail == ""


@pytest.mark.usefixtures("each_paho")
def test_slow_connection_gets_the_newest_picture(start: Start) -> None:
    with FakeBroker() as broker:
        target = connected(start(broker.port))
        eventually(lambda: len(broker.published) == 7, "all that is retained")
        broker.may_read.clear()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(300):
            target.tell(news(Event.PICTURE, 7, bytes([number % 256]) * 1_000_000))
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        broker.may_read.set()
        last = bytes([299 % 256]) * 1_000_000
        eventually(lambda: broker.published[-1] == ("d/image", last), "the newest")
        assert after - before < 8_000_000
        assert len(broker.published) < 30


def test_states_do_not_pile_up_behind_a_picture(start: Start) -> None:
    with FakeBroker() as broker:
        target = connected(start(broker.port))
        eventually(lambda: len(broker.published) == 7, "all that is retained")
        broker.may_read.clear()
        target.tell(news(Event.RING, 7, b"small"))  # It is read, and nothing after it.
        eventually(lambda: len(broker.published) == 8, "read")
        target.tell(news(Event.RING, 8, bytes(16_000_000)))
        for number in range(500):
            target.show(replace(FACTS, watching=number))
            time.sleep(0.001)  # Its thread gets a chance to publish each.
        broker.may_read.set()
        eventually(lambda: broker.published[-1] == ("d/watching", b"499"), "the newest")
        assert sum(topic == "d/watching" for topic, _ in broker.published) < 50


def test_a_thousand_presses_without_a_broker(start: Start) -> None:
    with FakeBroker() as broker:
        port = broker.port
    target = start(port)
    failed(target)
    tracemalloc.start()
    target.tell(news(Event.RING, 1, bytes(56_000)))
    before, _ = tracemalloc.get_traced_memory()
    for number in range(1000):
        target.tell(news(Event.RING, number, b"%4d" % number + bytes(56_000)))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 200_000
    assert target.status().dropped == 1000


# The thread


def test_a_fault_of_the_library_is_survived(
    broker: Mosquitto, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = connected(start(broker.port))
    faulty = Mock(side_effect=KeyError("inside paho"))
    with monkeypatch.context() as patch:
        patch.setattr(broker_module.Connection, "wait", faulty)
        target.tell(news(Event.RING, 6))
        why = failed(target)
        assert why.startswith("failed in doorbelld (KeyError at ")
        assert why.endswith(": please report this")
    connected(target)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_status_says_if_the_thread_has_ended(
    broker: Mosquitto, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mqtt, "_rest", Mock(side_effect=SystemExit))
    target = connected(start(broker.port))
    broker.kill()
    eventually(lambda: not target.alive, "the thread ends")
    assert target.status().state == "failed"
    assert "has ended" in target.status().detail


def test_stop_does_not_wait_for_a_frozen_broker(broker: Mosquitto, start: Start) -> None:
    target = connected(start(broker.port))
    broker.send(signal.SIGSTOP)
    try:
        for number in range(50):
            target.tell(news(Event.RING, number, bytes(4_000_000)))
        assert target.stop(10)
    finally:
        broker.send(signal.SIGCONT)


def test_id_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "machine-id"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    assert device_id(path) == "83eac6770a214cffb0fd9ee4aaef53d7"
    assert device_id(tmp_path / "missing") == device_id(tmp_path / "missing too")
    path.write_text("uninitialized\n")
    assert device_id(path) == device_id(tmp_path / "missing")

"""What earlier settings have left at a real broker, and what is not ours there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from doorbelld.notify import discovery, mqtt, outgoing
from doorbelld.notify.leftovers import Leftovers
from doorbelld.notify.mqtt import Mqtt, MqttSettings
from doorbelld.notify.target import Event, Facts, News
from doorbelld.visits.visit import Kind, Visit, VisitState
from tests.support import mosquitto
from tests.support.daemon import eventually
from tests.support.fake_broker import FakeBroker
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.process

VISIT = Visit(7, Kind.RING, "button", VisitState.OPEN, at=1764147600.1, pressed_at=1764147600.5)
FACTS = Facts("Front door", "", 2, False, False, None, "http://door.local:5000/")
CONFIG = discovery.topic_of("homeassistant", discovery.device_id())

Run = Callable[..., Mqtt]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    with mosquitto.running(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return what runs a target after the one before has stopped, with the same folder."""
    monkeypatch.setattr(mqtt, "_SHORTEST_PAUSE", 0.05)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    targets: list[Mqtt] = []

    def started(port: int, topic: str, **settings: str | None) -> Mqtt:
        stop()
        known = {"host": "127.0.0.1", "port": port, "topic": topic, **settings}
        target = Mqtt(MqttSettings(**known), Mock(), tmp_path)  # type: ignore[arg-type]
        targets.append(target)
        target.show(FACTS)
        target.start()
        eventually(lambda: target.status().state == "ok", "connected")
        return target

    def stop() -> None:
        while targets:
            assert targets.pop().stop(10)

    yield started
    stop()


def places(folder: Path) -> list[str]:
    """Return the names of the places in the file."""
    return [name for _, _, name in json.loads((folder / "mqtt").read_text())]


def kept(broker: Mosquitto) -> dict[str, bytes]:
    """Return what the broker retains."""
    with broker.listener() as listener:
        broker.publish("last", "x")  # It comes after all that.
        eventually(lambda: listener.of("last"), "the last message")
        return {each.topic: each.payload for each in listener.messages if each.retained}


def beginnings(broker: Mosquitto) -> set[str]:
    return {topic.partition("/")[0] for topic in kept(broker)}


def ring(target: Mqtt) -> None:
    target.tell(News(Event.RING, VISIT, b"picture", time.monotonic()))
    eventually(lambda: target.status().delivered == 1, "the ring")


def test_topics_of_before_are_emptied(broker: Mosquitto, run: Run, tmp_path: Path) -> None:
    ring(run(broker.port, "old/door"))
    with broker.listener() as listener:
        listener.wait_for("old/door/image", b"picture")
        run(broker.port, "new")
        listener.wait_for("old/door/availability", b"")
        # Home Assistant has to know the new topics before it hears that the old ones are empty.
        own = [each for each in listener.messages if not each.retained]
        order = [each.topic for each in own if each.topic == CONFIG or not each.payload]
        assert order[0] == CONFIG
        assert "old/door/event" not in order
    eventually(lambda: places(tmp_path) == ["new", CONFIG], "the place is forgotten")
    found = kept(broker)
    assert {topic.partition("/")[0] for topic in found} == {"new", "homeassistant"}
    assert discovery.topic_in(found[CONFIG]) == "new"


@pytest.mark.parametrize("prefix", [None, "ha"])
def test_discovery_of_before_is_emptied(broker: Mosquitto, run: Run, prefix: str | None) -> None:
    run(broker.port, "d")
    eventually(lambda: CONFIG in kept(broker), "the message of discovery")
    run(broker.port, "d", discovery=prefix)
    eventually(lambda: CONFIG not in kept(broker), "it is emptied")
    eventually(lambda: beginnings(broker) == {"d"} | ({prefix} - {None}), "all else stays")
    # A new name of the topic at the same time, and back again:
    run(broker.port, "d")
    eventually(lambda: CONFIG in kept(broker), "it is back")
    run(broker.port, "e", discovery=None)
    eventually(lambda: beginnings(broker) == {"e"}, "both are emptied")


def test_what_could_not_be_emptied_is_emptied_later(
    broker: Mosquitto, run: Run, tmp_path: Path
) -> None:
    run(broker.port, "first")
    eventually(lambda: beginnings(broker) == {"first", "homeassistant"}, "all is published")
    with FakeBroker() as other:  # It keeps nothing, and shows nothing.
        run(other.port, "second", discovery=None)
        run(other.port, "third", discovery=None)
    assert places(tmp_path) == ["first", CONFIG, "second", "third"]
    run(broker.port, "fourth", discovery=None)
    eventually(lambda: beginnings(broker) == {"fourth"}, "all of the first")


def test_topics_that_another_doorbell_has_now_stay(
    broker: Mosquitto, run: Run, tmp_path: Path
) -> None:
    run(broker.port, "d")
    eventually(lambda: beginnings(broker) == {"d", "homeassistant"}, "all is published")
    run(broker.port, "away", discovery=None)
    eventually(lambda: beginnings(broker) == {"away"}, "given up")
    (tmp_path / "mqtt").write_text(
        json.dumps(
            [
                [f"127.0.0.1:{broker.port}", "topic", "d"],
                [f"127.0.0.1:{broker.port}", "discovery", CONFIG],
            ]
        )
    )
    broker.publish("d/availability", "online", "-r")
    broker.publish("d/image", "theirs", "-r")
    config = '{"components": {"ring": {"state_topic": "d/event"}}}'
    broker.publish(CONFIG, config, "-r")
    run(broker.port, "e", discovery=None)
    broker.publish("d/availability", "offline")  # It restarts, but does not give them up.
    run(broker.port, "f", discovery=None)
    eventually(lambda: "e" not in beginnings(broker), "ours are emptied")
    assert kept(broker)["d/image"] == b"theirs"
    assert kept(broker)[CONFIG] == config.encode()


HOSTILE = "[" * 60_000


def test_discovery_of_others_stays(broker: Mosquitto, run: Run) -> None:
    target = run(broker.port, "d")
    eventually(lambda: CONFIG in kept(broker), "the message of discovery")
    assert target.stop(10)
    broker.publish(CONFIG, HOSTILE, "-r")
    target = run(broker.port, "d", discovery=None)
    ring(target)  # and so whatever it makes of that
    assert kept(broker)[CONFIG] == HOSTILE.encode()
    assert target.status().state == "ok"


@pytest.mark.parametrize(
    "payload",
    [
        HOSTILE,
        "\udcff",
        "{}",
        "[]",
        '{"components": []}',
        '{"components": {"ring": {"state_topic": ["d/event"]}}}',
        '{"components": {"ring": {"state_topic": "x/event"}}}',
        '{"components": {"ring": {"state_topic": "d/events"}}}',
    ],
    ids=range(8),
)
def test_messages_that_are_not_about_ours(payload: str) -> None:
    assert discovery.topic_in(payload.encode("utf-8", "surrogateescape")) in (None, "x")


def test_hostile_broker_is_answered_once(tmp_path: Path) -> None:
    Leftovers(tmp_path, "b:1883", "d", "ha/config").begin()
    leftovers = Leftovers(tmp_path, "b:1883", "e", None)
    assert list(leftovers.begin()) == ["d/availability", "ha/config"]
    own = discovery.message("d", "id", FACTS)
    for _ in range(100):  # In the wrong order, and again and again.
        leftovers.received("ha/config", json.dumps(own).encode(), retained=True)
        leftovers.received("d/availability", b"offline", retained=True)
        leftovers.received("e/availability", b"offline", retained=True)
        leftovers.received("other", b"offline", retained=True)
    emptied = []
    for number in range(1, 100):
        topic = leftovers.next()
        if topic is not None:
            emptied.append(topic)
            leftovers.sent(number)
            assert leftovers.next() is None, "one at a time"
        leftovers.confirm(number)
    ends = ("image", "motion", "last_visit", "watching", "shutter", "camera", "availability")
    assert emptied == [*(f"d/{end}" for end in ends), "ha/config"]
    assert places(tmp_path) == ["e"]


def test_nothing_is_remembered_without_a_folder() -> None:
    leftovers = Leftovers(None, "b:1883", "d", None)
    assert not leftovers.begin()
    assert leftovers.next() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\xff",
        "[" * 5000,
        '{"a": 1}',
        "[1, null, [], {}]",
        '[["b:1", "topic", "#"], ["b:1", "topic", "+/x"], ["b:1", "topic", "a\\u0000"]]',
        '[["b:1", "topic", 7], ["b:1", "other", "d"], ["b:1", "topic", ""]]',
    ],
    ids=range(7),
)
def test_file_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    (tmp_path / "mqtt").write_text(text, encoding="latin-1")
    assert not Leftovers(tmp_path, "b:1", "d", None).begin()
    assert places(tmp_path) == ["d"]


def test_file_is_bounded(tmp_path: Path) -> None:
    for number in range(30):
        Leftovers(tmp_path, "b:1", f"d{number}", None).begin()
    assert places(tmp_path) == [f"d{number}" for number in range(14, 30)]


def test_states_are_emptied_as_they_are_published() -> None:
    ends = [topic.partition("/")[2] for topic in outgoing.retained("d")]
    assert ends == ["image", *outgoing.states(FACTS), "availability"]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / ".mqtt").mkdir()
    assert not Leftovers(tmp_path, "b:1", "d", None).begin()
    assert not (tmp_path / "mqtt").exists()


def test_file_is_written_once(tmp_path: Path) -> None:
    Leftovers(tmp_path, "b:1", "d", None).begin()
    before = (tmp_path / "mqtt").stat()
    assert before.st_mode & 0o777 == 0o600
    Leftovers(tmp_path, "b:1", "d", None).begin()
    assert (tmp_path / "mqtt").stat().st_ino == before.st_ino

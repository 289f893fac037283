"""What is notified of a ring, with the real daemon, a real broker and a real web server."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import mosquitto
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.hostile_server import HostileServer
from tests.support.kept_visits import KeptVisits
from tests.support.mosquitto import Mosquitto
from tests.support.ntfy_server import NtfyServer
from tests.support.numbered_pictures import numbered
from tests.support.ports import free_port
from tests.support.processes import descriptors, resident
from tests.support.webhook_receiver import WebhookReceiver

QUICK = {"camera.resolution": "160x120", "visits.before": 0, "visits.after": 1}
EACH_A_RING = {**QUICK, "bell.again": 0}


class House:
    """A daemon with a state folder and a configuration file, at which the test rings."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon = daemon
        self.kept = KeptVisits(folder / "state")
        self.configuration = folder / "doorbelld.conf"
        self.configure()

    def configure(self, **sections: dict[str, object]) -> None:
        """Write the configuration file."""
        lines = []
        for name, keys in sections.items():
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in keys.items())]
        self.configuration.write_text("\n".join(lines))

    def start(self, settings: dict[str, object] = QUICK, **environ: str) -> None:
        """Start it, perhaps again."""
        self.daemon.start(
            {**settings, **self.kept.settings()},
            environ={**self.kept.environ, **environ},
            arguments=["-v", f"--config={self.configuration}"],
            wait=not self.daemon.port,
        )

        def is_live() -> bool:
            with suppress(ConnectionError):
                # The first picture is counted before a ring can have it.
                return bool(self.daemon.status()["camera"]["frames"] > 1)
            return False

        eventually(is_live, "it is live")

    def post(self, path: str) -> Any:
        answer, body = self.daemon.request(path, "POST")
        assert answer.status in (200, 204), body
        return json.loads(body or "null")

    def ring(self) -> int:
        found: int = self.post(f"/ring?token={self.kept.token}")["visit"]
        return found

    def answer(self, number: int) -> None:
        self.post(f"/visits/{number}/answered")

    def targets(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.daemon.status()["notify"]
        return found

    def visits_kept(self) -> int:
        """Return how many visits are on the disk: the others would not survive a kill."""
        return int(self.daemon.status()["visits"]["count"])

    def wait_until_ok(self, *names: str) -> None:
        def is_ok() -> bool:
            found = self.targets()
            return list(found) == list(names) and all(
                each["state"] == "ok" for each in found.values()
            )

        eventually(is_ok, f"{names} work")


@pytest.fixture
def house(daemon: Daemon, tmp_path: Path) -> House:
    return House(daemon, tmp_path)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as found:
        yield found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with mosquitto.running(folder) as found:
        yield found


def test_ring_its_answer_and_a_test_reach_the_webhook(
    house: House, receiver: WebhookReceiver
) -> None:
    house.configure(notify={"webhook": receiver.url, "address": "https://door.example/x/"})
    house.start()
    number = house.ring()
    house.ring()  # It is part of the same ring.
    (post,) = receiver.wait_for([("ring", number, 1)])
    assert post.image is not None
    assert post.event["url"] == f"https://door.example/x/visits#{number}"
    assert post.event["name"] == "Front door"
    assert post.event["visit"]["still"] == f"visits/{number}.jpg?v=1"
    # A sharper one may have replaced it by now, but is no second message.
    _, still = house.daemon.request(f"/visits/{number}.jpg")
    assert post.image == still or len(post.image) < len(still)
    house.answer(number)
    house.answer(number)
    receiver.wait_for([("ring", number, 1), ("answered", number, 1)])
    (result,) = house.post("/notify/test")
    assert (result["target"], result["delivered"]) == ("webhook", True)
    test = receiver.posts[-1]
    assert (test.event["event"], test.image is not None) == ("test", True)
    counts = house.targets()["webhook"]
    assert (counts["state"], counts["delivered"], counts["failed"]) == ("ok", 2, 0)
    assert "MARKER" not in house.daemon.log() + json.dumps(house.daemon.status())


def test_without_an_address_the_message_opens_the_page_where_it_listens(
    house: House, receiver: WebhookReceiver
) -> None:
    house.configure(notify={"webhook": receiver.url})
    house.start()
    number = house.ring()
    (post,) = receiver.wait_for([("ring", number, 1)])
    assert post.event["url"] == f"http://127.0.0.1:{house.daemon.port}/visits#{number}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill"])
def test_nothing_rings_after_a_restart(
    house: House, receiver: WebhookReceiver, broker: Mosquitto, number: signal.Signals
) -> None:
    house.configure(
        notify={"webhook": receiver.url},
        mqtt={"broker": f"127.0.0.1:{broker.port}", "topic": "door"},
    )
    house.start(EACH_A_RING)
    house.wait_until_ok("mqtt", "webhook")
    with broker.listener() as listener:
        first = house.ring()
        house.answer(first)
        second = house.ring()
        receiver.wait_for([("ring", first, 1), ("answered", first, 1), ("ring", second, 1)])
        eventually(lambda: len(listener.of("door/event")) == 2, "both rings at the broker")
        eventually(lambda: house.visits_kept() == 2, "both visits on the disk")
        house.daemon.send(number)
        house.daemon.wait()
        house.start(EACH_A_RING)
        house.wait_until_ok("mqtt", "webhook")
        eventually(lambda: listener.of("door/availability")[-1:] == [b"online"], "it is back")
        house.answer(second)
        third = house.ring()
        receiver.wait_for(
            [("ring", first, 1), ("answered", first, 1), ("ring", second, 1), ("ring", third, 1)]
        )
        eventually(lambda: len(listener.of("door/event")) > 2, "the third ring at the broker")
        visits = [json.loads(each)["visit"] for each in listener.of("door/event")]
    assert visits == [first, second, third]


def test_deleting_the_newest_ring_empties_its_image_at_the_broker_also_after_a_restart(
    house: House, broker: Mosquitto
) -> None:
    house.configure(mqtt={"broker": f"127.0.0.1:{broker.port}", "topic": "door"})
    house.start()
    house.wait_until_ok("mqtt")
    with broker.listener() as listener:
        number = house.ring()
        eventually(lambda: listener.of("door/image"), "the image")
        eventually(
            lambda: house.daemon.request(f"/visits/{number}.jpg")[0].status == 200, "it is kept"
        )
        house.daemon.stop()
        house.start()
        house.wait_until_ok("mqtt")
        house.post(f"/visits/{number}/delete")
        listener.wait_for("door/image", b"")
        listener.wait_for("door/last_visit", b"None")


def test_reload_adds_changes_and_removes_what_is_notified(
    house: House, receiver: WebhookReceiver, broker: Mosquitto
) -> None:
    house.start(EACH_A_RING)
    assert house.targets() == {}
    before = len(descriptors(house.daemon.pid))
    house.ring()
    house.configure(
        notify={"webhook": receiver.url},
        mqtt={"broker": f"127.0.0.1:{broker.port}", "topic": "door"},
    )
    house.daemon.send(signal.SIGHUP)
    house.wait_until_ok("mqtt", "webhook")
    with broker.listener() as listener:
        house.answer(1)
        number = house.ring()
        receiver.wait_for([("answered", 1, 1), ("ring", number, 1)])
        eventually(lambda: listener.of("door/event"), "the ring at the broker")
        house.configure(notify={"webhook": receiver.url}, camera={"name": "Back door"})
        house.daemon.send(signal.SIGHUP)
        house.wait_until_ok("webhook")
        eventually(lambda: listener.of("door/availability")[-1:] == [b"offline"], "it has left")
        assert house.targets()["webhook"]["delivered"] == 2, "it is the one from before"
        house.answer(number)
        house.ring()
        eventually(lambda: len(receiver.posts) == 4, "the third ring")
        assert receiver.posts[-1].event["name"] == "Back door"
        assert len(listener.of("door/event")) == 1
    house.configure()
    house.daemon.send(signal.SIGHUP)
    eventually(lambda: house.targets() == {}, "nothing is notified")
    eventually(lambda: len(descriptors(house.daemon.pid)) <= before + 2, "all is closed")


def test_another_topic_leaves_nothing_of_the_one_before(house: House, broker: Mosquitto) -> None:
    section: dict[str, object] = {"broker": f"127.0.0.1:{broker.port}", "topic": "first"}
    house.configure(mqtt=section)
    house.start()
    house.wait_until_ok("mqtt")
    with broker.listener() as listener:
        house.ring()
        eventually(lambda: listener.of("first/event"), "the ring")
        house.configure(mqtt={**section, "topic": "second"})
        house.daemon.send(signal.SIGHUP)
        listener.wait_for("first/image", b"")
        listener.wait_for("first/availability", b"")
        house.daemon.stop()
        house.configure(mqtt={**section, "topic": "third", "discovery": "none"})
        house.start()
        listener.wait_for("second/availability", b"")
        (config,) = {each.topic for each in listener.messages if each.topic.endswith("/config")}
        listener.wait_for(config, b"")
        eventually(lambda: listener.of("third/camera"), "the new ones")
        newest = {each.topic: each.payload for each in listener.messages}
    left = {topic for topic, payload in newest.items() if payload}
    # An event is not retained.
    assert {topic.partition("/")[0] for topic in left - {"first/event"}} == {"third"}


def test_servers_that_never_answer_do_not_hold_up_the_end(house: House) -> None:
    def never_answer(_sock: socket.socket, is_over: threading.Event) -> None:
        assert is_over.wait(GUARD)

    with HostileServer(never_answer) as server:
        url = f"http://{server.place}/x"
        house.configure(notify={"ntfy": url, "webhook": url}, mqtt={"broker": server.place})
        house.start()
        house.ring()
        eventually(lambda: server.connections >= 3, "all three wait for an answer")
        assert house.daemon.stop() == 0
    assert "left behind" not in house.daemon.log()


def test_messages_of_others_ring_answer_and_close_the_camera(
    house: House, receiver: WebhookReceiver, broker: Mosquitto
) -> None:
    button = {"button_topic": "zigbee2mqtt/button", "button_value": "single"}
    house.configure(
        notify={"webhook": receiver.url},
        mqtt={"broker": f"127.0.0.1:{broker.port}", "topic": "door", **button},
    )
    house.start()
    house.wait_until_ok("mqtt", "webhook")
    broker.publish("zigbee2mqtt/button", '{"action": "single"}')
    (post,) = receiver.wait_for([("ring", 1, 1)])
    assert post.event["visit"]["source"] == "mqtt"
    broker.publish("door/answered/set", "now")
    receiver.wait_for([("ring", 1, 1), ("answered", 1, 1)])
    with broker.listener() as listener:
        broker.publish("door/shutter/set", "ON")
        listener.wait_for("door/shutter", b"ON")
        eventually(lambda: json.loads(listener.of("door/camera")[-1])["reason"] == "paused", "it")
    assert house.daemon.status()["shutter"]["closed"] is True


def test_without_a_target_nothing_of_it_is_loaded(house: House, receiver: WebhookReceiver) -> None:
    house.start(EACH_A_RING, PYTHONPROFILEIMPORTTIME="1")
    house.ring()
    log = house.daemon.log()
    assert "doorbelld.notify.notifier" in log
    for module in ("paho", "push", "outbox", "webhook", "ntfy", "mqtt", "broker", "discovery"):
        assert f" {module}" not in log
        assert f"notify.{module}" not in log
    house.configure(notify={"webhook": receiver.url})
    house.daemon.send(signal.SIGHUP)
    house.wait_until_ok("webhook")
    assert "notify.push" in house.daemon.log()
    assert "paho" not in house.daemon.log()


def test_everything_away_costs_no_ring_and_is_shown(house: House) -> None:
    port = free_port()
    house.configure(
        notify={
            "ntfy": f"http://127.0.0.1:{port}/door-MARKER",
            "webhook": f"http://127.0.0.1:{port}/x",
        },
        mqtt={"broker": f"127.0.0.1:{port}"},
    )
    house.start(EACH_A_RING)
    memory = 0
    for count in range(20):
        house.answer(house.ring())
        if count == 10:
            memory = resident(house.daemon.pid)
    failed = ["failed"] * 3
    eventually(lambda: [each["state"] for each in house.targets().values()] == failed, "all fail")
    assert list(house.targets()) == ["mqtt", "ntfy", "webhook"]
    assert all(each["since"] and each["detail"] for each in house.targets().values())
    assert resident(house.daemon.pid) - memory < 4 << 20
    assert "MARKER" not in house.daemon.log()
    assert house.daemon.stop() == 0
    assert "left behind" not in house.daemon.log()


def test_message_on_the_phone_has_the_picture_and_answers_the_ring(
    house: House, tmp_path: Path
) -> None:
    with NtfyServer(tmp_path / "ntfy") as server, server.subscribe() as phone:
        house.configure(notify={"ntfy": server.topic_url})
        house.start()
        number = house.ring()
        message = phone.next()
        assert server.attachment(message).startswith(b"\xff\xd8")
        answer = next(each for each in message["actions"] if each.get("method") == "POST")
        house.post("/" + answer["url"].partition(f":{house.daemon.port}/")[2])
        _, body = house.daemon.request(f"/visits/{number}.json")
        assert json.loads(body)["answered"]


def test_broker_takes_little_memory(house: House, broker: Mosquitto) -> None:
    film = house.daemon.folder / "film.mjpeg"
    film.write_bytes(b"".join(numbered(number, 60) for number in range(10)))
    found = []
    sections: list[dict[str, object]] = [{}, {"broker": f"127.0.0.1:{broker.port}"}]
    for section in sections:
        house.configure(mqtt=section)
        house.start({"camera.source": f"file:{film}", "visits.after": 1})
        house.ring()
        eventually(lambda: all(each["delivered"] for each in house.targets().values()), "it rang")
        eventually(lambda: not house.daemon.status()["visits"]["open"], "the end of the visit")
        found.append(resident(house.daemon.pid))
        house.daemon.stop()
    without, with_ = found
    # About 1.8 MB, and a megabyte more if it is loaded in a thread; each daemon varies by 0.3 MB.
    assert with_ - without < 2.5 * (1 << 20)

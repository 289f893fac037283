"""The real Home Assistant has a doorbell: docs/home-assistant.md, from the bell to the phone."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import Any

import pytest

from tests.homeassistant.house import PAGE, RING, House
from tests.homeassistant.server import PYTHON
from tests.support.daemon import ROOT, eventually
from tests.support.discovery_rules import FILE

pytestmark = pytest.mark.process

IMAGE = "image.front_door_last_ring"
CAMERA = "camera.front_door_camera"
MOTION = "binary_sensor.front_door_motion"
LAST = "sensor.front_door_last_visit"
WATCHING = "sensor.front_door_watching"
PAUSE = "switch.front_door_pause_camera"
ANSWERED = "button.front_door_answered"
ENTITIES = (RING, IMAGE, CAMERA, MOTION, LAST, WATCHING, PAUSE, ANSWERED)


def ring(house: House) -> dict[str, Any]:
    """Press the bell; return the newest visit as soon as the phone has been notified."""
    house.door.ring()
    house.phone.notification()
    (newest, *_) = json.loads(house.door.daemon.request("/visits.json")[1])["visits"]
    found: dict[str, Any] = newest
    return found


def rings(changes: list[dict[str, Any]]) -> set[str]:
    """Return the moments of the rings that an event's changes of state tell of."""
    states = [change["data"]["new_state"]["state"] for change in changes]
    return set(states) - {"unavailable", "unknown"}


def test_rules_of_the_quick_test_are_those_of_the_real_one() -> None:
    script = ROOT / "tests" / "homeassistant" / "print_rules.py"
    printed = subprocess.run([PYTHON, script], capture_output=True, check=True).stdout
    assert json.loads(printed) == json.loads(FILE.read_bytes())


def test_entities_appear_with_their_names_and_classes(house: House) -> None:
    house.wait_until_all_is_well()
    found = {entity: house.home.state(entity)["attributes"] for entity in ENTITIES}
    assert {entity: about["friendly_name"] for entity, about in found.items()} == {
        RING: "Front door Doorbell",
        IMAGE: "Front door Last ring",
        CAMERA: "Front door Camera",
        MOTION: "Front door Motion",
        LAST: "Front door Last visit",
        WATCHING: "Front door Watching",
        PAUSE: "Front door Pause camera",
        ANSWERED: "Front door Answered",
    }
    classes = {entity: about.get("device_class") for entity, about in found.items()}
    assert {entity: each for entity, each in classes.items() if each} == {
        RING: "doorbell",
        MOTION: "motion",
        LAST: "timestamp",
    }
    assert found[RING]["event_types"] == ["ring"]
    assert set(re.findall(r"`(\w+\.front_door_\w+)`", PAGE)) == set(ENTITIES)


def test_device_is_named_after_the_camera_and_links_to_the_page(house: House) -> None:
    with house.home.listen() as client:
        devices = client.ask("config/device_registry/list")
    (device,) = [each for each in devices if each["manufacturer"] == "doorbelld"]
    assert device["name"] == "Front door"
    address = house.home.state(CAMERA)["attributes"]["page_url"]
    assert device["configuration_url"] == address
    assert address.endswith(f":{house.door.daemon.port}/")


def test_ring_is_there_within_100_ms(house: House) -> None:
    house.wait_until_all_is_well()
    delays = []
    seen = {house.home.state(RING)["state"]}
    with house.home.listen() as client:
        for _ in range(10):
            pressed_at = time.monotonic()
            house.door.ring()
            change = client.wait_for_change(RING, lambda state: state["state"] not in seen)
            delays.append(change["heard"] - pressed_at)
            rung = change["data"]["new_state"]
            seen.add(rung["state"])
            assert rung["attributes"]["event_type"] == "ring"
            house.phone.notification()
    print(f"from the press to the event: {sorted(round(1000 * each) for each in delays)} ms")
    assert max(delays) < 0.1


def test_pictures_are_the_visit_s_own_byte_for_byte(house: House) -> None:
    visit = ring(house)
    own = house.door.daemon.request(f"/visits/{visit['id']}.jpg")[1]
    assert own.startswith(b"\xff\xd8")

    def is_shown(proxy: str) -> bool:
        newest = house.door.daemon.request(f"/visits/{visit['id']}.jpg")[1]
        return house.home.bytes_of(proxy) == newest

    eventually(lambda: is_shown(f"/api/image_proxy/{IMAGE}"), "the image")
    eventually(lambda: is_shown(f"/api/camera_proxy/{CAMERA}"), "the camera's picture")


def test_phone_gets_the_picture_by_the_documented_automation(house: House) -> None:
    house.wait_until_all_is_well()
    assert not house.phone.has_more()
    house.door.ring()
    notification = house.phone.notification()
    assert (notification["title"], notification["message"]) == ("Front door", "The bell rings.")
    assert notification["data"]["url"] == house.home.state(CAMERA)["attributes"]["page_url"]
    (newest, *_) = json.loads(house.door.daemon.request("/visits.json")[1])["visits"]
    path = notification["data"]["image"]
    assert path.startswith(f"/api/image_proxy/{IMAGE}?token=")
    assert house.home.without_login(path).startswith(b"\xff\xd8")
    last = house.home.wait_for(LAST, lambda state: state["state"] != "unknown")
    assert last["state"][:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(newest["at"]))


def test_live_stream_is_where_the_camera_says(house: House) -> None:
    about = house.home.wait_for(CAMERA, lambda state: "stream_url" in state["attributes"])
    urls = {key: about["attributes"][f"{key}_url"] for key in ("stream", "still")}
    flow = house.home.post("/api/config/config_entries/flow", {"handler": "mjpeg"})
    done = house.home.post(
        f"/api/config/config_entries/flow/{flow['flow_id']}",
        {"name": "Live", "mjpeg_url": urls["stream"], "still_image_url": urls["still"]},
    )
    assert done["type"] == "create_entry", done
    house.home.wait_for("camera.live", lambda state: state["state"] != "unavailable")
    assert house.home.bytes_of("/api/camera_proxy/camera.live").startswith(b"\xff\xd8")


def test_switch_pauses_the_camera_and_shows_it(house: House) -> None:
    house.wait_until_all_is_well()

    def is_closed() -> bool:
        return bool(house.door.daemon.status()["camera"]["reason"] == "paused")

    house.home.call("switch/turn_on", PAUSE)
    eventually(is_closed, "the camera is paused")
    house.home.wait_for(PAUSE, lambda state: state["state"] == "on")
    house.door.post("/shutter?closed=no")
    house.home.wait_for(PAUSE, lambda state: state["state"] == "off")
    house.door.post("/shutter?closed=yes")
    house.home.wait_for(PAUSE, lambda state: state["state"] == "on")
    house.home.call("switch/turn_off", PAUSE)
    eventually(lambda: not is_closed(), "the camera is open")
    house.home.wait_for(PAUSE, lambda state: state["state"] == "off")


def test_button_answers_the_newest_ring(house: House) -> None:
    house.wait_until_all_is_well()
    assert ring(house)["answered"] is None
    house.home.call("button/press", ANSWERED)

    def answered() -> bool:
        (newest, *_) = json.loads(house.door.daemon.request("/visits.json")[1])["visits"]
        return newest["answered"] is not None

    eventually(answered, "the ring is answered")


def test_watching_is_counted(house: House) -> None:
    house.wait_until_all_is_well()
    with house.door.daemon.connect() as viewer:
        viewer.sendall(b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        house.home.wait_for(WATCHING, lambda state: state["state"] == "1")
    house.home.wait_for(WATCHING, lambda state: state["state"] == "0")


@pytest.mark.parametrize("part", ["doorbelld", "mosquitto", "home assistant"])
def test_nothing_rings_after_a_restart(house: House, part: str) -> None:
    house.wait_until_all_is_well()
    last = ring(house)["at"]
    before = house.home.state(RING)["state"]
    assert not house.phone.has_more()
    if part == "home assistant":
        house.home.stop()
        house.home.start()
        with house.home.listen() as client:
            house.wait_until_all_is_well()
            changes = client.changes(RING)
    else:
        with house.home.listen() as client:
            if part == "doorbelld":
                house.door.restart()
                client.wait_for_change(CAMERA, lambda state: state["state"] == "unavailable")
            else:
                house.restart_broker(client)
            house.wait_until_all_is_well()
            changes = client.changes(RING)
    assert rings(changes) <= {before}, last
    if part == "doorbelld":
        assert changes == []
    assert house.home.state(RING)["state"] == before
    assert not house.phone.has_more()
    ring(house)  # and it rings all the same
    assert house.home.state(RING)["state"] > before


def test_new_name_of_the_camera_keeps_the_entities(house: House) -> None:
    with house.home.listen() as client:
        before = registry(client.ask("config/entity_registry/list"))
        assert len(before) == len(ENTITIES)
        house.door.restart(name="Garden gate")
        named = "Garden gate Doorbell"
        house.home.wait_for(RING, lambda state: state["attributes"]["friendly_name"] == named)
        assert registry(client.ask("config/entity_registry/list")) == before
        house.door.restart(name="Front door")
        named = "Front door Doorbell"
        house.home.wait_for(RING, lambda state: state["attributes"]["friendly_name"] == named)


def test_home_assistant_has_nothing_to_complain_of(house: House) -> None:
    complaints = re.findall(r".* (?:WARNING|ERROR) .*mqtt.*", house.home.log())
    # What it says of its own connection, when the broker ends, does not matter.
    assert [line for line in complaints if "mqtt.client" not in line] == []


def registry(entries: list[dict[str, Any]]) -> dict[str, str]:
    """Return the unique ids and entity ids of our entities."""
    ours = [each for each in entries if each["platform"] == "mqtt"]
    return {each["unique_id"]: each["entity_id"] for each in ours}

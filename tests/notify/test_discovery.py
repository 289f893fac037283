"""The message from which Home Assistant makes a doorbell, held against its rules."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest

from doorbelld import __version__
from doorbelld.notify import discovery
from doorbelld.notify.target import Facts
from tests.support.daemon import ROOT
from tests.support.discovery_rules import DiscoveryRules

T = "doorbelld/0123abcd"
FACTS = Facts(
    name="Front door",
    reason="",
    watching=0,
    motion=False,
    is_paused=False,
    last=None,
    address="http://door.local:5000/",
)


def message(facts: Facts = FACTS) -> dict[str, Any]:
    return discovery.message(T, "0123abcd", facts)


def test_home_assistant_knows_every_key_and_misses_none() -> None:
    assert DiscoveryRules().problems(message()) == []


def wrong(change: Callable[[dict[str, Any]], object]) -> list[str]:
    changed = message()
    change(changed)
    return DiscoveryRules().problems(changed)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda of: of.update(availabilty_topic="a"), "message: availabilty_topic is unknown"),
        (lambda of: of.pop("origin"), "message: origin is missing"),
        (lambda of: of["device"].update(sw=1), "device: sw is unknown"),
        (lambda of: of["origin"].update(url="http://a/"), "origin: url is unknown"),
        (lambda of: of["components"]["ring"].pop("event_types"), "ring: event_types is missing"),
        (lambda of: of["components"]["ring"].update(platform="bell"), "ring: no such platform"),
        (lambda of: of["components"]["shutter"].pop("command_topic"), "shutter: command_topic"),
        (lambda of: of["components"]["motion"].update(device_class="move"), "motion: device_class"),
        (lambda of: of["components"]["watching"].update(state_class="now"), "watching: state_clas"),
        (lambda of: of["components"]["camera"].update(topic="a/#"), "camera: topic is no topic"),
        (lambda of: of["components"]["camera"].update(content_type="image/png"), "camera: content"),
        (
            lambda of: of["components"]["image"].update(unique_id="doorbelld_0123abcd_ring"),
            "an ent",
        ),
    ],
)
def test_mistake_in_a_message_is_found(
    change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    (found,) = wrong(change) or [""]
    assert found.startswith(problem)


def test_topic_and_ids_are_of_the_device_alone() -> None:
    content = discovery.message("house/bell", "pi.example/1", FACTS)
    topic = discovery.topic_of("homeassistant", "pi.example/1")
    assert topic == "homeassistant/device/doorbelld_pi_example_1/config"
    assert content["device"]["identifiers"] == ["doorbelld_pi_example_1"]
    assert {key: each["unique_id"] for key, each in content["components"].items()} == {
        key: f"doorbelld_pi_example_1_{key}" for key in content["components"]
    }


def test_new_name_of_the_camera_changes_only_the_name_of_the_device() -> None:
    renamed = message(dataclasses.replace(FACTS, name="Garden gate"))
    assert renamed["device"].pop("name") == "Garden gate"
    before = message()
    assert before["device"].pop("name") == "Front door"
    assert renamed == before


def test_device_says_which_version_it_is_and_links_to_the_page() -> None:
    found = message()
    assert found["device"]["configuration_url"] == found["origin"]["support_url"] == FACTS.address
    assert found["device"]["sw_version"] == found["origin"]["sw_version"] == __version__


def test_everything_but_the_event_is_unavailable_without_us() -> None:
    content = message()
    assert "availability_topic" not in content
    assert {key: each.get("availability_topic") for key, each in content["components"].items()} == {
        key: None if key == "ring" else f"{T}/availability" for key in content["components"]
    }


def test_ring_and_its_picture_are_acknowledged() -> None:
    components = message()["components"]
    assert {components[key]["qos"] for key in ("ring", "image", "camera")} == {1}


def test_topics_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "notifications.md").read_text(encoding="utf-8")
    documented = {f"{T}{path}" for path in re.findall(r"(?m)^\| `T(/\S+)` \|", page)}
    used = {
        value
        for component in message()["components"].values()
        for key, value in component.items()
        if key.endswith("topic")
    }
    assert used == documented

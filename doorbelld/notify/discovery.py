"""Discovery: the one MQTT message from which Home Assistant makes a doorbell.

See https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (since 2024.11).
"""

from __future__ import annotations

import hmac
import json
import re
import socket
import uuid
from pathlib import Path
from typing import Any

from doorbelld import __version__
from doorbelld.notify.target import Facts

_APPLICATION = uuid.UUID("5d6f0f3c-5d0c-4b5e-9a2b-6c3f0f7a1e84")
"""Makes an id of this machine that is ours alone, and does not show the machine's own."""

_MACHINE_ID = Path("/etc/machine-id")


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


def topic_of(prefix: str, device_id: str) -> str:
    """Return the topic of the message; ``prefix`` is what Home Assistant listens to."""
    return f"{prefix}/device/{_identifier(device_id)}/config"


def message(topic: str, device_id: str, facts: Facts) -> dict[str, Any]:
    """Return its content.

    ``topic`` is what our own topics begin with. Only ``device_id`` identifies the device and its
    entities: after a new name for the camera they stay the same, with all that was set for them.
    """
    identifier = _identifier(device_id)
    return {
        "device": {
            "identifiers": [identifier],
            "name": facts.name,
            "manufacturer": "doorbelld",
            "model": "Doorbell camera",
            "sw_version": __version__,
            "configuration_url": facts.address,
        },
        "origin": {"name": "doorbelld", "sw_version": __version__, "support_url": facts.address},
        "components": {
            key: {**_resolved(component, topic), "unique_id": f"{identifier}_{key}"}
            for key, component in _COMPONENTS.items()
        },
    }


def topic_in(payload: bytes) -> str | None:
    """Return what the topics in a message begin with, which may be one of another program."""
    try:
        found = json.loads(payload)["components"]["ring"]["state_topic"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    end = _COMPONENTS["ring"]["state_topic"]
    return found[: -len(end)] if isinstance(found, str) and found.endswith(end) else None


def _identifier(device_id: str) -> str:
    return "doorbelld_" + re.sub(r"[^a-zA-Z0-9_-]", "_", device_id)


def _resolved(component: dict[str, Any], topic: str) -> dict[str, Any]:
    return {
        key: topic + value if key.endswith("topic") else value for key, value in component.items()
    }


_AVAILABLE = {"availability_topic": "/availability"}

_COMPONENTS: dict[str, dict[str, Any]] = {
    # It is always available: an automation that reacts to every change of its state would
    # otherwise ring whenever we have started. At QoS 0, the default, a ring may be lost.
    "ring": {
        "platform": "event",
        "name": "Doorbell",
        "device_class": "doorbell",
        "event_types": ["ring"],
        "state_topic": "/event",
        "qos": 1,
    },
    # Pictures have QoS 1 as well: a broker may hold back the ring, which follows at once, for
    # some 40 ms until it has heard that the picture has arrived (Nagle's algorithm).
    "image": {
        "platform": "image",
        "name": "Last ring",
        "image_topic": "/image",
        "content_type": "image/jpeg",
        "qos": 1,
        **_AVAILABLE,
    },
    "camera": {
        "platform": "camera",
        "name": "Camera",
        "topic": "/image",
        "json_attributes_topic": "/camera",
        "qos": 1,
        **_AVAILABLE,
    },
    "motion": {
        "platform": "binary_sensor",
        "name": "Motion",
        "device_class": "motion",
        "state_topic": "/motion",
        **_AVAILABLE,
    },
    "last_visit": {
        "platform": "sensor",
        "name": "Last visit",
        "device_class": "timestamp",
        "state_topic": "/last_visit",
        **_AVAILABLE,
    },
    "watching": {
        "platform": "sensor",
        "name": "Watching",
        "icon": "mdi:eye",
        "state_class": "measurement",
        "state_topic": "/watching",
        **_AVAILABLE,
    },
    "shutter": {
        "platform": "switch",
        "name": "Pause camera",
        "icon": "mdi:camera-off",
        "state_topic": "/shutter",
        "command_topic": "/shutter/set",
        "qos": 1,
        **_AVAILABLE,
    },
    "answered": {
        "platform": "button",
        "name": "Answered",
        "icon": "mdi:check",
        "command_topic": "/answered/set",
        "qos": 1,
        **_AVAILABLE,
    },
}
"""Topics are relative to our own."""

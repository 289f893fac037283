"""Discovery: the one MQTT message from which Home Assistant makes a doorbell.

See https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (since 2024.11).
"""

from __future__ import annotations

import re
from typing import Any

from doorbelld import __version__
from doorbelld.notify.target import Facts


def message(topic: str, device_id: str, facts: Facts) -> tuple[str, dict[str, Any]]:
    """Return its topic, without the prefix that Home Assistant listens to, and its content.

    ``topic`` is what our own topics begin with. Only ``device_id`` identifies the device and its
    entities: after a new name for the camera they stay the same, with all that was set for them.
    """
    identifier = "doorbelld_" + re.sub(r"[^a-zA-Z0-9_-]", "_", device_id)
    return f"device/{identifier}/config", {
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
            key: {**component, "unique_id": f"{identifier}_{key}"}
            for key, component in _components(topic).items()
        },
    }


def _components(topic: str) -> dict[str, dict[str, Any]]:
    available = {"availability_topic": f"{topic}/availability"}
    return {
        # It is always available: an automation that reacts to every change of its state would
        # otherwise ring whenever we have started. At QoS 0, the default, a ring may be lost.
        "ring": {
            "platform": "event",
            "name": "Doorbell",
            "device_class": "doorbell",
            "event_types": ["ring"],
            "state_topic": f"{topic}/event",
            "qos": 1,
        },
        "image": {
            "platform": "image",
            "name": "Last ring",
            "image_topic": f"{topic}/image",
            "content_type": "image/jpeg",
            **available,
        },
        "camera": {
            "platform": "camera",
            "name": "Camera",
            "topic": f"{topic}/image",
            "json_attributes_topic": f"{topic}/camera",
            **available,
        },
        "motion": {
            "platform": "binary_sensor",
            "name": "Motion",
            "device_class": "motion",
            "state_topic": f"{topic}/motion",
            **available,
        },
        "last_visit": {
            "platform": "sensor",
            "name": "Last visit",
            "device_class": "timestamp",
            "state_topic": f"{topic}/last_visit",
            **available,
        },
        "watching": {
            "platform": "sensor",
            "name": "Watching",
            "icon": "mdi:eye",
            "state_class": "measurement",
            "state_topic": f"{topic}/watching",
            **available,
        },
        "shutter": {
            "platform": "switch",
            "name": "Pause camera",
            "icon": "mdi:camera-off",
            "state_topic": f"{topic}/shutter",
            "command_topic": f"{topic}/shutter/set",
            "qos": 1,
            **available,
        },
        "answered": {
            "platform": "button",
            "name": "Answered",
            "icon": "mdi:check",
            "command_topic": f"{topic}/answered/set",
            "qos": 1,
            **available,
        },
    }

"""Print what Home Assistant accepts as device discovery, as JSON. Its own Python runs this."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import voluptuous as vol
from homeassistant.components.mqtt import schemas
from homeassistant.components.sensor import SensorStateClass
from homeassistant.const import __version__

PLATFORMS = ("binary_sensor", "button", "camera", "event", "image", "sensor", "switch")
CLASSES = {
    "binary_sensor": "BinarySensorDeviceClass",
    "event": "EventDeviceClass",
    "sensor": "SensorDeviceClass",
}


def keys(found: Any) -> dict[str, list[str]]:
    """Return the keys of a schema, or of the first one in a chain of validators."""
    if isinstance(found, vol.All):
        return keys(next(each for each in found.validators if isinstance(each, SCHEMAS)))
    required = sorted(str(key) for key in found.schema if isinstance(key, vol.Required))
    others = {str(key) for key in found.schema} - set(required)
    return {"required": required, "optional": sorted(others)}


SCHEMAS = (vol.All, vol.Schema)


def platform(name: str) -> dict[str, list[str]]:
    """Return the keys of a component, and its device classes."""
    of_mqtt = import_module(f"homeassistant.components.mqtt.{name}")
    found = keys(of_mqtt.DISCOVERY_SCHEMA)
    if name in CLASSES:
        classes = getattr(import_module(f"homeassistant.components.{name}"), CLASSES[name])
        found["device_classes"] = sorted(each.value for each in classes)
    return found


print(
    json.dumps(
        {
            "version": __version__,
            "message": keys(schemas.DEVICE_DISCOVERY_SCHEMA),
            "device": keys(schemas.MQTT_ENTITY_DEVICE_INFO_SCHEMA),
            "origin": keys(schemas.MQTT_ORIGIN_INFO_SCHEMA),
            "platforms": {name: platform(name) for name in PLATFORMS},
            "state_classes": sorted(each.value for each in SensorStateClass),
        },
        indent=1,
    )
)

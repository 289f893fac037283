"""DiscoveryRules: what Home Assistant accepts as an MQTT device, without Home Assistant.

The rules are its own, written down by tests/homeassistant/print_rules.py; `make
test-homeassistant` holds the file against the real one. Home Assistant itself drops a component's
unknown keys and says nothing, so this is stricter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.daemon import ROOT

FILE = ROOT / "tests" / "data" / "homeassistant.json"


class DiscoveryRules:
    """The rules, as the file has them."""

    def __init__(self) -> None:
        self.rules: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))

    def problems(self, message: Mapping[str, Any]) -> list[str]:
        """Return a sentence for everything in a message that is not as the rules have it."""
        found = list(self._of_keys("message", message, self.rules["message"]))
        for part in ("device", "origin"):
            if part in message:
                found += self._of_keys(part, message[part], self.rules[part])
        components = message.get("components", {})
        for name, component in components.items():
            options = dict(component)
            rules = self.rules["platforms"].get(options.pop("platform", None))
            if rules is None:
                found.append(f"{name}: no such platform")
                continue
            found += self._of_keys(name, options, rules)
            found += self._of_values(name, options, rules)
        ids = [each.get("unique_id") for each in components.values()]
        if None in ids or len(set(ids)) < len(ids):
            found.append("an entity without an id of its own")
        return found

    def _of_keys(
        self, where: str, part: Mapping[str, Any], rules: Mapping[str, list[str]]
    ) -> Iterator[str]:
        required, known = set(rules["required"]), {*rules["required"], *rules["optional"]}
        for key in sorted(part.keys() - known):
            yield f"{where}: {key} is unknown"
        for key in sorted(required - part.keys()):
            yield f"{where}: {key} is missing"

    def _of_values(
        self, where: str, component: Mapping[str, Any], rules: Mapping[str, list[str]]
    ) -> Iterator[str]:
        allowed: dict[str, list[Any]] = {
            "qos": [0, 1, 2],
            "device_class": rules.get("device_classes", []),
            "state_class": self.rules["state_classes"],
        }
        for key, value in component.items():
            if key in allowed and value not in allowed[key]:
                yield f"{where}: {key} may not be {value!r}"
            elif re.search(r"(^|_)topic$", key) and not re.fullmatch(r"[^+#\0]+", str(value)):
                yield f"{where}: {key} is no topic"
            elif key in ("name", "icon", "content_type", "unique_id") and not value:
                yield f"{where}: {key} is empty"

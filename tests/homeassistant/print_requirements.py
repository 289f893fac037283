"""Print what Home Assistant would install at its start, one requirement a line.

Home Assistant installs what an integration needs when it loads it. The test runs it without that,
so everything is installed beforehand. Its own Python runs this.
"""

from __future__ import annotations

import json
from pathlib import Path

import homeassistant
from homeassistant import bootstrap

COMPONENTS = Path(str(homeassistant.__file__)).parent / "components"
OURS = {"mjpeg", "mobile_app", "mqtt", "network"}
"""What the test uses beside what is always there."""

ALWAYS = bootstrap.DEFAULT_INTEGRATIONS | bootstrap.CORE_INTEGRATIONS
PLATFORMS = {"binary_sensor", "button", "camera", "event", "image", "sensor", "switch"}

left = {*OURS, *ALWAYS, *PLATFORMS}
seen: set[str] = set()
needed: set[str] = set()
while left:
    name = left.pop()
    seen.add(name)
    manifest = json.loads((COMPONENTS / name / "manifest.json").read_text(encoding="utf-8"))
    needed |= set(manifest.get("requirements", []))
    left |= set(manifest.get("dependencies", [])) - seen
print("\n".join(sorted(needed)))

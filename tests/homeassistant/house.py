"""House: the real Home Assistant, broker and doorbell, and a phone that gets notifications."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from tests.homeassistant.phone import PhoneApp
from tests.homeassistant.server import Client, HomeAssistant
from tests.support.daemon import ROOT, Daemon, eventually
from tests.support.mosquitto import Mosquitto
from tests.support.ringing import Door

PAGE = (ROOT / "docs" / "home-assistant.md").read_text(encoding="utf-8")
(AUTOMATIONS,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", PAGE)
RING = "event.front_door_doorbell"


class Doorbell(Door):
    """The doorbell of this house. Every press rings, so that the tests need not wait."""

    def __init__(self, daemon: Daemon, folder: Path, broker: int) -> None:
        settings = {"mqtt.broker": f"127.0.0.1:{broker}", "bell.again": 0, "visits.after": 1}
        super().__init__(daemon, folder, **settings)

    def restart(self, name: str = "Front door") -> None:
        """Stop it, and start it with this name for its camera."""
        assert self.daemon.stop() == 0
        starts = self.daemon.log().count("open http")
        self._settings["camera.name"] = name
        self.start()
        eventually(lambda: self.daemon.log().count("open http") > starts, "it listens again")
        self.daemon.wait_for_state("streaming")


class House:
    """All of it, configured as docs/home-assistant.md says."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.broker = Mosquitto(folder)
        stack.callback(self.broker.kill)
        self.broker.start()
        self.home = stack.enter_context(HomeAssistant(folder / "home", AUTOMATIONS))
        self.home.start()
        self.home.set_up_mqtt(self.broker.port)
        self.phone = PhoneApp(self.home)
        stack.callback(self.phone.close)
        (folder / "door").mkdir()
        daemon = stack.enter_context(Daemon(folder / "door"))
        self.door = Doorbell(daemon, folder / "door", self.broker.port)
        self.home.wait_for(RING, lambda state: state["state"] == "unknown")

    def wait_until_all_is_well(self) -> None:
        """Wait until Home Assistant shows the doorbell, and the doorbell has a broker."""
        for entity in (RING, "camera.front_door_camera"):
            self.home.wait_for(entity, lambda state: state["state"] != "unavailable")
        eventually(
            lambda: self.door.daemon.status()["notify"]["mqtt"]["state"] == "ok", "it is connected"
        )

    def restart_broker(self, client: Client) -> None:
        """End the broker, which forgets everything, and wait until Home Assistant is back."""
        self.broker.kill()
        client.wait_for_change(RING, lambda state: state["state"] == "unavailable")
        greetings = self._greetings()
        self.broker.start()
        # It greets when it has subscribed to everything again.
        eventually(lambda: self._greetings() > greetings, "Home Assistant is back")

    def _greetings(self) -> int:
        return len(re.findall(r"Received PUBLISH.*'homeassistant/status'", self.broker.log))

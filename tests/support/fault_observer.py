"""FaultObserver: what a daemon reports while its camera fails, and after it has recovered."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.condition import MARGIN, Condition
from tests.support.daemon import Daemon, eventually
from tests.support.reasons import reason_for

_VIEWERS = re.compile(r"^\S+: (watching|left|lost|took)")


class FaultObserver:
    """Knows the daemon from before the fault: its condition and its log."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._before = Condition.of(daemon.pid)
        self._log_size = len(daemon.log())

    def logged(self) -> list[str]:
        """Return the lines logged since, without those about viewers that come and go."""
        lines = self._daemon.log()[self._log_size :].splitlines()
        return [line for line in lines if not _VIEWERS.match(line)]

    def sees_camera_offline(self, why: str) -> dict[str, Any]:
        """Wait until every path reports the camera offline for a reason that matches ``why``."""

        def look() -> dict[str, Any] | None:
            camera: dict[str, Any] = self._daemon.status()["camera"]
            detail = camera["detail"]
            is_offline = camera["state"] == "offline" and re.search(why, detail)
            # The reason may change from one request to the next.
            is_offline = is_offline and self._answers("/healthz", f"offline: {detail}\n")
            error = json.dumps({"error": detail}) + "\n"
            is_offline = is_offline and self._answers("/snapshot.jpg", error, "application/json")
            return camera if is_offline else None

        camera = eventually(look, f"offline because {why}")
        assert camera["reason"] == reason_for(camera["detail"])
        return camera

    def _answers(self, path: str, text: str, accept: str = "*/*") -> bool:
        answer, body = self._daemon.request(path, headers={"Accept": accept})
        return (answer.status, body.decode()) == (503, text)

    def sees_camera_streaming(self) -> dict[str, Any]:
        """Wait until there is a picture on every path."""
        camera = self._daemon.wait_for_state("streaming")
        assert self._daemon.request("/healthz")[0].status == 200
        # The state is "streaming" a moment before the first picture can be fetched.
        picture = eventually(self._snapshot, "a snapshot")
        assert (picture[:2], picture[-2:]) == (b"\xff\xd8", b"\xff\xd9")
        return camera

    def _snapshot(self) -> bytes:
        answer, body = self._daemon.request("/snapshot.jpg")
        return body if answer.status == 200 else b""

    def sees_resources_released(self, memory: int = MARGIN) -> None:
        """Wait until descriptors, threads and memory are back where they were."""
        self._before.wait_until_back(memory)

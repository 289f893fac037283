"""Witness: what people and programs are told by a daemon whose camera fails, and recovers."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.condition import MARGIN, Condition
from tests.support.daemon import Daemon, eventually

_VIEWERS = re.compile(r"^\S+: (watching|left|lost|took)")


class Witness:
    """Remembers how the daemon was before the fault: its condition and its log."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._before = Condition.of(daemon.pid)
        self._said = len(daemon.log())

    def said(self) -> list[str]:
        """Return the lines logged since, but for viewers who come and go."""
        lines = self._daemon.log()[self._said :].splitlines()
        return [line for line in lines if not _VIEWERS.match(line)]

    def sees_camera_offline(self, why: str) -> dict[str, Any]:
        """Wait until the camera is told to be offline for a reason like ``why``, everywhere."""

        def look() -> dict[str, Any] | None:
            camera: dict[str, Any] = self._daemon.status()["camera"]
            detail = camera["detail"]
            is_it = camera["state"] == "offline" and re.search(why, detail)
            # What is wrong may be another thing from one request to the next.
            is_it = is_it and self._is_told("/healthz", f"offline: {detail}\n")
            is_it = is_it and self._is_told("/snapshot.jpg", json.dumps({"error": detail}) + "\n")
            return camera if is_it else None

        return eventually(look, f"offline because {why}")

    def _is_told(self, path: str, text: str) -> bool:
        answer, body = self._daemon.request(path)
        return (answer.status, body.decode()) == (503, text)

    def sees_camera_well(self) -> dict[str, Any]:
        """Wait until there is a picture, for everybody."""
        camera = self._daemon.wait_for_state("streaming")
        assert self._daemon.request("/healthz")[0].status == 200
        # It is streaming a moment before its first picture can be had.
        picture = eventually(self._snapshot, "a snapshot")
        assert (picture[:2], picture[-2:]) == (b"\xff\xd8", b"\xff\xd9")
        return camera

    def _snapshot(self) -> bytes:
        answer, body = self._daemon.request("/snapshot.jpg")
        return body if answer.status == 200 else b""

    def sees_all_as_before(self, memory: int = MARGIN) -> None:
        """Wait until descriptors, threads and memory are back where they were."""
        self._before.wait_until_back(memory)

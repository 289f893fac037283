"""Mosquitto: the MQTT broker, which keeps what is retained over a restart, as Debian's does."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.support.daemon import GUARD, eventually
from tests.support.ports import free_port


class Mosquitto:
    """A broker on this machine alone."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        self._configuration = folder / "mosquitto.conf"
        lines = (
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {folder}/",
            "user root",
        )
        self._configuration.write_text("\n".join(lines), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = ["/usr/sbin/mosquitto", "-c", str(self._configuration)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._listens, "mosquitto listens")

    def stop(self) -> None:
        """Stop it."""
        if self._process:
            self._process.terminate()
            self._process.wait(GUARD)

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), GUARD).close()
        except ConnectionRefusedError:
            return False
        return True

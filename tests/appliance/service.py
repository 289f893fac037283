"""The service on a machine: its package, its unit, and what it answers."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING

from tests.support.daemon import eventually

if TYPE_CHECKING:
    from tests.appliance.container import Container
    from tests.appliance.package import Package

UNIT = "doorbelld.service"


def fetch(machine: Container, path: str, length: int | None = None) -> tuple[int, bytes]:
    """Return status and body, or (0, b"") if nothing answers."""
    try:
        with urllib.request.urlopen(machine.url(path), timeout=10) as answer:
            return answer.status, answer.read(length)
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def wait_for_picture(machine: Container) -> None:
    eventually(lambda: fetch(machine, "/healthz")[0] == 200, "a live picture")


def main_pid(machine: Container) -> str:
    return machine.show(UNIT, "MainPID")


def entries(machine: Container) -> set[tuple[str, str, int]]:
    """Return name, type and port of all web pages that are announced in the network."""
    found = set()
    for kind in ("_http._tcp", "_https._tcp"):
        listing = machine.run("avahi-browse", "-rpkt", kind, check=False)
        rows = [line.split(";") for line in listing.splitlines()]
        for row in [row for row in rows if row[0] == "=" and row[1] == "host0"]:
            found.add((row[3].replace("\\032", " "), kind, int(row[8])))
    return found


def announced(machine: Container) -> set[tuple[str, int]]:
    """Return type and port of what our page is announced as."""
    return {(kind, port) for name, kind, port in entries(machine) if name.startswith("Front door")}


def install(machine: Container, package: Package) -> None:
    machine.put(package.path)
    machine.run("apt-get", "install", "--yes", f"/root/{package.path.name}")


class Client(threading.Thread):
    """Asks again and again, each time on a new connection; remembers what went wrong."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.answers = 0
        self.errors: list[str] = []
        self.done = threading.Event()
        self._url = url

    def run(self) -> None:
        while not self.done.is_set():
            try:
                with urllib.request.urlopen(self._url, timeout=30) as answer:
                    answer.read()
                self.answers += 1
            except (OSError, HTTPException) as error:
                self.errors.append(str(error))

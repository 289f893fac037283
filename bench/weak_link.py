"""A phone with weak Wi-Fi: two network namespaces, and a slow link between them."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import age

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.age import Ages
    from bench.servers import Running, Server

BITS_PER_SECOND = 2_000_000
_SHAPE = ("burst", "32kb", "latency", "300ms")

_HOST, _PHONE = "192.0.2.1", "192.0.2.2"
_PORT = 5000
_SEGMENT, _HEADERS = 1448, 66
"""Payload bytes in one Ethernet packet, and the bytes of its Ethernet, IP and TCP headers."""

_WARMUP, _SECONDS = 5.0, 15.0
"""All buffers on the way have to be full before the measurement begins."""


@dataclass(frozen=True)
class Link:
    """The names of the two namespaces."""

    server: str
    phone: str

    def measure(self, server: Server) -> Ages:
        """Run a server at one end and watch it from the other."""
        with server.run(_HOST, _PORT, _inside(self.server)) as running:
            return age.measure(running, _WARMUP, _SECONDS, _inside(self.phone))

    def set_rate(self, bits_per_second: int) -> None:
        """Make the link faster or slower."""
        shape = ("tbf", "rate", f"{bits_per_second}bit", *_SHAPE)
        root = ("dev", "link0", "root")
        _run(*_inside(self.server), "tc", "qdisc", "replace", *root, *shape)

    @contextmanager
    def run(self, server: Server) -> Iterator[Running]:
        """Run a server at one end; its clients are to be started with :attr:`at_phone`."""
        with server.run(_HOST, _PORT, _inside(self.server)) as running:
            yield running

    @property
    def at_phone(self) -> tuple[str, ...]:
        """A command that runs the one after it at the other end."""
        return _inside(self.phone)


def transmit_ms(size: int) -> float:
    """Return how long the link takes to transmit a part, without packet headers."""
    return size * 8 / BITS_PER_SECOND * 1000


def max_fps(size: int) -> float:
    """Return how many parts per second the link can carry, packet headers included."""
    on_the_wire = size + math.ceil(size / _SEGMENT) * _HEADERS
    return BITS_PER_SECOND / 8 / on_the_wire


def is_possible() -> bool:
    """Return whether network namespaces can be made here, which needs root and iproute2."""
    return os.geteuid() == 0 and bool(shutil.which("ip") and shutil.which("tc"))


@contextmanager
def make_link() -> Iterator[Link]:
    """Set up the link; it is removed when the block ends."""
    link = Link(f"bench-server-{os.getpid()}", f"bench-phone-{os.getpid()}")
    with ExitStack() as stack:
        for name in (link.server, link.phone):
            _run("ip", "netns", "add", name)
            stack.callback(_run, "ip", "netns", "delete", name)
        _connect(link)
        link.set_rate(BITS_PER_SECOND)
        yield link


def _connect(link: Link) -> None:
    ends = ("link0", "netns", link.server, "type", "veth", "peer", "link0", "netns", link.phone)
    _run("ip", "link", "add", *ends)
    for name, address in ((link.server, _HOST), (link.phone, _PHONE)):
        _run(*_inside(name), "ip", "address", "add", f"{address}/30", "dev", "link0")
        _run(*_inside(name), "ip", "link", "set", "lo", "up")
        _run(*_inside(name), "ip", "link", "set", "link0", "up")


def _inside(name: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", name)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)

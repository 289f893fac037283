"""Holder: which program has a TCP port, as far as this process may know: proc(5)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Union

_PROC = Path("/proc")
_LISTEN = "0A"  # TCP_LISTEN in <netinet/tcp.h>
_OURS = "doorbelld"
_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class Holder(NamedTuple):
    """A program that listens; ``pid`` is 0 where that cannot be known without root."""

    pid: int = 0
    name: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is doorbelld, or systemd, which keeps the port for it."""
        return self.name == _OURS or (self.pid == 1 and self.name == "systemd")

    def __str__(self) -> str:
        """Return what it is called in a sentence."""
        return f"{self.name} (pid {self.pid})" if self.pid else "another program"


def find(host: str, port: int) -> Holder | None:
    """Return the program that keeps others from listening there; None if there is none.

    ``host`` may be empty for all addresses. Of several that share the port doorbelld comes first,
    then the oldest.
    """
    sockets = {f"socket:[{inode}]" for inode in _inodes(_numeric(host), port)}
    if not sockets:
        return None
    found = sorted(_programs(sockets), key=lambda each: (each[1].name != _OURS, each[0]))
    return found[0][1] if found else Holder()


def _numeric(host: str) -> _Address | None:
    """Return the one address that is meant; None if it is any, or by a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return None if address.is_unspecified else address


def _inodes(wanted: _Address | None, port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):  # There is no tcp6 without IPv6.
            for line in Path("/proc/self/net", table).read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
                where, _, number = local.partition(":")
                if state == _LISTEN and int(number, 16) == port:
                    address = _address(where)
                    if wanted in (None, address) or address.is_unspecified:
                        yield inode


def _address(text: str) -> _Address:
    """Take an address as the kernel writes it: words of 32 bits, each in the machine's order."""
    raw = bytes.fromhex(text)
    count = len(raw) // 4
    return ipaddress.ip_address(struct.pack(f"={count}I", *struct.unpack(f">{count}I", raw)))


def _programs(sockets: set[str]) -> Iterator[tuple[int, Holder]]:
    """Give every program that has one of the sockets open, with the time of its start."""
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # It has ended, or belongs to another user.
            links = (str(each.readlink()) for each in (process / "fd").iterdir())
            if any(link in sockets for link in links):
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                yield _started(process), Holder(int(process.name), name)


def _started(process: Path) -> int:
    """Return when a process started, in ticks: its number tells nothing once numbers wrap."""
    text = (process / "stat").read_text(encoding="utf-8", errors="replace")
    return int(text.rpartition(")")[2].split()[19])

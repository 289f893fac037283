"""SlowLink: a machine with the daemon, a phone, and a slow link between them, as namespaces."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.support.network_namespace import NetworkNamespace

if TYPE_CHECKING:
    from socket import socket
    from types import TracebackType

MACHINE = "192.0.2.1"
_PHONE = "192.0.2.2"


class SlowLink:
    """``machine`` is the namespace of the daemon, whose address there is MACHINE.

    What it sends to the phone goes over a link that carries ``rate`` bytes a second. The buffer
    before it is like that of a Wi-Fi access point.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._stack = ExitStack()

    def connect(self, port: int) -> socket:
        """Return a connection from the phone to a port of the machine. Raises OSError."""
        return self._phone.connect(MACHINE, port)

    def __enter__(self) -> SlowLink:
        with ExitStack() as stack:
            self.machine = stack.enter_context(NetworkNamespace())
            self._phone = stack.enter_context(NetworkNamespace(within=self.machine))
            self.machine.link(self._phone, "link0", "link0")
            for place, address in ((self.machine, MACHINE), (self._phone, _PHONE)):
                place.ip("address", "add", f"{address}/30", "dev", "link0")
            shape = ("tbf", "rate", f"{8 * self._rate}bit", "burst", "32kb", "latency", "300ms")
            self.machine.run("tc", "qdisc", "add", "dev", "link0", "root", *shape)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

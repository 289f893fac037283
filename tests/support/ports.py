"""Ports that stay free while tests run side by side."""

from __future__ import annotations

import random
import socket
from contextlib import suppress


def free_port() -> int:
    """Return a free port outside the range that the kernel uses by itself.

    Within it another test may get the same port, for a listener at port 0 or for a connection,
    before this one listens there, or while it starts its daemon again.
    """
    while True:
        port = random.randrange(10_000, 32_000)  # noqa: S311  # below ip_local_port_range
        with suppress(OSError), socket.create_server(("", port)):
            return port

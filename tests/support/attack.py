"""Attack: a process that sends hostile requests as fast as it can, until the test is over.

``python -m tests.support.attack PORT SOURCE < REQUESTS`` takes hexadecimal lines. Each is
sent on a connection of its own, which ends with the first bytes of the answer. For each request
that was answered or refused a byte is written.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from tempfile import TemporaryFile

from tests.support.daemon import GUARD, ROOT


@contextmanager
def attackers(port: int, requests: Sequence[bytes], count: int) -> Iterator[Callable[[], int]]:
    """Let ``count`` processes attack, each from an address of its own, while the block runs.

    Yields a function that returns how many of their requests have been dealt with.
    """
    said = "".join(f"{request.hex()}\n" for request in requests)
    command = [sys.executable, "-m", "tests.support.attack", str(port)]
    with ExitStack() as stack:
        done = stack.enter_context(TemporaryFile())
        for number in range(count):
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, f"127.0.5.{number + 1}"],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=done,
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stdin
            process.stdin.write(said)
            process.stdin.close()
        yield lambda: os.fstat(done.fileno()).st_size


def hello(groups: str) -> bytes:
    """Return the ClientHello of a TLS client with a key of the first of these groups."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(GUARD)
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        with (
            subprocess.Popen(
                ["openssl", "s_client", "-groups", groups, "-connect", where],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ),
            listener.accept()[0] as sock,
        ):
            return sock.recv(1 << 16)


def _attack(port: int, source: str, requests: Sequence[bytes]) -> None:
    for request in itertools.cycle(requests):
        with socket.socket() as sock, suppress(OSError):
            sock.settimeout(GUARD)
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", port))
            sock.sendall(request)
            sock.recv(100)
            os.write(1, b".")


if __name__ == "__main__":
    _attack(int(sys.argv[1]), sys.argv[2], [bytes.fromhex(line) for line in sys.stdin])

"""Container: a Debian system that boots with systemd as PID 1 and has its own network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.support.daemon import eventually

BOOT_TIMEOUT = 120.0
"""Seconds for a boot or a shutdown on a busy machine."""

_REBOOT = 133
"""The exit code of systemd-nspawn when the container wants to be booted again."""

_ENVIRONMENT = ["HOME=/root", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"]
_NETWORK = """
[Match]
Name=host0

[Network]
Address={address}/24
LinkLocalAddressing=yes
"""


class Container:
    """A container with the folder ``root`` as its disk. ``number`` (1..250) chooses its network."""

    def __init__(self, root: Path, number: int) -> None:
        self.root = root
        self.address = f"10.213.{number}.2"
        self._name = f"db{number}"
        self._host_address = f"10.213.{number}.1"
        self._process: subprocess.Popen[bytes] | None = None
        self._console: IO[bytes] | None = None

    # While it is not booted.

    def prepare(self, *command: str) -> str:
        """Run a command in the root without booting it, with the network of the host."""
        nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe"]
        return _output([*nspawn, f"--directory={self.root}", "--", "env", *_ENVIRONMENT, *command])

    def put(self, file: Path) -> None:
        """Copy a file from the host into /root."""
        shutil.copy(file, self.root / "root")

    def write(self, path: str, text: str) -> None:
        """Write a file in the container."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, path: str) -> str:
        """Return the text of a file in the container."""
        return (self.root / path.lstrip("/")).read_text()

    # While it is booted.

    def boot(self, *options: str) -> None:
        """Boot it, and wait until everything that starts at boot has started.

        ``options`` are further options of systemd-nspawn.
        """
        self.write("/etc/systemd/network/10-host0.network", _NETWORK.format(address=self.address))
        wants = self.root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
        if not wants.is_symlink():
            wants.symlink_to("/lib/systemd/system/systemd-networkd.service")
        self._console = (self.root.parent / f"{self.root.name}.console").open("ab")
        command = ["systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit"]
        command += ["--network-veth", f"--machine={self._name}", f"--directory={self.root}"]
        command += options
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=subprocess.STDOUT,
        )
        eventually(
            lambda: self.leader() and self._connect() and self._is_up(),
            "the container has booted",
            BOOT_TIMEOUT,
        )

    def leader(self) -> int:
        """Return the process id of the container's PID 1 on the host, or 0 if it has none."""
        assert self._process is not None, "it was not booted"
        assert self._process.poll() is None, f"it has ended; see {self.root}.console"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for child in children.read_text().split():
            # While nspawn starts, it has another child, which may end at any moment.
            with suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        return 0

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the container; return its standard output and standard error."""
        enter = ["nsenter", f"--target={self.leader()}"]
        enter += ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--wd"]
        return _output([*enter, "env", "-i", *_ENVIRONMENT, *command], check=check)

    def show(self, unit: str, name: str) -> str:
        """Return a property that ``systemctl show`` prints for a unit, or for systemd itself."""
        units = [unit] if unit else []
        return self.run("systemctl", "show", "--value", f"--property={name}", *units).strip()

    def journal(self, unit: str) -> str:
        """Return the log of a unit."""
        return self.run("journalctl", "--no-pager", f"--unit={unit}")

    def url(self, path: str, port: int = 5000) -> str:
        """Return the URL of a path on its web server."""
        return f"http://{self.address}:{port}{path}"

    def add_host_address(self, address: str) -> None:
        """Add an address (ADDRESS/PREFIX) to the host's end of the link."""
        _output(["ip", "address", "replace", address, "dev", f"ve-{self._name}", "nodad"])

    def add_address(self, address: str) -> None:
        """Add an address (ADDRESS/PREFIX) to the container's end of the link."""
        self._ip("address", "replace", address, "dev", "host0", "nodad")

    def reboot(self) -> None:
        """Reboot it from inside, and wait until everything that starts at boot has started."""
        assert self._process is not None, "it was not booted"
        self.run("systemctl", "--no-block", "reboot")
        code = self._process.wait(BOOT_TIMEOUT)
        assert code == _REBOOT, f"it ended with {code}; see {self.root}.console"
        self._close_console()
        self.boot()

    def shut_down(self) -> None:
        """Shut it down, if it is booted."""
        if self._process is None:
            return
        if self._process.poll() is None and (leader := self.leader()):
            os.kill(leader, signal.SIGRTMIN + 4)  # poweroff.target
        try:
            self._process.wait(BOOT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close_console()

    def _close_console(self) -> None:
        self._process = None
        if self._console:
            self._console.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shut_down()
        shutil.rmtree(self.root)

    def _connect(self) -> bool:
        """Set up the host's end of the link; return whether it exists already."""
        link = f"ve-{self._name}"
        if not Path(f"/sys/class/net/{link}").exists():
            return False
        subprocess.run(
            ["ip", "address", "replace", f"{self._host_address}/24", "dev", link], check=True
        )
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        return True

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).strip()
        # Until networkd has configured the link, it would remove addresses that a test adds.
        has_address = f" {self.address}/" in self._ip("address", "show", "dev", "host0")
        return has_address and state in ("running", "degraded")

    def _ip(self, *arguments: str) -> str:
        return _output(["nsenter", f"--target={self.leader()}", "--net", "ip", *arguments])


def _output(command: list[str], *, check: bool = True) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout

"""VirtualMachine: a Debian system with its own kernel, so that it can have cameras."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from tests.support.daemon import eventually

PACKAGES = ("systemd-sysv", "dbus", "udev", "kmod", "linux-image-amd64", "openssh-server")

HOST = "10.0.2.2"
"""The address at which programs in the machine reach those that listen on the host's loopback."""

_BOOT_TIMEOUT = 600.0
"""Seconds for a boot, in which every instruction is emulated."""

_NOT_NEEDED = ("default.target.wants/e2scrub_reap.service",)
"""What takes up to 20 seconds of a boot, and does nothing for the disk of a test."""

_NETWORK = """
[Match]
Name=en* eth*

[Network]
DHCP=ipv4
"""


class VirtualMachine:
    """Boots the Debian in the folder ``root``. Its port 5000 is ``port`` on the host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = 0
        self._ssh_port = 0
        self._key = root.with_name(f"{root.name}.key")
        self._disk = root.with_name(f"{root.name}.img")
        self._console = root.with_name(f"{root.name}.console")
        self._process: subprocess.Popen[bytes] | None = None
        self._login: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make the disk image from the folder; later changes in the folder have no effect."""
        self._allow_login()
        network = self.root / "etc/systemd/network/10-wired.network"
        network.parent.mkdir(parents=True, exist_ok=True)
        network.write_text(_NETWORK)
        wants = self.root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
        wants.unlink(missing_ok=True)
        wants.symlink_to("/lib/systemd/system/systemd-networkd.service")
        for unit in _NOT_NEEDED:
            (self.root / "etc/systemd/system" / unit).unlink(missing_ok=True)
        _run("mke2fs", "-q", "-t", "ext4", "-d", str(self.root), str(self._disk), "4G")

    def boot(self) -> None:
        """Boot it, and wait until it accepts logins."""
        kernel = next((self.root / "boot").glob("vmlinuz-*"))
        initrd = next((self.root / "boot").glob("initrd.img-*"))
        self.port, self._ssh_port = _free_ports()
        forward = f"hostfwd=tcp:127.0.0.1:{self.port}-:5000"
        forward += f",hostfwd=tcp:127.0.0.1:{self._ssh_port}-:22"
        command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048"]
        command += ["-kernel", str(kernel), "-initrd", str(initrd)]
        command += ["-append", "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0"]
        command += ["-drive", f"file={self._disk},format=raw,if=virtio,cache=unsafe"]
        command += ["-nic", f"user,model=virtio-net-pci,{forward}"]
        command += ["-display", "none", "-no-reboot", "-serial", f"file:{self._console}"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        eventually(self._is_up, f"a login; see {self._console}", _BOOT_TIMEOUT)
        self._stay_logged_in()

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a shell command inside; return its standard output and standard error."""
        done = self._ssh(command)
        if check and done.returncode:
            raise AssertionError(f"{command} failed ({done.returncode}):\n{done.stdout}")
        return done.stdout

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command inside, which runs until its standard input is closed."""
        return subprocess.Popen(
            [*self._ssh_command(), command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> VirtualMachine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The machine first: ssh may miss the signal, but notices that its connection ends.
        for process in (self._process, self._login):
            if process is not None:
                process.terminate()
                process.wait()
        shutil.rmtree(self.root)
        self._disk.unlink(missing_ok=True)

    def _allow_login(self) -> None:
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key))
        keys = self.root / "root/.ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        keys.write_text(self._key.with_name(f"{self._key.name}.pub").read_text())

    def _stay_logged_in(self) -> None:
        """Keep a connection that all later commands use: a login takes seconds inside."""
        self._login = subprocess.Popen(
            [*self._ssh_command(), "-M", "-N"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _is_up(self) -> bool:
        assert self._process
        assert self._process.poll() is None, f"it has ended; see {self._console}"
        return "running" in self._ssh("systemctl is-system-running --wait").stdout

    def _ssh_command(self) -> list[str]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        options += ["ConnectTimeout=20", "BatchMode=yes", f"IdentityFile={self._key}"]
        options += [f"ControlPath={self._key.with_suffix('.ssh')}"]
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", *words, "-p", str(self._ssh_port), "root@127.0.0.1"]

    def _ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._ssh_command(), command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])

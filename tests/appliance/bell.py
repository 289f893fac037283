"""A button and a keyboard in a virtual machine, and what the service makes of them.

No kernel of Debian has GPIO pins without real ones, so the button is one that the administrator has
tagged. The keyboard has the bell's key as well: only its owner makes the difference.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from tests.appliance.machine import VirtualMachine
from tests.support.daemon import eventually

BELL = 256
PRESSES = 20

_HERE = Path(__file__).parent
_PROGRAM = "root/keys.py"
_TIMEOUT = 60.0
"""Seconds: inside the machine, every instruction is emulated."""

_RULE = 'SUBSYSTEM=="input", ATTRS{name}=="Button", TAG+="doorbelld"\n'
_DROP_IN = """
[Service]
ExecStartPre=/bin/sh -c 'for each in /dev/input/event*; do \\
    head -c 0 "$$each" && echo "can read $$each"; done; true'
"""
"""Says what the service can read, under its whole confinement."""


def put(root: Path) -> None:
    """Put the program that is button and keyboard, and the administrator's rule, into a root."""
    (root / _PROGRAM).write_bytes((_HERE / "keys.py").read_bytes())
    (root / "etc/udev/rules.d/60-bell.rules").write_text(_RULE)
    drop_in = root / "etc/systemd/system/doorbelld.service.d/readable.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(_DROP_IN)


class Keys:
    """The program that is button and keyboard; all are unplugged at the end."""

    def __init__(self, vm: VirtualMachine) -> None:
        self._process: subprocess.Popen[str] = vm.start(f"python3 -u /{_PROGRAM}")

    def do(self, *words: object) -> str:
        """Add, press or remove a device; return the answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Keys:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def status(vm: VirtualMachine) -> dict[str, Any]:
    """Return what /status says of the bell."""
    found: dict[str, Any] = _fetch(vm, "/status")["bell"]
    return found


def visits(vm: VirtualMachine) -> list[tuple[str, int]]:
    """Return source and number of presses of all visits, the newest first."""
    return [(row["source"], row["presses"]) for row in _fetch(vm, "/visits.json")["visits"]]


def wait_for_buttons(vm: VirtualMachine, *paths: str) -> None:
    """Wait until the service reads these devices and no others."""
    eventually(
        lambda: [each["path"] for each in status(vm)["devices"]] == list(paths),
        f"it reads {paths}",
        _TIMEOUT,
    )


def check_that_a_button_rings_and_a_keyboard_cannot_be_read(vm: VirtualMachine) -> None:
    """Check the whole way, from the kernel to the visit."""
    with Keys(vm) as keys:
        keyboard = keys.do("add", "Keyboard", 28, 30, BELL)
        button = keys.do("add", "Button", BELL)
        vm.run("systemctl restart doorbelld")
        wait_for_buttons(vm, button)
        said = vm.run(
            f"stat --format='%G %a' {button} {keyboard};"
            " ls -l /proc/$(systemctl show --value --property=MainPID doorbelld)/fd;"
            " journalctl --no-pager --unit=doorbelld --boot"
        )
        assert said.startswith("doorbelld 640\ninput 660\n")
        assert f"-> {button}\n" in said
        assert f"-> {keyboard}\n" not in said
        assert f"can read {button}\n" in said
        assert f"can read {keyboard}\n" not in said
        assert f"head: cannot open '{keyboard}' for reading: Permission denied" in said
        keys.do("press", "Keyboard", BELL, 3)
        keys.do("press", "Button", BELL, PRESSES)
        eventually(lambda: visits(vm) == [("button", PRESSES)], "all presses", _TIMEOUT)
        keys.do("remove", "Button")
        wait_for_buttons(vm)
        button = keys.do("add", "Button", BELL)
        wait_for_buttons(vm, button)
        keys.do("press", "Button", BELL, 1)
        eventually(
            lambda: sum(presses for _, presses in visits(vm)) == PRESSES + 1, "it rings", _TIMEOUT
        )


def _fetch(vm: VirtualMachine, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{vm.port}{path}", timeout=_TIMEOUT) as answer:
        return json.load(answer)

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from doorbelld.cli import main
from doorbelld.commands import bell
from tests.support.daemon import GUARD, ROOT, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.input_devices import InputKernel

TOKEN = "t" * 32


class Terminal(io.StringIO):
    """What the command has printed, while it still runs."""

    def wait_for(self, text: str) -> None:
        eventually(lambda: text in self.getvalue(), f"{text!r} in {self.getvalue()!r}")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(bell, "become_the_service", lambda: True)
    return Terminal()


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something while the command runs; then press Ctrl-C, whatever happens."""

    def act_and_stop() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # it is raised below
            failed.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    failed: list[BaseException] = []
    thread = threading.Thread(target=act_and_stop)
    thread.start()
    yield
    thread.join()
    if failed:
        raise failed[0]


def run(terminal: Terminal, *settings: str, until: Callable[[], None] | None = None) -> list[str]:
    """Run the command until Ctrl-C; return the lines that it has printed."""

    def act() -> None:
        terminal.wait_for("Ctrl-C ends.\n")
        if until:
            until()

    pairs = [f"--set={each}" for each in ("server.listen=127.0.0.1:5000", *settings)]
    with meanwhile(act), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert main(["bell", *pairs]) == 0
    return terminal.getvalue().splitlines()


def test_lists_what_may_be_read_and_how_to_give_the_rest(
    input_kernel: InputKernel,
    terminal: Terminal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keyboard = input_kernel.plug_in(0, "Keyboard", range(1, 119), error=errno.EACCES)
    power = input_kernel.plug_in(1, "button@3", (116,))
    button = input_kernel.plug_in(2)
    usb = input_kernel.plug_in(10, 'My "USB" Button|2', (28, 600), error=errno.EACCES)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    absent = (
        f"A bell in the network rings by an address with a token, but there is no token in"
        f" {tmp_path}/ring_token: doorbelld makes it when it starts; if it is elsewhere, set"
        " STATE_DIRECTORY as for doorbelld."
    )
    assert run(terminal)[:12] == [
        "Input devices that doorbelld may read:",
        f"    {power}  button@3: KEY_POWER (116), which shuts this machine down",
        f"    {button}  button@11: BTN_0 (256), which rings",
        "Input devices that doorbelld may not read:",
        f"    {keyboard}  Keyboard: 118 keys",
        f'    {usb}  My "USB" Button|2: KEY_ENTER (28), key 600',
        "To let doorbelld read one of them, never a keyboard, give it a tag, by its name:",
        '    echo \'SUBSYSTEM=="input", ATTRS{name}=="My *USB* Button*2", TAG+="doorbelld"\' |',
        "        sudo tee -a /etc/udev/rules.d/60-bell.rules",
        "    sudo udevadm trigger --subsystem-match=input",
        "",
        absent,
    ]


def test_prints_presses_as_they_come_and_whether_they_ring(
    input_kernel: InputKernel, terminal: Terminal
) -> None:
    button = input_kernel.plug_in(2, keys=(28, 256))

    def act() -> None:
        for key in (256, 28, 256):
            input_kernel.press(button, key)
        terminal.wait_for("\n" + "\n".join(expected))

    what = f"on {button} (button@11)"
    rings = f"BTN_0 (256) {what}: rings"
    other = f"KEY_ENTER (28) {what}: does not ring; it would with [bell] key = 28"
    expected = [rings, other, rings]
    assert run(terminal, until=act)[-4:] == [*expected, ""]


def test_button_may_be_plugged_in_and_out_meanwhile(
    input_kernel: InputKernel, terminal: Terminal
) -> None:
    def act() -> None:
        path = input_kernel.plug_in(3, keys=(28,))
        terminal.wait_for(f"Plugged in: {path}  button@11: KEY_ENTER (28), which rings\n")
        input_kernel.press(path, 28)
        terminal.wait_for(f"KEY_ENTER (28) on {path} (button@11): rings\n")
        input_kernel.unplug(path)
        terminal.wait_for(f"Plugged out: {path}  button@11\n")

    assert run(terminal, "bell.key=28", until=act)[0] == (
        "There is no input device that doorbelld may read."
    )


@pytest.mark.parametrize("which", ["none", "/dev/input/event77"])
def test_says_if_another_button_is_configured(
    input_kernel: InputKernel, terminal: Terminal, which: str
) -> None:
    button = input_kernel.plug_in(2)

    def act() -> None:
        input_kernel.press(button)
        terminal.wait_for(f": does not ring, because of [bell] button = {which}\n")

    assert run(terminal, f"bell.button={which}", until=act)[1] == (
        f"    {button}  button@11: BTN_0 (256)"
    )


def test_button_may_be_configured_by_a_link(
    input_kernel: InputKernel, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    button = input_kernel.plug_in(2)
    link = tmp_path / "platform-button@11-event"
    link.symlink_to(button)
    monkeypatch.chdir(tmp_path)
    assert run(terminal, f"bell.button=/dev/..{link}")[1].endswith(", which rings")


def test_shows_the_address_for_a_bell_in_the_network(
    input_kernel: InputKernel,  # noqa: ARG001  # there is no input device
    terminal: Terminal,
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    lines = run(terminal, f"bell.token_file={tmp_path}/token")
    assert lines[-4:-2] == [
        "A bell in the network rings by this address, with GET or POST; keep it secret:",
        f"    http://127.0.0.1:5000/ring?token={TOKEN}",
    ]


def test_says_if_no_token_is_configured(
    input_kernel: InputKernel,  # noqa: ARG001  # there is no input device
    terminal: Terminal,
) -> None:
    assert run(terminal, "bell.token_file=none")[-3] == (
        "A bell in the network rings by an address with a token, but there is no token,"
        " because of [bell] token_file = none."
    )


def test_user_that_is_not_root_is_told_what_root_would_see(
    input_kernel: InputKernel, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    input_kernel.plug_in(2)
    monkeypatch.setattr(bell, "become_the_service", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lines = run(terminal)
    assert lines[0] == "Input devices that you may read:"
    assert "As root, this command shows what the service may read: sudo doorbelld bell" in lines


@pytest.mark.process
def test_it_prints_at_once_into_a_pipe_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    """On this very machine, whatever it has."""
    with subprocess.Popen(
        [sys.executable, "-m", "doorbelld", "bell"],
        cwd=ROOT,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        lines = iter(process.stdout.readline, "Press the button, or plug it in; Ctrl-C ends.\n")
        assert any("may read" in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 0
        assert process.stderr.read() == ""

from __future__ import annotations

import errno
import logging
import threading
import time
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from doorbelld.visits.button import ButtonThread
from doorbelld.visits.inputs import AUTO, Inputs
from tests.support.daemon import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.input_devices import InputKernel

BELL = 256


class Bell:
    """What a button rings."""

    def __init__(self) -> None:
        self.pressed_at: list[float] = []
        self.error: Exception | None = None

    def __call__(self, moment: float) -> None:
        self.pressed_at.append(moment)
        if self.error:
            raise self.error


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def thread(input_kernel: InputKernel, bell: Bell) -> Iterator[ButtonThread]:  # noqa: ARG001  # its devices
    """Return a thread that waits for any button; it must end when it is asked to."""
    found = ButtonThread(bell, AUTO, BELL)
    found.start()
    yield found
    assert found.stop()


def wait_for(thread: ButtonThread, *paths: str) -> None:
    eventually(
        lambda: [each["path"] for each in thread.status()["devices"]] == list(paths),
        f"it reads {paths}",
    )


def wait_for_presses(bell: Bell, count: int) -> None:
    eventually(lambda: len(bell.pressed_at) >= count, f"{count} presses")
    assert len(bell.pressed_at) == count


def test_every_press_rings_at_the_kernels_moment(
    input_kernel: InputKernel, bell: Bell, thread: ButtonThread
) -> None:
    button = input_kernel.plug_in(3)
    wait_for(thread, button)
    for number in range(20):
        input_kernel.press(button, at=100.5 + number)
        wait_for_presses(bell, number + 1)
    assert bell.pressed_at == [100.5 + number for number in range(20)]


def test_button_may_be_plugged_out_and_in_again(
    input_kernel: InputKernel,
    bell: Bell,
    thread: ButtonThread,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    for number in (1, 2):
        button = input_kernel.plug_in(3)
        wait_for(thread, button)
        input_kernel.press(button)
        wait_for_presses(bell, number)
        input_kernel.unplug(button)
        wait_for(thread)
    expected = 2 * [
        f"the bell's button is {button} (button@11)",
        f"the bell's button {button} (button@11) was unplugged",
    ]
    eventually(lambda: caplog.messages == expected, "it is logged")


def test_machine_without_a_button_is_told_how_to_find_one_and_nothing_is_logged(
    input_kernel: InputKernel,
    bell: Bell,
    thread: ButtonThread,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keyboard = input_kernel.plug_in(0, "Keyboard", range(1, 84), error=errno.EACCES)
    none = "No button: no input device has the key 256; see sudo doorbelld bell"
    missing = {"state": "missing", "detail": none, "devices": []}
    eventually(lambda: thread.status() == missing, none)
    input_kernel.press(keyboard, 28)
    button = input_kernel.plug_in(3)
    wait_for(thread, button)
    input_kernel.press(button)
    wait_for_presses(bell, 1)
    assert thread.status() == {
        "state": "ok",
        "detail": "",
        "devices": [{"path": button, "name": "button@11"}],
    }
    assert "Keyboard" not in caplog.text


def test_button_that_may_not_be_read_is_reported_once(
    input_kernel: InputKernel, thread: ButtonThread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    button = input_kernel.plug_in(3, error=errno.EACCES)
    why = f"No permission to read {button} (button@11); sudo doorbelld bell shows how to give it"
    eventually(lambda: thread.status()["detail"] == why, why)
    beat = thread.beat
    eventually(lambda: thread.beat > beat + 1.5, "two more looks")
    assert caplog.messages == [why]


def test_device_that_is_configured_and_missing_is_a_warning(
    input_kernel: InputKernel, bell: Bell, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(input_kernel.folder / "event7")
    thread = ButtonThread(bell, path, BELL)
    thread.start()
    why = f"There is no device at {path}; check that it is plugged in"
    eventually(lambda: thread.status()["detail"] == why, why)
    assert thread.stop()
    assert [(row.levelname, row.message) for row in caplog.records] == [("WARNING", why)]


def test_reload_changes_key_and_device(
    input_kernel: InputKernel, bell: Bell, thread: ButtonThread
) -> None:
    first, second = input_kernel.plug_in(1), input_kernel.plug_in(2, "Second", (28, BELL))
    wait_for(thread, first, second)
    thread.reconfigure(second, 28)
    wait_for(thread, second)
    input_kernel.press(second)
    input_kernel.press(second, 28, at=7.0)
    wait_for_presses(bell, 1)
    assert bell.pressed_at == [7.0]


def test_no_button_is_read_if_none_is_wanted(
    input_kernel: InputKernel, thread: ButtonThread
) -> None:
    button = input_kernel.plug_in(1)
    wait_for(thread, button)
    thread.reconfigure(None, BELL)
    off = {"state": "off", "detail": "", "devices": []}
    eventually(lambda: thread.status() == off, "it is off")
    thread.reconfigure(AUTO, BELL)
    wait_for(thread, button)


def test_bell_that_fails_does_not_end_the_thread(
    input_kernel: InputKernel, bell: Bell, thread: ButtonThread, caplog: pytest.LogCaptureFixture
) -> None:
    button = input_kernel.plug_in(1)
    wait_for(thread, button)
    bell.error = OSError("no space left")
    input_kernel.press(button)
    wait_for_presses(bell, 1)
    input_kernel.press(button)
    wait_for_presses(bell, 2)
    assert thread.alive
    eventually(lambda: caplog.text.count("no space left") == 2, "the reason is logged")


def test_failure_that_is_not_expected_is_reported_and_does_not_end_the_thread(
    input_kernel: InputKernel, bell: Bell, thread: ButtonThread, caplog: pytest.LogCaptureFixture
) -> None:
    with mock.patch.object(Inputs, "scan", side_effect=ZeroDivisionError("odd")):
        eventually(lambda: "ZeroDivisionError: odd" in thread.status()["detail"], "the reason")
        assert thread.status()["state"] == "missing"
    button = input_kernel.plug_in(1)
    wait_for(thread, button)
    input_kernel.press(button)
    wait_for_presses(bell, 1)
    assert caplog.text.count("no button can be read") == 1


def test_waiting_costs_nearly_nothing(input_kernel: InputKernel, thread: ButtonThread) -> None:
    for number in range(8):
        input_kernel.plug_in(number, keys=(BELL,) if number == 3 else range(1, 84))
    wait_for(thread, str(input_kernel.folder / "event3"))
    clock = time.pthread_getcpuclockid(thread_id(thread))
    before, beat = time.clock_gettime(clock), thread.beat
    eventually(lambda: thread.beat >= beat + 3, "three seconds")
    used = time.clock_gettime(clock) - before
    assert used < 3 * 0.005


def thread_id(thread: ButtonThread) -> int:
    [ident] = [each.ident for each in threading.enumerate() if each.name == "button"]
    assert ident
    assert thread.alive
    return ident


def test_stop_ends_the_wait_and_may_be_called_twice(input_kernel: InputKernel, bell: Bell) -> None:
    button = input_kernel.plug_in(1)
    thread = ButtonThread(bell, AUTO, BELL)
    thread.start()
    wait_for(thread, button)
    assert thread.stop()
    assert thread.stop()
    assert not thread.alive
    assert ButtonThread(bell, AUTO, BELL).stop()

from __future__ import annotations

import errno
import os
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from doorbelld.system.wakeup import Wakeup
from doorbelld.visits import inputs
from doorbelld.visits.inputs import AUTO, Input, InputDevice, Inputs
from tests.support.input_devices import DOWN, DROPPED, KEY, REL, REPEAT, REPORT, UP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.input_devices import InputKernel

BELL = 256


@pytest.fixture
def button(input_kernel: InputKernel) -> Iterator[Input]:
    """Return an opened button with two keys."""
    found = Input(inputs.describe(Path(input_kernel.plug_in(3, keys=(BELL, 28)))))
    yield found
    found.close()


def codes(button: Input) -> list[int]:
    return [press.key for press in button.presses()]


def test_event_has_the_layout_of_the_process() -> None:
    assert inputs.layout(8).size == 24
    assert inputs.layout(4).size == 16
    assert inputs.EVENT.size == struct.calcsize("@2LHHi")
    # As a 64-bit and as a 32-bit kernel write it on a machine of today.
    long = bytes.fromhex("0500000000000000 a086010000000000 0100 0001 01000000")
    short = bytes.fromhex("05000000 a0860100 0100 0001 01000000")
    assert inputs.layout(8).unpack(long) == inputs.layout(4).unpack(short)
    assert inputs.layout(4).unpack(short) == (5, 100_000, 1, BELL, 1)


def test_devices_are_described_without_opening_them(input_kernel: InputKernel) -> None:
    input_kernel.plug_in(10, "Last")
    input_kernel.plug_in(2, "Keyboard\x1b[31m", (*range(1, 84), 0x2FF), error=errno.EACCES)
    input_kernel.plug_in(1, "Lid", ())
    found = inputs.find()
    assert [device.path.rpartition("/")[2] for device in found] == ["event2", "event10"]
    assert found[0].name == "Keyboard?[31m"
    assert found[0].keys == {*range(1, 84), 0x2FF}
    assert input_kernel.opened == []


def test_bits_are_read_in_words_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_LONG", 8)
    assert set(inputs._numbers("1 0 0 0 8")) == {3, 256}
    monkeypatch.setattr(inputs, "_LONG", 4)
    assert set(inputs._numbers("1 0 0 0 0 0 0 0 8")) == {3, 256}


def test_each_press_is_reported_with_the_kernels_time(
    input_kernel: InputKernel, button: Input
) -> None:
    path = button.device.path
    assert input_kernel.clocks[path] == time.CLOCK_MONOTONIC
    input_kernel.press(path, at=12.25)
    input_kernel.press(path, 28, at=4_000_000_000.5)
    assert list(button.presses()) == [
        (button.device, BELL, 12.25),
        (button.device, 28, 4_000_000_000.5),
    ]
    assert list(button.presses()) == []


def test_held_key_is_one_press(input_kernel: InputKernel, button: Input) -> None:
    path = button.device.path
    input_kernel.send(path, (KEY, BELL, DOWN), REPORT, *9 * [(KEY, BELL, REPEAT), REPORT])
    assert codes(button) == [BELL]
    input_kernel.send(path, (KEY, BELL, REPEAT), REPORT, (KEY, BELL, UP), REPORT)
    assert codes(button) == []
    input_kernel.press(path)
    assert codes(button) == [BELL]


def test_other_events_are_no_presses(input_kernel: InputKernel, button: Input) -> None:
    input_kernel.send(button.device.path, (REL, BELL, 1), (KEY, BELL, UP), (4, 4, 1), REPORT)
    assert codes(button) == []


def test_after_lost_events_the_kernel_is_asked_what_is_down(
    input_kernel: InputKernel, button: Input
) -> None:
    path = button.device.path
    input_kernel.press(path, 28)
    assert codes(button) == [28]
    input_kernel.down[path] = {BELL}
    # What comes between the loss and the next report belongs to a report that is not complete.
    input_kernel.send(path, DROPPED, (KEY, 28, DOWN), REPORT, at=0.0)
    before = time.monotonic()
    [press] = button.presses()
    assert press.key == BELL
    assert before <= press.at <= time.monotonic()
    input_kernel.send(path, DROPPED, REPORT)
    assert codes(button) == [], "it is still down"
    input_kernel.down[path] = set()
    input_kernel.send(path, DROPPED, (KEY, BELL, UP), REPORT)
    input_kernel.press(path)
    assert codes(button) == [BELL]


def test_key_that_is_stuck_from_the_start_was_not_pressed(input_kernel: InputKernel) -> None:
    path = input_kernel.plug_in(0)
    input_kernel.down[path] = {BELL}
    button = Input(inputs.describe(Path(path)))
    input_kernel.send(path, DROPPED, REPORT)
    assert codes(button) == []
    button.close()


def test_long_queue_is_read_in_parts(input_kernel: InputKernel, button: Input) -> None:
    for _ in range(40):  # four events each
        input_kernel.press(button.device.path)
    found = [codes(button) for _ in range(3)]
    assert [len(part) for part in found] == [16, 16, 8]


def test_device_that_is_none_is_closed_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "event0")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        Input(InputDevice(str(tmp_path / "event0"), "", frozenset()))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture
def found() -> Iterator[Inputs]:
    """Return all devices that have the key of the bell."""
    found = Inputs(AUTO, BELL)
    yield found
    found.close()


def paths(found: Inputs) -> list[str]:
    return [device.path for device in found.devices]


def test_devices_that_have_the_key_are_opened_and_no_others(
    input_kernel: InputKernel, found: Inputs
) -> None:
    button = input_kernel.plug_in(4)
    keyboard = input_kernel.plug_in(0, "Keyboard", range(1, 84))
    found.scan()
    assert paths(found) == [button]
    assert input_kernel.opened == [button]
    input_kernel.press(keyboard, 28)
    input_kernel.press(button)
    assert [press.device.path for press in found.wait(1)] == [button]


def test_other_keys_of_a_device_do_not_count(input_kernel: InputKernel, found: Inputs) -> None:
    button = input_kernel.plug_in(4, keys=(28, BELL))
    found.scan()
    input_kernel.press(button, 28)
    assert found.wait(1) == []
    input_kernel.press(button)
    assert [press.key for press in found.wait(1)] == [BELL]


def test_several_buttons_ring(input_kernel: InputKernel, found: Inputs) -> None:
    buttons = [input_kernel.plug_in(1), input_kernel.plug_in(2)]
    found.scan()
    for button in buttons:
        input_kernel.press(button)
    assert sorted(press.device.path for press in found.wait(1)) == buttons


def test_device_may_be_plugged_in_and_out(input_kernel: InputKernel, found: Inputs) -> None:
    found.scan()
    assert found.devices == []
    for _ in range(2):
        button = input_kernel.plug_in(4)
        found.scan()
        input_kernel.press(button)
        assert len(found.wait(1)) == 1
        input_kernel.unplug(button)
        assert found.wait(1) == []
        assert found.devices == []
    found.scan()
    assert found.devices == []
    assert found.problems == {}


def test_device_whose_name_goes_before_it_ends_can_be_plugged_in_again(
    input_kernel: InputKernel, found: Inputs
) -> None:
    button = input_kernel.plug_in(4)
    found.scan()
    Path(button).unlink()
    found.scan()
    Path(button).touch()  # for unplug()
    input_kernel.unplug(button)
    assert found.wait(1) == []
    input_kernel.plug_in(4)
    found.scan()
    input_kernel.press(button)
    assert len(found.wait(1)) == 1


def test_device_is_tried_again_when_udev_has_given_it(
    input_kernel: InputKernel, found: Inputs
) -> None:
    button = input_kernel.plug_in(4, error=errno.EACCES)
    found.scan()
    assert found.problems == {
        button: f"No permission to read {button} (button@11);"
        " sudo doorbelld bell shows how to give it"
    }
    input_kernel.refused[button] = 0
    found.scan()
    assert found.devices == [], "nothing has changed that can be seen without opening it"
    Path(button).chmod(0o640)
    found.scan()
    assert paths(found) == [button]
    assert found.problems == {}


def test_device_is_tried_again_after_another_error(
    input_kernel: InputKernel, found: Inputs
) -> None:
    button = input_kernel.plug_in(4, error=errno.EMFILE)
    found.scan()
    assert found.problems == {button: f"{button} (button@11) cannot be read: Too many open files"}
    input_kernel.refused[button] = 0
    found.scan()
    assert paths(found) == [button]
    input_kernel.unplug(button)
    found.wait(1)


def test_refused_device_that_has_gone_is_forgotten(
    input_kernel: InputKernel, found: Inputs
) -> None:
    button = input_kernel.plug_in(4, error=errno.EPERM)
    found.scan()
    assert found.problems
    input_kernel.unplug(button)
    found.scan()
    assert found.problems == {}


def test_one_device_may_be_chosen_by_a_link(input_kernel: InputKernel, tmp_path: Path) -> None:
    input_kernel.plug_in(1)
    link = tmp_path / "platform-button@11-event"
    link.symlink_to(input_kernel.folder / "event2")
    found = Inputs(str(link), BELL)
    found.scan()
    assert found.problems == {
        str(link): f"There is no device at {link}; check that it is plugged in"
    }
    second = input_kernel.plug_in(2, "Second")
    found.scan()
    assert [(device.path, device.name) for device in found.devices] == [(str(link), "Second")]
    assert found.problems == {}
    input_kernel.press(second)
    assert len(found.wait(1)) == 1
    input_kernel.unplug(second)
    found.wait(1)
    found.scan()
    assert list(found.problems) == [str(link)]
    found.close()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ((28,), "{} (button@11) has no key 256; sudo doorbelld bell lists its keys"),
        ((), "{} (button@11) is not an input device with a key"),
    ],
)
def test_chosen_device_without_the_key_is_reported(
    input_kernel: InputKernel, keys: tuple[int, ...], problem: str
) -> None:
    path = input_kernel.plug_in(1, keys=keys)
    found = Inputs(path, BELL)
    found.scan()
    assert found.problems == {path: problem.format(path)}
    assert input_kernel.opened == []


def test_wake_up_ends_the_wait(input_kernel: InputKernel, found: Inputs) -> None:
    input_kernel.plug_in(1)
    found.scan()
    wakeup = Wakeup()
    wakeup.set()
    assert found.wait(60, wakeup) == []
    wakeup.close()

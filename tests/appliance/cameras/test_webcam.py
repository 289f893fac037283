"""Webcams that send JPEG, through real V4L2 drivers, read by the fully confined service.

Most tests run with both: uvcvideo, which nearly every USB webcam uses, and v4l2loopback.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.appliance.cameras import webcam
from tests.appliance.cameras.watching import (
    camera,
    configure,
    parts,
    pid,
    resident,
    snapshot,
    uses_opencv,
    wait_for,
)
from tests.appliance.cameras.webcam import Loopback, UsbWebcam, Webcam
from tests.appliance.machine import VirtualMachine
from tests.support.daemon import eventually
from tests.support.stream_parser import Part

MOST_MEMORY = 36.0
"""MiB: what README promises, 6 of it for bell and visits. These pictures are small."""

TIMEOUT = 60.0

SECOND = "doorbelld --set=server.listen=127.0.0.1:5001 --set=camera.source=v4l2:"
"""Another daemon, without its device."""

ASK_SECOND = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:5001/status").read().decode())
"""


@pytest.fixture(params=["uvcvideo", "v4l2loopback"])
def either(request: pytest.FixtureRequest, webcams: tuple[UsbWebcam, Loopback]) -> Webcam:
    """Return a webcam of each driver, not plugged in."""
    return webcams[0] if request.param == "uvcvideo" else webcams[1]


def numbers(vm: VirtualMachine, found: list[Part], size: str = "640x480") -> list[int]:
    """Return which of the camera's pictures these are, each of them to the last byte."""
    sent = webcam.pictures(vm.root, size)
    return [sent.index(part.body) for part in found]


def wait_for_pictures(vm: VirtualMachine, count: int) -> dict[str, Any]:
    """Wait for so many more; return what /status says then."""
    first = camera(vm)["frames"]

    def poll() -> dict[str, Any] | None:
        found = camera(vm)
        return found if found["frames"] >= first + count else None

    return eventually(poll, f"{count} more pictures", TIMEOUT)


def start(vm: VirtualMachine) -> dict[str, Any]:
    """Start the service, and wait until it shows the webcam."""
    vm.run("systemctl start doorbelld")
    return wait_for(vm, "streaming")


def wait_for_opening(vm: VirtualMachine, opened: int) -> None:
    eventually(lambda: camera(vm)["reopened"] > opened, "it is opened again", TIMEOUT)


def test_pictures_reach_a_viewer_byte_for_byte_and_in_order(
    vm: VirtualMachine, either: Webcam
) -> None:
    either.plug_in()
    start(vm)
    found = wait_for(vm, "streaming", rf"^{either.name} \({either.path}\), 640x480")
    assert (found["width"], found["height"]) == (640, 480)
    seen = parts(vm, 40)
    shown = numbers(vm, seen)
    steps = [(after - before) % webcam.COUNT for before, after in zip(shown, shown[1:])]
    assert 0 not in steps
    assert steps.count(1) > 20
    times = [float(part.timestamp) for part in seen]
    assert times == sorted(set(times))
    after = camera(vm)
    assert 0 <= after["age_ms"] < 2000
    assert after["invalid"] == 0


def test_opencv_is_not_loaded_for_it_and_memory_is_what_readme_says(
    vm: VirtualMachine, either: Webcam
) -> None:
    either.plug_in()
    start(vm)
    wait_for(vm, "streaming", "MJPG")
    parts(vm, 40)
    used = resident(vm)
    print(f"\n{used:.1f} MiB resident")
    assert not uses_opencv(vm)
    assert used < MOST_MEMORY


def test_webcam_that_is_unplugged_and_plugged_in_again(vm: VirtualMachine, either: Webcam) -> None:
    configure(vm, source=f"v4l2:{either.path}")
    vm.run("systemctl start doorbelld")
    before = pid(vm)
    for _ in range(2):
        either.plug_in()
        wait_for(vm, "streaming", either.name)
        numbers(vm, parts(vm, 3))
        either.unplug()
        wait_for(vm, "offline", f"There is no camera at {either.path}; check that it is plugged")
    assert pid(vm) == before


def test_log_says_that_it_was_unplugged(vm: VirtualMachine, usb_webcam: UsbWebcam) -> None:
    usb_webcam.plug_in()
    start(vm)
    vm.run("journalctl --rotate --quiet; journalctl --vacuum-time=1s --quiet")
    usb_webcam.unplug()
    said = r"Test Webcam \(/dev/video0\) was unplugged"
    eventually(
        lambda: re.search(said, vm.run("journalctl --no-pager --unit=doorbelld")), said, TIMEOUT
    )


def test_silent_webcam_is_reported_and_shown_again(vm: VirtualMachine, either: Webcam) -> None:
    either.plug_in()
    start(vm)
    before = pid(vm)
    held = f"cat /proc/{before}/maps; ls -l /proc/{before}/fd"
    first = vm.run(held).count(either.path)
    for _ in range(2):
        opened = camera(vm)["reopened"]
        either.fall_silent()
        wait_for(vm, "offline", rf"{either.name} \({either.path}\) has sent no picture for 5 s")
        either.go_on()
        wait_for(vm, "streaming")
        numbers(vm, parts(vm, 5))
        assert camera(vm)["reopened"] > opened
        assert vm.run(held).count(either.path) == first, "nothing of an earlier opening is left"
    assert pid(vm) == before, "the driver did not hang"


def test_short_silence_is_waited_for(vm: VirtualMachine, usb_webcam: UsbWebcam) -> None:
    usb_webcam.plug_in()
    before = start(vm)
    usb_webcam.fall_silent()
    eventually(lambda: camera(vm)["age_ms"] > 1500, "it is silent", TIMEOUT)
    usb_webcam.go_on()
    after = wait_for_pictures(vm, 10)
    assert (after["state"], after["since"]) == ("streaming", before["since"])
    assert after["reopened"] == before["reopened"]
    numbers(vm, parts(vm, 5))


def test_webcam_that_another_program_reads_is_busy_until_that_ends(
    vm: VirtualMachine, either: Webcam
) -> None:
    either.plug_in()
    read = f"v4l2-ctl --device={either.path} --stream-mmap --stream-to=/root/seen"
    # A device of v4l2loopback is no camera before it is fed, which takes a moment.
    loop = f"until test -s /root/seen; do {read}; sleep 1; done"
    vm.run(f"rm -f /root/seen; systemd-run --quiet --collect --unit=holder sh -c '{loop}'")
    eventually(lambda: vm.run("test -s /root/seen && echo yes", check=False), "it reads", TIMEOUT)
    vm.run("systemctl start doorbelld")
    in_use = f"The camera {either.path} is in use by another program"
    wait_for(vm, "offline", in_use)
    row = json.loads(vm.run("doorbelld cameras --json"))["cameras"][0]
    assert "v4l2-ctl" in row["used_by"]
    assert row["problem"] == in_use
    assert re.search(r"In use by .*\bv4l2-ctl\b", vm.run("doorbelld cameras"))
    vm.run("systemctl stop holder")
    wait_for(vm, "streaming")
    numbers(vm, parts(vm, 3))


def test_two_daemons_do_not_disturb_each_other(vm: VirtualMachine, usb_webcam: UsbWebcam) -> None:
    def second(expected: str) -> bool:
        return expected in vm.run(f"python3 -c '{ASK_SECOND}'", check=False)

    usb_webcam.plug_in()
    before = start(vm)
    options = "--uid=doorbelld --gid=doorbelld --property=SupplementaryGroups=video"
    vm.run(f"systemd-run --quiet --collect --unit=second {options} {SECOND}{usb_webcam.path}")
    in_use = f"The camera {usb_webcam.path} is in use by another program"
    eventually(lambda: second(in_use), "the second waits for the camera", TIMEOUT)
    after = wait_for_pictures(vm, 10)
    assert (after["since"], after["reopened"]) == (before["since"], before["reopened"])
    vm.run("systemctl stop doorbelld")
    eventually(lambda: second('"streaming"'), "the second has taken over", TIMEOUT)
    vm.run("systemctl start doorbelld")
    wait_for(vm, "offline", in_use)


def test_it_is_opened_again_at_restarts_and_reloads(
    vm: VirtualMachine, usb_webcam: UsbWebcam
) -> None:
    usb_webcam.plug_in()
    start(vm)
    for _ in range(2):
        vm.run("systemctl restart doorbelld")
        wait_for(vm, "streaming")
        numbers(vm, parts(vm, 3))
    for quality in (70, 60):
        opened = camera(vm)["reopened"]
        configure(vm, quality=quality)
        wait_for_opening(vm, opened)
        wait_for(vm, "streaming")
        numbers(vm, parts(vm, 3))


def test_nearest_size_that_it_has_is_taken(vm: VirtualMachine, usb_webcam: UsbWebcam) -> None:
    usb_webcam.plug_in()
    start(vm)
    for asked, made in (
        ("320x240", "320x240"),
        ("33x17", "320x240"),
        ("1920x1080", "640x480"),
        ("600x490", "640x480"),
    ):
        opened = camera(vm)["reopened"]
        configure(vm, resolution=asked)
        wait_for_opening(vm, opened)
        wait_for(vm, "streaming", made)
        numbers(vm, parts(vm, 3), made)


def test_webcam_with_one_size_keeps_it(vm: VirtualMachine, loopback: Loopback) -> None:
    loopback.plug_in()
    start(vm)
    for size in ("320x240", "1920x1080"):
        opened = camera(vm)["reopened"]
        configure(vm, resolution=size)
        wait_for_opening(vm, opened)
        wait_for(vm, "streaming", "640x480")
        numbers(vm, parts(vm, 3))


def test_lower_frame_rate_is_the_cameras_own(vm: VirtualMachine, usb_webcam: UsbWebcam) -> None:
    configure(vm, framerate=4)
    usb_webcam.plug_in()
    start(vm)
    rate = vm.run(f"v4l2-ctl --device={usb_webcam.path} --get-parm")
    assert "4.000 (4/1)" in rate
    shown = numbers(vm, parts(vm, 10))
    steps = [(after - before) % webcam.COUNT for before, after in zip(shown, shown[1:])]
    assert steps.count(1) > 5, "no picture was sent only to be dropped"


def test_age_is_that_of_the_drivers_time_stamp(vm: VirtualMachine, loopback: Loopback) -> None:
    loopback.add()
    loopback.feed("640x480", age=1.5)
    start(vm)
    for _ in range(5):
        assert 1500 <= camera(vm)["age_ms"] < 4000


def test_time_stamp_of_another_clock_is_not_believed(
    vm: VirtualMachine, loopback: Loopback
) -> None:
    loopback.add()
    for age in (-86400, 60):
        vm.run("systemctl stop doorbelld")
        loopback.feed("640x480", age=age)
        start(vm)
        for _ in range(5):
            assert 0 <= camera(vm)["age_ms"] < 2000


def test_driver_that_gives_only_two_buffers(vm: VirtualMachine, loopback: Loopback) -> None:
    loopback.add("--buffers=2")
    loopback.feed("640x480")
    start(vm)
    shown = numbers(vm, parts(vm, 40))
    assert len(set(shown)) > webcam.COUNT // 2
    after = wait_for_pictures(vm, 10)
    assert (after["invalid"], after["state"]) == (0, "streaming")


def test_zeros_behind_a_picture_are_cut_off(vm: VirtualMachine, loopback: Loopback) -> None:
    loopback.add()
    loopback.feed("padded")
    start(vm)
    numbers(vm, parts(vm, 20))
    assert camera(vm)["invalid"] == 0


def test_garbage_between_the_pictures_is_counted_and_never_shown(
    vm: VirtualMachine, loopback: Loopback
) -> None:
    loopback.add()
    loopback.feed("garbage")
    start(vm)
    numbers(vm, parts(vm, 10))
    found = camera(vm)
    assert found["state"] == "streaming"
    assert found["invalid"] >= 10
    assert "damaged" in vm.run("journalctl --no-pager --unit=doorbelld --lines=20")


def test_picture_that_was_cut_off_never_reaches_a_viewer_torn(
    vm: VirtualMachine, loopback: Loopback
) -> None:
    loopback.add()
    loopback.feed("cut")
    start(vm)
    bodies = [part.body for part in parts(vm, 20)]
    assert all(body.startswith(b"\xff\xd8") and body.endswith(b"\xff\xd9") for body in bodies)
    assert set(bodies) & set(webcam.pictures(vm.root))


def test_snapshot_is_the_newest_although_nobody_was_watching(
    vm: VirtualMachine, usb_webcam: UsbWebcam
) -> None:
    usb_webcam.plug_in()
    start(vm)
    wait_for_pictures(vm, 20)
    usb_webcam.fall_silent()
    eventually(lambda: camera(vm)["age_ms"] > 1000, "it is silent", TIMEOUT)
    newest = snapshot(vm)
    numbers(vm, [newest])
    age = camera(vm)["age_ms"] / 1000
    now = float(vm.run("date +%s.%N"))
    # Asking for the time takes a while.
    assert age <= now - float(newest.headers["x-timestamp"]) + 0.001 < age + 10
    usb_webcam.go_on()
    wait_for_pictures(vm, 3)
    assert float(snapshot(vm).headers["x-timestamp"]) > float(newest.headers["x-timestamp"]) + 1


def test_command_lists_formats_and_sizes(vm: VirtualMachine, either: Webcam) -> None:
    either.plug_in()
    start(vm)
    (row,) = json.loads(vm.run("doorbelld cameras --json"))["cameras"]
    assert row["source"] == f"v4l2:{either.path}"
    assert row["name"] == either.name
    (sizes,) = [each["sizes"] for each in row["formats"] if each["format"] == "MJPG"]
    assert "640x480" in sizes
    assert re.search(r"MJPG +.*640x480", vm.run("doorbelld cameras"))

"""A real V4L2 driver, used by the fully confined service, and seen on a phone.

The machine has its own kernel, whose vivid module is a camera that can be plugged in, removed and
plugged in again. The tests share a machine, but do not depend on each other.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.appliance.cameras.watching import TIMEOUT, wait_for
from tests.appliance.machine import VirtualMachine
from tests.support import chromium
from tests.support.daemon import eventually

DRIVER = "/sys/bus/platform/drivers/vivid"
UNPLUG = f"echo ready && read -r _ && echo vivid.0 > {DRIVER}/unbind"
"""Removes the camera when it gets a line: logging in takes longer than the time to measure."""

HOLD = """
import sys
sys.path.insert(0, "/usr/lib/doorbelld")
import cv2
camera = cv2.VideoCapture("/dev/video0", cv2.CAP_V4L2)
print("holding" if camera.read()[0] else "failed", flush=True)
sys.stdin.read()
"""
"""Another program that uses the camera until its standard input is closed."""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """Return the browser of a phone, outside the machine."""
    with chromium.chromium(tmp_path) as browser:
        yield browser.new_context(
            viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
        ).new_page()


def open_page(page: Page, vm: VirtualMachine) -> None:
    page.goto(f"http://127.0.0.1:{vm.port}/", wait_until="domcontentloaded")
    wait_for_picture(page)


def wait_for_badge(page: Page, *states: str) -> None:
    stage = page.locator(", ".join(f"#stage[data-state={state}]" for state in states))
    try:
        stage.wait_for(timeout=TIMEOUT * 1000)
    except PlaywrightTimeoutError:
        raise AssertionError(f"never {states}:\n{page.locator('#stage').inner_text()}") from None


def wait_for_picture(page: Page) -> None:
    """Wait until the page shows the door; on an emulated processor that may be slow."""
    wait_for_badge(page, "live", "slow")


def wait_for_motion(page: Page) -> None:
    first = page.locator("#picture").screenshot()
    eventually(lambda: page.locator("#picture").screenshot() != first, "the picture moves", TIMEOUT)


def test_a_camera_that_appears_long_after_boot_is_picked_up(
    vm: VirtualMachine, vivid: Callable[..., None], page: Page
) -> None:
    wait_for(vm, "offline", "No camera found")
    vm.run("test $(cut -d. -f1 /proc/uptime) -ge 60 || sleep 60")
    before = vm.run("systemctl show --value --property=MainPID doorbelld")
    vivid()
    found = wait_for(vm, "streaming", "vivid")
    assert (found["width"], found["height"]) == (640, 480)
    assert "/dev/video0" in vm.run(f"ls -l /proc/{before.strip()}/fd")
    open_page(page, vm)
    wait_for_motion(page)
    assert vm.run("systemctl show --value --property=MainPID doorbelld") == before


def test_page_reports_that_a_camera_was_unplugged_and_shows_it_again_later(
    vm: VirtualMachine, vivid: Callable[..., None], page: Page
) -> None:
    vivid()
    wait_for(vm, "streaming")
    before = vm.run("systemctl show --value --property=MainPID doorbelld")
    open_page(page, vm)
    for _ in range(2):
        with vm.start(UNPLUG) as unplug:
            assert unplug.stdin
            assert unplug.stdout
            assert unplug.stdout.readline() == "ready\n"
            unplugged_at = time.monotonic()
            unplug.stdin.write("now\n")
            unplug.stdin.flush()
            wait_for_badge(page, "offline")
            pause = time.monotonic() - unplugged_at
        print(f"\nthe page shows that the camera is gone after {pause:.1f} s")
        assert pause < 5
        wait_for(vm, "offline", r"check that (it|one) is plugged in|has gone|unplugged")
        vm.run(f"echo vivid.0 > {DRIVER}/bind")
        wait_for_picture(page)
        wait_for_motion(page)
    assert vm.run("systemctl show --value --property=MainPID doorbelld") == before


def test_auto_takes_the_first_of_two_cameras_and_source_chooses_the_other(
    vm: VirtualMachine, vivid: Callable[..., None]
) -> None:
    vivid("n_devs=2")
    rows = json.loads(vm.run("doorbelld cameras --json"))["cameras"]
    assert [row["source"] for row in rows] == ["v4l2:/dev/video0", "v4l2:/dev/video1"]
    assert [row["auto"] for row in rows] == [True, False]
    assert "640x480" in [size for one in rows[0]["formats"] for size in one["sizes"]]
    wait_for(vm, "streaming", "/dev/video0")
    chosen = "[camera]\\nsource = v4l2:/dev/video1\\n"
    vm.run(f"printf '{chosen}' > /etc/doorbelld/conf.d/test.conf; systemctl reload doorbelld")
    wait_for(vm, "streaming", "/dev/video1")


def test_a_camera_that_another_program_uses_is_reported_as_busy(
    vm: VirtualMachine, vivid: Callable[..., None]
) -> None:
    vm.run("systemctl stop doorbelld")
    vivid()
    with vm.start(f"python3 -c '{HOLD}'") as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "holding\n"
        vm.run("systemctl start doorbelld")
        wait_for(vm, "offline", "/dev/video0 is in use by another program")
        # The daemon may be listed as well, because it keeps trying to open the camera.
        assert re.search(r"In use by .*\bpython3\b", vm.run("doorbelld cameras"))
        assert "in use by another program" in vm.run("doorbelld status", check=False)
        holder.communicate()
    wait_for(vm, "streaming")

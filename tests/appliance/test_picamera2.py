"""The real picamera2 over the real libcamera. Only the cameras are not real.

What needs a Raspberry Pi is in tests/camera/test_picamera2.py: the hardware encoder, real modes of
sensors, a camera that another process uses.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.virtual_pi import PiDaemon, VirtualPi
from tests.support.daemon import Daemon, eventually
from tests.support.processes import descriptors, resident, threads
from tests.support.stream import Stream


@pytest.fixture(scope="module")
def pi(disks: Path) -> Iterator[VirtualPi]:
    """Return the system; it takes a minute or two to install."""
    found = VirtualPi(disks / "pi")
    found.make()
    yield found
    shutil.rmtree(found.root)


# Our camera and the library.


def test_a_number_opens_the_camera_that_is_listed_with_it(pi: VirtualPi) -> None:
    found = pi.check("numbers")
    assert found["listed"] == found["opened"] == {"0": "imxB", "1": "imxA"}
    there_is = "there is: 0 (imxB), 1 (imxA)"
    assert found["missing"] == f"Raspberry Pi camera 3 is not detected; {there_is}"


def test_many_openings_leave_nothing_behind(pi: VirtualPi) -> None:
    found = pi.check("many_openings")
    opened, oldest = 1000 * found["slowest_open"], 1000 * found["oldest"]
    print(f"\n{found['after']} descriptors and threads; open {opened:.0f} ms, age {oldest:.0f} ms")
    assert found["after"] == found["before"]


def test_a_failed_opening_leaves_nothing_behind_and_the_next_one_works(pi: VirtualPi) -> None:
    for step, found in pi.check("failures").items():
        print(f"\n{step}: {found['before']}, {found['after']}", end="")
        [said] = found["said"]
        assert said.startswith("Raspberry Pi camera 0 does not start: LookupError: injected"), step
        assert found["then"] == "works", step
        assert found["after"][0] <= found["before"][0], step
        assert found["after"][1] <= found["before"][1], step


def test_a_camera_whose_event_thread_has_died_is_closed_and_opened_again(pi: VirtualPi) -> None:
    found = pi.check("dead_event_thread")
    print(f"\nclosed after {found['seconds']:.2f} s")
    assert found["then"] == "works"


def test_pictures_of_a_slow_encoder_are_not_old(pi: VirtualPi) -> None:
    ages = pi.check("slow_encoder")
    print(f"\n{1000 * statistics.median(ages):.0f} ms old, of which the encoder needs 100")
    assert statistics.median(ages) < 0.3


def test_a_picture_is_encoded_only_if_it_is_wanted(pi: VirtualPi) -> None:
    assert pi.check("at_rest") == {"before": 0, "after": 1, "data": "a picture"}


def test_every_sensor_is_in_the_mode_with_its_full_view(pi: VirtualPi) -> None:
    found = pi.check("sensors")
    small, large = "640x480", "1920x1080"
    view = ", full field of view"
    assert found[f"v1 {small}"] == [[1296, 972], f"sensor at 1296x972{view}"]
    assert found[f"v2 {small}"] == [[1640, 1232], f"sensor at 1640x1232{view}"]
    assert found[f"v3 {small}"][0] == [2304, 1296]
    assert found[f"v3 {small}"][1].startswith(f"sensor at 2304x1296{view}, cut to 75 %")
    assert found[f"hq {small}"] == [[2028, 1520], f"sensor at 2028x1520{view}"]
    assert found[f"v1 {large}"][0] == [2592, 1944]
    assert found[f"v2 {large}"][0] == [3280, 2464]
    assert found[f"v3 {large}"][0] == [2304, 1296]
    assert found[f"hq {large}"][0] == [2028, 1520]


def test_asks_for_the_colours_of_a_jpeg(pi: VirtualPi) -> None:
    assert pi.check("colours") == ["<libcamera.ColorSpace 'sYCC'>"]


def test_of_the_librarys_lines_only_errors_are_logged_and_only_once(pi: VirtualPi) -> None:
    done = pi.run("python3", "checks.py", "log_lines")
    assert json.loads(done.stdout) == ["Raspberry Pi camera 0 is in use by another program"]
    working, _, rest = done.stderr.partition("INFO now it fails\n")
    failing, _, in_use = rest.partition("INFO now it is in use\n")
    assert working == ""
    assert failing == "WARNING picamera2: Camera __init__ sequence did not complete.\n"
    busy = "Camera in Running state trying acquire() requiring state Available"
    assert re.fullmatch(rf"WARNING libcamera: ERROR Camera \S+ {re.escape(busy)}\n", in_use)


# The daemon.


@pytest.mark.parametrize("source", ["auto", "picamera2:1"])
def test_the_daemon_streams_from_it_and_stops_in_time(
    pi: VirtualPi, tmp_path: Path, source: str
) -> None:
    number = source.partition(":")[2] or "0"
    with PiDaemon(tmp_path, pi) as daemon:
        daemon.start({"camera.source": source})
        detail = daemon.wait_for_state("streaming")["detail"]
        assert detail == f"Raspberry Pi camera {number}, 640x480"
        with Stream(daemon) as stream:
            parts = [stream.part() for _ in range(30)]
            age = time.time() - float(parts[-1].timestamp)
        assert len({part.body for part in parts}) > 20
        print(f"\n{1000 * age:.0f} ms old, {resident(daemon.pid) >> 20} MB", end="")
        assert resident(daemon.pid) < 80 << 20
        started_at = time.monotonic()
        assert daemon.stop() == 0
        print(f", stopped in {time.monotonic() - started_at:.2f} s", end="")
        lines = [line for line in daemon.log().splitlines() if "streaming" not in line]
        assert not re.search("hangs|picamera2:|libcamera|INFO", "\n".join(lines))


def test_the_daemon_recovers_from_a_library_whose_event_thread_has_died(
    pi: VirtualPi, tmp_path: Path
) -> None:
    fault = pi.root / "src/fault"
    with PiDaemon(tmp_path, pi) as daemon:
        daemon.start({"camera.source": "picamera2", "camera.stall_timeout": 1})
        daemon.wait_for_state("streaming")
        fault.touch()
        daemon.wait_for_state("offline")
        fault.unlink()
        daemon.wait_for_state("streaming")
        assert daemon.status()["camera"]["reopened"] > 0
        line = "picamera2: Exception during process_requests(): LookupError: a fault of the library"
        assert daemon.log().count(line) == 1
        assert daemon.stop() == 0
        assert "hangs" not in daemon.log()


def held_between(daemon: Daemon, tries: Path, number: int) -> tuple[int, int]:
    """Return how many descriptors and threads it has between a try, by its number, and the next."""
    found: list[tuple[int, int]] = []

    def is_over() -> bool:
        count = tries.read_text().count("libcamera v") if tries.is_file() else 0
        if count == number:
            found.append((len(descriptors(daemon.pid)), threads(daemon.pid)))
        return count > number

    eventually(is_over, "the next try")
    return min(found)


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ({"pi_5": False}, "No such file or directory: '/dev/video11'"),
        ({"memory": False}, "Could not open any dmaHeap device"),
    ],
)
def test_the_daemon_says_what_is_missing_and_loses_nothing_while_it_tries(
    pi: VirtualPi, tmp_path: Path, machine: dict[str, bool], why: str
) -> None:
    tries = pi.root / "src/libcamera.log"  # libcamera writes a line at every try
    tries.unlink(missing_ok=True)
    log = {"LIBCAMERA_LOG_LEVELS": "*:INFO", "LIBCAMERA_LOG_FILE": "/src/libcamera.log"}
    with PiDaemon(tmp_path, pi, log, **machine) as daemon:
        daemon.start({"camera.source": "picamera2"})
        before, after = (held_between(daemon, tries, number) for number in (2, 3))
        detail = daemon.status()["camera"]["detail"]
        assert "Raspberry Pi camera 0 does not start: " in detail
        assert why in detail
        print(f"\n{before}, {after} descriptors and threads", end="")
        assert after <= before
        assert daemon.stop() == 0


def test_the_daemon_says_which_numbers_there_are(pi: VirtualPi, tmp_path: Path) -> None:
    with PiDaemon(tmp_path, pi) as daemon:
        daemon.start({"camera.source": "picamera2:3"})
        detail = daemon.wait_for_state("offline")["detail"]
        assert detail.startswith("Raspberry Pi camera 3 is not detected; there is: 0 (imxB), 1 (")
        assert eventually(lambda: "not detected" in daemon.log(), "a line in the log")


def test_the_cameras_are_listed_without_a_word_of_the_library(pi: VirtualPi) -> None:
    done = pi.run("python3", "-m", "doorbelld", "cameras")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "picamera2:0  Raspberry Pi camera 0 imxB  (auto takes this one)",
        "",
        "picamera2:1  Raspberry Pi camera 1 imxA",
    ]

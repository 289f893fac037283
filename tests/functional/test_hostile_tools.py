"""slowhttptest, a well-known tool for slow requests, in all its modes: viewers lose nothing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from tests.support.condition import Condition
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import allow_many_files
from tests.support.service_manager import environment_of_the_unit
from tests.support.viewer_group import lossless_viewers

VIEWERS, CONNECTIONS = 50, 300
MAX_REQUESTS = 4
MODES = {
    "slow headers": ["-H", "-i", "1", "-l", "60"],
    "slow body": ["-B", "-i", "1", "-s", "4000", "-l", "60"],
    "slow body that is too long": ["-B", "-i", "1", "-s", "1000000", "-l", "60"],
    "ranges": ["-R", "-a", "1", "-b", "3000", "-t", "GET", "-l", "60"],
    "slow read": ["-X", "-w", "1", "-y", "64", "-n", "1", "-z", "8", "-k", "10", "-l", "10"],
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, PipeCamera]]:
    """Return a daemon with timeouts of three seconds, and its camera."""
    allow_many_files()
    folder = tmp_path_factory.mktemp("door")
    settings: dict[str, object] = {
        "camera.stall_timeout": 3600,
        "server.max_requests": MAX_REQUESTS,
        "server.header_timeout": 3,
        "server.stall_timeout": 3,
    }
    with PipeCamera(folder / "camera.mjpeg") as camera, Daemon(folder) as daemon:
        settings["camera.source"] = camera.source
        daemon.start(settings, environ=environment_of_the_unit())
        camera.show(numbered(0))
        daemon.wait_for_state("streaming")
        yield daemon, camera


def attack(daemon: Daemon, mode: Sequence[str]) -> subprocess.Popen[str]:
    command = ["slowhttptest", *mode, "-c", str(CONNECTIONS), "-r", str(CONNECTIONS)]
    command += ["-p", f"{GUARD:.0f}", "-u", f"http://127.0.0.1:{daemon.port}/snapshot.jpg"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="ascii"
    )


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_slowhttptest_is_not_noticed(door: tuple[Daemon, PipeCamera], mode: Sequence[str]) -> None:
    daemon, camera = door
    camera.show(numbered(0))
    eventually(lambda: daemon.request("/snapshot.jpg")[1] == numbered(0), "the first picture")
    with lossless_viewers(daemon, camera, VIEWERS) as viewers:
        before = Condition.of(daemon.pid)
        with attack(daemon, mode) as tool:
            while tool.poll() is None:
                viewers.show_next(kilobytes=20)
                assert daemon.request("/")[0].status == 200
                with suppress(subprocess.TimeoutExpired):
                    tool.wait(0.05)
            assert tool.stdout
            said = re.sub(r"\x1b\[[\d;]*m", "", tool.stdout.read())  # without its colours
        assert set(re.findall(r"service available: +(\w+)", said)) == {"YES"}, said
        # All of them but the slow readers are closed long before they would leave.
        end = "Hit test time limit" if "-X" in mode else "No open connections left"
        assert f"Exit status: {end}" in said
        viewers.show_next(kilobytes=20)
        # Threads for requests stay, once they were needed.
        before._replace(threads=before.threads + MAX_REQUESTS).wait_until_back()

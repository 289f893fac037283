"""Viewers with adaptive quality: smaller pictures on a slow link, the camera's own on another."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from doorbelld.media import jpeg
from tests.support import pictures
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.fault_injector import FaultInjector
from tests.support.live_stream import LiveStream
from tests.support.network_namespace import NamespacedDaemon, NetworkNamespace
from tests.support.paths import STREAMS
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import has_loaded, resident, threads
from tests.support.stream import Part, Stream
from tests.support.stream_parser import StreamParser

DOOR, PHONE = "192.168.77.1", "192.168.77.2"
LARGE, FPS = (640, 480), 20


def film(path: Path, width: int, height: int) -> Path:
    """Write some pictures with so much in them that they take some 60 KB in 640x480."""
    random = np.random.default_rng(1)
    scene = cv2.resize(pictures.scene(), (width, height)).astype(np.int16)
    noise = random.integers(-25, 25, (height, width, 3), np.int16)
    shots = [np.clip(scene + np.roll(noise, 7 * n, 1), 0, 255).astype(np.uint8) for n in range(6)]
    path.write_bytes(
        b"".join(pictures.encoded(shot, cv2.IMWRITE_JPEG_QUALITY, 75) for shot in shots)
    )
    return path


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    path = film(tmp_path_factory.mktemp("film") / "large.mjpeg", *LARGE)
    return {"camera.source": f"file:{path}", "camera.framerate": FPS}


def width_of(part: Part) -> int:
    """Return a part's width, which must be the one that X-Quality names, if it does."""
    size = jpeg.size(part.body)
    assert size
    named = part.headers.get("x-quality")
    assert named in (None, str(size[0]))
    return size[0]


class Watching:
    """Reads a stream; no picture may be torn, or older than the one before."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._newest = 0.0

    def part(self) -> Part:
        """Return the next part."""
        part = self._stream.part()
        assert float(part.timestamp) > self._newest
        self._newest = float(part.timestamp)
        assert (
            cv2.imdecode(np.frombuffer(part.body, np.uint8), cv2.IMREAD_REDUCED_COLOR_8) is not None
        )
        return part

    def until(self, is_it: Callable[[Part], bool], what: str) -> list[Part]:
        """Read until a part is as asked; return all that came."""
        give_up_at = time.monotonic() + GUARD
        found = [self.part()]
        while not is_it(found[-1]):
            assert time.monotonic() < give_up_at, f"never: {what}"
            found.append(self.part())
        return found


def is_own(part: Part) -> bool:
    """Whether it is the camera's own picture."""
    return "x-quality" not in part.headers


@contextmanager
def watching(daemon: Daemon, query: str) -> Iterator[Watching]:
    with Stream(daemon, f"/video_feed?{query}") as stream:
        assert stream.status == 200
        yield Watching(stream)


def quality(daemon: Daemon, key: str) -> str:
    [row] = daemon.status(f"?key={key}")["viewers"]
    found: str = row["quality"]
    return found


@pytest.mark.parametrize("path", [*STREAMS, "/live"])
@pytest.mark.parametrize(
    "wrong",
    ["quality=best", "quality=", "width=0", "width=x", "width=-5", "rate=0", "rate=nan", "rate=x"],
)
def test_wrong_wish_is_refused(doorbell: Daemon, path: str, wrong: str) -> None:
    separator = "&" if "?" in path else "?"
    answer, body = doorbell.request(f"{path}{separator}{wrong}", "HEAD")
    assert (answer.status, body) == (400, b"")
    answer, body = doorbell.request(f"{path}{separator}{wrong}")
    assert answer.status == 400
    assert body.startswith(wrong.partition("=")[0].encode())


def test_good_link_gets_the_cameras_own_bytes(daemon: Daemon, large: dict[str, object]) -> None:
    daemon.start(large)
    path = Path(str(large["camera.source"]).partition(":")[2])
    whole = path.read_bytes()
    before = threads(daemon.pid)
    with watching(daemon, "quality=auto&key=k") as viewer:
        for _ in range(2 * FPS):
            part = viewer.part()
            assert is_own(part)
            assert part.body in whole
        assert quality(daemon, "k") == "auto"
    assert not has_loaded(daemon.pid, "cv2")
    assert threads(daemon.pid) == before


@pytest.mark.parametrize(("width", "made"), [(500, 320), (320, 320), (1, 320), (640, 0), (2000, 0)])
def test_no_picture_is_wider_than_the_screen(
    daemon: Daemon, large: dict[str, object], width: int, made: int
) -> None:
    daemon.start(large)
    with watching(daemon, f"quality=auto&width={width}&key=k") as viewer:
        # On a busy machine, loading OpenCV may take longer than a viewer waits for.
        found = viewer.until(lambda part: is_own(part) != (made > 0), "such a picture")
        assert {width_of(part) for part in found if not is_own(part)} <= {made}
        assert quality(daemon, "k") == (f"auto {made}" if made else "auto")
    with watching(daemon, f"quality=full&width={width}&key=full") as viewer:
        assert is_own(viewer.part())
        assert quality(daemon, "full") == "full"


def test_rate_is_what_a_viewer_begins_with(daemon: Daemon, large: dict[str, object]) -> None:
    daemon.start(large)
    with watching(daemon, "quality=auto&rate=100000&key=k") as viewer:
        first = viewer.until(lambda part: not is_own(part), "a smaller picture")[-1]
        assert width_of(first) == 320
        assert len(first.body) < 10_000
        assert quality(daemon, "k") == "auto 320"


def test_rate_counts_for_a_viewer_that_is_there_before_the_first_picture(
    daemon: Daemon, pipe_camera: PipeCamera, large: dict[str, object]
) -> None:
    shots = Path(str(large["camera.source"]).partition(":")[2]).read_bytes()
    daemon.start({"camera.source": pipe_camera.source})
    with watching(daemon, "quality=auto&rate=100000&key=k") as viewer:
        assert quality(daemon, "k") == "full", "nothing is known of the camera's pictures yet"

        def is_smaller() -> bool:
            pipe_camera.show(shots)
            return not is_own(viewer.part())

        eventually(is_smaller, "a smaller picture")
        assert quality(daemon, "k") == "auto 320"


@pytest.mark.parametrize("path", ["/video_feed", "/live"])
def test_first_picture_is_no_larger_for_a_viewer_that_has_waited_long(
    daemon: Daemon, pipe_camera: PipeCamera, path: str
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    size = 1280, 720
    shot = pictures.encoded(cv2.resize(pictures.scene(), size), cv2.IMWRITE_JPEG_QUALITY, 90)
    query = "?quality=auto&width=400&rate=20000"
    stream = LiveStream(daemon, query) if path == "/live" else Stream(daemon, path + query)
    with stream:
        eventually(lambda: time.time() > daemon.status()["viewers"][0]["since"] + 2.5, "patience")
        pipe_camera.show(shot)
        while is_own(part := stream.part()):
            assert part.is_state or jpeg.size(part.body) != size, "the camera's own"


def test_camera_that_becomes_larger_sends_no_picture_of_that_size_to_a_small_screen(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    small = pictures.encoded(pictures.scene(320, 240))
    large = pictures.encoded(pictures.scene(1280, 720), cv2.IMWRITE_JPEG_QUALITY, 90)
    assert len(large) > 2 * 100_000, "it is not sent sooner than OpenCV is loaded"
    with LiveStream(daemon, "?quality=auto&width=400") as page:
        pipe_camera.show(small)
        assert page.picture().body == small
        pipe_camera.show(large)
        assert page.picture().headers.get("x-quality") == "320"


def test_each_form_of_the_stream_and_each_cap_work(
    daemon: Daemon, large: dict[str, object]
) -> None:
    daemon.start(large)
    path = "/video_feed?quality=auto&width=320&advance_headers=1"
    parser = StreamParser(advance=True)
    with daemon.connect() as sock, sock.makefile("rb") as file:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while file.readline() != b"\r\n":
            pass
        sizes: set[tuple[int, int] | None] = set()
        while (320, 240) not in sizes:
            sizes.update(jpeg.size(part.body) for part in parser.feed(file.read1()))
        assert sizes <= {LARGE, (320, 240)}
    with watching(daemon, "quality=auto&width=320&fps=5") as viewer:
        times = [float(viewer.part().timestamp) for _ in range(6)]
        assert times[-1] - times[1] > 0.7


def test_camera_with_much_larger_pictures_starts_a_phone_with_small_ones(
    daemon: Daemon, tmp_path: Path
) -> None:
    source = f"file:{film(tmp_path / 'huge.mjpeg', 3840, 2160)}"
    daemon.start({"camera.source": source, "camera.framerate": 5})
    with watching(daemon, "quality=auto&width=1170") as viewer:
        viewer.until(lambda part: width_of(part) == 960, "a picture for this screen")


# A link that is really slow.


@pytest.fixture
def door() -> Iterator[NetworkNamespace]:
    with NetworkNamespace() as found:
        yield found


@pytest.fixture
def phone(door: NetworkNamespace) -> Iterator[NetworkNamespace]:
    with NetworkNamespace(within=door) as found:
        door.link(found, "door0", "phone0")
        door.ip("address", "add", f"{DOOR}/24", "dev", "door0")
        found.ip("address", "add", f"{PHONE}/24", "dev", "phone0")
        yield found


@pytest.fixture
def remote(door: NetworkNamespace, tmp_path: Path) -> Iterator[NamespacedDaemon]:
    found = NamespacedDaemon(tmp_path, door)
    with found:
        yield found


def set_rate(door: NetworkNamespace, rate: str) -> None:
    """Make the link to the phone so fast."""
    shape = ("tbf", "rate", rate, "burst", "32kb", "latency", "300ms")
    command = ("tc", "qdisc", "replace", "dev", "door0", "root", *shape)
    subprocess.run([*door.prefix, *command], check=True)


@pytest.mark.parametrize("query", ["quality=auto", "quality=auto&fps=15"])
def test_quality_falls_with_the_link_and_comes_back(
    remote: NamespacedDaemon,
    door: NetworkNamespace,
    phone: NetworkNamespace,
    large: dict[str, object],
    query: str,
) -> None:
    set_rate(door, "200mbit")
    remote.start({**large, "server.listen": ":0"}, prefix=door.prefix)
    with remote.seen_from(phone, DOOR), watching(remote, f"{query}&key=k") as viewer:
        viewer.until(is_own, "a picture")
        set_rate(door, "2mbit")
        viewer.until(lambda part: len(part.body) < 15_000, "a picture that fits the link")
        assert quality(remote, "k").startswith("auto ")
        set_rate(door, "200mbit")
        viewer.until(is_own, "the camera's own picture")


def test_full_quality_stays_full_on_a_slow_link(
    remote: NamespacedDaemon,
    door: NetworkNamespace,
    phone: NetworkNamespace,
    large: dict[str, object],
) -> None:
    set_rate(door, "3mbit")
    remote.start({**large, "server.listen": ":0"}, prefix=door.prefix)
    with remote.seen_from(phone, DOOR), watching(remote, "key=k") as viewer:
        for _ in range(10):
            assert is_own(viewer.part())
        assert quality(remote, "k") == "full"


def test_report_of_a_viewer_behind_a_proxy_is_believed(
    daemon: Daemon, large: dict[str, object]
) -> None:
    daemon.start(large)
    with watching(daemon, "quality=auto&key=k") as viewer:
        assert is_own(viewer.part())
        answer, _ = daemon.request("/live/report?key=k&age=3.5&rate=250000", "POST")
        assert answer.status == 204
        found = viewer.until(lambda part: not is_own(part), "a smaller picture")
        assert len(found[-1].body) < 250_000 / FPS


# What goes wrong.


def test_without_opencv_all_get_the_cameras_own_pictures(
    daemon: Daemon, large: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError\n")
    daemon.start(large, environ={"PYTHONPATH": str(tmp_path)})
    with watching(daemon, "quality=auto&width=320&key=k") as viewer:
        for _ in range(FPS):
            assert is_own(viewer.part())
        eventually(lambda: quality(daemon, "k") == "full", "full")
    with watching(daemon, "quality=auto&width=320") as viewer:
        assert is_own(viewer.part())
    assert daemon.log().count("get the camera's own pictures") == 1
    state = first_state(daemon)
    assert state["quality"] == "full"


def first_state(daemon: Daemon) -> dict[str, object]:
    """Return the state with which the page's stream begins."""
    with daemon.connect() as sock, sock.makefile("rb") as file:
        sock.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for line in file:
            if line.startswith(b"{"):
                state: dict[str, object] = json.loads(line)
                return state
    raise AssertionError("no state")


def test_state_says_whether_quality_can_be_adapted(doorbell: Daemon) -> None:
    assert first_state(doorbell)["quality"] == "auto"


@pytest.mark.parametrize(
    "fault",
    [
        "import cv2; raise cv2.error('it failed')",
        "raise MemoryError",
        "raise OSError('no such luck')",
        "raise SystemExit",
        "return False, None",
    ],
)
def test_encoder_that_fails_ends_nothing(
    daemon: Daemon, large: dict[str, object], tmp_path: Path, fault: str
) -> None:
    injector = FaultInjector(tmp_path, "cv2:imencode", fault)
    daemon.start(large, environ=injector.environ)
    with watching(daemon, "quality=auto&width=320&key=k") as viewer:
        viewer.until(lambda part: not is_own(part), "a smaller picture")
        injector.fail_always()
        viewer.until(is_own, "the camera's own")
        for _ in range(5):
            assert is_own(viewer.part())
        injector.stop()
        viewer.until(lambda part: not is_own(part), "a smaller picture again")
    assert daemon.log().count("get the camera's own pictures") == 1


def test_encoder_that_hangs_costs_the_quality_alone(
    daemon: Daemon, large: dict[str, object], tmp_path: Path
) -> None:
    injector = FaultInjector(tmp_path, "cv2:imencode", "time.sleep(3600)")
    daemon.start(large, environ=injector.environ)
    with watching(daemon, "quality=auto&width=320") as viewer:
        viewer.until(lambda part: not is_own(part), "a smaller picture")
        injector.fail_always()
        viewer.until(is_own, "the camera's own")
        with watching(daemon, "quality=auto&width=320") as another:
            assert is_own(another.part())
        for _ in range(5):
            assert is_own(viewer.part())
    assert daemon.stop() == 0
    assert "left behind, still at work: encode" in daemon.log()


def test_first_picture_does_not_wait_for_the_encoder(
    daemon: Daemon, large: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "cv2.py").write_text("import time; time.sleep(3600)\n")
    daemon.start(large, environ={"PYTHONPATH": str(tmp_path)})
    daemon.wait_for_state("streaming")
    with watching(daemon, "quality=auto&width=320&key=k") as viewer:
        first = viewer.part()
        [row] = daemon.status("?key=k")["viewers"]
        assert float(first.timestamp) <= row["since"], "it was there when the viewer came"
        for _ in range(5):
            assert is_own(viewer.part())


def test_joins_and_leaves_cost_no_threads_and_no_memory(
    daemon: Daemon, large: dict[str, object]
) -> None:
    daemon.start(large)

    def join_and_leave() -> None:
        with watching(daemon, "quality=auto&width=320") as viewer:
            viewer.until(lambda part: not is_own(part), "a smaller picture")

    for _ in range(10):
        join_and_leave()
    before = threads(daemon.pid), resident(daemon.pid)
    for _ in range(100):
        join_and_leave()
    assert threads(daemon.pid) < before[0] + 10, "a few more may answer requests"
    assert resident(daemon.pid) < before[1] + 4 * 2**20

"""The bell and its visits: how soon a ring is seen, what it shows, and what all of it costs.

There is no button here that the kernel knows, so a press is a POST: it counts from the moment
before the request is sent.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import age, browser, material, procfs, servers, startup, stream
from doorbelld.media.frame import Frame
from doorbelld.stream.hub import FrameHub
from doorbelld.visits.recorder import VisitRecorder
from doorbelld.visits.recording import Lengths
from doorbelld.visits.store import VisitStore
from doorbelld.visits.visit import Kind, News

if TYPE_CHECKING:
    from bench.age import Ages
    from bench.load import ViewerGroup
    from bench.material import Material
    from bench.servers import Running, Server

_TOKEN = "0" * 32
_SETTLE = 3.0
_TIMEOUT = 30.0

_OBSERVE = """() => {
  const banner = document.getElementById("ring"), still = document.getElementById("ring-still");
  let shown = false;
  window.seen = [];
  const look = () => {
    const is = !banner.hidden && !still.hidden && still.complete && still.naturalWidth > 0;
    if (is && !shown) {
      requestAnimationFrame(() => window.seen.push(performance.timeOrigin + performance.now()));
    }
    shown = is;
  };
  new MutationObserver(look).observe(banner, { attributes: true, subtree: true });
  still.addEventListener("load", look);
}"""
"""Notes the moments at which the banner and its picture are there."""


class Door:
    """A daemon with its state in ``folder``, and with a token for ringing."""

    def __init__(self, folder: Path, frames: Material, **settings: object) -> None:
        folder.mkdir(exist_ok=True)
        token = folder / "ring_token"
        token.write_text(_TOKEN)
        token.chmod(0o600)
        self.folder = folder
        plain = servers.doorbelld(f"file:{frames.mjpeg}")
        command = [*plain.command, "--set", f"bell.token_file={token}"]
        for key, value in settings.items():
            command += ["--set", f"{key.replace('_', '.', 1)}={value}"]
        self.server: Server = replace(
            plain, command=command, environment={"STATE_DIRECTORY": str(folder)}
        )

    def run_as(self, module: str) -> None:
        """Run another module instead, which takes the same command line."""
        command = [module if word == "doorbelld" else word for word in self.server.command]
        self.server = replace(self.server, command=command)

    def store(self) -> VisitStore:
        """Return the visits in its folder, opened; while it does not run."""
        found = VisitStore(self.folder / "visits", space=10**10, days=30)
        found.open()
        return found


class Client:
    """Asks one daemon, over one connection."""

    def __init__(self, running: Running) -> None:
        self._connection = http.client.HTTPConnection(running.host, running.port, timeout=_TIMEOUT)

    def ask(self, path: str, method: str = "GET") -> bytes:
        """Return the answer's body. Raises RuntimeError if it is a refusal."""
        self._connection.request(method, path)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {body!r}")
        return body

    def json(self, path: str, method: str = "GET") -> Any:
        """Return an answer that is JSON."""
        return json.loads(self.ask(path, method))

    def ring(self) -> int:
        """Press the bell; return the id of the visit."""
        return int(self.json(f"/ring?token={_TOKEN}", "POST")["visit"])

    def wait_until_done(self, number: int) -> Any:
        """Wait for the end of a visit; return it."""
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            visit = self.json(f"/visits/{number}.json")
            if visit["until"]:
                return visit
            time.sleep(0.1)
        raise RuntimeError(f"visit {number} does not end")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder on the disk; /tmp may be in memory."""
    place = servers.ROOT / ".cache" / "bench"
    with tempfile.TemporaryDirectory(prefix="doorbell-", dir=place) as name:
        yield Path(name)


@contextmanager
def opened(door: Door) -> Iterator[tuple[Running, Client]]:
    """Run a daemon until the block ends, from the moment on at which it has a picture."""
    with door.server.run() as running:
        startup.wait_frame(running)
        client = Client(running)
        try:
            yield running, client
        finally:
            client.close()


# What a ring shows.

_RINGS = 20


class Rings(NamedTuple):
    """What each ring shows.

    Milliseconds until the banner is on the page, None without a browser; whether its picture was
    taken within the second before; and the seconds before it that its film has.
    """

    banner_ms: list[float] | None
    in_time: list[bool]
    before: list[float]


def rings(frames: Material) -> Rings:
    """Ring a few times with the page open; each ring is a visit of its own."""
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        settings = {"visits_after": 1, "visits_framerate": material.FPS, "bell_again": 0}
        door = Door(folder / "state", frames, **settings)
        running, client = stack.enter_context(opened(door))
        page = stack.enter_context(_page(folder, running)) if browser.is_possible() else None
        time.sleep(6)  # There are five seconds to be held.
        found = [_ring(client, page) for _ in range(_RINGS)]
    banner = [ms for ms, _, _ in found if ms is not None]
    return Rings(banner if page else None, [each[1] for each in found], [each[2] for each in found])


def _ring(client: Client, page: Any) -> tuple[float | None, bool, float]:
    if page:
        page.evaluate("window.seen.length = 0")
    begin = time.time()
    number = client.ring()
    still = client.ask(f"/visits/{number}.jpg?v=1")
    shown = None
    if page:
        _wait_until(page, "window.seen.length > 0")
        shown = page.evaluate("window.seen[0]") - 1000 * begin
    visit = client.wait_until_done(number)
    moments = visit["frames"]
    recent = [each for each, moment in enumerate(moments) if -1 <= moment <= 0]
    in_time = any(client.ask(f"/visits/{number}/{each}.jpg") == still for each in recent)
    client.ask(f"/visits/{number}/answered", "POST")
    if page:
        _wait_until(page, "document.getElementById('ring').hidden")
    return shown, in_time, -moments[0]


def _wait_until(page: Any, expression: str) -> None:
    """Wait until it is true. The page's own policy forbids Playwright's way to do that."""
    deadline = time.monotonic() + _TIMEOUT
    while not page.evaluate(expression):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the page never came to {expression}")
        page.wait_for_timeout(20)


@contextmanager
def _page(folder: Path, running: Running) -> Iterator[Any]:
    from tests.support.chromium import chromium  # A machine without Chromium need not have it.

    with chromium(folder / "profile") as opened, browser.open_page(opened, running) as (page, _):
        page.evaluate(_OBSERVE)
        yield page


# What it costs.

_FRAMES = 1500


class Costs(NamedTuple):
    """What bell and visits add.

    Microseconds of the capture thread for a frame, while nothing happens and while a visit is open;
    megabytes of memory, with what is kept from before a press.
    """

    idle_us: float
    open_us: float
    memory_mb: float


def costs(group: ViewerGroup, frames: Material) -> Costs:
    """Measure what a frame costs in this process, and the memory of a daemon."""
    pictures = [path.read_bytes() for path in sorted(frames.folder.glob("*.jpg"))]
    plain = median(publish_us(pictures, None, is_open=False) for _ in range(3))
    found = []
    for is_open in (False, True):
        with temporary_folder() as folder:
            found.append(median(publish_us(pictures, folder, is_open=is_open) for _ in range(3)))
    with temporary_folder() as folder:
        memory = _memory_mb(group, Door(folder / "with", frames), rings=True)
        without = Door(folder / "without", frames)
        without.run_as("bench.without_visits")
        memory -= _memory_mb(group, without, rings=False)
    return Costs(found[0] - plain, found[1] - plain, memory)


def publish_us(
    pictures: list[bytes],
    folder: Path | None,
    *,
    is_open: bool,
    hear: Callable[[News], None] = lambda _news: None,
) -> float:
    """Return the CPU time of this thread for a frame that is published, in microseconds.

    ``hear`` gets the news of the visit that is open.
    """
    hub = FrameHub()
    hub.subscribe(lambda: None)  # as the broadcaster does
    recorder = None
    if folder is not None:
        store = VisitStore(folder, space=10**10, days=30)
        recorder = VisitRecorder(hub, lambda: _open(store), lambda: "", lambda: None, hear)
        recorder.configure(Lengths(after=3600, longest=3600))
        recorder.start()
    begin = time.monotonic() - _FRAMES / material.FPS
    if recorder and is_open:
        recorder.ring(begin, "http")
    spent = 0.0
    for number in range(_FRAMES):
        at = begin + number / material.FPS
        before = time.thread_time()
        hub.publish(pictures[number % len(pictures)], at, live=True)
        spent += time.thread_time() - before
        time.sleep(0.002)  # The recorder needs some time, too.
    if recorder:
        recorder.stop(_TIMEOUT)
    return 1e6 * spent / _FRAMES


def _open(store: VisitStore) -> VisitStore:
    store.open()
    return store


def _memory_mb(group: ViewerGroup, door: Door, *, rings: bool) -> float:
    with opened(door) as (running, client), group.watching(running, 1):
        time.sleep(2 * _SETTLE)
        if rings:
            client.ring()
            time.sleep(_SETTLE)
        return procfs.resident_mb(running.pid)


def looks_a_second(frames: Material) -> float:
    """Return how often a daemon looks for motion."""
    with (
        temporary_folder() as folder,
        opened(Door(folder / "state", frames, visits_motion="yes")) as both,
    ):
        _, client = both

        def looks() -> int:
            return int(client.json("/status")["visits"]["motion"]["looks"])

        time.sleep(_SETTLE)  # OpenCV is loaded.
        begin, before = time.monotonic(), looks()
        time.sleep(_SECONDS)
        return (looks() - before) / (time.monotonic() - begin)


# What viewers notice.

VIEWERS = 30
_FILMS = 50
_FILM_PICTURES = 100
_SECONDS = 10.0


class Watching(NamedTuple):
    """Pictures a second of the slowest viewer, and the ages at another one, in two situations."""

    alone_fps: float
    busy_fps: float
    alone: Ages
    busy: Ages


def watching(group: ViewerGroup, frames: Material) -> Watching:
    """Measure viewers, and again while a visit is recorded and fifty films are played."""
    with temporary_folder() as folder:
        door = Door(folder / "state", frames, visits_longest=600, visits_after=600)
        store = door.store()
        try:
            films = [_record(store, frames) for _ in range(_FILMS)]
        finally:
            store.close()
        with opened(door) as (running, client):
            alone = _watch(group, running)
            client.ring()
            with _playing(running, films):
                busy = _watch(group, running)
    return Watching(alone[0], busy[0], alone[1], busy[1])


def _watch(group: ViewerGroup, running: Running) -> tuple[float, Ages]:
    size = stream.part_size(running.host, running.port, running.server.path)
    with age.Reader(running, 2, _SECONDS - 2) as reader:
        figures = group.measure_running(running, size, VIEWERS, _SECONDS)
        return (0.0 if figures.closed else figures.min_fps), reader.ages()


def _record(store: VisitStore, frames: Material) -> int:
    """Record a visit of ten seconds; return its id."""
    pictures = [path.read_bytes() for path in sorted(frames.folder.glob("*.jpg"))]
    number, at = store.reserve(), time.monotonic()
    store.begin(number, Kind.RING, "button", at)
    writer = store.film_writer(number, at)
    for each in range(_FILM_PICTURES):
        data = pictures[each % len(pictures)]
        writer.append(Frame(data, each + 1, at + each / 10, 0))
    store.finish(number, at + _FILM_PICTURES / 10)
    return number


@contextmanager
def _playing(running: Running, films: list[int]) -> Iterator[None]:
    """Read all the films at once and over again, as fast as a page plays them."""
    ended = threading.Event()
    threads = [threading.Thread(target=_play, args=(running, each, ended)) for each in films]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _play(running: Running, number: int, ended: threading.Event) -> None:
    while not ended.is_set():
        connection = http.client.HTTPConnection(running.host, running.port, timeout=_TIMEOUT)
        connection.request("GET", f"/visits/{number}/video")
        answer = connection.getresponse()
        while answer.read(material.LENGTH) and not ended.wait(0.1):
            pass
        connection.close()


# The disk.


class Disk(NamedTuple):
    """How often a visit waits for the disk, and what is written while nothing happens, in bytes.

    ``syncs`` is None if it cannot be seen.
    """

    syncs: float | None
    idle_bytes: int


def disk(group: ViewerGroup, frames: Material) -> Disk:
    """Record a few visits, and then nothing."""
    with (
        temporary_folder() as folder,
        opened(Door(folder / "state", frames, visits_after=1)) as both,
    ):
        running, client = both
        syncs = None
        if shutil.which("strace"):
            with _counted_syncs(running.pid, folder / "syncs") as count:
                for _ in range(3):
                    client.wait_until_done(client.ring())
                time.sleep(1)
            syncs = count() / 3
        with group.watching(running, 1):
            time.sleep(_SETTLE)
            before = _written(running.pid)
            time.sleep(_SECONDS)
            return Disk(syncs, _written(running.pid) - before)


@contextmanager
def _counted_syncs(pid: int, output: Path) -> Iterator[Callable[[], int]]:
    calls = "trace=fsync,fdatasync,sync,syncfs,sync_file_range,msync"
    command = ["strace", "-f", "-q", "-e", calls, "-o", str(output), "-p", str(pid)]
    process = subprocess.Popen(command)
    try:
        time.sleep(1)
        yield lambda: len([line for line in output.read_text().splitlines() if "sync" in line])
    finally:
        process.terminate()
        process.wait()


def _written(pid: int) -> int:
    """Return the bytes that a process has had written to disks."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


# Many visits.

_MANY = 10_000
_STARTS = 5


class Many(NamedTuple):
    """Milliseconds with ten thousand visits.

    For the list of the newest fifty, and how much later the daemon listens than with none.
    """

    list_ms: float
    later_ms: float


def many(frames: Material) -> Many:
    """Measure with ten thousand visits, and with none."""
    from tests.support.kept_visits import KeptVisits

    with temporary_folder() as folder:
        KeptVisits(folder / "many").add_many(_MANY)
        doors = [Door(folder / name, frames) for name in ("none", "many")]
        found: list[list[float]] = [[], []]
        for _ in range(_STARTS):
            for door, seconds in zip(doors, found):
                begin = time.monotonic()
                with door.server.run() as running:
                    running.wait_listening()
                    seconds.append(time.monotonic() - begin)
        with opened(doors[1]) as (_, client):
            listed = []
            while client.json("/visits.json")["count"] < _MANY:
                time.sleep(0.1)
            for _ in range(50):
                begin = time.monotonic()
                client.ask("/visits.json")
                listed.append(time.monotonic() - begin)
    return Many(1000 * median(listed), 1000 * (min(found[1]) - min(found[0])))

from __future__ import annotations

import errno
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from unittest import mock

import pytest

from doorbelld.camera.base import Shot
from doorbelld.drivers.errors import CameraError, Reason
from doorbelld.media import jpeg as product
from doorbelld.media.frame import Frame
from doorbelld.stream import capture, placeholder, reader
from doorbelld.stream.capture import CaptureSettings, CaptureThread
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.state import CameraState
from doorbelld.system.latest import Latest
from tests.support.daemon import GUARD, eventually
from tests.support.pictures import claiming, jpeg


@dataclass
class ScriptedCamera:
    """Delivers what the test put into ``script``: a picture of now, a shot, or an exception.

    A ValueError comes when the picture is loaded.
    """

    name: str = "Scripted camera"
    mode: str = ""
    invalid: int = 0
    closed: threading.Event = field(default_factory=threading.Event)
    script: queue.Queue[bytes | Shot | Exception] = field(default_factory=queue.Queue)
    close_error: Exception | None = None

    def open(self) -> None:
        """Do nothing: the thread gets it open."""

    def read(self, timeout: float) -> Shot | None:
        try:
            step = self.script.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(step, ValueError):
            return Shot(b"", time.monotonic(), mock.Mock(side_effect=step))
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Shot):
            return step
        return Shot(step, time.monotonic())

    def close(self) -> None:
        self.closed.set()
        if self.close_error:
            raise self.close_error


@dataclass
class Studio:
    """A capture thread with a camera that the test controls."""

    hub: FrameHub
    slot: Latest[Frame]
    thread: CaptureThread
    settings: CaptureSettings
    camera: ScriptedCamera
    frames: queue.Queue[Frame]
    opening: list[Exception]

    def next_frame(self) -> Frame:
        return self.frames.get(timeout=GUARD)

    def wait_for_card(self) -> Frame:
        while True:
            frame = self.next_frame()
            if not frame.live:
                return frame

    def wait_for_picture(self) -> Frame:
        while True:
            frame = self.next_frame()
            if frame.live:
                return frame


def recording_hub() -> tuple[FrameHub, Latest[Frame], queue.Queue[Frame]]:
    """Return a hub, its subscriber, and a queue that gets every frame in their order."""
    hub, frames = FrameHub(), queue.Queue[Frame]()

    def record() -> None:
        frame = slot.take()
        assert frame
        frames.put(frame)

    slot = hub.subscribe(record)
    return hub, slot, frames


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    # The delays have a test of their own below; the others should not have to wait.
    monkeypatch.setattr(capture, "_FIRST_DELAY", 0.02)
    monkeypatch.setattr(capture, "_LONGEST_DELAY", 0.1)
    camera = ScriptedCamera()
    opening: list[Exception] = []

    def open_camera() -> ScriptedCamera:
        if opening:
            raise opening.pop(0)
        return camera

    settings = CaptureSettings(open_camera, "Front door", "scripted", 64, 48, stall_timeout=60)
    hub, slot, frames = recording_hub()
    thread = CaptureThread(settings, hub)
    yield Studio(hub, slot, thread, settings, camera, frames, opening)
    assert thread.stop(GUARD)
    assert thread.stop(GUARD), "stop() may be called twice"


def test_pictures_are_numbered_stamped_and_published(studio: Studio) -> None:
    studio.thread.start()
    before = time.time()
    for number in range(3):
        studio.camera.script.put(jpeg(number))
    frames = [studio.next_frame() for _ in range(3)]
    assert [frame.data for frame in frames] == [jpeg(0), jpeg(1), jpeg(2)]
    assert [frame.sequence for frame in frames] == [1, 2, 3]
    assert all(frame.live for frame in frames)
    assert all(before - 0.01 <= frame.timestamp <= time.time() + 0.01 for frame in frames)
    status = studio.thread.status()
    assert (status.state, status.frames) == (CameraState.STREAMING, 3)
    assert (status.width, status.height) == (64, 48)
    assert status.detail == "Scripted camera, 64x48"


class LazyShots:
    """Makes pictures of now that count how often they are loaded."""

    def __init__(self) -> None:
        self.loads = 0

    def make(self, data: bytes) -> Shot:
        return Shot(b"", time.monotonic(), lambda: self._load(data))

    def _load(self, data: bytes) -> bytes:
        self.loads += 1
        if not data:
            raise ValueError("damaged")
        return data


def test_picture_that_is_not_wanted_is_counted_but_not_loaded(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_LOOK", GUARD)
    studio.hub.want(studio.slot, wants=False)
    shots = LazyShots()
    studio.thread.start()
    for number in range(5):
        studio.camera.script.put(shots.make(jpeg(number)))
    eventually(lambda: studio.thread.status().frames == 5, "five pictures")
    assert studio.next_frame().data == jpeg(0)
    assert studio.frames.empty()
    assert shots.loads == 1
    newest = studio.hub.latest
    assert newest
    assert newest.data == jpeg(4)
    assert (newest.sequence, shots.loads) == (2, 2)
    studio.hub.want(studio.slot, wants=True)
    studio.camera.script.put(shots.make(jpeg(5)))
    assert studio.next_frame() is newest
    assert studio.next_frame().data == jpeg(5)


def test_picture_at_rest_is_looked_at_now_and_then(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_LOOK", 0.0)
    studio.hub.want(studio.slot, wants=False)
    shots = LazyShots()
    studio.thread.start()
    for data in (jpeg(0), jpeg(1)):
        studio.camera.script.put(shots.make(data))
    assert [studio.next_frame().data for _ in range(2)] == [jpeg(0), jpeg(1)]


def test_damaged_pictures_at_rest_are_all_counted_once_one_was_seen(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.hub.want(studio.slot, wants=False)
    shots = LazyShots()
    studio.thread.start()
    studio.camera.script.put(shots.make(jpeg(0)))
    studio.next_frame()
    monkeypatch.setattr(capture, "_LOOK", 0.0)
    studio.camera.script.put(shots.make(b""))
    eventually(lambda: studio.thread.status().invalid == 1, "the first is seen")
    monkeypatch.setattr(capture, "_LOOK", GUARD)
    for _ in range(3):
        studio.camera.script.put(shots.make(b""))
    eventually(lambda: studio.thread.status().invalid == 4, "all are counted")
    studio.camera.script.put(shots.make(jpeg(1)))
    assert studio.next_frame().data == jpeg(1)
    studio.camera.script.put(shots.make(jpeg(2)))
    eventually(lambda: studio.thread.status().frames == 3, "it is at rest again")
    assert studio.frames.empty()


def test_lost_camera_is_reported_closed_and_opened_again(studio: Studio) -> None:
    studio.thread.start()
    studio.camera.script.put(jpeg(1))
    first = studio.next_frame()
    studio.camera.script.put(CameraError("It was unplugged", Reason.MISSING))
    card = studio.wait_for_card()
    assert studio.thread.status().reason == "missing"
    assert card.sequence > first.sequence
    assert studio.camera.closed.wait(GUARD)
    studio.camera.script.put(jpeg(2))
    assert studio.wait_for_picture().data == jpeg(2)
    status = studio.thread.status()
    assert (status.state, status.reason, status.reopened) == (CameraState.STREAMING, "", 1)


def test_detail_says_why_the_camera_is_missing(studio: Studio) -> None:
    studio.opening.extend([CameraError("No camera found")] * 1000)
    studio.thread.start()
    studio.wait_for_card()
    status = studio.thread.status()
    assert (status.state, status.detail) == (CameraState.OFFLINE, "No camera found")
    assert (status.frames, status.age_ms, status.fps) == (0, None, 0.0)


def test_first_picture_may_take_longer_than_the_next(studio: Studio) -> None:
    settings = replace(studio.settings, stall_timeout=0.05, time_to_start=0.4)
    studio.thread.reconfigure(settings)
    studio.thread.start()
    studio.wait_for_card()
    assert studio.thread.status().detail == "Scripted camera has sent no picture for 0.4 s"
    studio.camera.script.put(jpeg(1))
    studio.wait_for_picture()
    studio.wait_for_card()
    assert studio.thread.status().detail == "Scripted camera has sent no picture for 0.05 s"


def test_size_is_read_once_for_each_picture(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bytes] = []
    size = product.size

    def look(data: bytes) -> tuple[int, int] | None:
        looks.append(data)
        return size(data)

    monkeypatch.setattr(product, "size", look)
    studio.thread.start()
    for number in range(3):
        studio.camera.script.put(jpeg(number))
        studio.next_frame()
    for _ in range(10):
        assert studio.thread.status().width == 64
    assert looks == [jpeg(0), jpeg(1), jpeg(2)]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (b"\xff\xd8\xff\xd9", "a picture was damaged, or larger than 16 MB, and was left out"),
        (claiming(64, 0), "a picture was damaged, or larger than 16 MB, and was left out"),
        (claiming(10_000, 5_001), "a picture had more than 50 million pixels, and was left out"),
        (jpeg(1) + bytes(1 << 24), "a picture was larger than 16 MB, and was left out"),
        (
            product.TooLargeError(),
            "a picture had more than 12.6 million pixels, was too large to turn, and was left out",
        ),
    ],
)
def test_picture_that_cannot_be_shown_is_left_out(
    studio: Studio, caplog: pytest.LogCaptureFixture, step: bytes | Exception, said: str
) -> None:
    studio.thread.start()
    for _ in range(3):
        studio.camera.script.put(step)
    studio.camera.script.put(claiming(10_000, 5_000))
    assert studio.next_frame().data == claiming(10_000, 5_000)
    assert caplog.messages.count(f"Scripted camera: {said}") == 1
    assert (studio.thread.status().invalid, studio.thread.status().frames) == (3, 1)


def test_each_change_of_state_is_logged_once(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    studio.opening.extend([CameraError("No camera found")] * 5 + [CameraError("Busy")])
    studio.camera.script.put(jpeg(1))
    studio.thread.start()
    studio.wait_for_picture()
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "camera offline: No camera found",
        "camera offline: Busy",
        "camera streaming: Scripted camera, 64x48",
    ]


def test_silent_camera_counts_as_lost(studio: Studio) -> None:
    studio.thread.reconfigure(replace(studio.settings, stall_timeout=0.05))
    studio.thread.start()
    studio.wait_for_card()
    detail = "Scripted camera has sent no picture for 0.05 s"
    assert studio.thread.status().detail == detail
    assert studio.thread.status().reason == "silent"
    assert studio.camera.closed.wait(GUARD)


def test_driver_that_raises_any_exception_is_a_lost_camera_too(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    studio.camera.close_error = RuntimeError("and it does not close either")
    studio.camera.script.put(ZeroDivisionError("inside the driver"))
    studio.thread.start()
    studio.wait_for_card()
    assert "the log tells more" in studio.thread.status().detail
    assert studio.thread.status().reason == "other"
    assert "ZeroDivisionError: inside the driver" in caplog.text
    assert "and it does not close either" in caplog.text
    studio.camera.script.put(jpeg(1))
    studio.wait_for_picture()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (OSError(errno.EACCES, "Permission denied"), "denied"),
        (ImportError("No module named numpy"), "software"),
        (ValueError(), "damaged"),
        (MemoryError(), "software"),
        (product.TooLargeError(), "settings"),
        (claiming(10_000, 5_001), "damaged"),
    ],
)
def test_whatever_a_driver_does_has_its_reason(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, step: bytes | Exception, reason: str
) -> None:
    monkeypatch.setattr(reader, "_PAUSE", 0.01)
    studio.thread.reconfigure(replace(studio.settings, stall_timeout=0.05))
    studio.camera.script.put(step)
    studio.thread.start()
    studio.wait_for_card()
    assert studio.thread.status().reason == reason


def test_damaged_pictures_are_counted_over_all_openings(studio: Studio) -> None:
    studio.thread.start()
    studio.camera.invalid = 2
    studio.camera.script.put(jpeg(1))
    studio.next_frame()
    assert studio.thread.status().invalid == 2
    studio.camera.script.put(CameraError("It was unplugged"))
    studio.camera.script.put(jpeg(1))
    studio.wait_for_card()
    studio.wait_for_picture()
    assert studio.thread.status().invalid == 4, "2 of each opening"


def test_camera_can_be_replaced_while_the_thread_runs(studio: Studio) -> None:
    studio.thread.start()
    studio.camera.script.put(jpeg(1))
    studio.next_frame()
    other = ScriptedCamera("Other camera")
    other.script.put(jpeg(2))
    studio.thread.reconfigure(replace(studio.settings, open_camera=lambda: other, name="Back door"))
    frame = studio.next_frame()
    assert (frame.data, frame.sequence) == (jpeg(2), 2)
    assert studio.camera.closed.is_set()
    assert studio.thread.status().name == "Back door"


def test_wait_for_a_lost_camera_ends_when_another_is_configured(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_FIRST_DELAY", 1000.0)
    monkeypatch.setattr(capture, "_LONGEST_DELAY", 1000.0)
    studio.opening.append(CameraError("No camera found"))
    studio.thread.start()
    studio.wait_for_card()
    studio.camera.script.put(jpeg(1))
    studio.thread.reconfigure(studio.settings)
    studio.wait_for_picture()


def test_delay_grows_from_1_to_15_seconds_and_a_picture_resets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delays: list[float] = []
    pictures = {6}
    thread: CaptureThread

    def show_placeholder(self: CaptureThread, seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 8:
            self._stopping = True

    def open_camera() -> ScriptedCamera:
        camera = ScriptedCamera()
        if len(delays) in pictures:
            camera.script.put(jpeg(1))
        camera.script.put(CameraError("It was unplugged"))
        return camera

    monkeypatch.setattr(CaptureThread, "_show_placeholder", show_placeholder)
    hub, _, published = recording_hub()
    settings = CaptureSettings(open_camera, "", "", 64, 48, stall_timeout=60)
    thread = CaptureThread(settings, hub)
    thread.start()
    eventually(lambda: not thread.alive, "eight openings")
    assert delays == [1, 2, 4, 8, 15, 15, 1, 2]
    assert published.qsize() == 1


def test_another_configuration_resets_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []

    def show_placeholder(self: CaptureThread, seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 3:
            self.reconfigure(settings)
        self._stopping = len(delays) == 5

    def open_camera() -> ScriptedCamera:
        raise CameraError("No camera found")

    monkeypatch.setattr(CaptureThread, "_show_placeholder", show_placeholder)
    hub, _, _ = recording_hub()
    settings = CaptureSettings(open_camera, "", "", 64, 48, stall_timeout=60)
    thread = CaptureThread(settings, hub)
    thread.start()
    eventually(lambda: not thread.alive, "five openings")
    assert delays == [1, 2, 4, 1, 2]


def test_beat_goes_on_while_no_picture_comes(studio: Studio) -> None:
    studio.thread.start()
    for _ in range(2):
        beat = studio.thread.beat
        eventually(lambda: studio.thread.beat > beat, "another beat")  # noqa: B023


def test_old_picture_alone_does_not_count_as_a_hang(studio: Studio) -> None:
    studio.thread.start()
    studio.camera.script.put(Shot(jpeg(1), time.monotonic() - 1000))
    studio.next_frame()
    studio.thread.check_for_hang()
    status = studio.thread.status()
    assert (status.state, status.detail) == (CameraState.STREAMING, "Scripted camera, 64x48")
    assert status.age_ms
    assert status.age_ms > 999_000


def test_change_of_state_is_announced_and_so_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placeholder, "_GRACE", 0.0)
    camera, announced, steps = ScriptedCamera(), list[float](), queue.Queue[bytes]()
    monkeypatch.setattr(camera, "read", lambda _timeout: Shot(steps.get(), time.monotonic()))
    settings = CaptureSettings(lambda: camera, "", "", 64, 48, stall_timeout=0.05)
    thread = CaptureThread(settings, FrameHub(), lambda: announced.append(time.monotonic()))
    thread.start()
    steps.put(jpeg(1))
    eventually(lambda: len(announced) == 1, "a picture")
    eventually(lambda: thread.status().state is CameraState.OFFLINE, "the driver hangs")
    for _ in range(3):
        thread.check_for_hang()
    assert len(announced) == 2
    thread._stopping = True
    steps.put(jpeg(1))
    assert thread.stop(GUARD)


class BetweenSteps(logging.Handler):
    """Calls ``action`` while the capture thread logs: in the middle of publishing a picture."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__()
        self._action = action

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName == "capture" and "128x96" in record.getMessage():
            self._action()


def test_numbers_never_go_back_though_the_main_thread_publishes_during_a_hang(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(placeholder, "_GRACE", 0.0)
    monkeypatch.setattr(studio.camera, "read", lambda _timeout: Shot(steps.get(), time.monotonic()))
    steps: queue.Queue[bytes] = queue.Queue()
    studio.thread.reconfigure(replace(studio.settings, stall_timeout=0.05))
    between = BetweenSteps(studio.thread.check_for_hang)
    capture._log.addHandler(between)
    studio.thread.start()
    steps.put(jpeg(1))
    assert studio.next_frame().sequence == 1
    eventually(lambda: studio.thread.status().state is CameraState.OFFLINE, "the driver hangs")
    assert studio.thread.status().reason == "hangs"
    studio.thread.check_for_hang()
    assert not studio.next_frame().live
    steps.put(jpeg(2, 128, 96))
    found = [studio.next_frame(), studio.next_frame()]
    capture._log.removeHandler(between)
    assert sorted(frame.live for frame in found) == [False, True], "both threads have published"
    assert [frame.sequence for frame in found] == [3, 4]
    studio.thread._stopping = True
    steps.put(jpeg(1))


def test_paused_camera_is_closed_and_not_opened_again(studio: Studio) -> None:
    studio.thread.start()
    studio.camera.script.put(jpeg(1))
    studio.wait_for_picture()
    studio.thread.pause(True)
    status = studio.thread.status()
    assert (status.state, status.reason) == (CameraState.OFFLINE, "paused"), "at once"
    assert studio.thread.reason() == "paused"
    newest = studio.hub.latest
    assert newest
    assert not newest.live, "what it has shown is forgotten at once"
    assert studio.camera.closed.wait(GUARD)
    studio.opening.append(CameraError("It must not be opened"))
    studio.thread.reconfigure(replace(studio.settings, name="Back door"))
    studio.wait_for_card()
    studio.wait_for_card()
    assert studio.opening
    assert studio.thread.status().name == "Back door"
    assert studio.thread.status().detail.startswith("The camera is paused: ")
    studio.opening.clear()
    studio.thread.pause(False)
    studio.camera.script.put(jpeg(2))
    assert studio.wait_for_picture().data == jpeg(2)
    assert studio.thread.status().state is CameraState.STREAMING
    assert studio.thread.reason() == ""


def test_camera_that_is_paused_before_the_start_is_never_opened(studio: Studio) -> None:
    studio.opening.append(CameraError("It must not be opened"))
    studio.thread.pause(True)
    studio.thread.start()
    studio.wait_for_card()
    studio.wait_for_card()
    assert studio.opening
    assert studio.thread.status().reason == "paused"


def test_no_picture_is_shown_while_the_driver_takes_its_time_to_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera, may_close = ScriptedCamera(), threading.Event()
    monkeypatch.setattr(camera, "close", lambda: may_close.wait(GUARD))
    monkeypatch.setattr(camera, "read", lambda _timeout: Shot(jpeg(1), time.monotonic()))
    hub, _, frames = recording_hub()
    thread = CaptureThread(CaptureSettings(lambda: camera, "", "", 64, 48, 60), hub)
    thread.start()
    eventually(lambda: (found := hub.latest) and found.live, "a picture")
    begin = time.monotonic()
    thread.pause(True)
    assert time.monotonic() - begin < GUARD / 2, "it waits for nothing"
    assert hub.latest
    assert not hub.latest.live
    sequence = hub.latest.sequence
    thread.pause(False)
    thread.pause(True)
    assert thread.status().reason == "paused"
    may_close.set()
    eventually(lambda: (found := hub.latest) and found.sequence > sequence + 1, "the card")
    thread.stop(GUARD)
    published = [frames.get() for _ in range(frames.qsize())]
    assert not any(frame.live for frame in published if frame.sequence > sequence)
    assert [frame.sequence for frame in published] == list(range(1, len(published) + 1))


def test_picture_that_a_driver_held_back_is_not_shown_when_the_shutter_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held_back, is_reading, goes_on = ScriptedCamera(), threading.Event(), threading.Event()

    def read(_timeout: float) -> Shot:
        is_reading.set()
        assert goes_on.wait(GUARD)
        return Shot(jpeg(1), time.monotonic())

    monkeypatch.setattr(held_back, "read", read)
    after = ScriptedCamera()
    after.script.put(jpeg(2))
    cameras = [held_back, after]
    hub, _, frames = recording_hub()
    thread = CaptureThread(CaptureSettings(lambda: cameras.pop(0), "", "", 64, 48, 60), hub)
    thread.start()
    assert is_reading.wait(GUARD)
    thread.pause(True)
    thread.pause(False)
    goes_on.set()
    eventually(lambda: (found := hub.latest) and found.live, "a picture")
    assert thread.stop(GUARD)
    published = [frames.get() for _ in range(frames.qsize())]
    assert [frame.data for frame in published if frame.live] == [jpeg(2)]


def test_paused_camera_is_no_fault_in_the_log(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    studio.thread.start()
    studio.camera.script.put(jpeg(1))
    studio.wait_for_picture()
    studio.thread.pause(True)
    studio.thread.pause(True)
    eventually(lambda: "camera offline: The camera is paused" in caplog.text, "a line")
    (line,) = [each for each in caplog.records if "paused" in each.getMessage()]
    assert line.levelno == logging.INFO


def test_picture_at_rest_is_made_only_for_a_sampling_that_is_due(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_LOOK", GUARD)
    studio.hub.want(studio.slot, wants=False)
    samples: list[float] = []
    studio.hub.sample(lambda frame: samples.append(frame.captured_at), 10.0)
    shots, begin = LazyShots(), time.monotonic()
    studio.thread.start()
    for number in range(90):
        moment = begin + number / 30
        studio.camera.script.put(shots.make(jpeg(number % 50))._replace(captured_at=moment))
    eventually(lambda: studio.thread.status().frames == 90, "all pictures")
    assert shots.loads == len(samples) == pytest.approx(30, abs=1)
    assert studio.frames.qsize() == shots.loads

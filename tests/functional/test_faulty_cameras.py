"""The fault matrix, cameras: what is reported during a fault, and that all is well after it.

Every row runs the shipped daemon, and looks at viewers, ``/status``, ``/healthz``, the log and
the process's descriptors, threads and memory. ::

    missing, busy, unplugged, silent   test_webcam_that_fails_is_reported_and_found_again
    garbage or truncated for good      the same
    broken, though it is still there   the same
    unplugged in mid-frame             test_picture_cut_off_by_unplugging_is_never_shown
    on the network, cut in mid-frame   test_network_camera_cut_off_in_a_picture_comes_back
    silent, truncated now and then     test_camera.py
    slow, in frames                    test_slow_camera_is_no_lost_camera
    slow, in bytes                     test_picture_that_drips_in_is_shown_whole
    garbage without end                test_endless_garbage_keeps_no_client_waiting
    another resolution in mid-stream   test_resolution_may_change_with_every_picture
    a frame of 30 MB                   test_frame_of_30_mb_is_dropped_and_logged
    lost every second                  test_camera_lost_again_and_again_does_not_flood_the_log
    drivers that hang, raise, flood    test_faulty_drivers.py
    encoder, memory, OpenCV            test_faulty_pictures.py
    what is not the camera             test_faulty_systems.py
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from doorbelld.media.jpeg import LARGEST
from tests.support import v4l2
from tests.support.cards import SIZE, is_card, see, see_card
from tests.support.daemon import Daemon, eventually
from tests.support.fault_observer import FaultObserver
from tests.support.pictures import huge_jpeg, jpeg, number_of
from tests.support.pipe_camera import PipeCamera
from tests.support.service_manager import environment_of_the_unit
from tests.support.stream import Stream
from tests.support.web_camera import WebCamera

SETTINGS = {**SIZE, "server.max_requests": 1}
PATIENT = {"camera.stall_timeout": 60}
PICTURE = jpeg(5, 640, 480)


def start_with(daemon: Daemon, camera: PipeCamera, settings: Mapping[str, object]) -> FaultObserver:
    """Start a daemon that has lost the camera once, so that it has drawn a card before."""
    settings = {**SETTINGS, "camera.source": camera.source, **settings}
    daemon.start(settings, environ=environment_of_the_unit())
    camera.connect()
    camera.disconnect()
    daemon.wait_for_state("offline")
    camera.show(jpeg(0))
    daemon.wait_for_state("streaming")
    return FaultObserver(daemon)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("unplugged", "There is no camera|was unplugged"),
        ("busy", "is in use by another program"),
        ("silent", "has sent no picture for 1 s"),
        ("garbage", "has sent only damaged pictures for 1 s"),
        ("truncated", "has sent only damaged pictures for 1 s"),
        ("broken", "has stopped working"),
    ],
)
def test_webcam_that_fails_is_reported_and_found_again(
    daemon: Daemon, device: v4l2.V4l2Device, fault: str, why: str
) -> None:
    device.become("unplugged")  # at first: missing
    settings = {"camera.source": f"v4l2:{v4l2.DEVICE}", "camera.stall_timeout": 1}
    daemon.start({**SETTINGS, **settings}, environ=device.environ)
    daemon.wait_for_state("offline")
    device.become("streaming")
    daemon.wait_for_state("streaming")
    observer = FaultObserver(daemon)
    with Stream(daemon) as stream:
        see(stream, PICTURE)
        if fault == "busy":  # only a program that opens the camera later sees this
            device.become("unplugged")
            observer.sees_camera_offline("was unplugged")
        device.become(fault)
        assert observer.sees_camera_offline(why)["fps"] == 0
        see_card(stream)
        device.become("streaming")
        see(stream, PICTURE)
    camera = observer.sees_camera_streaming()
    assert camera["reopened"] >= 1
    assert len(observer.logged()) <= 4, observer.logged()
    observer.sees_resources_released()


def test_picture_cut_off_by_unplugging_is_never_shown(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    observer = start_with(daemon, pipe_camera, PATIENT)
    whole = jpeg(1, 640, 480)
    with Stream(daemon) as stream:
        assert stream.part().body == jpeg(0)
        for end in (1, 2, 3, len(whole) // 2, len(whole) - 1):
            pipe_camera.show(whole[:end])
            pipe_camera.disconnect()
            observer.sees_camera_offline("has stopped")
            # The next camera's bytes would complete the picture, if its start were kept.
            pipe_camera.show(whole[end:] + jpeg(2))
            card = stream.part()
            while card.body != jpeg(2):
                assert number_of(card.body) != 1
                card = stream.part()
            camera = observer.sees_camera_streaming()
            assert (camera["width"], camera["height"]) == (64, 48)
    observer.sees_resources_released()


def test_network_camera_cut_off_in_a_picture_comes_back(daemon: Daemon) -> None:
    with WebCamera([jpeg(15, 640, 480)]) as camera:
        settings = {"camera.source": f"http://{camera.address}/"}
        camera.cut_off()
        daemon.start({**SETTINGS, **settings})
        daemon.wait_for_state("offline")
        camera.go_on()
        daemon.wait_for_state("streaming")
        observer = FaultObserver(daemon)
        with Stream(daemon) as stream:
            camera.cut_off()
            part = stream.part()
            while not is_card(part.body):
                assert number_of(part.body) == 15, "a whole one, no grey half"
                part = stream.part()
            observer.sees_camera_offline("has stopped sending pictures|Cannot get pictures")
            camera.go_on()
            while is_card(part.body):
                part = stream.part()
            assert number_of(part.body) == 15
        assert observer.sees_camera_streaming()["reopened"] >= 1
        assert len(observer.logged()) <= 4, observer.logged()
        observer.sees_resources_released()


def test_slow_camera_is_no_lost_camera(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    observer = start_with(daemon, pipe_camera, PATIENT)
    with Stream(daemon) as stream:
        assert stream.part().body == jpeg(0)
        for number in (1, 2):
            eventually(lambda: daemon.status()["camera"]["age_ms"] > 1500, "a slow camera")
            assert daemon.request("/healthz")[0].status == 200
            pipe_camera.show(jpeg(number))
            assert stream.part().body == jpeg(number), "no card in between"
    assert observer.sees_camera_streaming()["fps"] < 1
    assert observer.logged() == []
    observer.sees_resources_released()


def test_picture_that_drips_in_is_shown_whole(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    observer = start_with(daemon, pipe_camera, PATIENT)
    with Stream(daemon) as stream:
        assert stream.part().body == jpeg(0)
        for byte in jpeg(1):
            pipe_camera.show(bytes([byte]))
        assert stream.part().body == jpeg(1)
    assert observer.sees_camera_streaming()["invalid"] == 0
    observer.sees_resources_released()


def test_endless_garbage_keeps_no_client_waiting(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    observer = start_with(daemon, pipe_camera, {"camera.stall_timeout": 3})
    with Stream(daemon) as stream, pipe_camera.flooding(bytes(1 << 20)):
        observer.sees_camera_offline("has sent no picture for 3 s")
        see_card(stream)
        assert stream.part()
    with Stream(daemon) as stream:
        pipe_camera.show(jpeg(3))
        see(stream, jpeg(3))
    observer.sees_camera_streaming()
    assert len(observer.logged()) <= 4, observer.logged()
    observer.sees_resources_released()


def test_garbage_without_end_does_not_delay_the_stop(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    start_with(daemon, pipe_camera, PATIENT)
    with pipe_camera.flooding(bytes(1 << 20)):
        eventually(lambda: daemon.status()["camera"]["age_ms"] > 500, "no more pictures")
        assert daemon.stop() == 0
    assert "left behind" not in daemon.log()


def test_resolution_may_change_with_every_picture(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    observer = start_with(daemon, pipe_camera, PATIENT)
    sizes = [(640, 480), (64, 48), (1920, 1080)]
    with Stream(daemon) as stream:
        assert stream.part().body == jpeg(0)
        for round_ in range(30):
            for width, height in sizes:
                data = jpeg(round_, width, height)
                pipe_camera.show(data)
                assert stream.part().body == data
    camera = observer.sees_camera_streaming()
    assert (camera["width"], camera["height"]) == (1920, 1080)
    assert camera["detail"].endswith(", 1920x1080")
    assert camera["reopened"] == 1, "by the start"
    assert 2 < len(observer.logged()) < 15, observer.logged()
    observer.sees_resources_released()


def test_frame_of_30_mb_is_dropped_and_logged(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    observer = start_with(daemon, pipe_camera, PATIENT)
    huge = huge_jpeg(30)
    with Stream(daemon) as stream:
        assert stream.part().body == jpeg(0)
        for number in range(1, 6):
            pipe_camera.show(huge)
            pipe_camera.show(jpeg(number))
            assert stream.part().body == jpeg(number)
    camera = observer.sees_camera_streaming()
    assert (camera["invalid"], camera["frames"], camera["reopened"]) == (5, 6, 1)
    (line,) = observer.logged()
    assert line.endswith("a picture was damaged, or larger than 16 MB, and was left out")
    # The allocator keeps no more than what was read of one of them ...
    observer.sees_resources_released(2 * LARGEST)
    # ... and this does not grow.
    observer = FaultObserver(daemon)
    with Stream(daemon) as stream:
        for number in range(6, 12):
            pipe_camera.show(huge)
            pipe_camera.show(jpeg(number))
            see(stream, jpeg(number))
    assert observer.logged() == []
    observer.sees_resources_released()


def test_frame_just_small_enough_is_shown(daemon: Daemon, pipe_camera: PipeCamera) -> None:
    observer = start_with(daemon, pipe_camera, PATIENT)
    with Stream(daemon) as stream:
        assert stream.part().body == jpeg(0)
        pipe_camera.show(huge_jpeg(15))
        assert stream.part().body == huge_jpeg(15)
        pipe_camera.show(jpeg(1))
        assert stream.part().body == jpeg(1)
    observer.sees_resources_released()


def test_camera_lost_again_and_again_does_not_flood_the_log(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    observer = start_with(daemon, pipe_camera, PATIENT)
    with Stream(daemon) as stream:
        for number in range(1, 8):
            pipe_camera.disconnect()
            see_card(stream)
            pipe_camera.show(jpeg(number))
            see(stream, jpeg(number))
    assert observer.sees_camera_streaming()["reopened"] == 8
    assert 4 < len(observer.logged()) <= 10, observer.logged()
    observer.sees_resources_released()

"""The picture on the screen is the camera's newest one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.support import pictures, v4l2
from tests.support.daemon import Daemon, eventually
from tests.support.phone import Phone, Phones
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera


def wait_for_number(phone: Phone, number: int) -> None:
    eventually(lambda: phone.number() == number, f"picture {number} on the screen")


def wait_for_three_pictures(phone: Phone) -> None:
    seen: set[bytes] = set()

    def look() -> bool:
        seen.add(phone.page.locator(".picture:visible").last.screenshot())
        return len(seen) > 2

    eventually(look, "three different pictures on the screen")


def test_test_card_moves(phone: Phone, doorbell: Daemon) -> None:
    phone.open(doorbell).wait_for("live")
    wait_for_three_pictures(phone)


def test_picture_is_on_the_screen_before_the_next_one_comes(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    phone.open(daemon)
    phone.bare()
    for number in range(16):
        pipe_camera.show(jpeg(number, 640, 480))
        wait_for_number(phone, number)


def test_newcomer_sees_the_newest_picture_before_the_next_one_comes(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    pipe_camera.show(jpeg(9, 640, 480))
    daemon.wait_for_state("streaming")
    phone.open(daemon)
    phone.bare()
    wait_for_number(phone, 9)


def test_card_is_replaced_by_the_first_picture(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    pipe_camera.connect()
    pipe_camera.disconnect()
    daemon.wait_for_state("offline")
    phone.open(daemon).wait_for("offline")
    phone.bare()
    pipe_camera.show(jpeg(12, 640, 480))
    wait_for_number(phone, 12)


@pytest.mark.parametrize(
    ("turn", "size", "bright"),
    [
        ({"camera.rotation": 90}, [480, 640], "top right"),
        ({"camera.rotation": 270}, [480, 640], "bottom left"),
        ({"camera.rotation": 180}, [640, 480], "bottom right"),
        ({"camera.hflip": "yes"}, [640, 480], "top right"),
        ({"camera.vflip": "yes"}, [640, 480], "bottom left"),
    ],
)
def test_picture_is_upright_without_opencv(
    phone: Phone,
    daemon: Daemon,
    pipe_camera: PipeCamera,
    tmp_path: Path,
    turn: dict[str, object],
    size: list[int],
    bright: str,
) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError\n")
    settings = {"camera.source": pipe_camera.source, "camera.stall_timeout": 60, **turn}
    daemon.start(settings, environ={"PYTHONPATH": str(tmp_path)})
    phone.open(daemon)
    phone.bare()
    image = np.zeros((480, 640, 3), np.uint8)
    image[:240, :320] = 255  # the corner at the top left
    pipe_camera.show(bytes(cv2.imencode(".jpg", image)[1]))

    def bright_corners() -> list[str]:
        box = phone.box("#picture")
        # The picture may be smaller than its box, but its middle is the box's middle.
        left, top = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        return [
            f"{vertical} {horizontal}"
            for vertical, y in (("top", top - 50), ("bottom", top + 50))
            for horizontal, x in (("left", left - 50), ("right", left + 50))
            if phone.brightness_at(x, y) > 128
        ]

    eventually(lambda: bright_corners() == [bright], f"only the corner {bright} is bright")
    seen = phone.evaluate("() => [picture.width, picture.height]")
    assert seen == size


def test_repaired_pictures_are_on_the_screen(
    phone: Phone, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    phone.open(daemon)
    phone.bare()
    whole = [jpeg(number, 640, 480) for number in range(16)]
    for number, data in (
        (1, whole[1] + bytes(9)),
        (5, pictures.without_tables(whole[5])),
        (9, pictures.phone_picture(whole[9], jpeg(3), b"")),
    ):
        pipe_camera.show(data)
        wait_for_number(phone, number)
    pipe_camera.show(whole[12][:-2])
    pipe_camera.show(whole[13][:-2])  # Only now the one before it has ended.
    wait_for_number(phone, 12)


def test_picture_may_change_its_size(phone: Phone, daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    phone.open(daemon)
    phone.bare()
    for number, (width, height) in enumerate([(640, 480), (1280, 720), (240, 320)]):
        pipe_camera.show(jpeg(number, width, height))
        wait_for_number(phone, number)
        size = phone.evaluate("() => [picture.width, picture.height]")
        assert size == [width, height]


def test_picture_needs_no_javascript(phones: Phones, doorbell: Daemon) -> None:
    phone = phones(java_script_enabled=False).open(doorbell)
    picture = phone.page.get_by_role("img", name="Front door camera")
    screen = {"x": 0, "y": 0, "width": 390, "height": 844}
    eventually(lambda: picture.bounding_box() == screen, "the picture fills the screen")
    wait_for_three_pictures(phone)
    assert phone.page.get_by_role("button").all() == []
    assert not phone.page.locator("#badge").is_visible()
    assert phone.problems == []


def test_visits_need_no_javascript_either(phones: Phones, doorbell: Daemon) -> None:
    phone = phones(java_script_enabled=False).open(doorbell)
    link = phone.page.get_by_role("link", name="Visits")
    box = link.bounding_box()
    assert box
    assert box["height"] >= 44
    assert box["y"] + box["height"] <= 844
    link.tap()
    expect(phone.page.get_by_role("heading", name="Visits")).to_be_visible()
    assert phone.problems == []


def test_two_phones_see_the_same(phones: Phones, daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    both = [phones().open(daemon) for _ in range(2)]
    for phone in both:
        phone.wait_for("live", lambda: pipe_camera.show(jpeg(3, 640, 480)))
        phone.bare()
    pipe_camera.show(jpeg(11, 640, 480))
    for phone in both:
        wait_for_number(phone, 11)
        expect(phone.page.locator("#watching")).to_have_text("2 watching")


def test_webcam_is_watched(phone: Phone, daemon: Daemon, tmp_path: Path) -> None:
    shown = [jpeg(number, 640, 480) for number in range(16)]
    device = v4l2.V4l2Device(v4l2.build(tmp_path), tmp_path, shown)
    daemon.start({"camera.source": f"v4l2:{v4l2.DEVICE}"}, environ=device.environ)
    phone.open(daemon).wait_for("live")
    wait_for_three_pictures(phone)


def test_video_file_is_watched(phone: Phone, daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for number in range(16):
        film.write(np.full((240, 320, 3), 16 * number, np.uint8))
    film.release()
    daemon.start({"camera.source": f"file:{path}", "camera.framerate": 10})
    phone.open(daemon).wait_for("live")
    wait_for_three_pictures(phone)

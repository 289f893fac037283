"""The picture on the screen is the newest one, in every browser."""

from __future__ import annotations

from tests.support.daemon import Daemon
from tests.support.engines import Engine, Tab
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera


def test_test_card_moves(tab: Tab, doorbell: Daemon) -> None:
    tab.open(doorbell).wait_for("live")
    tab.wait_until_it_moves()
    assert tab.text("badge") == "Live"
    assert tab.evaluate("document.title") == "● Front door"


def test_test_card_moves_without_javascript(engine: Engine, doorbell: Daemon) -> None:
    with engine.tab(javascript=False) as tab:
        tab.open(doorbell).wait_until_it_moves()


def test_newest_picture_is_shown_though_none_follows(
    tab: Tab, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    pipe_camera.show(jpeg(9, 640, 480))
    daemon.wait_for_state("streaming")
    tab.open(daemon).bare()
    tab.wait_for_number(9)  # The page has opened after it came.
    for number in (3, 12, 6, 15):
        pipe_camera.show(jpeg(number, 640, 480))
        tab.wait_for_number(number)

"""Whatever breaks, the page says so in every browser, and comes back by itself."""

from __future__ import annotations

import re
import signal
import time

from tests.support.daemon import Daemon, eventually
from tests.support.engines import Tab
from tests.support.phone import TEST_CARD
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.stream import Stream
from tests.support.wire import Wire

SOON = 6.0
"""Seconds: the page promises 2, and a busy machine may need some more."""

LISTEN = """(() => {
  window.said = [];
  const stage = document.getElementById("stage");
  const look = () => window.said.push(stage.dataset.state);
  new MutationObserver(look).observe(stage, { attributeFilter: ["data-state"] });
})()"""
"""Remembers every state that the page goes through, however short."""


def not_live(tab: Tab) -> None:
    """Wait until the page no longer says that it is live, which it must say soon."""
    since = time.monotonic()
    eventually(lambda: tab.evaluate("window.said").count("stale"), "stale")
    assert time.monotonic() - since < SOON


def test_restart_of_the_daemon(tab: Tab, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    tab.open(daemon).wait_for("live")
    daemon.stop()
    tab.wait_for("offline")
    assert tab.text("headline") == "No connection"
    daemon.start(TEST_CARD)
    tab.wait_for("live")
    tab.wait_until_it_moves()
    daemon.wait_for_viewers(1)


def test_daemon_that_hangs(tab: Tab, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    tab.open(daemon).wait_for("live")
    tab.evaluate(LISTEN)
    daemon.send(signal.SIGSTOP)
    try:
        not_live(tab)
        tab.wait_for("offline")
    finally:
        daemon.send(signal.SIGCONT)
    tab.wait_for("live")
    daemon.wait_for_viewers(1)


def test_network_that_is_out_of_reach(tab: Tab, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    with Wire(daemon.port) as wire:
        tab.open(daemon, wire.port).wait_for("live")
        tab.evaluate(LISTEN)
        with wire.down():
            not_live(tab)
            tab.wait_for("offline")
        tab.wait_for("live")
        tab.wait_until_it_moves()
        daemon.wait_for_viewers(1)


def test_camera_that_is_unplugged(tab: Tab, daemon: Daemon, pipe_camera: PipeCamera) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 60})
    tab.open(daemon).wait_for("live", lambda: pipe_camera.show(jpeg(15, 640, 480)))
    pipe_camera.disconnect()
    tab.wait_for("offline")
    assert re.match(r"Offline since \d?\d:\d\d", tab.text("headline"))
    tab.wait_for("live", lambda: pipe_camera.show(jpeg(15, 640, 480)))


def test_page_that_finds_no_room(tab: Tab, daemon: Daemon) -> None:
    daemon.start({**TEST_CARD, "server.max_viewers": 1})
    daemon.wait_for_state("streaming")
    other = Stream(daemon)
    other.part()
    tab.open(daemon).wait_for("full")
    assert tab.text("badge") == "Busy"
    tab.wait_until_it_moves()
    other.close()
    tab.wait_for("live")
    daemon.wait_for_viewers(1)

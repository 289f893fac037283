"""A page that is hidden lets go of the stream, and is live again when it is shown."""

from __future__ import annotations

from tests.support import processes
from tests.support.daemon import Daemon, eventually
from tests.support.engines import Tab
from tests.support.phone import TEST_CARD

MEGABYTE = 1 << 20

COUNT = """(() => {
  window.flips = 0;
  document.addEventListener("visibilitychange", () => { window.flips += 1; });
})()"""


def test_ten_returns_leave_one_viewer(tab: Tab, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    tab.open(daemon).wait_for("live")
    for _ in range(10):
        tab.hide()
        daemon.wait_for_viewers(0)
        assert tab.state() == "paused"
        tab.show()
        tab.wait_for("live")
        daemon.wait_for_viewers(1)
    tab.wait_until_it_moves()


def test_page_that_is_left_lets_go_and_is_live_again_on_the_way_back(
    tab: Tab, daemon: Daemon
) -> None:
    daemon.start(TEST_CARD)
    tab.open(daemon).wait_for("live")
    tab.visit(f"http://127.0.0.1:{daemon.port}/healthz")
    daemon.wait_for_viewers(0)
    tab.back()
    tab.wait_for("live")
    daemon.wait_for_viewers(1)


def test_two_hundred_flips_leave_no_connection_and_no_memory(tab: Tab, daemon: Daemon) -> None:
    daemon.start(TEST_CARD)
    tab.open(daemon).wait_for("live")
    before = len(processes.sockets(daemon.pid))
    tab.evaluate(COUNT)
    flip(tab, 100)
    tab.wait_for("live")
    warm = tab.memory()
    flip(tab, 100)
    assert tab.evaluate("window.flips") == 400
    tab.wait_for("live")
    daemon.wait_for_viewers(1)
    eventually(lambda: len(processes.sockets(daemon.pid)) <= before, "no connection left")
    eventually(lambda: tab.memory() < warm + 64 * MEGABYTE, "no memory left")


def flip(tab: Tab, times: int) -> None:
    """Hide and show the page so often, as fast as the browser can."""
    for _ in range(times):
        tab.hide()
        eventually(lambda: tab.evaluate("document.hidden"), "hidden")
        tab.show()
        eventually(lambda: not tab.evaluate("document.hidden"), "shown")

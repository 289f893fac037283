"""The page of visits works in every browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.daemon import eventually
from tests.support.engines import Engine, Tab
from tests.support.pictures import jpeg
from tests.support.visits_server import MOTION, VisitsServer, visit

ON_THE_CANVAS = """(() => {
  const canvas = document.getElementById("film");
  const look = document.createElement("canvas").getContext("2d");
  look.drawImage(canvas, canvas.width / 2, canvas.height / 2, 1, 1, 0, 0, 1, 1);
  return canvas.hidden ? -1 : Math.floor(look.getImageData(0, 0, 1, 1).data[0] / 16);
})()"""
ROWS = "document.querySelectorAll('.chunk .visit').length"


def picture(_: int, number: int | None) -> bytes:
    return jpeg(15 if number is None else number, 320, 240)


@pytest.fixture
def server() -> Iterator[VisitsServer]:
    """Return a server with a ring and motion."""
    now = time.time()
    film: dict[str, Any] = {"frames": 14, "seconds": 2.6, "before": 1.0}
    with VisitsServer(
        [visit(2, now - 60, **film), visit(1, now - 90, MOTION, **film)], picture
    ) as found:
        yield found


@pytest.fixture
def tab(server: VisitsServer, engine: Engine) -> Iterator[Tab]:  # noqa: ARG001  # ends before it
    """Return an empty tab."""
    with engine.tab() as found:
        yield found


def click(tab: Tab, selector: str) -> None:
    tab.evaluate(f"document.querySelector({selector!r}).click()")


def is_shown(tab: Tab, name: str) -> bool:
    return bool(tab.evaluate(f"!document.getElementById('{name}').hidden"))


def test_visits_are_listed_watched_and_deleted(
    engine: Engine, tab: Tab, server: VisitsServer
) -> None:
    tab.open(server, path="visits")
    eventually(lambda: tab.evaluate(ROWS) == 2, "the list")
    server.replace(visit(3, time.time(), frames=14, seconds=2.6, before=1.0))
    eventually(lambda: tab.evaluate(ROWS) == 3, "the new visit")
    click(tab, "[data-id='3'] a")
    eventually(lambda: is_shown(tab, "start"), "the film")
    assert is_shown(tab, "still")
    begun = time.monotonic()
    click(tab, "#start")
    eventually(lambda: tab.evaluate(ON_THE_CANVAS) == 13, "the end of the film")
    assert time.monotonic() - begun > 2.4  # It has 2.6 seconds.
    assert not is_shown(tab, "still")
    tab.evaluate(
        "(() => { const range = document.getElementById('moment'); range.value = 4;"
        " range.dispatchEvent(new Event('input')); })()"
    )
    eventually(lambda: tab.evaluate(ON_THE_CANVAS) == 4, "picture 4")
    tab.evaluate("history.back()")  # It stays on this page.
    eventually(lambda: not is_shown(tab, "viewer"), "the list again")
    click(tab, "[data-id='3'] a")
    eventually(lambda: is_shown(tab, "start"), "the film again")
    click(tab, "#save-film")
    whole = b"".join(picture(3, number) for number in range(14))
    eventually(
        lambda: any(each.read_bytes() == whole for each in engine.downloads.glob("*.mjpeg")),
        "the film in the folder",
    )
    click(tab, "#delete-yes")
    eventually(lambda: tab.evaluate(ROWS) == 2, "the visit gone")
    assert server.find(3) is None
    eventually(lambda: not is_shown(tab, "viewer"), "the list")


def test_part_to_ignore_is_written_for_the_configuration(tab: Tab, server: VisitsServer) -> None:
    tab.open(server, path="visits#zones")
    eventually(lambda: tab.evaluate("document.querySelectorAll('#board').length"), "the board")
    eventually(lambda: is_shown(tab, "zones"), "the parts")
    click(tab, "#zones-add")
    assert tab.evaluate("document.getElementById('zones-line').value") == (
        "ignore = 0.35 0.35 0.30 0.30"
    )
    click(tab, "#zones-back")
    eventually(lambda: not is_shown(tab, "zones"), "the list")


def test_daemons_own_rows_are_there_without_javascript(
    engine: Engine, server: VisitsServer
) -> None:
    with engine.tab(javascript=False) as plain:
        plain.open(server, path="visits")
        eventually(
            lambda: {"GET /visits/2.jpg?v=1", "GET /visits/1.jpg?v=1"} <= set(server.asked),
            "the stills",
        )
    assert not [each for each in server.asked if ".json" in each]

"""Password, HTTPS and snapshot work in every browser."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.daemon import Daemon, eventually
from tests.support.engines import Engine, Tab
from tests.support.passwords import WORD, set_password
from tests.support.phone import TEST_CARD
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.secure import SecureDaemon, make_pair

LOG_IN = f"""(() => {{
  document.getElementById("password").value = {WORD!r};
  document.querySelector("button").click();
}})()"""


def is_at(tab: Tab, path: str, element: str) -> bool:
    """Return whether the tab is there, and has that element."""
    return bool(tab.evaluate(f"location.pathname === '{path}' && Boolean({element})"))


def test_password_opens_the_page(tab: Tab, daemon: Daemon) -> None:
    set_password(daemon.folder / "password", WORD)
    daemon.start({**TEST_CARD, "access.password_file": daemon.folder / "password"})
    form = "document.getElementById('password')"
    tab.open(daemon)
    eventually(lambda: is_at(tab, "/login", form), "the form")
    tab.evaluate(LOG_IN)
    eventually(lambda: is_at(tab, "/", "document.getElementById('stage')"), "the page")
    tab.wait_for("live")
    tab.open(daemon).wait_for("live")  # stays logged in
    tab.evaluate("document.getElementById('logout').click()")
    eventually(lambda: is_at(tab, "/login", form), "the form again")


def test_page_over_https(tab: Tab, tmp_path: Path) -> None:
    with SecureDaemon(tmp_path, make_pair(tmp_path)) as secure:
        secure.start({**TEST_CARD, "access.hsts": "yes"})
        tab.open(secure).wait_for("live")
        tab.wait_until_it_moves()
        assert tab.evaluate("isSecureContext && location.protocol") == "https:"
        secure.wait_for_viewers(1)


def test_snapshot_is_the_picture(
    engine: Engine, tab: Tab, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.name": "Front/door: 1"})
    tab.open(daemon).wait_for("live", lambda: pipe_camera.show(jpeg(7, 640, 480)))
    tab.evaluate("document.getElementById('snapshot').click()")
    whole = jpeg(7, 640, 480)

    def saved() -> Path | None:
        found = [*engine.downloads.glob("*.jpg")]
        return found[0] if found and found[0].read_bytes() == whole else None

    name = eventually(saved, "the picture in the folder").name
    assert re.fullmatch(r"Front_door_ 1 \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.jpg", name)
    eventually(lambda: tab.text("notice") == "Snapshot saved", "the user told")

"""/metrics of a running daemon, and docs/metrics.md and the dashboard beside it."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from doorbelld import __version__
from tests.support.daemon import ROOT, Daemon, eventually
from tests.support.exposition import TYPE, Exposition, scrape
from tests.support.kept_visits import KeptVisits
from tests.support.numbered_pictures import numbered
from tests.support.other_site import OtherSite
from tests.support.passwords import WORD, basic, set_password
from tests.support.pipe_camera import PipeCamera
from tests.support.stream import Stream

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "docs" / "grafana.json").read_text(encoding="utf-8"))
NAME = re.compile(r"\b(?:doorbelld|process)_\w+")
ABSENT = {"doorbelld_notification_up", "doorbelld_notifications_total"}
"""What is only there if a target is configured; see tests/web/test_metrics.py."""

LABELS = {"version", "python", "state", "step", "kind"}


class Webhook(BaseHTTPRequestHandler):
    """Refuses what is posted to a path with ``gone`` in it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(410 if "gone" in self.path else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Door:
    """A daemon with a bell, whose camera shows what the test says."""

    def __init__(
        self, daemon: Daemon, camera: PipeCamera, folder: Path, **settings: object
    ) -> None:
        self.daemon = daemon
        self._camera = camera
        self._kept = KeptVisits(folder / "state")
        values = {
            **settings,
            **self._kept.settings(),
            "camera.source": camera.source,
            "camera.stall_timeout": 3600,
            "visits.after": 1,
        }
        daemon.start(values, environ=self._kept.environ)
        self.show(0)
        daemon.wait_for_state("streaming")

    def show(self, number: int) -> None:
        self._camera.show(numbered(number))

    def ring(self) -> None:
        answer, _ = self.daemon.request(f"/ring?token={self._kept.token}", "POST")
        assert answer.status == 200


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera, tmp_path: Path) -> Door:
    """Return a daemon that has shown one picture."""
    return Door(daemon, pipe_camera, tmp_path)


def test_values_are_those_of_the_status(door: Door) -> None:
    with Stream(door.daemon) as stream, Stream(door.daemon, "/live?pictures=no") as silent:
        stream.part()
        silent.file.read(1)
        for number in range(1, 4):
            door.show(number)
            stream.part()
        door.ring()
        door.ring()
        # The film is written while the visit is open.
        eventually(lambda: not door.daemon.status()["visits"]["open"], "the visit has ended")
        door.daemon.wait_for_counts(("", 4, 0))
        before, found, after = door.daemon.status(), scrape(door.daemon), door.daemon.status()
        assert before["camera"]["frames"] == after["camera"]["frames"] == 4
        _compare(found, after)
        assert before["camera"]["age_ms"] <= found("doorbelld_picture_age_seconds") * 1000
        assert found("doorbelld_picture_age_seconds") * 1000 <= after["camera"]["age_ms"]
    assert found("doorbelld_frames_sent_total") == 4
    assert found("doorbelld_frames_published_total") >= 4
    assert found("doorbelld_viewers_without_pictures") == 1
    assert found("doorbelld_bell_presses_total") == 2
    assert found("doorbelld_bell_rings_total") == 1, "the second press belongs to the first"
    assert found("doorbelld_visits_total", kind="ring") == 1
    assert found("doorbelld_visits_total", kind="motion") == 0
    eventually(lambda: scrape(door.daemon)("doorbelld_viewers_without_pictures") == 0, "it left")
    assert scrape(door.daemon)("doorbelld_frames_sent_total") == 4, "the viewer has left"


def _compare(found: Exposition, status: dict[str, Any]) -> None:
    camera, visits = status["camera"], status["visits"]
    assert found("doorbelld_camera_up") == (camera["state"] == "streaming")
    assert found("doorbelld_camera_state", state=camera["state"]) == 1
    assert found("doorbelld_camera_frames_total") == camera["frames"]
    assert found("doorbelld_camera_invalid_frames_total") == camera["invalid"]
    assert found("doorbelld_camera_reopened_total") == camera["reopened"]
    assert found("doorbelld_camera_frames_per_second") == camera["fps"]
    assert sum(found.labelled("doorbelld_viewers").values()) == status["watching"]
    assert found("doorbelld_viewers", step="0") == len(status["viewers"])
    assert found("doorbelld_viewers_max") == status["limits"]["max_viewers"]
    assert found("doorbelld_frames_dropped_total") == sum(v["dropped"] for v in status["viewers"])
    assert found("doorbelld_visits_up") == (visits["state"] == "ok")
    assert found("doorbelld_visits_kept") == visits["count"] == 1
    assert found("doorbelld_visits_bytes") == visits["bytes"] > 0
    assert found("doorbelld_visits_max_bytes") == visits["space"]
    assert found("doorbelld_motion_looks_total") == visits["motion"]["looks"]
    assert found("doorbelld_shutter_closed") == status["shutter"]["closed"]
    assert found("doorbelld_bell_buttons") == len(status["bell"]["devices"])


def test_process_is_described_by_the_standard_names(door: Door) -> None:
    pid, found = door.daemon.pid, scrape(door.daemon)
    labels = frozenset({("version", __version__), ("python", platform.python_version())})
    assert found.labelled("doorbelld_build_info") == {labels: 1}
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    resident = pages * resource.getpagesize()
    assert found("process_resident_memory_bytes") == pytest.approx(resident, rel=0.2)
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[19]) / ticks
    assert found("process_start_time_seconds") == pytest.approx(time.time() - age, abs=1)
    used = (int(stat[11]) + int(stat[12])) / ticks
    assert 0 < found("process_cpu_seconds_total") <= used + 0.1
    assert found("process_open_fds") >= 5
    again = scrape(door.daemon)
    assert again("process_start_time_seconds") == found("process_start_time_seconds")
    assert again("process_cpu_seconds_total") > found("process_cpu_seconds_total")
    assert all(again(name) >= found(name) for name in found.counters if not found.labelled(name))


@pytest.mark.parametrize(("path", "result"), [("secret-1", "delivered"), ("gone-2", "failed")])
def test_notifications_are_counted_as_the_status_does(
    daemon: Daemon, pipe_camera: PipeCamera, tmp_path: Path, path: str, result: str
) -> None:
    with OtherSite("127.0.0.1", Webhook) as site:
        settings = {"notify.webhook": f"{site.origin}/{path}"}
        door = Door(daemon, pipe_camera, tmp_path, **settings)
        door.ring()
        eventually(lambda: daemon.status()["notify"]["webhook"][result] == 1, "it has counted")
        found, status = scrape(daemon), daemon.status()["notify"]["webhook"]
        for each in ("delivered", "failed", "dropped"):
            value = found("doorbelld_notifications_total", target="webhook", result=each)
            assert value == status[each] == (each == result)
        is_up = found("doorbelld_notification_up", target="webhook")
        assert is_up == (status["state"] == "ok") == (result == "delivered")
        assert path not in daemon.request("/metrics")[1].decode()
        assert daemon.stop() == 0


def test_shutter_is_no_camera_that_has_failed(door: Door) -> None:
    assert scrape(door.daemon)("doorbelld_shutter_closed") == 0
    assert door.daemon.request("/shutter?closed=yes", "POST")[0].status == 200
    found = scrape(door.daemon)
    assert (found("doorbelld_shutter_closed"), found("doorbelld_camera_up")) == (1, 0)


def test_no_address_or_name_is_in_it(door: Door) -> None:
    with Stream(door.daemon, "/video_feed?key=my-phone") as stream:
        stream.part()
        body = door.daemon.request("/metrics")[1].decode()
    assert "127.0.0.1" not in body
    assert "my-phone" not in body
    assert Exposition(body).labels() == LABELS


def test_head_is_answered_like_get(door: Door) -> None:
    answer, body = door.daemon.request("/metrics", "HEAD")
    assert (answer.status, answer.getheader("Content-Type"), body) == (200, TYPE, b"")
    assert answer.getheader("Cache-Control") == "no-store"


def test_with_a_password_prometheus_sends_it_by_basic(daemon: Daemon, tmp_path: Path) -> None:
    set_password(tmp_path / "password", WORD)
    daemon.start({"camera.resolution": "160x120", "access.password_file": tmp_path / "password"})
    answer, body = daemon.request("/metrics")
    assert (answer.status, b"doorbelld_" in body) == (401, False)
    assert str(answer.getheader("WWW-Authenticate")).startswith("Basic ")
    assert scrape(daemon, basic(WORD, "prometheus"))("doorbelld_viewers_max") == 100


def test_page_describes_every_metric_and_no_other(door: Door) -> None:
    described = set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE))
    assert described == scrape(door.daemon).names | ABSENT
    assert set(NAME.findall(PAGE)) <= described


def _panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", ())


def _expressions() -> list[str]:
    return [each["expr"] for panel in _panels() for each in panel.get("targets", ())]


def test_dashboard_asks_for_metrics_that_there_are(door: Door) -> None:
    names = scrape(door.daemon).names | ABSENT
    expressions = _expressions()
    assert len(expressions) > 15
    for expression in expressions:
        asked = set(NAME.findall(expression))
        assert asked, expression
        assert asked <= names, expression
        # Of a counter, only how fast it grows means something after a restart.
        for name in asked:
            if name.endswith("_total"):
                assert re.search(rf"(rate|increase)\({name}\{{", expression), expression


def test_dashboard_can_be_imported() -> None:
    assert "id" not in DASHBOARD or DASHBOARD["id"] is None
    assert DASHBOARD["schemaVersion"] >= 36
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - {"__rate_interval", "__range"} <= set(variables)
    ids = [panel["id"] for panel in _panels()]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in _panels():
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, f"{panel['title']} covers another"
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}

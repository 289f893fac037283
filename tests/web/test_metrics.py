"""The metrics, as far as they need no daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from doorbelld.access.authenticator import Authenticator
from doorbelld.access.embedding import Embedding
from doorbelld.access.policy import Access
from doorbelld.net.handover import Handover
from doorbelld.server.request import Headers, Request
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.state import CameraState, CameraStatus
from doorbelld.visits.doorbell import BellSettings, Doorbell
from doorbelld.web.metrics import Metrics
from doorbelld.web.site import Context, Site
from tests.support.daemon import GUARD
from tests.support.exposition import Exposition


class Scraper:
    """Metrics of a daemon that never had a picture; ``notify`` is that of ``/status``."""

    def __init__(self) -> None:
        self.notify: dict[str, Any] = {}
        hub = FrameHub()
        self._broadcaster = Broadcaster(hub, Handover().viewers, max_viewers=2, stall_timeout=GUARD)
        self._broadcaster.start()
        self._doorbell = Doorbell(
            BellSettings(),
            hub,
            None,
            pause=lambda _closed: None,
            reason=lambda: "silent",
            on_change=self._broadcaster.renew,
        )
        self._metrics = Metrics(hub, self._broadcaster, _camera, self._doorbell, self._status)

    def _status(self) -> dict[str, Any]:
        return {**self._doorbell.status(), **self.notify}

    def read(self) -> Exposition:
        site = Site(Access(own=list), Authenticator(None), Embedding(None), {})
        request = Request("GET", "/metrics", "HTTP/1.1", Headers(()), peer="192.168.1.2")
        answer = self._metrics.metrics(Context(site, request, "192.168.1.2"))
        return Exposition(answer.body.decode())

    def stop(self) -> None:
        assert self._doorbell.stop(GUARD)
        assert self._broadcaster.stop(GUARD)


def _camera() -> CameraStatus:
    return CameraStatus(
        name='The "front"\ndoor',
        source="none",
        state=CameraState.OFFLINE,
        detail="no camera",
        reason="none",
        since=0.0,
        width=None,
        height=None,
        fps=0.0,
        frames=0,
        invalid=3,
        reopened=2,
        age_ms=None,
    )


@pytest.fixture
def scraper() -> Iterator[Scraper]:
    found = Scraper()
    yield found
    found.stop()


def test_without_a_picture_there_is_no_age(scraper: Scraper) -> None:
    found = scraper.read()
    assert "doorbelld_picture_age_seconds" not in found.names
    assert found("doorbelld_camera_up") == 0
    assert found("doorbelld_camera_state", state="offline") == 1
    assert sum(found.labelled("doorbelld_camera_state").values()) == 1
    assert found("doorbelld_camera_invalid_frames_total") == 3
    assert found("doorbelld_camera_reopened_total") == 2


def test_results_of_notifications_are_those_of_the_status(scraper: Scraper) -> None:
    assert not {name for name in scraper.read().names if "notification" in name}
    counts = {"delivered": 12, "failed": 3, "dropped": 1}
    working = {"state": "ok", "detail": "", "since": None, **counts}
    failing = {**working, "state": "failed", "detail": 'no "broker"\n', "since": 5.0}
    scraper.notify = {"notify": {"mqtt": failing, "ntfy": working}}
    found = scraper.read()
    assert found("doorbelld_notification_up", target="mqtt") == 0
    assert found("doorbelld_notification_up", target="ntfy") == 1
    for result, count in counts.items():
        assert found("doorbelld_notifications_total", target="mqtt", result=result) == count
    assert len(found.labelled("doorbelld_notifications_total")) == 6
    scraper.notify = {"notify": {}}
    assert not {name for name in scraper.read().names if "notification" in name}

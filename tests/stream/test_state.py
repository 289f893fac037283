from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from doorbelld.drivers.errors import Reason
from doorbelld.stream.state import CameraState, CameraStatus, StateTracker, ViewerStatus
from doorbelld.system.limited_log import StateLog

PACKAGE = Path(__file__).parents[2] / "doorbelld"
CAMERA = CameraStatus(
    "Front door", "pattern", CameraState.STREAMING, "Test", "", 1.5, 640, None, 30.0, 7, 0, 1, None
)
VIEWER = ViewerStatus("kitchen", "10.0.0.9", 1.5, 29.9, 10, 2, 15)


def test_status_is_written_as_json_in_the_order_of_its_fields() -> None:
    assert json.dumps(vars(CAMERA)) == (
        '{"name": "Front door", "source": "pattern", "state": "streaming", "detail": "Test",'
        ' "reason": "", "since": 1.5, "width": 640, "height": null, "fps": 30.0, "frames": 7,'
        ' "invalid": 0, "reopened": 1, "age_ms": null}'
    )
    assert json.dumps(vars(VIEWER)) == (
        '{"key": "kitchen", "address": "10.0.0.9", "since": 1.5, "fps": 29.9, "sent": 10,'
        ' "dropped": 2, "age_ms": 15, "quality": "full"}'
    )


def test_daemon_names_the_state_of_a_live_picture_in_one_place() -> None:
    naming = [
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if '"streaming"' in path.read_text(encoding="utf-8")
    ]
    # Commands read it from the JSON of /status.
    assert [path for path in naming if path.parts[0] != "commands"] == [Path("stream/state.py")]


def test_state_begins_when_it_changes_and_not_when_its_reason_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes: list[str] = []
    tracker = StateTracker(
        StateLog(logging.getLogger("test")), lambda: changes.append(tracker.current.detail)
    )
    tracker.change(CameraState.OFFLINE, "It is busy", "EBUSY", "; trying again in 1 s")
    first = tracker.current
    tracker.change(CameraState.OFFLINE, "It is busy", "EBUSY", "; trying again in 2 s")
    assert tracker.current is first
    tracker.change(CameraState.OFFLINE, "It is gone")
    assert tracker.current.since == first.since
    assert tracker.current.detail == "It is gone"
    tracker.change(CameraState.STARTING, "starting the camera")
    assert tracker.current.since > first.since
    assert changes == ["It is busy", "It is gone", "starting the camera"]
    assert caplog.messages == [
        "camera offline: It is busy (EBUSY); trying again in 1 s",
        "camera offline: It is gone",
    ]


def test_reason_alone_makes_a_difference() -> None:
    """The page must not go on with the old one."""
    changes: list[str] = []
    tracker = StateTracker(
        StateLog(logging.getLogger("test")), lambda: changes.append(tracker.current.reason)
    )
    for reason in (Reason.BUSY, Reason.BUSY, Reason.MISSING):
        tracker.change(CameraState.OFFLINE, "It does not work", reason=reason)
    tracker.change(CameraState.STREAMING, "It works")
    assert changes == ["busy", "missing", ""]

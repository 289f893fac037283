"""Metrics: everything that is counted and measured, for Prometheus; see docs/metrics.md."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from doorbelld import __version__
from doorbelld.server.replies import reply
from doorbelld.server.response import Response
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.state import CameraState, CameraStatus
from doorbelld.system import clock, process
from doorbelld.visits.doorbell import Doorbell
from doorbelld.web.site import Context

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_RESULTS = ("delivered", "failed", "dropped")
"""What ``/status`` counts of each target of notifications."""

Samples = Mapping[tuple[tuple[str, str], ...], float]
"""A value for each set of labels, which are pairs of a name and a value."""


class Page:
    """The text format of Prometheus, version 0.0.4.

    Labels and their values are words of this program: none has to be escaped, and there are few.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []

    def counter(self, name: str, explanation: str, value: float) -> None:
        """Add a number that only grows; ``name`` is without its ``_total``."""
        self.counters(name, explanation, {(): value})

    def counters(self, name: str, explanation: str, values: Samples) -> None:
        """Add some of them, each with its labels."""
        self._add(f"{name}_total", "counter", explanation, values)

    def gauge(self, name: str, explanation: str, value: float) -> None:
        """Add a number that goes up and down."""
        self.gauges(name, explanation, {(): value})

    def gauges(self, name: str, explanation: str, values: Samples) -> None:
        """Add some of them, each with its labels."""
        self._add(name, "gauge", explanation, values)

    def encode(self) -> bytes:
        """Return all of it."""
        return "".join(f"{line}\n" for line in self._lines).encode()

    def _add(self, name: str, kind: str, explanation: str, values: Samples) -> None:
        self._lines += [f"# HELP {name} {explanation}", f"# TYPE {name} {kind}"]
        for labels, value in values.items():
            pairs = ",".join(f'{label}="{each}"' for label, each in labels)
            self._lines.append(f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}")


class Metrics:
    """Answers with all metrics.

    ``status`` returns the part of ``/status`` on the bell, the visits and the notifications.
    """

    def __init__(
        self,
        hub: FrameHub,
        broadcaster: Broadcaster,
        camera_status: Callable[[], CameraStatus],
        doorbell: Doorbell,
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._hub = hub
        self._broadcaster = broadcaster
        self._camera_status = camera_status
        self._doorbell = doorbell
        self._status = status
        self._started_at = process.started_at()

    def metrics(self, _context: Context) -> Response:
        """Return them as Prometheus reads them."""
        page, status = Page(), self._status()
        labels = (("version", __version__), ("python", platform.python_version()))
        page.gauges("doorbelld_build_info", "The version, always 1.", {labels: 1})
        self._add_camera(page)
        self._add_viewers(page)
        self._add_bell(page, status)
        _add_visits(page, status["visits"])
        _add_notifications(page, status.get("notify", {}))
        self._add_process(page)
        return reply(HTTPStatus.OK, _TYPE, page.encode())

    def _add_camera(self, page: Page) -> None:
        camera = self._camera_status()
        page.gauge(
            "doorbelld_camera_up",
            "Whether there is a live picture.",
            int(camera.state is CameraState.STREAMING),
        )
        page.gauges(
            "doorbelld_camera_state",
            "1 for the state that the camera is in.",
            {(("state", each.value),): int(camera.state is each) for each in CameraState},
        )
        page.counter(
            "doorbelld_camera_frames", "Pictures that the camera has delivered.", camera.frames
        )
        page.counter(
            "doorbelld_camera_invalid_frames",
            "Pictures of the camera that could not be shown.",
            camera.invalid,
        )
        page.counter(
            "doorbelld_camera_reopened",
            "How often the camera was opened after the first time.",
            camera.reopened,
        )
        page.gauge("doorbelld_camera_frames_per_second", "The camera's frame rate.", camera.fps)
        if camera.age_ms is not None:
            page.gauge(
                "doorbelld_picture_age_seconds",
                "Age of the newest live picture.",
                camera.age_ms / 1000,
            )

    def _add_viewers(self, page: Page) -> None:
        broadcaster, deliveries = self._broadcaster, self._broadcaster.deliveries()
        page.counter(
            "doorbelld_frames_published",
            "Frames that were ready to be sent, placeholders included.",
            self._hub.count,
        )
        page.counter("doorbelld_frames_sent", "Frames sent to viewers.", deliveries.sent)
        page.counter(
            "doorbelld_frames_dropped",
            "Frames that viewers missed, because their link was busy.",
            deliveries.dropped,
        )
        page.gauges(
            "doorbelld_viewers",
            "Viewers by the size of their pictures: step 0 is the camera's, others are smaller.",
            {(("step", str(n)),): count for n, count in enumerate(broadcaster.steps())},
        )
        page.gauge(
            "doorbelld_viewers_without_pictures",
            "Clients that read the state alone.",
            broadcaster.reading,
        )
        page.gauge("doorbelld_viewers_max", "Viewers there may be.", broadcaster.max_viewers)

    def _add_bell(self, page: Page, status: Mapping[str, Any]) -> None:
        counts = self._doorbell.recorder.counts
        page.counter("doorbelld_bell_presses", "Presses of the bell.", counts.presses)
        page.counter(
            "doorbelld_bell_rings", "Presses that rang, and were not part of a ring.", counts.rings
        )
        page.gauge("doorbelld_bell_buttons", "Buttons found.", len(status["bell"]["devices"]))
        page.counters(
            "doorbelld_visits",
            "Visits that have begun, by what they began with.",
            {(("kind", kind.value),): count for kind, count in counts.begun.items()},
        )
        page.counter(
            "doorbelld_motion_looks", "Pictures looked at for motion.", self._doorbell.looks
        )
        page.gauge(
            "doorbelld_shutter_closed",
            "Whether the camera is closed on purpose.",
            int(status["shutter"]["closed"]),
        )

    def _add_process(self, page: Page) -> None:
        usage = process.usage()
        page.counter("process_cpu_seconds", "Processor time, user and system.", usage.cpu_seconds)
        page.gauge("process_resident_memory_bytes", "Resident memory.", usage.resident_bytes)
        page.gauge("process_open_fds", "Open file descriptors.", usage.open_files)
        page.gauge(
            "process_start_time_seconds",
            "When the process began, in Unix seconds.",
            round(clock.unix(self._started_at), 2),
        )


def _add_visits(page: Page, visits: Mapping[str, Any]) -> None:
    page.gauge("doorbelld_visits_up", "Whether visits are kept.", int(visits["state"] == "ok"))
    page.gauge("doorbelld_visits_kept", "Visits on the disk.", visits["count"])
    page.gauge("doorbelld_visits_bytes", "What they take of the disk.", visits["bytes"])
    page.gauge("doorbelld_visits_max_bytes", "What they may take of the disk.", visits["space"])


def _add_notifications(page: Page, targets: Mapping[str, Mapping[str, Any]]) -> None:
    if not targets:  # A family without samples is of no use.
        return
    page.gauges(
        "doorbelld_notification_up",
        "Whether notifications reach the target.",
        {(("target", name),): int(each["state"] == "ok") for name, each in targets.items()},
    )
    page.counters(
        "doorbelld_notifications",
        "Notifications by what became of them.",
        {
            (("target", name), ("result", result)): each[result]
            for name, each in targets.items()
            for result in _RESULTS
        },
    )

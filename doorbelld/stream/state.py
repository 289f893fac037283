"""State: what ``/status`` says of the camera and of each viewer, and how a change is logged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from doorbelld.drivers.errors import Reason
from doorbelld.system.limited_log import StateLog


class CameraState(str, Enum):
    """Whether there is a live picture. The values are those in ``/status``."""

    STARTING = "starting"
    STREAMING = "streaming"
    OFFLINE = "offline"


@dataclass(frozen=True)
class CameraStatus:
    """The camera in ``/status``; the fields are in the order of the JSON.

    ``since`` is in Unix seconds. ``width``, ``height`` and ``age_ms`` are None before the first
    picture. ``invalid`` counts pictures that could not be shown, ``reopened`` how often the
    camera was opened after the first time. ``reason`` is what ``detail`` says, as a code:
    a drivers.errors.Reason, or empty while nothing is wrong.
    """

    name: str
    source: str
    state: CameraState
    detail: str
    reason: str
    since: float
    width: int | None
    height: int | None
    fps: float
    frames: int
    invalid: int
    reopened: int
    age_ms: int | None


@dataclass(frozen=True)
class ViewerStatus:
    """A viewer in ``/status``; the fields are in the order of the JSON.

    ``since`` is in Unix seconds. ``age_ms`` is the age of the newest frame that was sent to it,
    None before the first. ``quality`` is "full" if it is sent the camera's own pictures alone.
    """

    key: str
    address: str
    since: float
    fps: float
    sent: int
    dropped: int
    age_ms: int | None
    quality: str = "full"


class Condition(NamedTuple):
    """The camera's state, why, and since when, on time.monotonic()'s clock.

    ``detail`` is the reason as a sentence, ``reason`` as a code (drivers.errors.Reason).
    """

    state: CameraState
    detail: str
    since: float
    reason: str = ""


class StateTracker:
    """Holds the camera's condition and logs its changes.

    ``current`` is replaced as a whole by the capture thread; any thread may read it. ``on_change``
    is called after each change, and must not block.
    """

    def __init__(self, state_log: StateLog, on_change: Callable[[], None] = lambda: None) -> None:
        self.current = Condition(CameraState.STARTING, "starting the camera", time.monotonic())
        self._clue = ""
        self._state_log = state_log
        self._on_change = on_change

    def change(
        self, state: CameraState, detail: str, clue: str = "", more: str = "", *, reason: str = ""
    ) -> None:
        """Set the condition, and log it if it is another one.

        ``clue`` is for the log alone, and so is ``more``, which does not make a difference.
        """
        before = self.current
        old = (before.state, before.detail, before.reason, self._clue)
        if (state, detail, reason, clue) == old:
            return
        is_same = state is before.state and Reason.PAUSED not in {reason, before.reason}
        since = before.since if is_same else time.monotonic()
        self.current = Condition(state, detail, since, reason)
        self._clue = clue
        self.announce(self.current, (f" ({clue})" if clue else "") + more)

    def announce(self, condition: Condition, more: str = "") -> None:
        """Log that the camera's condition is this one now; ``current`` may be another one."""
        is_fault = condition.state is CameraState.OFFLINE and condition.reason != Reason.PAUSED
        level = logging.WARNING if is_fault else logging.INFO
        self._state_log.log(level, f"camera {condition.state.value}: {condition.detail}{more}")
        self._on_change()

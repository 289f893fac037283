"""HangWatch: notices a capture thread that hangs in the camera's driver, and acts in its place."""

from __future__ import annotations

import time

from doorbelld.drivers.errors import Reason
from doorbelld.stream.placeholder import Placeholder
from doorbelld.stream.state import CameraState, Condition, StateTracker

_GRACE = 1.0
"""Seconds beyond the stall timeout after which the thread itself must hang in a driver."""

_OPENING = 10.0
"""The same while a camera is being opened, which may take that long."""

_DETAIL = "The camera's driver hangs"


class HangWatch:
    """Says what the camera's condition really is, and shows the placeholder during a hang.

    A thread that hangs cannot do either itself. ``condition`` may be called by any thread,
    ``update`` by the main thread alone.
    """

    def __init__(self, tracker: StateTracker, placeholder: Placeholder) -> None:
        self._tracker = tracker
        self._placeholder = placeholder

    def condition(self, beat: float, captured_at: float | None, stall_timeout: float) -> Condition:
        """Return the condition: the tracker's, unless the thread hangs.

        ``beat`` is the thread's, ``captured_at`` the moment of the last live picture.
        """
        current, silence = self._tracker.current, time.monotonic() - beat
        if current.state is CameraState.STREAMING and captured_at is not None:
            if silence > stall_timeout + _GRACE:
                return Condition(CameraState.OFFLINE, _DETAIL, captured_at, Reason.HANGS)
        elif silence > max(stall_timeout, _OPENING):
            return Condition(CameraState.OFFLINE, _DETAIL, beat, Reason.HANGS)
        return current

    def update(self, condition: Condition, name: str, width: int, height: int) -> None:
        """Announce when a hang begins and ends; during a hang, publish the placeholder.

        ``condition`` is what condition() returned; the rest is for the card.
        """
        if condition.detail != _DETAIL:
            if self._placeholder.is_drawn:
                self._placeholder.clear()
                self._tracker.announce(condition)
            return
        if not self._placeholder.is_drawn:
            self._placeholder.draw(name, condition, width, height)
            self._tracker.announce(condition)
        self._placeholder.publish(time.monotonic())

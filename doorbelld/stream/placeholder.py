"""Placeholder: the card that is shown while there is no picture.

A capture thread that hangs in the camera's driver cannot show it; HangWatch does that in its place.
"""

from __future__ import annotations

import time

from doorbelld.drivers.errors import Reason
from doorbelld.media import card
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.state import CameraState, Condition, StateTracker
from doorbelld.system import clock

INTERVAL = 1.0
"""Seconds between two frames with the card."""

_GRACE = 1.0
"""Seconds beyond the stall timeout after which the thread itself must hang in a driver."""

_OPENING = 10.0
"""The same while a camera is being opened, which may take that long."""

_DETAIL = "The camera's driver hangs"


class Placeholder:
    """Draws the card once, and publishes it again and again. Used by one thread at a time."""

    def __init__(self, hub: FrameHub) -> None:
        self._hub = hub
        self._card: bytes | None = None
        self._published_at = 0.0

    @property
    def is_drawn(self) -> bool:
        """Whether there is a card to publish."""
        return self._card is not None

    def draw(self, name: str, condition: Condition, width: int, height: int) -> None:
        """Draw the card; ``name`` is the camera's, ``width`` and ``height`` are in pixels."""
        since = time.strftime("since %H:%M", time.localtime(clock.unix(condition.since)))
        is_trying = condition.reason != Reason.PAUSED
        self._card = card.placeholder(
            name, condition.detail, since, width, height, is_trying=is_trying
        )

    def clear(self) -> None:
        """Forget the card: there is a picture."""
        self._card = None

    def publish(self, now: float) -> None:
        """Publish the card, if there is one, as of ``now`` (time.monotonic())."""
        if self._card is not None:
            self._published_at = now
            self._hub.publish(self._card, now, live=False)

    def publish_if_due(self, now: float) -> None:
        """The same, if a second has passed since the last time."""
        if now - self._published_at >= INTERVAL:
            self.publish(now)


class HangWatch:
    """Says what the camera's condition really is, and shows the placeholder during a hang.

    ``condition`` may be called by any thread, ``update`` by the main thread alone.
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

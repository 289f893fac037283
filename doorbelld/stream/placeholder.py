"""Placeholder: the card that is shown while there is no picture."""

from __future__ import annotations

import time

from doorbelld.drivers.errors import Reason
from doorbelld.media import card
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.state import Condition
from doorbelld.system import clock

INTERVAL = 1.0
"""Seconds between two frames with the card."""


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

"""Counters: what the capture thread has counted and measured."""

from __future__ import annotations

import time

from doorbelld.stream.rate import FrameRate


class Counters:
    """Written by the capture thread alone; any thread may read.

    ``size`` is (width, height) of the last live picture, ``captured_at`` the moment of its
    capture on time.monotonic()'s clock. ``frames`` counts live pictures, ``opened`` how often a
    camera was opened, ``invalid`` the pictures that could not be shown, of all cameras that are
    closed by now.
    """

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self.captured_at: float | None = None
        self.frames = 0
        self.opened = 0
        self.invalid = 0
        self.rate = FrameRate()

    @property
    def reopened(self) -> int:
        """How often a camera was opened after the first time."""
        return max(0, self.opened - 1)

    @property
    def age_ms(self) -> int | None:
        """How old the last live picture is, in milliseconds; None before the first."""
        captured_at = self.captured_at
        return None if captured_at is None else round((time.monotonic() - captured_at) * 1000)

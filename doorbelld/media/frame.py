"""Frame: one picture on its way from the camera to every viewer."""

from __future__ import annotations

from typing import NamedTuple


class Frame(NamedTuple):
    """One JPEG picture, numbered and stamped.

    ``data`` is the whole JPEG, from SOI to EOI. ``sequence`` counts published frames from 1
    and never goes back. ``captured_at`` is the moment of capture on ``time.monotonic()``'s
    clock, ``timestamp`` the same moment in Unix seconds. ``live`` is false for the placeholder
    that is shown while there is no picture. ``made_width`` is how many pixels wide it was made for
    a slow link; 0 stands for the camera's own picture.
    """

    data: bytes
    sequence: int
    captured_at: float
    timestamp: float
    live: bool = True
    made_width: int = 0

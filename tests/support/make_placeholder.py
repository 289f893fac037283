"""Draws doorbelld/media/placeholder.jpg, the card for a machine without OpenCV.

Run it from the top folder: ``python3 tests/support/make_placeholder.py``.
"""

from __future__ import annotations

from pathlib import Path

from doorbelld.media import card

SHIPPED = Path(card.__file__).with_name("placeholder.jpg")


def draw() -> bytes:
    """Return the card: it cannot know the camera's name or what is wrong with it."""
    return card.placeholder("No picture", "The camera sends no picture", "", 640, 480)


if __name__ == "__main__":
    SHIPPED.write_bytes(draw())

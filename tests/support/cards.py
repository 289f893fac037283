"""What a viewer sees: pictures of the camera, or placeholder cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from doorbelld.media import card

if TYPE_CHECKING:
    from tests.support.stream import Stream

SIZE = {"camera.resolution": "320x240"}
"""The settings with which cards can be distinguished from pictures."""

READY_CARD = Path(card.__file__).with_name("placeholder.jpg").read_bytes()
"""The one that is shown where none can be drawn."""


def see(stream: Stream, data: bytes) -> None:
    """Read the stream until this picture is shown."""
    while stream.part().body != data:
        pass


def see_card(stream: Stream) -> None:
    """Read the stream until a card is shown that was drawn for the fault."""
    while not is_card(stream.part().body):
        pass


def see_picture(stream: Stream) -> bytes:
    """Read the stream until a picture of the camera is shown; return it."""
    while True:
        data = stream.part().body
        if not is_card(data) and data != READY_CARD:
            return data


def is_card(data: bytes) -> bool:
    """Return whether it is a card: dark in its corners, where the test pattern has bars."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image.shape == (240, 320) and bool(image[:20, :20].mean() < 60)

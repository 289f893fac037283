"""Fault: why a picture is left out, the words for it, and its reason."""

from __future__ import annotations

from typing import NamedTuple

from doorbelld.drivers.errors import Reason
from doorbelld.media import jpeg


class Fault(NamedTuple):
    """The words for one kind of fault.

    ``once`` describes one picture, for the log; ``always`` describes a camera that delivers
    nothing else, and so does ``reason``.
    """

    always: str
    once: str
    reason: Reason


_BYTES = f"{jpeg.LARGEST // 2**20} MB"
_PIXELS = f"{jpeg.MOST_PIXELS // 10**6} million pixels"
_PIXELS_TURNED = f"{jpeg.MOST_PIXELS_DECODED / 10**6:.1f} million pixels"

SILENT = Fault("has sent no picture", "", Reason.SILENT)
DAMAGED = Fault(
    "has sent only damaged pictures",
    f"a picture was damaged, or larger than {_BYTES}, and",
    Reason.DAMAGED,
)
TOO_MANY_BYTES = Fault(
    f"has sent only pictures larger than {_BYTES}",
    f"a picture was larger than {_BYTES}, and",
    Reason.DAMAGED,
)
TOO_MANY_PIXELS = Fault(
    f"has sent only pictures of more than {_PIXELS}",
    f"a picture had more than {_PIXELS}, and",
    Reason.DAMAGED,
)
TOO_MANY_TO_TURN = Fault(
    f"has sent only pictures of more than {_PIXELS_TURNED}, which are too large to turn,",
    f"a picture had more than {_PIXELS_TURNED}, was too large to turn, and",
    Reason.SETTINGS,
)
NO_MEMORY = Fault(
    "has had too little memory for its pictures",
    "there was too little memory for a picture, which",
    Reason.SOFTWARE,
)


def judge(data: bytes) -> tuple[int, int] | Fault:
    """Return the size of a picture in pixels, or why it cannot be shown."""
    if len(data) > jpeg.LARGEST:
        return TOO_MANY_BYTES
    width, height = jpeg.size(data) or (0, 0)
    if not (width and height):
        return DAMAGED
    return (width, height) if width * height <= jpeg.MOST_PIXELS else TOO_MANY_PIXELS

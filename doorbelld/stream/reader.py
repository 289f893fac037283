"""PictureReader: reads the pictures of one opened camera, and leaves out those with a Fault."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from doorbelld.camera.base import Camera, Shot
from doorbelld.drivers.errors import GoneError, Reason
from doorbelld.media import jpeg
from doorbelld.media.markers import TooLargeError
from doorbelld.system.limited_log import StateLog

_PAUSE = 0.2
"""Seconds without reading after a read for which there was not enough memory."""


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


class Picture(NamedTuple):
    """A picture that can be shown, with its size in pixels.

    ``captured_at`` is on time.monotonic()'s clock.
    """

    data: bytes
    captured_at: float
    size: tuple[int, int]


class PictureReader:
    """There is a new one each time that a camera is opened; it belongs to the capture thread.

    ``pause`` waits for some seconds, or until the thread has something else to do. ``fault`` is
    why there is no picture at the moment. Any thread may read ``invalid``.
    """

    def __init__(
        self,
        camera: Camera,
        state_log: StateLog,
        pause: Callable[[float], None],
        invalid_before: int = 0,
    ) -> None:
        self.camera = camera
        self.fault = SILENT
        self._state_log = state_log
        self._pause = pause
        self._left_out = invalid_before
        self._logged: set[Fault] = set()

    @property
    def invalid(self) -> int:
        """How many pictures could not be shown, of this camera and those before it."""
        return self._left_out + self.camera.invalid

    def read(self, timeout: float) -> Shot | None:
        """Return the next picture as the camera delivers it, or None if none comes.

        Waits ``timeout`` seconds for it. Raises what the camera raises.
        """
        invalid = self.camera.invalid
        try:
            shot = self.camera.read(timeout)
        except MemoryError:
            counted = self.camera.invalid > invalid
            self._lack_memory(0 if counted else 1)
            return None
        if self.camera.invalid > invalid:
            self._leave_out(DAMAGED, 0)  # The camera has counted it.
        return shot

    def load(self, shot: Shot) -> Picture | None:
        """Return the picture, or None if it cannot be shown."""
        try:
            data = shot.jpeg()
        except GoneError:
            return None  # The next picture is here already.
        except MemoryError:
            self._lack_memory(1)
            return None
        except TooLargeError:
            self._leave_out(TOO_MANY_TO_TURN)
            return None
        except ValueError:
            self._leave_out(DAMAGED)
            return None
        size = judge(data)
        if isinstance(size, Fault):
            self._leave_out(size)
            return None
        self.fault = SILENT
        return Picture(data, shot.captured_at, size)

    def _lack_memory(self, count: int) -> None:
        self._leave_out(NO_MEMORY, count)
        self._pause(_PAUSE)

    @staticmethod
    def load_in_any_thread(shot: Shot) -> bytes | None:
        """Return the JPEG, or None if it cannot be shown; nothing is counted or logged.

        Raises nothing: a thread that sends pictures must not end because a camera's library fails.
        """
        try:
            data = shot.jpeg()
        except (Exception, SystemExit):  # noqa: BLE001  # libraries raise what they like
            return None
        return None if isinstance(judge(data), Fault) else data

    def _leave_out(self, why: Fault, count: int = 1) -> None:
        """Count a picture that is not shown. Log each fault once for this opening."""
        self._left_out += count
        self.fault = why
        if why not in self._logged:
            self._logged.add(why)
            self._state_log.log(logging.WARNING, f"{self.camera.name}: {why.once} was left out")

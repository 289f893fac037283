"""The ``v4l2:`` source: a webcam, or anything else that the kernel shows as /dev/videoN."""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
import time
from functools import partial

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.orientation import encode, need_opencv, turn_jpeg
from doorbelld.drivers.errors import CameraError, GoneError, Reason
from doorbelld.media import codec, picture
from doorbelld.system.limited_log import MINUTE, OnceLog
from doorbelld.v4l2 import controls, devices, formats
from doorbelld.v4l2.buffers import Buffers, Filled
from doorbelld.v4l2.mode import Mode, set_mode

_log = logging.getLogger(__name__)

_BUFFERS = 4
"""The newest picture stays with us; the driver fills the others."""

_JPEGS = ("MJPG", "JPEG")
"""Pixel formats that are passed on, the usual one first."""

_RAW_FORMATS = tuple(codec.PIXELS)
"""Pixel formats that are encoded here, with OpenCV, the best first."""

_TRIES = 3
_FRESH = 5.0
"""Seconds: a time stamp older than this is from another clock."""

_AT_ONCE = 0.005
"""Seconds: a picture that comes sooner was ready before we waited for it."""

_OLD = 0.2
"""Seconds, for such a picture."""

_GONE = (errno.ENODEV, errno.ENXIO)

_settings_log = OnceLog(_log, MINUTE)
"""For lines that the camera would repeat each time that it is opened."""


class V4l2Camera:
    """A webcam that makes JPEGs, which are passed on as they are, or raw pictures.

    Raw pictures are encoded here, and both can be turned; only that takes OpenCV. Nothing is
    copied from the driver's memory before the picture is loaded. ``captured_at`` is the driver's
    time stamp of the buffer.
    """

    def __init__(self, path: str, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"Camera {path}"
        self.mode = ""
        self._path = path
        self._settings = settings
        self._turned = bool(settings.rotation or settings.hflip or settings.vflip)
        self._checker = picture.Checker()
        self._made = Mode("", 0, 0, 0, 0.0)
        self._failures = 0
        self._fd = -1
        self._poll = select.poll()
        # What other threads reach when they load a picture.
        self._lock = threading.Lock()
        self._buffers: Buffers | None = None
        self._newest: Filled | None = None

    def open(self) -> None:
        """Start capturing. Raises CameraError: missing, forbidden, busy, or no camera."""
        if self._turned:
            need_opencv("Turning this camera's picture")
        self.name = f"{devices.probe(self._path).name} ({self._path})"
        try:
            self._start()
        except OSError as error:
            self.close()
            raise self._explain(error) from error
        except BaseException:
            self.close()
            raise

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if no undamaged one came within ``timeout``."""
        now = started = time.monotonic()
        while self._poll.poll(max(0.0, started + timeout - now) * 1000):
            waited = time.monotonic() - now
            shot = self._next(was_ready=now == started and waited < _AT_ONCE)
            now = time.monotonic()
            if shot or now - started >= timeout:
                return shot
        self._failures = 0
        return None

    def close(self) -> None:
        """Stop capturing."""
        with self._lock:
            buffers, self._buffers, self._newest = self._buffers, None, None
            if buffers:
                _log.debug("%s: its driver has lost %d pictures", self.name, buffers.lost)
                buffers.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _start(self) -> None:
        self._fd = fd = devices.open_device(self._path)
        self._made = made = self._choose(fd)
        is_raw = made.code not in _JPEGS
        if is_raw:
            need_opencv("This camera")
        rate = f", {made.framerate:.4g} fps" if made.framerate else ""
        self.mode = f"{made.code}{', encoded here' if is_raw else ''}{rate}"
        wanted = self._settings.controls
        problems = controls.apply(fd, wanted) if wanted else {}
        self._buffers = Buffers(fd, _BUFFERS)
        if problems:  # Some drivers set nothing before they stream.
            problems = controls.apply(fd, {key: wanted[key] for key in problems})
        for key, why in problems.items():
            line = f"{self.name}: {key} = {wanted[key]} cannot be set: {why}"
            _settings_log.log(logging.WARNING, line)
        self._failures = 0
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def _choose(self, fd: int) -> Mode:
        """Set the device to the best format, and to the nearest size and rate that it has."""
        asked, offered = self._settings, formats.own_formats(fd)
        jpegs = [code for code in _JPEGS if code in offered]
        raws = [code for code in _RAW_FORMATS if code in offered]
        # Raw pictures need not be decoded before they are turned. But they may be too large
        # for the cable to carry many a second.
        for code in (*raws[:1], *jpegs[:1]) if self._turned else (jpegs or raws)[:1]:
            made = set_mode(fd, code, asked.width, asked.height, asked.framerate)
            is_last = code in _JPEGS or not jpegs
            is_known = made.code in _JPEGS or made.code in _RAW_FORMATS
            if is_known and (is_last or made.framerate > asked.framerate * 0.9):
                return made
        text = f"{self.name} offers no picture format that OpenCV can read"
        raise CameraError(text, Reason.DAMAGED)

    def _explain(self, error: OSError) -> CameraError:
        if error.errno == errno.ENOSPC:
            return CameraError(
                f"{self.name} gets too little USB bandwidth; use another USB port,"
                " or a lower resolution or framerate",
                Reason.SETTINGS,
            )
        return devices.explain(self._path, error)

    def _next(self, *, was_ready: bool) -> Shot | None:
        """Return the newest picture that is ready, or None if it is damaged, or too old.

        If ``was_ready`` we did not have to wait: there may be several, which may be old.
        """
        buffers = self._buffers
        assert buffers
        most = len(buffers) - (1 if self._newest else 0) if was_ready else 1
        newest, taken = self._take(buffers, most)
        if not newest:
            return None
        now, stamp = time.monotonic(), newest.stamp
        is_ours = stamp is not None and now - _FRESH < stamp <= now
        captured_at = stamp if stamp is not None and is_ours else now
        # A driver without an empty buffer has dropped all newer pictures.
        if was_ready and taken == most and not now - _OLD < captured_at < now:
            return None
        return Shot(b"", captured_at, partial(self._load, newest))

    def _take(self, buffers: Buffers, most: int) -> tuple[Filled | None, int]:
        """Take the pictures that are ready; return the newest undamaged one, and their number.

        That one is kept.
        """
        newest, taken = None, 0
        try:
            while taken < most and (filled := buffers.take()):
                taken += 1
                if filled.is_damaged:
                    self.invalid += 1
                    buffers.give_back(filled.number)
                else:
                    newest = filled
                    self._keep(buffers, filled)
            if not taken:
                raise BlockingIOError(errno.EAGAIN, "a picture is ready, but cannot be fetched")
            self._failures = 0
        except OSError as error:
            self._miss(error)
        return newest, taken

    def _keep(self, buffers: Buffers, filled: Filled) -> None:
        """Keep this buffer until the next one is here, and give the last one back."""
        with self._lock:
            last, self._newest = self._newest, filled
            if last:
                buffers.give_back(last.number)

    def _miss(self, error: OSError) -> None:
        """Raise CameraError if the camera is gone, or has failed several times in a row."""
        if error.errno in _GONE:
            raise CameraError(f"{self.name} was unplugged", Reason.MISSING) from error
        self._failures += 1
        try:
            devices.query(self._path)
        except (OSError, CameraError) as gone:
            raise CameraError(f"{self.name} was unplugged", Reason.MISSING) from gone
        if self._failures >= _TRIES:
            raise CameraError(f"{self.name} has stopped working", Reason.SILENT) from error

    def _load(self, filled: Filled) -> bytes:
        """Return a picture as a JPEG; in any thread. Raises GoneError, or another ValueError."""
        with self._lock:
            if self._newest is not filled or not self._buffers:
                raise GoneError("a newer picture has taken this one's place")
            data = self._buffers.copy(filled)
        return self._jpeg_of(data)

    def _jpeg_of(self, data: bytes) -> bytes:
        """Return what the camera made as a JPEG. Raises ValueError if it is damaged."""
        if self._made.code in _JPEGS:
            return turn_jpeg(self._checker.mend(data), self._settings)
        made = self._made
        image = codec.decode_raw(data, made.code, made.width, made.height, made.stride)
        return encode(image, self._settings)

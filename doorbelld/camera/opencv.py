"""The sources that need OpenCV: V4L2 cameras, video files, and cameras on the network."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from doorbelld.camera import devices
from doorbelld.camera.base import CameraError, CameraSettings, Shot, without_secrets
from doorbelld.camera.closing import join_receiver
from doorbelld.media import jpeg
from doorbelld.system.latest import Latest
from doorbelld.system.pace import Pace

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_BUFFERS = 4
"""How many pictures OpenCV lets a V4L2 driver keep ready."""

_START = 512
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes of which each video has some in its first ``_START``, and no text has any."""

_TRIES = 3
_FRESH = 5.0
"""Seconds: a time stamp older than this is on another clock than ours."""


class V4l2Camera:
    """A webcam, or anything else that the kernel shows as /dev/videoN.

    Its own JPEGs are passed on as they are, if it makes any and the picture need not be
    turned; otherwise raw pictures are encoded. ``captured_at`` is the driver's
    own time stamp of the buffer.
    """

    def __init__(self, path: str, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"Camera {path}"
        self._path = path
        self._settings = settings
        self._capture: Any = None
        self._turned = bool(settings.rotation or settings.hflip or settings.vflip)
        self._sends_jpeg = False
        self._stale = 0.0
        self._failures = 0

    def open(self) -> None:
        """Start capturing. Raises CameraError: missing, forbidden, busy, or no camera."""
        cv2 = _load_opencv()
        self.name = f"{devices.probe(self._path).name} ({self._path})"
        self._capture = cv2.VideoCapture(self._path, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self.close()
            raise CameraError(f"{self.name} offers no picture format that OpenCV can read")
        self._configure(cv2)

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came or it was damaged.

        OpenCV waits for a second if the camera is silent, even if ``timeout`` is less.
        """
        del timeout
        captured_at = self._grab()
        if captured_at is None:
            return None
        whole, image = self._capture.retrieve()
        try:
            if whole:
                return Shot(self._jpeg(image), captured_at)
        except jpeg.TooLargeError:
            raise
        except ValueError as error:
            logger.debug("%s: %s", self.name, error)
        self.invalid += 1
        return None

    def close(self) -> None:
        """Stop capturing."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _configure(self, cv2: Any) -> None:
        asked, capture = self._settings, self._capture
        mjpg = cv2.VideoWriter.fourcc(*"MJPG")
        # To be turned, raw pictures need not be decoded first. But they may be too large
        # for the cable to carry many of them.
        for fourcc in (None, mjpg) if self._turned else (mjpg,):
            if fourcc:
                capture.set(cv2.CAP_PROP_FOURCC, fourcc)
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, asked.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.height)
            capture.set(cv2.CAP_PROP_FPS, asked.framerate)
            if capture.get(cv2.CAP_PROP_FPS) > asked.framerate * 0.9:
                break
        self._sends_jpeg = int(capture.get(cv2.CAP_PROP_FOURCC)) == mjpg
        if self._sends_jpeg:  # we want to see it before anything decodes it
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._stale = 2 / max(capture.get(cv2.CAP_PROP_FPS), 1)

    def _grab(self) -> float | None:
        """Take the newest picture from the driver; return the moment of its capture."""
        # After a pause of ours the driver has kept the oldest pictures for us, not the
        # newest. Such a picture is there at once, and old; fetching it frees its buffer.
        for _ in range(_BUFFERS + 1):
            started = time.monotonic()
            if not self._capture.grab():
                self._miss(time.monotonic() - started)
                return None
            self._failures = 0
            now = time.monotonic()
            captured_at = self._captured_at(now)
            if now - started > self._stale / 10 or now - captured_at < self._stale:
                break
        return captured_at

    def _captured_at(self, now: float) -> float:
        position = jpeg.load_opencv().CAP_PROP_POS_MSEC
        stamp = float(self._capture.get(position)) / 1000
        return stamp if now - _FRESH < stamp <= now else now

    def _miss(self, waited: float) -> None:
        """Tell a camera that is silent (OpenCV waited in vain) from one that is gone."""
        if waited > 0.5:
            self._failures = 0
            return
        # At once: the device is gone, or a signal came while OpenCV waited.
        self._failures += 1
        try:
            devices.query(self._path)
        except (OSError, CameraError) as error:
            raise CameraError(f"{self.name} was unplugged") from error
        if self._failures >= _TRIES:
            raise CameraError(f"{self.name} has stopped working")

    def _jpeg(self, image: Any) -> bytes:
        """Return what OpenCV gave as a JPEG. Raises ValueError if it is damaged."""
        asked = self._settings
        if self._sends_jpeg:
            data = image.tobytes().rstrip(b"\0")  # some webcams fill up their last packet
            if not jpeg.is_whole(data):
                raise ValueError("a JPEG that is not whole")
            turn = asked.rotation, asked.hflip, asked.vflip
            return jpeg.reorient(data, *turn, asked.quality)
        if image.shape[0] == 1:
            # What is in OpenCV's own order of colours already, it hands over as one long row.
            height = int(self._capture.get(jpeg.load_opencv().CAP_PROP_FRAME_HEIGHT))
            image = image.reshape(height, -1, 3)
        return _encode(image, asked)


class VideoCamera:
    """A video file, played over and over at its own speed."""

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"File {path}"
        self._path = path
        self._settings = settings
        self._capture: Any = None
        self._pace = Pace(settings.framerate)
        self._taken = 0

    def open(self) -> None:
        """Open the file. Raises CameraError if OpenCV finds no video in it."""
        cv2 = _load_opencv()
        self._rewind()
        framerate = self._capture.get(cv2.CAP_PROP_FPS)
        if 0 < framerate <= 1000:
            self._pace = Pace(framerate)

    def read(self, timeout: float) -> Shot | None:
        """Return the frame that is due, or None if none is within ``timeout`` seconds."""
        due = self._pace.wait(timeout)
        if due is None:
            return None
        while self._taken < self._pace.beats:  # those we are too slow for are left out
            self._taken += 1
            if not self._capture.grab():
                self._rewind()
                self._taken = self._pace.beats
                self._capture.grab()
        whole, image = self._capture.retrieve()
        if not whole:
            self.invalid += 1
            return None
        try:
            return Shot(_encode(image, self._settings), due)
        except ValueError:
            self.invalid += 1
            return None

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _rewind(self) -> None:
        cv2 = _load_opencv()
        self.close()
        self._refuse_playlist()
        # Seeking to the start is not possible in every format; opening again is.
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            self.close()
            raise CameraError(f"OpenCV finds no video in {self._path}")
        _check_size(self._capture, self.name)

    def _refuse_playlist(self) -> None:
        """Raise CameraError for a text: FFmpeg would open the files and hosts that it names.

        The whitelists that FFmpeg has against that cannot be set through OpenCV's wheel.
        """
        try:
            with self._path.open("rb") as file:
                start = file.read(_START)
        except OSError as error:
            raise CameraError(f"There is no video in {self._path}: {error.strerror}") from error
        if not _BINARY.search(start) and not start.startswith(b"YUV4MPEG2"):
            raise CameraError(f"There is no video in {self._path}, but text, or a playlist")


class NetworkCamera:
    """A camera with an rtsp URL. Its name has scheme, host and port alone.

    OpenCV may wait for the network for as long as ``stall_timeout``, so a thread of its own
    reads, always, and only the newest picture is kept.
    """

    def __init__(self, url: str, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = without_secrets(url)
        self._url = url
        self._settings = settings
        self._mailbox: Latest[tuple[Any, float]] = Latest()
        self._opened = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="network", daemon=True)

    def open(self) -> None:
        """Start connecting; wait a second for it.

        Raises CameraError if it fails in that time, otherwise read() does.
        """
        _load_opencv()
        try:
            self._thread.start()
        except RuntimeError as error:
            raise CameraError(f"The system is out of threads: {error}") from error
        if self._opened.wait(1):
            self._mailbox.check()

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came within ``timeout`` seconds."""
        received = self._mailbox.take(timeout)
        if received is None:
            return None
        image, arrived = received
        try:
            return Shot(_encode(image, self._settings), arrived)
        except ValueError:
            self.invalid += 1
            return None

    def close(self) -> None:
        """Let go of the connection; its thread ends when OpenCV comes back to it."""
        self._closing.set()
        join_receiver(self.name, self._thread)

    def _receive(self) -> None:
        try:
            self._receive_from(self._connect())
        except Exception as error:  # noqa: BLE001  # whatever it is, read() has to know
            self._mailbox.fail(error)
        self._opened.set()

    def _connect(self) -> Any:
        cv2 = _load_opencv()
        patience = int(self._settings.stall_timeout * 1000)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience]
        capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            raise CameraError(f"Cannot get pictures from {self.name}")
        _check_size(capture, self.name)
        return capture

    def _receive_from(self, capture: Any) -> None:
        self._opened.set()
        while not self._closing.is_set():
            came = capture.grab()
            _check_size(capture, self.name)  # It may change with every picture.
            came, image = capture.retrieve() if came else (False, None)
            if not came:
                capture.release()
                raise CameraError(f"{self.name} has stopped sending pictures")
            self._mailbox.put((image, time.monotonic()))
        capture.release()


def _load_opencv() -> Any:
    try:
        return jpeg.load_opencv()
    except ImportError as error:
        raise CameraError(f"This camera needs OpenCV{jpeg.why_not(error)}") from error


def _check_size(capture: Any, name: str) -> None:
    """Let go of a video whose pictures are too large to be decoded. Raises CameraError."""
    cv2 = jpeg.load_opencv()
    width, height = (
        int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if width * height > jpeg.MOST_PIXELS_DECODED:
        capture.release()
        raise CameraError(f"{name} has pictures of {width}x{height} pixels, which is too large")


def _encode(image: Any, settings: CameraSettings) -> bytes:
    image = jpeg.turn(image, settings.rotation, settings.hflip, settings.vflip)
    return jpeg.encode(image, settings.quality)

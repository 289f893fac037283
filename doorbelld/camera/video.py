"""Video that FFmpeg plays, through OpenCV: from a file, or from an ``rtsp://`` URL."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.closing import Receiver
from doorbelld.camera.orientation import encode, need_opencv
from doorbelld.drivers import rtsp
from doorbelld.drivers.errors import CameraError, without_secrets
from doorbelld.media import codec, jpeg
from doorbelld.system.pace import Pace

_START = 512
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes that every video has in its first ``_START``, and no text has."""


_CODECS = {"h264": "H.264", "avc1": "H.264", "hevc": "H.265", "hvc1": "H.265", "mjpg": "MJPEG"}


class VideoCamera:
    """A video file, played over and over at its own speed."""

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"File {path}"
        self.mode = ""
        self._path = path
        self._settings = settings
        self._capture: Any = None
        self._pace = Pace(settings.framerate)
        self._taken = 0

    def open(self) -> None:
        """Open the file. Raises CameraError if OpenCV finds no video in it."""
        cv2 = need_opencv("This camera")
        self._rewind()
        framerate = self._capture.get(cv2.CAP_PROP_FPS)
        if 0 < framerate <= 1000:
            self._pace = Pace(framerate)

    def read(self, timeout: float) -> Shot | None:
        """Return the frame that is due, or None if none is due within ``timeout`` seconds."""
        due = self._pace.wait(timeout)
        if due is None:
            return None
        while self._taken < self._pace.beats:  # skip frames that are too late
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
            return Shot(encode(image, self._settings), due)
        except ValueError:
            self.invalid += 1
            return None

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _rewind(self) -> None:
        cv2 = need_opencv("This camera")
        self.close()
        self._refuse_playlist()
        # Not every format can seek to the start, but every file can be opened again.
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            self.close()
            raise CameraError(f"OpenCV finds no video in {self._path}")
        _check_size(self._capture, self.name)

    def _refuse_playlist(self) -> None:
        """Raise CameraError for a text file: FFmpeg would open the files and hosts it names.

        FFmpeg has whitelists against that, but OpenCV's wheel cannot set them.
        """
        try:
            with self._path.open("rb") as file:
                start = file.read(_START)
        except OSError as error:
            raise CameraError(f"There is no video in {self._path}: {error.strerror}") from error
        if not _BINARY.search(start) and not start.startswith(b"YUV4MPEG2"):
            raise CameraError(f"There is no video in {self._path}, but text, or a playlist")


class RtspCamera:
    """A camera with an rtsp URL. Its name is scheme, host and port alone.

    OpenCV may wait for the network as long as ``stall_timeout``, so a thread of its own reads
    all the time, and only the newest picture is kept.
    """

    def __init__(self, url: str, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = without_secrets(url)
        self.mode = ""
        self._url = url
        self._settings = settings
        self._receiver: Receiver[tuple[Any, float]] = Receiver(self.name, self._receive)

    def open(self) -> None:
        """Start connecting; wait a second for it.

        Raises CameraError if it fails in that time, otherwise read() does.
        """
        need_opencv("This camera")
        self._receiver.start()

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came within ``timeout`` seconds."""
        received = self._receiver.take(timeout)
        if received is None:
            return None
        image, arrived = received
        try:
            return Shot(encode(image, self._settings), arrived)
        except ValueError:
            self.invalid += 1
            return None

    def close(self) -> None:
        """Close the connection; its thread ends when OpenCV returns to it."""
        self._receiver.stop()

    def _receive(self) -> None:
        """Read pictures until the camera is closed; in the receiver's thread."""
        receiver, capture = self._receiver, self._connect()
        receiver.opened()
        while not receiver.closing.is_set():
            came = capture.grab()
            _check_size(capture, self.name)  # It may change with every picture.
            came, image = capture.retrieve() if came else (False, None)
            if not came:
                capture.release()
                raise CameraError(f"{self.name} has stopped sending pictures")
            receiver.put((image, time.monotonic()))
        capture.release()

    def _connect(self) -> Any:
        """Return the opened video. Raises CameraError, which says what is wrong."""
        capture = self._open()
        if not capture.isOpened():
            # OpenCV does not say why, so ask the camera.
            found = rtsp.describe(self._url, self._settings.stall_timeout)
            kind = f" ({found.codec})" if found.codec else ""
            raise CameraError(f"{self.name} has a video{kind} that OpenCV cannot play")
        _check_size(capture, self.name)
        self.mode = _codec(capture)
        return capture

    def _open(self) -> Any:
        cv2 = need_opencv("This camera")
        arguments = [self._url, cv2.CAP_FFMPEG]
        if hasattr(cv2, "CAP_PROP_OPEN_TIMEOUT_MSEC"):  # since OpenCV 4.5.2
            patience = int(self._settings.stall_timeout * 1000)
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience]
            limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience]
            arguments.append(limits)
        return cv2.VideoCapture(*arguments)


def _codec(capture: Any) -> str:
    """Return the name of a video's codec, if OpenCV knows it."""
    cv2 = codec.load_opencv()
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    return _CODECS.get(code.to_bytes(4, "little").decode("latin-1").lower(), "")


def _check_size(capture: Any, name: str) -> None:
    """Release a video whose pictures are too large to be decoded, and raise CameraError."""
    cv2 = codec.load_opencv()
    width, height = (
        int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if width * height > jpeg.MOST_PIXELS_DECODED:
        capture.release()
        raise CameraError(f"{name} has pictures of {width}x{height} pixels, which is too large")

"""Video that FFmpeg plays, through OpenCV: from a file, or from an ``rtsp://`` URL."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.closing import Receiver
from doorbelld.camera.orientation import encode, need_opencv
from doorbelld.drivers import rtsp
from doorbelld.drivers.errors import CameraError, GoneError, Reason, without_secrets
from doorbelld.drivers.videofile import VideoFile, check_size
from doorbelld.media import codec

_log = logging.getLogger(__name__)

_USUAL = 0.9
"""Part of the usual interval after which it is no surprise that the next frame comes."""

_AGAIN = 1.0
"""Seconds after which a frame that is still the current one is shown again."""

_SHORTEST_STEP = 1 / 240
"""Seconds between frames at the highest rate that can be configured."""

_EARLY = 0.1
"""Seconds after a frame in which the next one is looked for, because it may come early."""

_TOLERANCE = 0.04
"""Seconds that a frame may be late, if frames do not come more seldom than that."""

_CATCHING_UP = 0.2
"""Seconds in which frames that are too late are skipped, before one is shown all the same."""

_BACKLOG = 0.5
"""Seconds that decoding has cost beyond what it may, when skipping frames is given up."""


_CODECS = {"h264": "H.264", "avc1": "H.264", "hevc": "H.265", "hvc1": "H.265", "mjpg": "MJPEG"}


class VideoCamera:
    """A video file, played over and over at its own speed.

    Frames that are too late are skipped. To skip a frame it must still be decoded; if that alone
    takes longer than the frame lasts, all frames are shown, and the video plays more slowly.
    A frame that lasts longer than a second is shown once a second.
    """

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        self.invalid = 0
        self.name = f"File {path}"
        self._settings = settings
        self._file = VideoFile(path, settings.framerate)
        self._lock = threading.Lock()  # for the file, and for what is known about its frames
        self._backlog = Backlog(self.name)
        self._shortest = self._file.interval
        self._again = min(_AGAIN, settings.stall_timeout / 2)
        # The file's current frame is due at some moment, and is shown only then.
        self._due = 0.0
        self._is_due = False
        self._shown = 0
        self._shown_at = 0.0
        self._loaded: tuple[int, bytes] = (0, b"")
        self._kept: tuple[int, Any] = (0, None)

    @property
    def mode(self) -> str:
        """The video's frame rate, as it says itself."""
        framerate = self._file.framerate
        if framerate is None or framerate > 1 / _SHORTEST_STEP:
            return "video"  # Some files have no rate, others the resolution of their clock.
        rate = f"{framerate:.4g}"
        return f"video, {rate} frame{'' if rate == '1' else 's'} a second"

    def open(self) -> None:
        """Open the file. Raises CameraError if there is no video in it that can be decoded."""
        need_opencv("This camera")
        with self._lock:
            self._file.open()
            self._shortest = max(min(self._file.interval, _EARLY), _SHORTEST_STEP)
            self._is_due = True

    def read(self, timeout: float) -> Shot | None:
        """Return the frame that is due, or None if none is due within ``timeout`` seconds.

        It takes no longer than ``timeout`` and what decoding a frame takes. To load a picture
        raises GoneError if a newer one has been read.
        """
        give_up_at = time.monotonic() + timeout
        if not self._shown:
            self._due = time.monotonic()
        elif self._is_due and time.monotonic() > self._due + self._tolerance:
            self._advance()
        while True:
            next_at = self._due if self._is_due else self._due + self._shortest
            again_at = self._shown_at + self._again if self._shown else next_at
            if not _sleep_until(min(next_at, again_at), give_up_at):
                return None
            if again_at < next_at and (now := time.monotonic()) < next_at:
                return self._show(now)
            if not self._is_due:
                self._advance()
            elif self._due <= time.monotonic():
                self._is_due = False
                self._shown += 1
                return self._show(max(self._due, self._shown_at))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    @property
    def _tolerance(self) -> float:
        return max(self._file.interval, _TOLERANCE)

    def _advance(self) -> None:
        """Go to the next frame, or beyond those that are too late."""
        if not self._is_due and self._shortest < self._file.interval * _USUAL:
            self._keep()
        skip_until = time.monotonic() + _CATCHING_UP
        while True:
            started = time.monotonic()
            with self._lock:
                step = self._file.advance()
            ended = time.monotonic()
            self._shortest = max(min(self._shortest, step), _SHORTEST_STEP)
            self._due += step
            self._is_due = True
            self._backlog.add(ended - started - step)
            if started - self._due <= self._tolerance:
                return
            if self._backlog.is_too_large or ended > skip_until:
                self._due = started  # The rest of the video is due later, too.
                return

    def _keep(self) -> None:
        """Keep the frame that is shown, because the next one may not be due for a while."""
        with self._lock, suppress(ValueError):
            if self._loaded[0] != self._shown:
                self._kept = (self._shown, self._file.image())

    def _show(self, moment: float) -> Shot:
        self._shown_at = moment
        return Shot(b"", moment, partial(self._load, self._shown))

    def _load(self, number: int) -> bytes:
        """Return the picture with this number as a JPEG."""
        with self._lock:
            loaded, data = self._loaded
            if loaded == number:
                return data
            if number != self._shown or not self._file.is_open:
                raise GoneError("The video has gone on")
            kept, image = self._kept
            if kept != number:
                # If that is the next frame already, it is shown a little too early.
                image = self._file.image()
        data = encode(image, self._settings)
        self._loaded = (number, data)
        return data


class Backlog:
    """How much more time decoding a video takes than it plays, in seconds, over some frames."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seconds = 0.0
        self._is_logged = False

    @property
    def is_too_large(self) -> bool:
        """Whether decoding cannot keep up with the video."""
        return self._seconds > _BACKLOG

    def add(self, seconds: float) -> None:
        """Count a frame: by how much decoding it took longer than the frame lasts.

        A single frame proves little: the machine may have paused, or the file was opened again.
        """
        seconds = self._seconds + min(seconds, _BACKLOG / 4)
        self._seconds = min(max(seconds, 0.0), 2 * _BACKLOG)
        if self.is_too_large and not self._is_logged:
            self._is_logged = True
            _log.warning(
                "%s: decoding takes longer than playing, so it plays more slowly", self._name
            )


def _sleep_until(moment: float, limit: float) -> bool:
    """Sleep until ``moment``, or until ``limit`` if that is earlier; return whether it was not."""
    time.sleep(max(min(moment, limit) - time.monotonic(), 0))
    return moment <= limit


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
        """Return the newest picture, to be encoded when it is loaded; None if none came in time."""
        received = self._receiver.take(timeout)
        if received is None:
            return None
        image, arrived = received
        return Shot(b"", arrived, partial(encode, image, self._settings))

    def close(self) -> None:
        """Close the connection; its thread ends when OpenCV returns to it."""
        self._receiver.stop()

    def _receive(self) -> None:
        """Read pictures until the camera is closed; in the receiver's thread."""
        receiver, capture = self._receiver, self._connect()
        receiver.opened()
        while not receiver.closing.is_set():
            came = capture.grab()
            check_size(capture, self.name)  # It may change with every picture.
            came, image = capture.retrieve() if came else (False, None)
            if not came:
                capture.release()
                text = f"{self.name} has stopped sending pictures"
                raise CameraError(text, Reason.SILENT)
            receiver.put((image, time.monotonic()))
        capture.release()

    def _connect(self) -> Any:
        """Return the opened video. Raises CameraError, which says what is wrong."""
        capture = self._open()
        if not capture.isOpened():
            # OpenCV does not say why, so ask the camera.
            found = rtsp.describe(self._url, self._settings.stall_timeout)
            kind = f" ({found.codec})" if found.codec else ""
            text = f"{self.name} has a video{kind} that OpenCV cannot play"
            raise CameraError(text, Reason.DAMAGED)
        check_size(capture, self.name)
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

"""VideoFile: the frames of a video file, read and decoded by OpenCV's FFmpeg."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from doorbelld.drivers.container import ENCRYPTED, Contents, look_into, name_codec
from doorbelld.drivers.errors import CameraError, Reason, reason_of
from doorbelld.media import codec, jpeg

_START = 512
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes that every video has in its first ``_START``, and no text has."""

_HIGHEST_FRAMERATE = 1000

_LONGEST_STEP = 60.0
"""Seconds between two frames: a time stamp further ahead is wrong."""

_STILL = 1.0
"""Seconds until a file with a single frame starts again, because it may have been replaced."""


class VideoFile:
    """The frames of a video, one after the other, over and over. One thread at a time may use it.

    ``interval`` is the usual number of seconds between two of them, at first that of
    ``framerate``.
    """

    def __init__(self, path: Path, framerate: float) -> None:
        self.interval = 1 / framerate
        self.framerate: float | None = None
        self._path = path
        self._capture: Any = None
        self._contents = Contents()
        self._rotation = 0
        self._state: object = None
        self._moment = self._first_moment = 0.0
        self._frames = 0

    @property
    def is_open(self) -> bool:
        """Whether the file is open, with a current frame."""
        return self._capture is not None

    def open(self) -> None:
        """Open the file and go to its first frame. Raises CameraError, and then leaves it closed.

        Raises ImportError if OpenCV is missing.
        """
        cv2 = codec.load_opencv()
        self.close()
        self._refuse_playlist()
        self._state = self._find_state()
        self._contents = look_into(self._path)
        if self._contents.fault == ENCRYPTED:  # Some versions decode it, to noise.
            raise self._fault("")
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        try:
            self._start(cv2)
        except BaseException:
            self.close()
            raise

    def advance(self) -> float:
        """Go to the next frame, or back to the first one. Raises CameraError.

        Returns how many seconds after the frame before it is due.
        """
        cv2 = codec.load_opencv()
        if not self._capture.grab():
            step = self.interval if self._frames > 1 else max(self.interval, _STILL)
            if not self._rewind(cv2):
                self.open()
            return step
        self._frames += 1
        step = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 - self._moment
        # Time stamps are missing in some files, and go back to 0 in the middle of others.
        if not 0 < step <= max(_LONGEST_STEP, 2 * self.interval):
            step = self.interval
        self._moment += step
        return step

    def image(self) -> Any:
        """Return the current frame, upright. Raises ValueError if it cannot be converted."""
        with codec.faults_as_value_errors(codec.load_opencv()):
            whole, image = self._capture.retrieve()
        if not whole:
            raise ValueError("a frame that cannot be converted")
        return codec.turn(image, self._rotation, hflip=False, vflip=False)

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _start(self, cv2: Any) -> None:
        """Go to the first frame; find the frame rate, and which way up the picture belongs."""
        capture = self._capture
        if not capture.isOpened():
            raise self._fault(f"OpenCV finds no video in {self._path}")
        check_size(capture, f"File {self._path}")
        framerate = capture.get(cv2.CAP_PROP_FPS)
        if 0 < framerate <= _HIGHEST_FRAMERATE:
            self.framerate = framerate
            self.interval = 1 / framerate
        # Some versions of OpenCV turn the picture, some do not, and one turns it the wrong way.
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        rotation = self._contents.rotation
        if rotation is None:
            rotation = round(capture.get(cv2.CAP_PROP_ORIENTATION_META) / 90) % 4 * 90
        self._rotation = rotation
        if not capture.grab():
            raise self._undecodable(cv2)
        self._moment = self._first_moment = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        self._frames = 1

    def _rewind(self, cv2: Any) -> bool:
        """Go back to the first frame, without opening the file again, which takes much longer.

        Returns whether that was possible: a new file must be opened, and only in an MP4 is it
        certain where the start is.
        """
        if self._contents.rotation is None or self._find_state() != self._state:
            return False
        if not (self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0) and self._capture.grab()):
            return False
        self._moment, self._frames = self._first_moment, 1
        return bool(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 == self._first_moment)

    def _find_state(self) -> object:
        """Return what changes when the file does; None if there is none."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def _fault(self, otherwise: str) -> CameraError:
        """Return why the file cannot be played: what it says itself, or ``otherwise``."""
        fault = self._contents.fault
        text = f"The file {self._path} {fault}" if fault else otherwise
        return CameraError(text, Reason.DAMAGED)

    def _undecodable(self, cv2: Any) -> CameraError:
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        found = name_codec(code.to_bytes(4, "little").decode("latin-1"))
        name = self._contents.codec or found
        return self._fault(
            f"OpenCV cannot decode the video in {self._path}" + (f" ({name})" if name else "")
        )

    def _refuse_playlist(self) -> None:
        """Raise CameraError for a text file: FFmpeg would open the files and hosts it names.

        FFmpeg has whitelists against that, but OpenCV's wheel cannot set them.
        """
        try:
            with self._path.open("rb") as file:
                start = file.read(_START)
        except OSError as error:
            text = f"There is no video in {self._path}: {error.strerror}"
            raise CameraError(text, reason_of(error)) from error
        if not start:
            raise CameraError(f"There is no video in {self._path}: it is empty", Reason.DAMAGED)
        if not _BINARY.search(start) and not start.startswith(b"YUV4MPEG2"):
            text = f"There is no video in {self._path}, but text, or a playlist"
            raise CameraError(text, Reason.DAMAGED)


def check_size(capture: Any, name: str) -> None:
    """Release a video whose pictures are too large to be decoded, and raise CameraError."""
    cv2 = codec.load_opencv()
    width, height = (
        int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if width * height > jpeg.MOST_PIXELS_DECODED:
        capture.release()
        text = f"{name} has pictures of {width}x{height} pixels, which is too large"
        raise CameraError(text, Reason.DAMAGED)

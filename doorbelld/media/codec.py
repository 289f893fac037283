"""Codec: decodes, turns and encodes pictures with OpenCV, which the first call loads.

OpenCV and numpy take a tenth of a second to load, and some 45 MB of memory. They are loaded here
and nowhere else, so a daemon whose camera sends JPEG does without them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

from doorbelld.media import exif, markers, room
from doorbelld.media.room import NoRoomError

_ADDRESS_SPACE = 250 * 2**20
"""Bytes: the libraries of OpenCV and numpy take 225 MB before they do anything."""


def load_opencv() -> Any:
    """Return the ``cv2`` module. Raises ImportError if it is not installed or cannot load.

    It reads its settings from the environment while it is imported. If there is too little room,
    the import is not even tried: numpy's OpenBLAS would ask for memory again and again, for ever.
    """
    if "cv2" not in sys.modules:
        room.make_sure_of(_ADDRESS_SPACE, "OpenCV")
    _prepare_environment()
    try:
        import cv2
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # With another version of numpy, for example.
        raise ImportError(f"OpenCV does not load: {error}") from error
    return cv2


def is_installed() -> bool:
    """Return whether OpenCV is there, without loading it."""
    return "cv2" in sys.modules or find_spec("cv2") is not None


def explain_missing(what: str, error: ImportError) -> str:
    """Return a sentence without full stop: ``what`` needs OpenCV, and why it is not there."""
    if isinstance(error, NoRoomError):
        return f"{what} needs OpenCV, and {error}"
    return f"{what} needs OpenCV, which is not installed, or does not load"


def _prepare_environment() -> None:
    # OpenCV prints its own warnings, with whole URLs in them, past our log.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Over UDP a lost packet of an RTSP camera tears the picture. Some cameras have only UDP,
    # though, and FFmpeg takes that if they say so. Other sources ignore this.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_flags;prefer_tcp")
    # Each thread of OpenBLAS takes memory when it is loaded, and nothing here needs them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextmanager
def faults_as_value_errors(cv2: Any) -> Iterator[None]:
    """Raise ValueError where OpenCV raises an error of its own: then one picture is lost."""
    try:
        yield
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot: {error}") from error


def blank(width: int, height: int, colour: tuple[int, int, int]) -> Any:
    """Return a new image of one colour (blue, green, red), to draw on. Raises ImportError."""
    load_opencv()  # It prepares the environment for numpy, too.
    import numpy as np

    return np.full((height, width, 3), colour, np.uint8)


class Pixels(NamedTuple):
    """How a raw picture lies in memory: ``size`` bytes a pixel in each of its rows.

    ``rows`` is how many halves of its height it has in rows: three if rows of colour follow.
    ``conversion`` is OpenCV's name of what makes blue, green and red of it; empty for none.
    """

    size: int
    rows: int
    conversion: str


PIXELS = {
    "YUYV": Pixels(2, 2, "COLOR_YUV2BGR_YUYV"),
    "UYVY": Pixels(2, 2, "COLOR_YUV2BGR_UYVY"),
    "YVYU": Pixels(2, 2, "COLOR_YUV2BGR_YVYU"),
    "NV12": Pixels(1, 3, "COLOR_YUV2BGR_NV12"),
    "NV21": Pixels(1, 3, "COLOR_YUV2BGR_NV21"),
    "YU12": Pixels(1, 3, "COLOR_YUV2BGR_I420"),
    "YV12": Pixels(1, 3, "COLOR_YUV2BGR_YV12"),
    "BGR3": Pixels(3, 2, ""),
    "RGB3": Pixels(3, 2, "COLOR_RGB2BGR"),
    "XR24": Pixels(4, 2, "COLOR_BGRA2BGR"),
    "AR24": Pixels(4, 2, "COLOR_BGRA2BGR"),
    "BGR4": Pixels(4, 2, "COLOR_BGRA2BGR"),
    "BA81": Pixels(1, 2, "COLOR_BayerRG2BGR"),  # OpenCV names the pixels of the second row.
    "GBRG": Pixels(1, 2, "COLOR_BayerGR2BGR"),
    "GRBG": Pixels(1, 2, "COLOR_BayerGB2BGR"),
    "RGGB": Pixels(1, 2, "COLOR_BayerBG2BGR"),
    "GREY": Pixels(1, 2, ""),
    "Y16": Pixels(2, 2, ""),
}
"""Raw formats by V4L2's four-character code, those with the best colours first."""


def decode_raw(data: bytes, code: str, width: int, height: int, stride: int) -> Any:
    """Return the image in ``data``, raw in the format ``code``, with ``stride`` bytes in a row.

    Raises ValueError if there are too few bytes for its size.
    """
    cv2 = load_opencv()
    import numpy as np

    pixels = PIXELS[code]
    rows, stride = height * pixels.rows // 2, max(stride, width * pixels.size)
    image: Any = np.frombuffer(data, np.uint8, rows * stride).reshape(rows, stride)
    if pixels.size > 1:
        image = image[:, : width * pixels.size].reshape(rows, width, pixels.size)
    if code == "Y16":
        image = np.ascontiguousarray(image[:, :, 1])
    if pixels.conversion:
        with faults_as_value_errors(cv2):
            image = cv2.cvtColor(image, getattr(cv2, pixels.conversion))
    return image[:, :width]  # Planes have to be converted with all bytes of their rows.


def encode(image: Any, quality: int) -> bytes:
    """Return ``image`` (uint8; height x width, or height x width x 3 in BGR) as a JPEG.

    Raises ValueError if the encoder fails, or the image is too large for a JPEG.
    """
    cv2 = load_opencv()
    with faults_as_value_errors(cv2):
        encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise ValueError("a picture that cannot be encoded")
    return bytes(data)


def turn(image: Any, rotation: int, hflip: bool, vflip: bool) -> Any:
    """Return ``image`` flipped, then rotated clockwise by 0, 90, 180 or 270 degrees.

    Raises ValueError if OpenCV fails.
    """
    cv2 = load_opencv()
    with faults_as_value_errors(cv2):
        if hflip or vflip:
            image = cv2.flip(image, -1 if hflip and vflip else int(hflip))
        if rotation:
            turns = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
            image = cv2.rotate(image, turns[rotation // 90 - 1])
    return image


def turn_jpeg(data: bytes, rotation: int, hflip: bool, vflip: bool, quality: int) -> bytes:
    """Decode a JPEG, turn it as :func:`turn` does, and encode it again.

    What is turned is the picture as a browser shows it, upright by its Exif orientation. If there
    is nothing to turn, returns it as it is, without OpenCV. Raises TooLargeError, or
    ValueError if ``data`` cannot be decoded.
    """
    if not (rotation or hflip or vflip):
        return data
    cv2 = load_opencv()
    import numpy as np

    markers.check_before_decoding(data)
    raw = np.frombuffer(data, np.uint8)
    with faults_as_value_errors(cv2):
        image = cv2.imdecode(raw, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("the JPEG cannot be decoded")
    return encode(turn(image, rotation, hflip, vflip), quality)


class Size(NamedTuple):
    """What a smaller picture is to be: pixels, and the quality of the JPEG (1 to 100)."""

    width: int
    height: int
    quality: int


_SCALES = (8, 4, 2)
"""By these the decoder can divide a picture while it decodes it, which costs less."""


def shrink(data: bytes, sizes: Sequence[Size]) -> Iterator[bytes]:
    """Decode a JPEG once, and yield it again in each of these sizes, the largest first.

    The pixels lie as they did, and an orientation given by Exif is given again. Raises ImportError,
    TooLargeError, or ValueError if ``data`` cannot be decoded.
    """
    cv2 = load_opencv()
    import numpy as np

    markers.check_before_decoding(data)
    header = markers.header(data)
    assert header
    largest = sizes[0]
    wide, high = header.width / largest.width, header.height / largest.height
    scale = next((each for each in _SCALES if each <= min(wide, high)), 1)
    colours = "GRAYSCALE" if header.components == 1 else "COLOR"
    flag = f"IMREAD_REDUCED_{colours}_{scale}" if scale > 1 else f"IMREAD_{colours}"
    with faults_as_value_errors(cv2):
        flags = getattr(cv2, flag) | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("the JPEG cannot be decoded")
    orientation = exif.orientation(data)
    for width, height, quality in sizes:
        if image.shape[:2] != (height, width):
            with faults_as_value_errors(cv2):
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        made = encode(image, quality)
        yield made if orientation == exif.AS_IT_IS else exif.with_orientation(made, orientation)


_LOOK_WIDTH = 80
"""Pixels of the picture in which changes are looked for: more would show noise, and not people."""

_LEAST_CHANGE = 5.0
_NOISES = 7.4
"""A pixel has changed if it differs by so many levels of 255, and by so many times the median of
all pixels: five standard deviations of noise."""

_INEXACT = 0.4
"""A camera does not make all pixels brighter alike: it may be wrong by so much of the change."""

_AROUND = 21
"""Pixels of the square whose mean change is that of the light: a lamp does not light all alike."""

_LIVELY = 2.5
_LIVELY_STEP = 0.04
"""A pixel that changes all the time, such as a blinking lamp, has to change by so many times more
than it usually does. What is usual is learned by so many levels in each look."""

_LEARNED = 4.0
"""Levels by which the background follows in each look: enough for the sun, too few for a flash."""


class ChangeFinder:
    """Finds what moves in front of a fixed camera, however its light and its noise change.

    A picture is compared with the one before, made as bright as it is, and with the background.
    What moves differs from both. A lamp that is switched on differs from the picture before only
    once, and the place that someone has left does not differ from the background.

    What is inside of the areas of ``ignore`` does not count. They are left, top, width and height,
    in fractions of the picture as it is shown.
    """

    def __init__(self, ignore: Sequence[tuple[float, float, float, float]] = ()) -> None:
        self._ignore = ignore
        self._before: Any = None
        self._background: Any = None
        self._usual: Any = None
        self._counts: Any = None

    def forget(self) -> None:
        """Begin again with the next picture: the camera may look elsewhere."""
        self._before = None

    def look(self, data: bytes) -> float:
        """Return how large the largest thing is that moves, as a part of the whole picture.

        Raises ImportError, TooLargeError, or ValueError if ``data`` cannot be decoded.
        """
        cv2 = load_opencv()
        import numpy as np

        seen = _small_grey(data)
        if self._before is None or self._before.shape != seen.shape:
            self._begin(seen)
            return 0.0
        with faults_as_value_errors(cv2):
            moved = np.where(self._compare(seen) & self._counts, np.uint8(1), np.uint8(0))
            if not moved.any():
                return 0.0
            _, _, things, _ = cv2.connectedComponentsWithStats(moved)
        return float(things[1:, cv2.CC_STAT_AREA].max() / seen.size)

    def _begin(self, seen: Any) -> None:
        import numpy as np

        self._before = self._background = seen
        self._usual = np.zeros_like(seen)
        self._counts = np.ones(seen.shape, np.bool_)
        height, width = seen.shape
        for left, top, wide, high in self._ignore:
            rows = slice(round(top * height), round((top + high) * height))
            self._counts[rows, round(left * width) : round((left + wide) * width)] = False

    def _compare(self, seen: Any) -> Any:
        """Return which pixels show something that moves, and learn from all of them."""
        cv2 = load_opencv()
        import numpy as np

        gain, more = _light(self._before, seen)
        before = self._before * gain + more
        change = seen - np.clip(before, 0, 255)
        background = np.clip(self._background * gain + more, 0, 255)
        lasting = seen - background
        recent = np.abs(change)
        local = np.abs(change - cv2.blur(change, (_AROUND, _AROUND)))
        least = max(_LEAST_CHANGE, _NOISES * float(np.median(recent)))
        most_usual = np.maximum(least, _LIVELY * self._usual)
        differs = np.minimum(np.minimum(recent, local), np.abs(lasting))
        moved = differs > most_usual + _INEXACT * np.abs(before - self._before)
        self._usual += np.clip(recent - self._usual, -_LIVELY_STEP, _LIVELY_STEP)
        self._background = background + np.clip(lasting / 8, -_LEARNED, _LEARNED)
        self._before = seen
        return moved


def _small_grey(data: bytes) -> Any:
    """Return the picture as it is shown, small and in grey, without its finest detail."""
    cv2 = load_opencv()
    import numpy as np

    markers.check_before_decoding(data)
    with faults_as_value_errors(cv2):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if image is None:
            raise ValueError("the JPEG cannot be decoded")
        height, width = image.shape
        if width > _LOOK_WIDTH:
            size = (_LOOK_WIDTH, max(round(height * _LOOK_WIDTH / width), 1))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.blur(image.astype(np.float32), (3, 3))


def _light(before: Any, seen: Any) -> tuple[float, float]:
    """Return by what to multiply ``before``, and what to add, to make it as bright as ``seen``.

    Only what most of the picture does counts, so what comes into it makes no difference.
    """
    import numpy as np

    difference = seen - before
    far = np.abs(difference - np.median(difference))
    same = far <= max(3 * float(np.median(far)), 2.0)
    x, y = before[same], seen[same]
    x_mean, y_mean = float(x.mean()), float(y.mean())
    x = x - x_mean
    spread = float((x * x).sum())
    gain = float((x * y).sum()) / spread if spread > x.size else 1.0
    gain = min(max(gain, 0.5), 2.0)
    return gain, y_mean - gain * x_mean

"""Movements: what a camera sees at the door, five pictures a second, the same in each run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from tests.support import scene

WIDTH, HEIGHT = 640, 480

Scene = Callable[[int, Any], Any]
"""What becomes of the empty door in picture N: grey pixels 0..255, which may be changed."""


@functools.cache
def _door() -> Any:
    grey = cv2.cvtColor(scene.drawn(visitor=False), cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


@functools.cache
def _noise() -> Any:
    """Return much noise, because new noise for each picture takes longer than all else."""
    return np.random.default_rng(7).standard_normal((2 * HEIGHT, 2 * WIDTH), np.float32)


def empty(_: int, image: Any) -> Any:
    """No one is there."""
    return image


def film(
    what: Scene = empty, count: int = 40, *, noise: float = 4, seed: int = 1
) -> Iterator[bytes]:
    """Yield pictures with the noise of a sensor, in levels of 255."""
    random = np.random.default_rng(seed)
    for number in range(count):
        image = what(number, _door().copy())
        down, across = random.integers(0, HEIGHT), random.integers(0, WIDTH)
        image = image + noise * _noise()[down : down + HEIGHT, across : across + WIDTH]
        pixels = np.clip(image, 0, 255).astype(np.uint8)
        yield bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


def walk(height: int, speed: float, shade: float, start: int = 15) -> Scene:
    """Someone walks from the left to the right, so many pixels tall, from picture ``start`` on."""

    def at(number: int, image: Any) -> Any:
        across = (number - start) * speed
        if number >= start:
            person(image, across, 0.6 * HEIGHT + 0.6 * height, height, shade, number * 1.1)
        return image

    return at


def steps_of(height: int, speed: float, start: int = 15) -> range:
    """Return the pictures of such a walk in which all of the person is to be seen."""
    first = start + 1 + int(0.3 * height / speed)
    return range(first, start + int((WIDTH - 0.3 * height) / speed))


def person(
    image: Any, across: float, feet: float, height: float, shade: float, phase: float
) -> None:
    """Draw someone from head to feet, in the middle of a step."""
    grey, lighter, darker = ((each,) for each in (shade, min(shade + 50, 255.0), shade * 0.7))
    step = np.sin(phase) * height * 0.14
    hip = (int(across), int(feet - height * 0.45))
    for side in (-1, 1):
        foot = (int(across + side * step), int(feet))
        cv2.line(image, hip, foot, darker, max(int(height * 0.09), 1), cv2.LINE_AA)
    body = ((across, feet - height * 0.62), (height * 0.28, height * 0.5), 0.0)
    cv2.ellipse(image, body, grey, -1, cv2.LINE_AA)
    head = (int(across), int(feet - height * 0.92))
    cv2.circle(image, head, int(height * 0.08), lighter, -1, cv2.LINE_AA)


def tree(number: int, image: Any) -> Any:
    """A tree waves in the wind, in the left upper part of the picture (:data:`TREE`)."""
    random = np.random.default_rng(5)
    for _ in range(150):
        across, down = random.normal(150, 45), random.normal(150, 50)
        phase, size, shade = random.uniform(0, 6), random.integers(4, 12), random.uniform(10, 90)
        at = (across + 8 * np.sin(number * 1.3 + phase), down + 4 * np.sin(number * 1.7 + phase))
        cv2.circle(image, (int(at[0]), int(at[1])), int(size), (float(shade),), -1)
    return image


TREE = (0.0, 0.0, 0.6, 0.75)

_ACROSS, _DOWN = np.meshgrid(
    np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32)
)
_GLOW = np.exp(-(((_ACROSS - 0.8 * WIDTH) / 200) ** 2) - ((_DOWN - 0.2 * HEIGHT) / 200) ** 2)
_LIT = (_ACROSS < 0.5 * WIDTH) * np.clip(1.2 - _DOWN / HEIGHT, 0, 1)


def _ramp(number: int, length: int) -> float:
    return min(max(number - 15, 0), length) / length


def _shadow(number: int) -> Any:
    """Return the light under the edge of a cloud that moves across."""
    return 1 - 0.6 / (1 + np.exp(-(_ACROSS - WIDTH * (number - 15) / 15) / 120))


LIGHTS: dict[str, Scene] = {
    "brighter": lambda n, image: image + 60 * (n >= 20),
    "darker": lambda n, image: image - 40 * (n >= 20),
    "exposure is longer": lambda n, image: image * (1.6 if n >= 20 else 1),
    "exposure is shorter": lambda n, image: image * (0.5 if n >= 20 else 1),
    "brighter and brighter": lambda n, image: image + 100 * _ramp(n, 20),
    "exposure grows": lambda n, image: image * (1 + 1.5 * _ramp(n, 10)),
    "exposure grows much": lambda n, image: image * (1 + 3 * _ramp(n, 10)),
    "exposure hunts": lambda n, image: image * (1 + 0.3 * np.sin(n * 0.8)),
    "gamma changes": lambda n, image: 255 * (image / 255) ** (1 - 0.5 * _ramp(n, 10)),
    "lamp is switched on": lambda n, image: image + 120 * _GLOW * (n >= 20),
    "lamp is dimmed up": lambda n, image: image + 120 * _GLOW * _ramp(n, 10),
    "lamp lights half of it": lambda n, image: image + 100 * _LIT * (n >= 20),
    "lamp, then exposure": lambda n, image: (
        (image + 150 * _GLOW * (n >= 15)) * (1 - 0.4 * _ramp(n, 8))
    ),
    "flash": lambda n, image: image + (200 * _GLOW + 40) * (n == 20),
    "flashes": lambda n, image: image + (200 * _GLOW + 40) * (n in (20, 22, 24)),
    "all is white once": lambda n, image: image + 200 * (n == 20),
    "shadow of a cloud": lambda n, image: image * _shadow(n),
}
"""What changes the light and nothing else."""

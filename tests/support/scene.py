"""A drawn scene at dusk: a visitor with a parcel at the front door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1280, 960
_HORIZON = 0.56
_LAMP = (0.845, 0.17)
_WARM = (1.0, 0.70, 0.36)

Image = NDArray[np.float32]
"""Height x width x RGB or height x width; 0..1."""
Points = Sequence[tuple[float, float]]
"""Corners, in widths and heights of the picture."""
Colour = tuple[float, float, float]


def front_door() -> bytes:
    """Return the scene as a JPEG of WIDTH x HEIGHT."""
    pixels = (drawn() + np.float32(0.5)).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


def drawn(*, visitor: bool = True) -> Image:
    """Return its pixels, WIDTH x HEIGHT in blue, green and red (0..255)."""
    image = _sky()
    _street(image)
    _garden(image)
    _porch(image)
    if visitor:
        _visitor(image)
    _lantern(image)
    image *= _vignette()[..., None]
    image = np.clip(image, 0, 1) ** np.float32(0.88)
    return np.ascontiguousarray(image[..., ::-1]) * np.float32(255)


# Tools.


def _grid() -> tuple[Image, Image]:
    """Return every pixel's x in widths and y in heights."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return x / WIDTH, y / HEIGHT


def _mask(points: Points, soft: float = 0.8, rounded: float = 0) -> Image:
    """Return a polygon's coverage; ``soft`` and ``rounded`` are pixels."""
    corners = np.array([[x * WIDTH * 16, y * HEIGHT * 16] for x, y in points], np.int32)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [corners], (255,), cv2.LINE_AA, 4)
    found = mask.astype(np.float32) / 255
    if rounded:
        found = cv2.GaussianBlur(found, (0, 0), rounded).astype(np.float32)
        found = np.clip((found - 0.5) * rounded * 1.6 + 0.5, 0, 1).astype(np.float32)
    return cv2.GaussianBlur(found, (0, 0), soft).astype(np.float32)


def _ellipse(centre: tuple[float, float], axes: tuple[float, float], tilt: float = 0) -> Image:
    angle = np.linspace(0, 2 * np.pi, 90)
    x, y = axes[0] * np.cos(angle), axes[1] * np.sin(angle) * HEIGHT / WIDTH
    turned = (x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt))
    across, down = centre[0] + turned[0], centre[1] + turned[1] * WIDTH / HEIGHT
    return _mask(list(zip(across.tolist(), down.tolist())))


def _paint(image: Image, mask: Image, colour: Any) -> None:
    """Lay a colour, one for all or one for each pixel, over the picture."""
    image += mask[..., None] * (np.asarray(colour, np.float32) - image)


def _shine(image: Image, at: tuple[float, float], radius: float, power: float) -> None:
    """Add a warm glow around a point."""
    x, y = _grid()
    far = ((x - at[0]) ** 2 + ((y - at[1]) * HEIGHT / WIDTH) ** 2) / radius**2
    image += (power / (1 + 6 * far) ** 2)[..., None] * np.asarray(_WARM, np.float32)


def _solid(image: Image, mask: Image, colour: Colour, depth: float) -> None:
    """Paint a shape as a body that bulges ``depth`` pixels, lit by the lantern and the sky."""
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    inside = np.minimum(inside.astype(np.float32), depth)
    bulge = np.sqrt(np.maximum(depth**2 - (depth - inside) ** 2, 0))
    bulge = cv2.GaussianBlur(bulge, (0, 0), 5)
    right = cv2.Sobel(bulge, cv2.CV_32F, 1, 0, ksize=3) / 8
    down = cv2.Sobel(bulge, cv2.CV_32F, 0, 1, ksize=3) / 8
    length = np.sqrt(right**2 + down**2 + 1)
    lamp = np.clip((0.30 - 0.78 * right + 0.50 * down) / length, 0, 1)
    sky = np.clip((0.30 + 0.60 * right + 0.20 * down) / length, 0, 1)
    x, y = _grid()
    near = 1 / (1 + 3.2 * ((x - _LAMP[0]) ** 2 + (y - _LAMP[1]) ** 2))
    light = (0.12 + 2.9 * lamp * near)[..., None] * np.asarray(_WARM, np.float32)
    light = light + (0.06 + 0.40 * sky)[..., None] * np.asarray((0.50, 0.55, 0.85), np.float32)
    _paint(image, mask, light * np.asarray(colour, np.float32))


# The scene, from far to near.


def _sky() -> Image:
    x, y = _grid()
    stops = (0.0, 0.22, 0.40, 0.50, _HORIZON)
    colours = ((20, 28, 62), (46, 50, 98), (124, 84, 118), (222, 128, 92), (250, 172, 104))
    channels = [np.interp(y, stops, [c[i] / 255 for c in colours]) for i in range(3)]
    image = np.stack(channels, -1).astype(np.float32)
    for level, thick, left, power in ((0.33, 0.012, 0.25, 0.10), (0.41, 0.009, 0.7, 0.14)):
        wave = level + 0.012 * np.sin(9 * x + 5 * level) + 0.006 * np.sin(23 * x)
        cloud = np.exp(-(((y - wave) / thick) ** 2) - ((x - left) / 0.34) ** 2) * power
        image += cloud[..., None] * np.asarray((1.0, 0.62, 0.50), np.float32)
    return image


def _street(image: Image) -> None:
    """The houses across the road: what is lit in them, and a lamp before them."""
    far = (0.115, 0.095, 0.155)
    houses: list[Points] = [
        [(-0.05, 0.6), (-0.05, 0.42), (0.09, 0.33), (0.22, 0.42), (0.22, 0.6)],
        [(0.22, 0.6), (0.22, 0.47), (0.31, 0.41), (0.41, 0.47), (0.41, 0.6)],
        [(0.52, 0.6), (0.52, 0.45), (0.56, 0.39), (0.72, 0.39), (0.76, 0.45), (0.76, 0.6)],
        [(0.76, 0.6), (0.76, 0.46), (0.89, 0.37), (1.05, 0.46), (1.05, 0.6)],
    ]
    chimneys: list[Points] = [
        [(0.13, 0.4), (0.13, 0.325), (0.15, 0.325), (0.15, 0.4)],
        [(0.60, 0.41), (0.60, 0.355), (0.62, 0.355), (0.62, 0.41)],
    ]
    for number, house in enumerate(houses + chimneys):
        _paint(image, _mask(house, 1.6), [part * (1 - 0.07 * (number % 3)) for part in far])
    for left, top in (
        (0.045, 0.455),
        (0.125, 0.455),
        (0.335, 0.495),
        (0.575, 0.465),
        (0.885, 0.475),
    ):
        pane = [(left, top), (left + 0.026, top), (left + 0.026, top + 0.045), (left, top + 0.045)]
        _paint(image, _mask(pane, 1.8), (0.98, 0.74, 0.38))
        _shine(image, (left + 0.013, top + 0.022), 0.07, 0.10)
    _paint(image, _mask([(0.468, 0.6), (0.469, 0.36), (0.472, 0.36), (0.473, 0.6)], 1.2), far)
    _shine(image, (0.4705, 0.355), 0.10, 0.40)
    _paint(image, _ellipse((0.4705, 0.355), (0.007, 0.006)), (1.0, 0.93, 0.78))


def _garden(image: Image) -> None:
    """Lawn, hedges, a tree, and the path to the door in the lantern's light."""
    x, y = _grid()
    deep = np.clip((y - _HORIZON) / (1 - _HORIZON), 0, 1)
    lawn = np.stack([0.045 + 0.035 * deep, 0.065 + 0.05 * deep, 0.06 + 0.01 * deep], -1)
    _paint(image, np.clip((y - _HORIZON) * 200, 0, 1).astype(np.float32), lawn)
    noise = np.random.default_rng(3)
    for left, right, top in ((-0.1, 0.36, 0.535), (0.60, 1.1, 0.53)):
        leaves = np.linspace(left, right, 40)
        edge = [(float(at), top + float(noise.uniform(-0.012, 0.012))) for at in leaves]
        _paint(image, _mask([(left, 0.66), *edge, (right, 0.66)], 2, 5), (0.045, 0.06, 0.055))
    crown = _crown(noise)
    trunk = _mask([(0.155, 0.62), (0.163, 0.3), (0.176, 0.3), (0.188, 0.62)], 1.4)
    _paint(image, np.maximum(crown, trunk), (0.055, 0.055, 0.085))
    path = [(0.455, 0.60), (0.505, 0.60), (0.80, 1.01), (0.14, 1.01)]
    stone = 0.20 + 0.14 * deep
    middle = 0.48 - 0.01 * deep
    joint = np.abs(((x - middle) / (0.03 + 0.33 * deep) * 2.0) % 1 - 0.5) > 0.485
    row = np.abs((3.4 * np.log(deep + 0.12)) % 1 - 0.5) > 0.480
    stone = np.where(joint | row, stone * 0.72, stone)
    colours = stone[..., None] * np.asarray((1.0, 0.86, 0.80), np.float32)
    _paint(image, _mask(path, 1.2), cv2.GaussianBlur(colours.astype(np.float32), (0, 0), 1.2))
    pool = np.exp(-(((x - 0.66) / 0.42) ** 2) - ((y - 1.02) / 0.26) ** 2)
    pool = np.where(y > _HORIZON, pool, 0)
    image *= (1 + 1.5 * pool[..., None] * np.asarray(_WARM, np.float32)).astype(np.float32)


def _crown(noise: np.random.Generator) -> Image:
    """Return a tree's leaves, in clumps."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(34):
        clump = noise.normal((0.17, 0.27), (0.052, 0.060))
        for leaf in noise.normal(clump, (0.015, 0.016), (60, 2)):
            centre = (int(leaf[0] * WIDTH), int(leaf[1] * HEIGHT))
            cv2.circle(mask, centre, int(noise.integers(3, 8)), (255,), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.3).astype(np.float32)


def _porch(image: Image) -> None:
    """The door's frame around what the camera sees."""
    x, y = _grid()
    wood = 0.10 + 0.012 * np.sin(260 * x + 3 * np.sin(7 * y)) + 0.008 * np.sin(611 * x)
    near = 1 / (1 + 9 * ((x - _LAMP[0]) ** 2 + (y - _LAMP[1]) ** 2))
    lit = (wood * (0.45 + 2.6 * near))[..., None] * np.asarray((1.0, 0.72, 0.50), np.float32)
    right: Points = [(0.925, -0.01), (1.01, -0.01), (1.01, 1.01), (0.945, 1.01)]
    left: Points = [(-0.01, -0.01), (0.052, -0.01), (0.036, 1.01), (-0.01, 1.01)]
    lintel: Points = [(-0.01, -0.01), (1.01, -0.01), (1.01, 0.045), (-0.01, 0.060)]
    for part in (lintel, left, right):
        _paint(image, _mask(part, 1.2), lit)
    edges: list[Points] = [
        [(0.925, 0.045), (0.930, 0.045), (0.950, 1.01), (0.945, 1.01)],
        [(0.052, 0.058), (0.048, 0.058), (0.032, 1.01), (0.036, 1.01)],
    ]
    for edge in edges:
        _paint(image, _mask(edge, 1.0), lit * 2.1)


def _visitor(image: Image) -> None:
    """Cap, jacket, trousers and a parcel in both arms."""
    shadow = _ellipse((0.40, 1.0), (0.21, 0.05))
    image *= (1 - 0.55 * cv2.GaussianBlur(shadow, (0, 0), 22))[..., None]
    jacket, trousers, skin = (0.17, 0.30, 0.44), (0.15, 0.15, 0.20), (0.82, 0.58, 0.46)
    legs: Points = [(0.372, 0.80), (0.588, 0.80), (0.592, 1.03), (0.368, 1.03)]
    _solid(image, _mask(legs, rounded=6), trousers, 46)
    neck: Points = [(0.457, 0.37), (0.505, 0.37), (0.510, 0.46), (0.452, 0.46)]
    _solid(image, _mask(neck, rounded=5), skin, 30)
    torso: Points = [
        (0.438, 0.425), (0.524, 0.425), (0.575, 0.452), (0.606, 0.490), (0.606, 0.60),
        (0.598, 0.85), (0.362, 0.85), (0.354, 0.60), (0.356, 0.490), (0.387, 0.452),
    ]  # fmt: skip
    _solid(image, _mask(torso, rounded=10), jacket, 90)
    collar: Points = [
        (0.440, 0.412),
        (0.522, 0.412),
        (0.532, 0.448),
        (0.481, 0.474),
        (0.430, 0.448),
    ]
    _solid(image, _mask(collar, rounded=5), (0.12, 0.23, 0.33), 16)
    _head(image, skin)
    _parcel(image)
    # A sleeve is drawn once: the other one is its mirror image.
    sleeve: Points = [
        (0.123, 0.485), (0.089, 0.475), (0.080, 0.600), (0.084, 0.700), (0.030, 0.735),
        (0.036, 0.785), (0.110, 0.765), (0.144, 0.715), (0.140, 0.570),
    ]  # fmt: skip
    for side in (-1, 1):
        arm = [(0.481 + side * x, y) for x, y in sleeve]
        _solid(image, _mask(arm, rounded=11), jacket, 30)
    for hand in ((0.461, 0.760), (0.503, 0.760)):
        _solid(image, _ellipse(hand, (0.021, 0.017)), skin, 18)


def _head(image: Image, skin: Colour) -> None:
    for ear in (0.4365, 0.5255):
        _solid(image, _ellipse((ear, 0.335), (0.006, 0.016)), skin, 6)
    face: Points = [
        (0.437, 0.26), (0.525, 0.26), (0.527, 0.335), (0.520, 0.372), (0.502, 0.398),
        (0.481, 0.405), (0.460, 0.398), (0.442, 0.372), (0.435, 0.335),
    ]  # fmt: skip
    _solid(image, _mask(face, rounded=9), skin, 52)
    shade: Points = [(0.430, 0.300), (0.532, 0.300), (0.526, 0.338), (0.481, 0.346), (0.436, 0.338)]
    image *= (1 - 0.55 * _mask(shade, 6, 6))[..., None]
    crown: Points = [
        (0.432, 0.305), (0.431, 0.268), (0.446, 0.232), (0.481, 0.218), (0.516, 0.232),
        (0.531, 0.268), (0.530, 0.305),
    ]  # fmt: skip
    _solid(image, _mask(crown, rounded=7), (0.55, 0.20, 0.16), 44)
    peak: Points = [(0.428, 0.298), (0.534, 0.298), (0.540, 0.314), (0.481, 0.326), (0.422, 0.314)]
    _solid(image, _mask(peak, rounded=5), (0.42, 0.14, 0.12), 12)


def _parcel(image: Image) -> None:
    front: Points = [(0.398, 0.575), (0.560, 0.575), (0.556, 0.765), (0.402, 0.765)]
    top: Points = [(0.398, 0.577), (0.414, 0.548), (0.546, 0.548), (0.560, 0.577)]
    x, y = _grid()
    fall = np.clip(0.34 + 1.5 * (x - 0.40) - 0.55 * (y - 0.58), 0.1, 1)
    card = fall[..., None] * np.asarray((0.88, 0.60, 0.36), np.float32)
    _paint(image, _mask(front, rounded=3), card)
    _paint(image, _mask(top, rounded=3), card * 1.45)
    tape: Points = [(0.468, 0.548), (0.492, 0.548), (0.493, 0.765), (0.467, 0.765)]
    _paint(image, _mask(tape) * 0.55, card * 1.5)
    label: Points = [(0.508, 0.625), (0.546, 0.625), (0.545, 0.685), (0.508, 0.685)]
    _paint(image, _mask(label), fall[..., None] * np.asarray((1.25, 1.1, 0.9), np.float32))
    for line in (0.642, 0.656, 0.670):
        text: Points = [(0.514, line), (0.538, line), (0.538, line + 0.004), (0.514, line + 0.004)]
        _paint(image, _mask(text) * 0.6, card * 0.35)


def _lantern(image: Image) -> None:
    """The porch's lamp, and its glow over everything."""
    at, metal = _LAMP, (0.035, 0.03, 0.03)
    _paint(
        image,
        _mask(
            [
                (at[0] - 0.002, 0.03),
                (at[0] + 0.002, 0.03),
                (at[0] + 0.002, 0.11),
                (at[0] - 0.002, 0.11),
            ]
        ),
        metal,
    )
    glass: Points = [(-0.026, -0.045), (0.026, -0.045), (0.018, 0.055), (-0.018, 0.055)]
    roof: Points = [(-0.006, -0.085), (0.006, -0.085), (0.036, -0.043), (-0.036, -0.043)]
    foot: Points = [(-0.022, 0.052), (0.022, 0.052), (0.014, 0.068), (-0.014, 0.068)]
    _paint(image, _mask([(at[0] + x, at[1] + y) for x, y in glass]), (1.0, 0.80, 0.46))
    flame = cv2.GaussianBlur(_ellipse(at, (0.014, 0.022)), (0, 0), 7).astype(np.float32)
    _paint(image, flame, (1.0, 0.97, 0.86))
    for part in (roof, foot):
        _paint(image, _mask([(at[0] + x, at[1] + y) for x, y in part]), metal)
    for bar in (-0.022, 0.022):
        post: Points = [
            (bar * 1.18, -0.045),
            (bar * 1.02, -0.045),
            (bar * 0.72, 0.055),
            (bar * 0.88, 0.055),
        ]
        _paint(image, _mask([(at[0] + x, at[1] + y) for x, y in post]), metal)
    _shine(image, at, 0.14, 0.55)
    _shine(image, at, 0.50, 0.20)


def _vignette() -> Image:
    x, y = _grid()
    vignette: Image = (1 - 0.55 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)).astype(np.float32)
    return vignette

"""A web address as a QR code that a phone reads off the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from doorbelld.media import codec

_MARGIN = 4
"""Light modules around the code; the standard asks for as many."""

_BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m"
"""From the colour cube, which no theme of the terminal turns into its negative."""

_PLAIN = "\x1b[0m"
_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
"""Two modules, one above the other, in one character: it is about twice as high as wide."""


def draw(text: str) -> str:
    """Return the code as lines of block characters. Raises ImportError without OpenCV."""
    cv2 = codec.load_opencv()
    # OpenCV puts a margin around it, of a width that changed with its versions.
    code = cv2.QRCodeEncoder.create().encode(text)
    dark = [[module < 128 for module in row] for row in code.tolist()]  # 0 is dark, 255 light
    return "\n".join(f"{_BLACK_ON_WHITE}{line}{_PLAIN}" for line in _lines(_framed(dark)))


def _framed(dark: list[list[bool]]) -> list[list[bool]]:
    """Return the modules with just the margin that is needed."""
    rows = [number for number, row in enumerate(dark) if any(row)]
    first, last = rows[0], rows[-1]
    left = min(row.index(True) for row in dark if any(row))
    code = [row[left : left + last - first + 1] for row in dark[first : last + 1]]
    side = [False] * _MARGIN
    light = [[False] * (len(code) + 2 * _MARGIN) for _ in side]
    return [*light, *([*side, *row, *side] for row in code), *light]


def _lines(dark: list[list[bool]]) -> Iterator[str]:
    if len(dark) % 2:
        dark = [*dark, [False] * len(dark[0])]
    for upper, lower in zip(dark[::2], dark[1::2]):
        yield "".join(_BLOCKS[pair] for pair in zip(upper, lower))

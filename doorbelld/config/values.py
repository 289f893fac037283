"""Values: how the text of a key becomes its value.

Each parser takes the text of a key and raises ValueError if it is not allowed. The word ``none``
ends here: it becomes None for a single value, and an empty tuple for a list.
"""

from __future__ import annotations

import configparser
import ipaddress
import math
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from doorbelld.net import addresses

_NONE = "none"
_LONGEST_URL = 4096
"""Characters. urlsplit takes quadratic time for some that are not ASCII."""


DEFAULT = "default"
"""The value of a camera's control that is left as the camera has it."""

_KEY_CODES = range(1, 0x300)

_BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LONGEST_TEXT = 200

_SMALLEST_ZOOM = 0.05
_MOST_ZONES = 32


class Resolution(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        """Return it as it is written in a file."""
        return f"{self.width}x{self.height}"


class Listen(NamedTuple):
    """An address to listen on; an empty ``host`` means every address, IPv6 and IPv4 alike."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it is written in a file."""
        return addresses.with_port(self.host, self.port)


class Zoom(NamedTuple):
    """The part of the full picture that is shown, in fractions of its width and height."""

    left: float
    top: float
    width: float
    height: float

    def __str__(self) -> str:
        """Return it as it is written in a file."""
        return ", ".join(f"{each:g}" for each in self)


class Zone(NamedTuple):
    """A part of the picture, in fractions of its width and height."""

    left: float
    top: float
    width: float
    height: float

    def __str__(self) -> str:
        """Return it as it is written in a file."""
        return " ".join(f"{each:g}" for each in self)


class Broker(NamedTuple):
    """Where an MQTT broker is, and whether the connection uses TLS."""

    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        """Return it as it is written in a file."""
        scheme = "mqtts" if self.secure else "mqtt"
        return f"{scheme}://{addresses.with_port(self.host, self.port)}"


class Kind(NamedTuple):
    """A kind of value: its parser, and what is allowed, in words.

    ``is_secret`` is whether a wrong text may be one that others must not read, beside passwords.
    """

    parse: Callable[[str], Any]
    allowed: str
    is_secret: bool = False


def to_text(value: Any) -> str:
    """Return a value as it is written in a file."""
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return ", ".join(map(str, value)) or _NONE
    return str(value)


def number(parse: type[int | float], least: float, most: float, unit: str = "") -> Kind:
    """Return the kind of a number from ``least`` to ``most``."""

    def checked(text: str) -> float:
        value = parse(text)
        if not (math.isfinite(value) and least <= value <= most):
            raise ValueError
        return value

    noun = "a whole number" if parse is int else "a number"
    return Kind(checked, f"{noun}{unit} from {least:g} to {most:g}")


def _boolean(text: str) -> bool:
    words = configparser.ConfigParser.BOOLEAN_STATES
    if text.lower() not in words:
        raise ValueError
    return words[text.lower()]


def _resolution(text: str) -> Resolution:
    match = re.fullmatch(r"(\d{2,4})\s*[xX]\s*(\d{2,4})", text)
    if not match or min(int(match[1]), int(match[2])) < 16:
        raise ValueError
    return Resolution(int(match[1]), int(match[2]))


def _control(text: str) -> str:
    """Parse the value of a camera's control; only the camera knows which ones there are."""
    word, number = r"[A-Za-z][\w ./-]{0,31}", r"[+-]?\d{1,9}(\.\d{1,6})?( ?[A-Za-z]{1,9})?"  # 60 Hz
    if not re.fullmatch(f"{word}|{number}", text, re.ASCII):
        raise ValueError
    return text


def _zoom(text: str) -> Zoom:
    zoom = Zoom(*_fractions(text.split(",")))
    if not (zoom.width >= _SMALLEST_ZOOM and zoom.height >= _SMALLEST_ZOOM):
        raise ValueError
    return zoom


def _zones(text: str) -> tuple[Zone, ...]:
    found = []
    for item in () if text == _NONE else text.split(","):
        zone = Zone(*_fractions(item.split()))
        if not (zone.width > 0 and zone.height > 0):
            raise ValueError
        found.append(zone)
    if len(found) > _MOST_ZONES:
        raise ValueError
    return tuple(found)


def _fractions(texts: list[str]) -> tuple[float, float, float, float]:
    """Parse left, top, width and height of a part of the picture. Raises ValueError."""
    left, top, width, height = (float(each) for each in texts)
    if not (0 <= left < 1 and 0 <= top < 1 and left + width <= 1 and top + height <= 1):
        raise ValueError
    return left, top, width, height


def _button(text: str) -> str | None:
    if text == _NONE:
        return None
    if text != "auto" and not (text.startswith("/dev/") and text.isprintable()):
        raise ValueError
    return text


def _tuning(text: str) -> str | None:
    if text == _NONE:
        return None
    if not (text.endswith(".json") and text.isprintable()):
        raise ValueError
    return text


def _rotation(text: str) -> int:
    if text not in ("0", "90", "180", "270"):
        raise ValueError
    return int(text)


def _name(text: str) -> str:
    if not (0 < len(text) <= 64 and text.isprintable()):
        raise ValueError
    return text


def _source(text: str) -> str:
    if re.fullmatch(r"auto|pattern|picamera2?(:\d)?|v4l2:/\S+|file:.+", text):
        return text
    if len(text) > _LONGEST_URL:
        raise ValueError
    url = urlsplit(text)
    if url.scheme not in ("http", "https", "rtsp") or not url.hostname:
        raise ValueError
    if not text.isprintable() or " " in text:
        raise ValueError
    if url.port == 0:  # If a password has a / in it, .port itself raises ValueError.
        raise ValueError
    return text


def _listen(text: str) -> tuple[Listen, ...]:
    found = []
    for item in text.split(","):
        match = re.fullmatch(r"\s*(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:\[\]]*)):(\d{1,5})\s*", item)
        if not match or int(match[3]) > 65535:
            raise ValueError
        if match[2] and not match[2].isprintable():
            raise ValueError
        addresses.encoded(match[1] or match[2])  # raises ValueError for a bad name
        found.append(Listen(match[1] or match[2] or "", int(match[3])))
    return tuple(found)


def _each(parse: Callable[[str], str], text: str) -> tuple[str, ...]:
    """Parse a list with commas; it is empty if it is the word none."""
    return () if text == _NONE else tuple(parse(item.strip()) for item in text.split(","))


def _network(text: str) -> str:
    """Parse a network or a single address; lan and any stand for several, see access/policy."""
    return text if text in ("lan", "any") else str(ipaddress.ip_network(text))


def _some_networks(text: str) -> tuple[str, ...]:
    found = _each(_network, text)
    if not found:
        raise ValueError
    return found


def _proxies(text: str) -> tuple[str, ...]:
    """Parse networks, but not all addresses there are: any client could then fake its own."""
    found = _each(_network, text)
    if any(item == "any" or item.endswith("/0") for item in found):
        raise ValueError
    return found


def _host(text: str) -> str:
    """Parse a name, an address, or a domain with all names in it, such as *.lan."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(text.strip("[]")))
    if not re.fullmatch(r"(\*\.)?[\w-]+(\.[\w-]+)*", text):
        raise ValueError
    return text.lower()


def _origin(text: str) -> str:
    """Parse an origin as browsers write it: without path, and without a default port."""
    match = re.fullmatch(r"(https?)://([\w.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?/?", text.lower())
    if not match:
        raise ValueError
    return addresses.origin(match[1], match[2].strip("[]"), int(match[3]) if match[3] else None)


def _bell_key(text: str) -> int:
    """Parse the code of a key, or its name."""
    if not text.isdecimal():
        from doorbelld.config import keys  # The names need memory, and the daemon needs none.

        return keys.code(text)
    if int(text) not in _KEY_CODES:
        raise ValueError
    return int(text)


def _path(text: str) -> Path | None:
    if text == _NONE:
        return None
    if not (text.startswith("/") and text.isprintable()):
        raise ValueError
    return Path(text)


def _web_url(text: str) -> str | None:
    """Parse a URL without a password in it: every user may read the configuration."""
    if text == _NONE:
        return None
    if len(text) > _LONGEST_URL or not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError
    if parts.fragment or parts.port == 0:
        raise ValueError
    return text


def _page_url(text: str) -> str | None:
    """Parse the URL of our page; return it with the slash to which paths are added."""
    found = _web_url(text)
    if found is None:
        return None
    if "?" in found:
        raise ValueError
    return found if found.endswith("/") else f"{found}/"


def _broker(text: str) -> Broker | None:
    if text == _NONE:
        return None
    scheme, found, rest = text.rpartition("://")
    if found and scheme not in _BROKER_PORTS:
        raise ValueError
    match = re.fullmatch(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?/?", rest, re.ASCII)
    if not match or not 0 < int(match[2] or 1) < 1 << 16:
        raise ValueError
    scheme = scheme or "mqtt"
    port = int(match[2] or _BROKER_PORTS[scheme])
    return Broker(match[1].strip("[]"), port, scheme == "mqtts")


def _topic(text: str) -> str | None:
    """Parse a topic to publish to: without wildcards, and not the broker's own."""
    if text == _NONE:
        return None
    if "#" in text or "+" in text or text.startswith(("$", "/")) or text.endswith("/"):
        raise ValueError
    return _text(text)


def _text(text: str) -> str | None:
    if text == _NONE:
        return None
    if not (0 < len(text) <= _LONGEST_TEXT and text.isprintable()):
        raise ValueError
    return text


YES_NO = Kind(_boolean, "yes or no")
RESOLUTION = Kind(_resolution, "WIDTHxHEIGHT, each from 16 to 9999 pixels")
ROTATION = Kind(_rotation, "0, 90, 180 or 270")
CONTROL = Kind(_control, "default, auto, a number, or a word that `doorbelld cameras` lists")
ZOOM = Kind(_zoom, "LEFT, TOP, WIDTH, HEIGHT, each a fraction of the picture from 0 to 1")
ZONES = Kind(
    _zones,
    "none, or LEFT TOP WIDTH HEIGHT, fractions of the picture from 0 to 1, with commas between",
)
BUTTON = Kind(_button, "auto, none, or an input device such as /dev/input/event0")
TUNING = Kind(_tuning, "none, or a .json file: its path, or its name in libcamera's folder")
NAME = Kind(_name, "1 to 64 printable characters")
SOURCE = Kind(
    _source,
    "auto, picamera2[:N], picamera[:N], v4l2:/dev/videoN, file:PATH, pattern,"
    " or an http://, https:// or rtsp:// URL",
)
LISTEN = Kind(_listen, "HOST:PORT or :PORT, or several separated by commas")
PATIENCE = number(float, 0.5, 3600, " of seconds")
NETWORKS = Kind(_some_networks, "lan, any, or networks such as 203.0.113.0/24, separated by commas")
PROXIES = Kind(_proxies, "none, or addresses and networks (not any) separated by commas")
HOSTS = Kind(
    partial(_each, _host),
    "none, or names such as door.example.org or *.example.org with commas between",
)
ORIGINS = Kind(partial(_each, _origin), "none, or origins such as https://home.example.org:8123")
KEY = Kind(_bell_key, "a number from 1 to 767, or the name of a key such as BTN_0 or KEY_ENTER")
PATH = Kind(_path, "none, or the path of a file, beginning with /")
_A_URL = "none, or an http:// or https:// URL without user name, password and #"
NTFY = Kind(_web_url, f"{_A_URL}; an access token for ntfy belongs into token_file", True)
WEBHOOK = Kind(_web_url, f"{_A_URL}; what it gets is signed with key_file", True)
PAGE_URL = Kind(
    _page_url, "none, or an http:// or https:// URL without user name, password, ? and #"
)
BROKER = Kind(
    _broker,
    "none, HOST, HOST:PORT, mqtt://HOST[:PORT] or, for TLS, mqtts://HOST[:PORT];"
    " the user name belongs into user, the password into password_file",
)
TOPIC = Kind(
    _topic,
    "none, or a topic such as home/door, of at most 200 printable characters: without + and #,"
    " without / at its ends, and not beginning with $",
)
TEXT = Kind(_text, "none, or 1 to 200 printable characters")

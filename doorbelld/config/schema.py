"""The sections of the configuration: every key with its kind, its default and its meaning."""

from __future__ import annotations

import configparser
import ipaddress
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Resolution(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        """Return it as it is written in a file."""
        return f"{self.width}x{self.height}"


class Listen(NamedTuple):
    """Where to listen; an empty ``host`` means every address, IPv6 and IPv4 alike."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it is written in a file."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Kind(NamedTuple):
    """How a key's text becomes its value: ``parse`` raises ValueError where it cannot."""

    parse: Callable[[str], Any]
    allowed: str


def _number(parse: type[int | float], least: float, most: float, unit: str = "") -> Kind:
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


def _rotation(text: str) -> int:
    if text not in ("0", "90", "180", "270"):
        raise ValueError
    return int(text)


def _name(text: str) -> str:
    if not (0 < len(text) <= 64 and text.isprintable()):
        raise ValueError
    return text


_LONGEST_URL = 4096
"""Characters. urlsplit takes quadratic time for some that are not ASCII."""


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
    if url.port == 0:  # and .port itself fails at what is left of a password with a / in it
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
        if match[2]:
            match[2].encode("idna")  # as getaddrinfo() will; a ValueError for what is no name
        found.append(Listen(match[1] or match[2] or "", int(match[3])))
    return tuple(found)


def _networks(text: str) -> tuple[str, ...]:
    """Take networks and single addresses; lan and any stand for what access.py says."""

    def checked(item: str) -> str:
        return item if item in ("lan", "any") else str(ipaddress.ip_network(item))

    return _each(checked, text)


def _some_networks(text: str) -> tuple[str, ...]:
    found = _networks(text)
    if not found:
        raise ValueError
    return found


def _proxies(text: str) -> tuple[str, ...]:
    """Take networks, but not all there are: then any client could pass for another."""
    found = _networks(text)
    if any(item == "any" or item.endswith("/0") for item in found):
        raise ValueError
    return found


def _host(text: str) -> str:
    """Take a name, an address, or a domain with all names in it, such as *.lan."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(text.strip("[]")))
    if not re.fullmatch(r"(\*\.)?[\w-]+(\.[\w-]+)*", text):
        raise ValueError
    return text.lower()


def _origin(text: str) -> str:
    """Take an origin as browsers write it: no path, no port that goes without saying."""
    match = re.fullmatch(r"(https?)://([\w.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?/?", text.lower())
    if not match:
        raise ValueError
    usual = {"http": "80", "https": "443"}[match[1]]
    port = "" if match[3] in (None, usual) else f":{int(match[3])}"
    return f"{match[1]}://{match[2]}{port}"


def _path(text: str) -> str:
    if text != "none" and not (text.startswith("/") and text.isprintable()):
        raise ValueError
    return text


def _each(parse: Callable[[str], str], text: str) -> tuple[str, ...]:
    """Take a list with commas; it is empty if it is the word none."""
    return () if text == "none" else tuple(parse(item.strip()) for item in text.split(","))


def _key(default: Any, kind: Kind, meaning: str) -> Any:
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


_YES_NO = Kind(_boolean, "yes or no")
_SOURCE = Kind(
    _source,
    "auto, picamera2[:N], picamera[:N], v4l2:/dev/videoN, file:PATH, pattern,"
    " or an http://, https:// or rtsp:// URL",
)
_PATH = Kind(_path, "none, or the path of a file, beginning with /")
PASSWORD_FILE = "/etc/doorbelld/password"
"""May be missing; another one that somebody has chosen must be there."""

_PATIENCE = _number(float, 0.5, 3600, " of seconds")


@dataclass(frozen=True)
class CameraSection:
    """``[camera]``: which camera, and how its picture is taken."""

    source: str = _key("auto", _SOURCE, "Which camera to use: auto takes the first one found.")
    verify: bool = _key(True, _YES_NO, "Checks the certificate of a camera with an https:// URL.")
    resolution: Resolution = _key(  # noqa: RUF009  # a NamedTuple never changes
        Resolution(640, 480),
        Kind(_resolution, "WIDTHxHEIGHT, each from 16 to 9999 pixels"),
        "Size of the picture in pixels; the camera uses the nearest size that it offers.",
    )
    framerate: float = _key(
        30.0, _number(float, 0.1, 240, " of frames a second"), "Frames per second."
    )
    quality: int = _key(80, _number(int, 1, 100), "JPEG quality, from 1 to 100.")
    rotation: int = _key(
        0, Kind(_rotation, "0, 90, 180 or 270"), "Rotates the picture clockwise, in degrees."
    )
    hflip: bool = _key(False, _YES_NO, "Mirrors the picture left to right.")
    vflip: bool = _key(False, _YES_NO, "Mirrors the picture top to bottom.")
    stall_timeout: float = _key(
        5.0, _PATIENCE, "Seconds without a picture before the camera is opened again."
    )
    name: str = _key(
        "Front door", Kind(_name, "1 to 64 printable characters"), "The camera's name on the page."
    )


@dataclass(frozen=True)
class ServerSection:
    """``[server]``: where the page is served, and to how many."""

    listen: tuple[Listen, ...] = _key(
        (Listen("", 5000),),
        Kind(_listen, "HOST:PORT or :PORT, or several separated by commas"),
        "Where to listen: HOST:PORT, or :PORT for all addresses; several are separated by commas.",
    )
    max_viewers: int = _key(
        100, _number(int, 1, 100_000), "How many viewers may watch at once; others have to wait."
    )
    max_requests: int = _key(
        32, _number(int, 1, 1024), "How many threads answer requests; viewers do not need one."
    )
    header_timeout: float = _key(
        10.0,
        _number(float, 0.1, 3600, " of seconds"),
        "Seconds that a client has to send its whole request.",
    )
    stall_timeout: float = _key(
        10.0, _PATIENCE, "Seconds without progress before a viewer is disconnected."
    )


@dataclass(frozen=True)
class AccessSection:
    """``[access]``: who may watch."""

    networks: tuple[str, ...] = _key(
        ("lan",),
        Kind(_some_networks, "lan, any, or networks such as 203.0.113.0/24, separated by commas"),
        "Who may watch: lan, any, or networks such as 203.0.113.0/24, separated by commas.",
    )
    trusted_proxies: tuple[str, ...] = _key(
        (),
        Kind(_proxies, "none, or addresses and networks (not any) separated by commas"),
        "Addresses of the proxies whose X-Forwarded-For is trusted, separated by commas.",
    )
    hosts: tuple[str, ...] = _key(
        (),
        Kind(
            partial(_each, _host),
            "none, or names such as door.example.org or *.example.org with commas between",
        ),
        "More host names for the page, such as door.example.org or *.example.org.",
    )
    embed: tuple[str, ...] = _key(
        (),
        Kind(partial(_each, _origin), "none, or origins such as https://home.example.org:8123"),
        "Web sites that may show the picture, such as https://dashboard.example.",
    )
    password_file: str = _key(
        PASSWORD_FILE,
        _PATH,
        "The password file; while it does not exist, no password is needed.",
    )
    embed_key_file: str = _key(
        "/etc/doorbelld/embed_key",
        _PATH,
        "The file with the key for embed URLs; while it does not exist, there are no embed URLs.",
    )
    tls_certificate: str = _key(
        "none",
        _PATH,
        "The certificate for HTTPS, a PEM file; with it, nothing is served over plain HTTP.",
    )
    tls_key: str = _key("none", _PATH, "The certificate's key, a PEM file without a password.")
    hsts: bool = _key(False, _YES_NO, "Tells browsers to use only HTTPS for a year.")


@dataclass(frozen=True)
class Config:
    """The effective configuration."""

    camera: CameraSection = field(default_factory=CameraSection)
    server: ServerSection = field(default_factory=ServerSection)
    access: AccessSection = field(default_factory=AccessSection)


SECTIONS: dict[str, Any] = {
    "camera": CameraSection,
    "server": ServerSection,
    "access": AccessSection,
}

"""Configuration: INI files and ``--set`` become one frozen Config, or one ConfigError.

The files are read with :mod:`configparser`: first the main file, then ``conf.d/*.conf``
beside it in name order, then every ``--set SECTION.KEY=VALUE``; the last one wins. Every
mistake is collected, so that a person mends a file in one go.
"""

from __future__ import annotations

import configparser
import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

DEFAULT_PATH = Path("/etc/doorbelld/doorbelld.conf")


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` has a line for every mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


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


def _source(text: str) -> str:
    if re.fullmatch(r"auto|pattern|picamera2?(:\d)?|v4l2:/\S+|file:.+", text):
        return text
    url = urlsplit(text)
    if url.scheme not in ("http", "https", "rtsp") or not url.hostname or not text.isprintable():
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
        found.append(Listen(match[1] or match[2] or "", int(match[3])))
    return tuple(found)


def _key(default: Any, kind: Kind, meaning: str) -> Any:
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


_YES_NO = Kind(_boolean, "yes or no")
_SOURCE = Kind(
    _source,
    "auto, picamera2[:N], picamera[:N], v4l2:/dev/videoN, file:PATH, pattern,"
    " or an http://, https:// or rtsp:// URL",
)
_PATIENCE = _number(float, 0.5, 3600, " of seconds")


@dataclass(frozen=True)
class CameraSection:
    """``[camera]``: which camera, and how its picture is taken."""

    source: str = _key("auto", _SOURCE, "Which camera: auto takes the first that is found.")
    resolution: Resolution = _key(  # noqa: RUF009  # a NamedTuple never changes
        Resolution(640, 480),
        Kind(_resolution, "WIDTHxHEIGHT, each from 16 to 9999 pixels"),
        "Size of the picture in pixels; the camera's nearest is taken.",
    )
    framerate: float = _key(
        30.0, _number(float, 0.1, 240, " of frames a second"), "Frames a second."
    )
    quality: int = _key(80, _number(int, 1, 100), "JPEG quality, 1 to 100.")
    rotation: int = _key(
        0, Kind(_rotation, "0, 90, 180 or 270"), "Turns the picture clockwise, in degrees."
    )
    hflip: bool = _key(False, _YES_NO, "Mirrors the picture left to right.")
    vflip: bool = _key(False, _YES_NO, "Turns the picture upside down.")
    stall_timeout: float = _key(
        5.0, _PATIENCE, "Seconds without a picture until the camera counts as lost and is reopened."
    )
    name: str = _key(
        "Front door", Kind(_name, "1 to 64 printable characters"), "What the page calls it."
    )


@dataclass(frozen=True)
class ServerSection:
    """``[server]``: where the page is served, and to how many."""

    listen: tuple[Listen, ...] = _key(
        (Listen("", 5000),),
        Kind(_listen, "HOST:PORT or :PORT, or several separated by commas"),
        "Address and port, HOST:PORT or :PORT for all; several separated by commas.",
    )
    max_viewers: int = _key(
        100, _number(int, 1, 100_000), "How many may watch at once; others are told to come back."
    )
    max_requests: int = _key(
        32, _number(int, 1, 1024), "How many threads answer requests (watching takes none)."
    )
    header_timeout: float = _key(
        10.0,
        _number(float, 0.1, 3600, " of seconds"),
        "Seconds a client has to send its whole request.",
    )
    stall_timeout: float = _key(
        10.0, _PATIENCE, "Seconds without progress until a viewer is dropped."
    )


@dataclass(frozen=True)
class Config:
    """The effective configuration."""

    camera: CameraSection = field(default_factory=CameraSection)
    server: ServerSection = field(default_factory=ServerSection)


SECTIONS: dict[str, Any] = {"camera": CameraSection, "server": ServerSection}


def to_text(value: Any) -> str:
    """Return a value as it is written in a file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return ", ".join(map(str, value))
    return str(value)


def without_password(text: str) -> str:
    """Return a text as it may be shown: URLs lose their user, password and query."""
    text = re.sub(r"(\w+://)[^/?#\s]*@", r"\1", text)
    return re.sub(r"(\w+://[^?#\s]*[?#])\S+", r"\1...", text)


def _mistaken(text: str) -> str:
    """Show a text that is wrong, where any character may stand in a password."""
    return without_password(re.sub(r"(\w+://).*@", r"\1", text))


def describe(config: Config) -> str:
    """Return the effective configuration as the text of a file, fit to be shown."""
    lines = []
    for section, cls in SECTIONS.items():
        lines.append(f"[{section}]")
        values = getattr(config, section)
        lines += [
            f"{f.name} = {without_password(to_text(getattr(values, f.name)))}" for f in fields(cls)
        ]
    return "\n".join(lines)


def load(path: Path | None = None, settings: Iterable[str] = ()) -> Config:
    """Read the main file, ``conf.d/*.conf`` beside it and the ``--set`` texts.

    Without ``path`` the file of the system is taken, and may be missing. Raises ConfigError
    with every problem found in any of them.
    """
    reader = _Reader()
    main = path or DEFAULT_PATH
    if path or main.exists():
        reader.read(main)
    for extra in sorted(main.parent.glob("conf.d/*.conf")):
        reader.read(extra)
    for setting in settings:
        reader.set(setting)
    if reader.problems:
        raise ConfigError(reader.problems)
    return Config(
        CameraSection(**reader.values["camera"]), ServerSection(**reader.values["server"])
    )


class _Reader:
    """Collects values and problems over all files."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        self.problems: list[str] = []

    def read(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            self.problems.append(f"{path}: cannot be read: {error.strerror}")
            return
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            self.problems.append(f"{path}:{line}: this line is not UTF-8 text")
            return
        self._take(path, text)

    def _take(self, path: Path, text: str) -> None:
        parser = configparser.ConfigParser(
            # Values are taken as they stand (a URL may hold a %), and [DEFAULT] is no
            # section of ours, so that it is reported like any other unknown one.
            interpolation=None,
            default_section="",
            strict=False,  # it would stop at the first key that stands twice: see _scan
        )
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
        try:
            parser.read_string(text)
        except configparser.Error as error:
            self.problems += _syntax(path, error)
        lines, twice = _scan(text)
        for line, section, key in twice:
            self.problems.append(f"{path}:{line}: [{section}] {key}: is set twice")
        for section in parser.sections():
            place = f"{path}:{lines.get((section, ''), 1)}"
            if section not in SECTIONS:
                self.problems.append(_unknown(place, "section", section, SECTIONS))
                continue
            for key, value in parser[section].items():
                place = f"{path}:{lines.get((section, key), 1)}"
                self._value(f"{place}: [{section}] {key}", section, key, value)

    def set(self, setting: str) -> None:
        place = f"--set {_mistaken(setting)}"
        match = re.fullmatch(r"(\w+)\.(\w+)=(.*)", setting, re.DOTALL)
        if not match:
            self.problems.append(f"{place}: must be SECTION.KEY=VALUE")
        elif match[1] not in SECTIONS:
            self.problems.append(_unknown(place, "section", match[1], SECTIONS))
        else:
            self._value(f"--set {match[1]}.{match[2]}", match[1], match[2], match[3].strip())

    def _value(self, place: str, section: str, key: str, text: str) -> None:
        known = SECTIONS[section].__dataclass_fields__
        if key not in known:
            self.problems.append(_unknown(place, "key", key, known))
            return
        kind: Kind = known[key].metadata["kind"]
        try:
            self.values[section][key] = kind.parse(text)
        except ValueError:
            shown = _mistaken(text if text.isprintable() else repr(text))
            self.problems.append(f"{place} = {shown}: must be {kind.allowed}")


def _unknown(place: str, noun: str, word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
    return f"{place}: unknown {noun} {word!r}; {hint}"


def _syntax(path: Path, error: configparser.Error) -> list[str]:
    """Say each mistake of form with its line; configparser's own texts run over several."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return [f"{path}:{error.lineno}: a [section] line must come before the first key"]
    if isinstance(error, configparser.ParsingError):
        return [f"{path}:{line}: is not KEY = VALUE" for line, _ in error.errors]
    return [f"{path}: {error}"]


def _scan(text: str) -> tuple[dict[tuple[str, str], int], list[tuple[int, str, str]]]:
    """Find what configparser does not tell: the line of every section (key "") and key.

    Returns those, and (line, section, key) of every key that stands a second time.
    """
    found: dict[tuple[str, str], int] = {}
    twice = []
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\[(.+)\]", line)
        key = re.match(r"([^\s=:#;\[][^=:]*?)\s*[=:]", line)
        if header:
            section = header[1]
            found.setdefault((section, ""), number)
        elif key and (section, key[1]) in found:
            twice.append((number, section, key[1]))
        elif key:
            found[section, key[1]] = number
    return found, twice

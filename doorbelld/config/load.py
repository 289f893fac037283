"""Load: reads INI files and ``--set`` into one frozen Config, or raises one ConfigError.

The files are read with :mod:`configparser`: first the main file, then ``conf.d/*.conf`` beside
it in name order, then every ``--set SECTION.KEY=VALUE``; the last one wins. All mistakes are
collected, so that the user can fix them in one go.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from doorbelld.config.schema import SECTIONS, Config
from doorbelld.config.values import Kind, to_text
from doorbelld.system import files

DEFAULT_PATH = Path("/etc/doorbelld/doorbelld.conf")

_SCHEME = r"(?<!\w)\w+"
"""Only from the start of a word: from each letter of a long one it would take quadratic time."""


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` has a line for every mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def without_password(text: str) -> str:
    """Return a text that is safe to show: of URLs only scheme, host and port.

    Many cameras have the password in the path.
    """
    text = re.sub(rf"({_SCHEME}://)[^/?#\s]*@", r"\1", text)
    return re.sub(rf"({_SCHEME}://[^/?#\s]+[/?#])\S+", r"\1...", text)


def _mistaken(text: str) -> str:
    """Return a wrong text that is safe to show; a password in it may have any character."""
    head, _, host = text.rpartition("@")
    if ":" in head and "://" not in text:  # user:password@host
        key = re.match(r"[\w.]+=", text)
        return f"{key[0] if key else ''}...@{host}"
    # If there is an @, it is not known where the password ends.
    secret = rf"({_SCHEME}://).+" if "@" in text else rf"({_SCHEME}://[^/?#\s]*[/?#]).+"
    return re.sub(secret, r"\1...", text, flags=re.DOTALL)


def describe(config: Config) -> str:
    """Return the effective configuration as the text of a file, without passwords."""
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

    Without ``path`` it reads the system's file, which may be missing. Raises ConfigError with
    every problem in all of them.
    """
    reader = _Reader()
    main = path or DEFAULT_PATH
    if path or os.path.lexists(main):
        reader.read(main)
    reader.read_folder(main.parent / "conf.d")
    for setting in settings:
        reader.set(setting)
    if reader.problems:
        raise ConfigError(reader.problems)
    return Config(**{name: cls(**reader.values[name]) for name, cls in SECTIONS.items()})


class _Parser(configparser.ConfigParser):
    """Parses every line in linear time: Python's own pattern tries each blank of a long gap."""

    OPTCRE = re.compile(r"(?P<option>[^=:]*)(?P<vi>[=:])(?P<value>.*)$")  # both are stripped


class _Reader:
    """Collects values and problems over all files."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        self.problems: list[str] = []

    def read(self, path: Path) -> None:
        try:
            text = files.read(path).decode("utf-8-sig")
        except OSError as error:
            self.problems.append(f"{path}: cannot be read: {error.strerror}")
            return
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            self.problems.append(f"{path}:{line}: this line is not UTF-8 text")
            return
        self._take(path, text.replace("\r\n", "\n").replace("\r", "\n"))

    def read_folder(self, folder: Path) -> None:
        """Read the files ``*.conf`` of a folder, which may be missing, in name order.

        Hidden files are skipped: editors and other systems leave them behind (``.#x.conf``,
        ``._x.conf``). Named pipes, folders and other things that are not files are skipped too.
        A symbolic link to a file that does not exist is reported as a mistake.
        """
        if not os.path.lexists(folder):  # It takes no descriptor, and there may be none.
            return
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            self.problems.append(f"{folder}: cannot be read: {error.strerror}")
            return
        for path in paths:
            # Path's own methods raise an error if a folder on the way cannot be searched.
            is_file = os.path.isfile(path) or not os.path.exists(path)  # noqa: PTH110, PTH113
            if path.suffix == ".conf" and not path.name.startswith(".") and is_file:
                self.read(path)

    def _take(self, path: Path, text: str) -> None:
        parser = _Parser(
            # Values are taken as they are (a URL may have a %), and [DEFAULT] has no special
            # meaning, so it is reported like any other unknown section.
            interpolation=None,
            default_section="",
            strict=False,  # It would stop at the first key that is set twice: see _scan.
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
            if kind.is_secret and "://" not in text:  # Of ntfy.sh/TOPIC the topic is a secret.
                shown = f"{shown.partition('/')[0]}/..." if "/" in text else "..."
            self.problems.append(f"{place} = {shown}: must be {kind.allowed}")


def _unknown(place: str, noun: str, word: str, known: Iterable[str]) -> str:
    names = list(known)
    import difflib  # A good configuration never needs it, and it stays in memory.

    close = difflib.get_close_matches(word, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
    return f"{place}: unknown {noun} {word!r}; {hint}"


def _syntax(path: Path, error: configparser.Error) -> list[str]:
    """Return a sentence for each syntax error; configparser's own text has several lines."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return [f"{path}:{error.lineno}: a [section] line must come before the first key"]
    if isinstance(error, configparser.ParsingError):
        return [f"{path}:{line}: is not KEY = VALUE" for line, _ in error.errors]
    return [f"{path}: {error}"]


def _scan(text: str) -> tuple[dict[tuple[str, str], int], list[tuple[int, str, str]]]:
    """Find what configparser does not report: the line of every section (key "") and key.

    Returns those, and (line, section, key) of every key that is set a second time.
    """
    found: dict[tuple[str, str], int] = {}
    twice = []
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = re.match(r"\[(.+)\]", line)
        key = re.match(r"([^\s=:#;\[][^=:]*)[=:]", line)
        name = key[1].rstrip() if key else ""
        if header:
            section = header[1]
            found.setdefault((section, ""), number)
        elif name and (section, name) in found:
            twice.append((number, section, name))
        elif name:
            found[section, name] = number
    return found, twice

"""Tuning: the file by which libcamera knows a sensor, its lens, and the filter in front of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from doorbelld.drivers.errors import describe
from doorbelld.drivers.libcamera import warn

_SHARE = (Path("/usr/local/share/libcamera/ipa"), Path("/usr/share/libcamera/ipa"))
_TARGETS = {"vc4": "bcm2835", "pisp": "pisp"}
"""What the files of each family of Raspberry Pi are made for."""

_NEWEST_VERSION = 3


class TuningError(Exception):
    """The file cannot be used; the text says why."""


def open_camera(name: str, kind: Any, file: str | None, make: Callable[..., Any]) -> Any:
    """Return the camera that ``make(tuning=...)`` opens, with a tuning file if that works.

    ``kind`` is the library's class. ``file`` is a path, or a name in the library's folder. If
    libcamera does not take the file, the log says so, and ``make()`` opens the camera without.
    """
    if file is None:
        return make()
    try:
        content = _read(kind, file)
    except TuningError as error:
        warn(f"{name}: tuning = {file} is left out: {error}")
        return make()
    _forget_cameras(kind)
    try:
        return make(tuning=content)
    except Exception as error:  # noqa: BLE001  # whatever libcamera makes of the file
        _forget_cameras(kind)
        camera = make()
        warn(f"{name}: tuning = {file} is left out: the camera fails: {describe(error)}")
        return camera


def _read(kind: Any, file: str) -> dict[str, Any]:
    """Return the content of a file. Raises TuningError if it is missing, or for something else."""
    path = Path(file)
    folder = str(path.parent) if path.is_absolute() else None
    try:
        content = kind.load_tuning_file(path.name if folder else file, folder)
    except (RuntimeError, FileNotFoundError) as error:
        raise TuningError(f"there is no such file; libcamera has {_names(kind)}") from error
    except OSError as error:
        raise TuningError(f"it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TuningError(f"it is not JSON: {error}") from error
    _check(content, _family(kind))
    return content  # type: ignore[no-any-return]  # _check() has looked


def _check(content: Any, family: str) -> None:
    """Raise TuningError if libcamera would refuse a file: then it would not find the camera."""
    if not isinstance(content, dict):
        raise TuningError("it is not a tuning file")
    version = content.get("version", 1)
    if not isinstance(version, (int, float)) or version >= _NEWEST_VERSION:
        raise TuningError("it is of an unknown version")
    if version >= 2 and not isinstance(content.get("algorithms"), list):
        raise TuningError("it is not a tuning file: it has no algorithms")
    target = content.get("target", "bcm2835")
    if target != _TARGETS.get(family, target):
        raise TuningError(f"it is for {target}, and this Raspberry Pi needs {_TARGETS[family]}")


def _family(kind: Any) -> str:
    return str(getattr(getattr(kind, "platform", None), "name", "vc4")).lower()


def _names(kind: Any) -> str:
    """Return the names of the files that there are."""
    names = {
        path.name
        for share in _SHARE
        for folder in (share / "rpi" / _family(kind), share / "raspberrypi")
        for path in folder.glob("*.json")
    }
    return ", ".join(sorted(names)) or "no tuning files"


def _forget_cameras(kind: Any) -> None:
    """Let libcamera look for its cameras again: only then does it read the tuning file."""
    with suppress(AttributeError):  # another version of the library
        manager = kind._cm  # noqa: SLF001  # it has no other way
        if not manager.cameras:
            manager._cms = None  # noqa: SLF001

"""Secret files: replaced in one step, and readable only by the service."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from doorbelld.system.users import give_to_the_service

_MOST_READ = 1024


def read(path: Path) -> str | None:
    """Return the first kilobyte of the file; None if it does not exist.

    Raises ValueError if it is not a regular file, and OSError.
    """
    if not path.is_file() and path.exists():  # Such as a pipe, which would block.
        raise ValueError("is no file")
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(_MOST_READ)
    except FileNotFoundError:
        return None


def stamp(path: Path | None) -> tuple[int, ...]:
    """Return a value that changes when the file is replaced or written."""
    try:
        found = path.stat() if path else None
    except OSError:
        found = None
    if found is None:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid)


def explain(error: OSError, path: Path) -> str:
    """Return a sentence that says why the file could not be written, and what helps."""
    if isinstance(error, FileNotFoundError):
        return f"{path}: the folder {path.parent} is missing; make it first"
    if isinstance(error, PermissionError):
        return f"{path}: only root may do that; try it with sudo"
    return f"{path}: {error.strerror}"


def write(path: Path, data: bytes, check: Callable[[Path], object] | None = None) -> None:
    """Replace the file in one step, so that the daemon never reads half of it. Raises OSError.

    ``check`` is called with the new file before it replaces the old one. If it raises, the old
    file stays.
    """
    import tempfile  # It needs memory, and is rarely used.

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        give_to_the_service(new)
        if check is not None:
            check(new)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise

"""Secret files: replaced in one step, and readable only by the service.

The daemon makes some of them itself. Others hold a token, key or password of another program, and a
credential of systemd's may stand for them; what is in them is never in a message.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from doorbelld.system import files, users

_MOST_READ = 1024

_LONGEST = 4096
"""Bytes; a token of another program may be long, but no header takes more."""


class SecretError(ValueError):
    """A secret cannot be used: a sentence with its file and the remedy, without the secret."""


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
        users.give_to_the_service(new)
        if check is not None:
            check(new)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def read_given(path: Path | None, credential: str) -> str | None:
    """Return the secret in a credential that systemd has given, else that in a file.

    Returns None if neither is configured. It is read at each call, so a new secret is used without
    a reload. Raises SecretError.
    """
    given = _credential(credential)
    if given is not None:
        return _text(given, f"the credential {credential}")
    if path is None:
        return None
    try:
        return _text(path, str(path), is_private=True)
    except OSError as error:
        raise SecretError(_explain_given(error, path)) from None


def _credential(name: str) -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path and path.exists() else None


def _text(path: Path, name: str, *, is_private: bool = False) -> str:
    """Return the one line of a file; its ``name`` is for messages. Raises SecretError, OSError.

    systemd protects credentials itself; their modes show an access control list as rights of the
    group.
    """
    mode = path.stat().st_mode
    if is_private and stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError(f"{path} can be used by other users: sudo chmod 600 {path}")
    try:
        text = files.read(path).decode().strip("\r\n")
    except UnicodeDecodeError:
        raise SecretError(f"{name} is not UTF-8 text: write the secret into it again") from None
    if not text.strip():
        raise SecretError(f"{name} is empty: write the secret into it")
    # It becomes part of a header, where a line break would begin another one.
    if not text.isprintable() or len(text) > _LONGEST:
        raise SecretError(f"{name} has more than one line of text: it must hold the secret alone")
    return text


def _explain_given(error: OSError, path: Path) -> str:
    """Return what is wrong with a file, and what helps."""
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist: write the secret into it, with the mode 600"
    if isinstance(error, PermissionError):
        hidden = users.hidden_folder(str(path))
        if hidden:
            return f"{path} cannot be read: the service sees nothing in {hidden}; move the file"
        return f"{path} cannot be read: sudo chown {users.current()} {path}"
    return f"{path} cannot be read: {error.strerror}"

"""Files: reads one that the configuration names, puts one on the disk for good, locks a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

MOST = 1 << 20
"""Bytes that a file may have: a hundred times what any of these files needs."""

_KINDS = {
    stat.S_IFIFO: "it is a named pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}


def read(path: Path) -> bytes:
    """Return the contents of a file; /dev/null is empty.

    Never waits, as opening a named pipe would. Raises OSError with a strerror for the user.
    """
    found = path.stat()
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG and not os.path.samestat(found, Path(os.devnull).stat()):
        raise OSError(errno.EINVAL, _KINDS.get(kind, "it is not a regular file"), str(path))
    # O_NONBLOCK, because it may have been replaced by a pipe in this moment.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise OSError(errno.EFBIG, f"it is larger than {MOST >> 20} MB", str(path))
    return data


def sync(path: Path) -> None:
    """Put a file on the disk for good: this waits for it. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def lock(folder: Path) -> int:
    """Keep other processes out of a folder until the descriptor that this returns is closed.

    Raises BlockingIOError if another one does so, and OSError.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd

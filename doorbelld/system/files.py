"""Files: reads a file named by the configuration, which may be something else than a file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST = 1 << 20
"""Bytes: a hundred times what any of these files needs."""

_KINDS = {
    stat.S_IFIFO: "it is a named pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}


def read(path: Path) -> bytes:
    """Return what a file holds; /dev/null holds nothing.

    Never waits, as opening a named pipe does. Raises OSError, whose strerror can be shown.
    """
    found = path.stat()
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG and not os.path.samestat(found, Path(os.devnull).stat()):
        raise OSError(errno.EINVAL, _KINDS.get(kind, "it is not a regular file"), str(path))
    # Should it have become a pipe in this very moment: O_NONBLOCK.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise OSError(errno.EFBIG, f"it is larger than {MOST >> 20} MB", str(path))
    return data

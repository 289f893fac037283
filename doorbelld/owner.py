"""Whose the files are that a command writes for the service."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path

_USER = "doorbelld"
"""As whom the service runs."""


def give_to_the_service(path: Path) -> None:
    """Let the service read a file that nobody else may. Raises OSError."""
    if os.geteuid() == 0:
        with suppress(KeyError):  # There is no such user where it was not installed.
            user = pwd.getpwnam(_USER)
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

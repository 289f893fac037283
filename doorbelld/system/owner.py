"""The service's user: whose the files are that a command writes for it, and what it may see."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path

_USER = "doorbelld"
"""As whom the service runs."""

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # only compared
"""What ProtectHome= and PrivateTmp= in the unit keep from the service."""


def give_to_the_service(path: Path) -> None:
    """Let the service read a file that nobody else may. Raises OSError."""
    if os.geteuid() == 0:
        with suppress(KeyError):  # There is no such user where it was not installed.
            user = pwd.getpwnam(_USER)
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def become_the_service() -> bool:
    """Give up root's rights for those of the service, for good; return whether that was done.

    It is not if another user than root calls it, or the service's user does not exist.
    """
    if os.geteuid() != 0:
        return False
    try:
        user = pwd.getpwnam(_USER)
        os.initgroups(_USER, user.pw_gid)  # cameras belong to groups
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except (KeyError, PermissionError):  # A container may not let even root do it.
        return False
    os.environ["HOME"] = user.pw_dir
    return True


def hidden_folder(path: str) -> str | None:
    """Return the folder that keeps a file from the service, which sees nothing below it."""
    places = (path, os.path.realpath(path))
    return next((each for each in _HIDDEN for p in places if f"{p}/".startswith(f"{each}/")), None)

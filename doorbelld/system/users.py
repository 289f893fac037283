"""Users: the user that the service runs as, the owner of its files, and what it can see."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_USER = "doorbelld"
"""The user that the service runs as."""

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # only compared
"""What ProtectHome= and PrivateTmp= in the unit hide from the service."""


def current() -> str:
    """Return the name of the user that this process runs as, or its number if it has none."""
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def give_to_the_service(path: Path) -> None:
    """Make the service's user the owner of a file. Raises OSError.

    Only root can do that; for other users this does nothing.
    """
    if os.geteuid() == 0:
        with suppress(KeyError):  # The user does not exist where the package is not installed.
            user = pwd.getpwnam(_USER)
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def become_the_service() -> bool:
    """Switch from root to the service's user for good; return whether that was done.

    It is not done for a user other than root, or if the service's user does not exist.
    """
    if os.geteuid() != 0:
        return False
    try:
        user = pwd.getpwnam(_USER)
        os.initgroups(_USER, user.pw_gid)  # cameras belong to groups
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except (KeyError, PermissionError):  # In a container even root may not be allowed to.
        return False
    os.environ["HOME"] = user.pw_dir
    return True


@contextmanager
def acting_as_owner(path: Path) -> Iterator[None]:
    """Act as the owner of a folder in the meantime, if root does this. Raises OSError.

    So the service can use what is written there, and a link there leads no further than the
    service itself may go.
    """
    owner = path.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    # In a container even root may not be allowed to.
    with suppress(PermissionError):
        os.setgroups([])  # The group root may read files that the service may not.
    with suppress(PermissionError):
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        with suppress(PermissionError):
            os.setgroups(groups)


def hidden_folder(path: str) -> str | None:
    """Return the folder above ``path`` that the service cannot see into, or None."""
    places = (path, os.path.realpath(path))
    return next((each for each in _HIDDEN for p in places if f"{p}/".startswith(f"{each}/")), None)

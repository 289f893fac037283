"""``doorbelld passwd``: set the password, change it, or take it away."""

from __future__ import annotations

import getpass
import logging
import sys
from pathlib import Path

from doorbelld.access.password import LONGEST, SHORTEST, hashed
from doorbelld.system import secretfile

_log = logging.getLogger(__name__)


def passwd(path: Path, *, remove: bool) -> int:
    """Write the password's hash to ``path``, or with ``remove`` take that file away.

    At a terminal it asks twice, otherwise it reads one line. Returns 0, or 1 where it could not
    be done.
    """
    try:
        if remove:
            path.unlink(missing_ok=True)
            sys.stdout.write("Nobody is asked for a password any more.\n")
            return 0
        password = _ask()
        secretfile.write(path, f"{hashed(password)}\n".encode("ascii"))
    except ValueError as error:
        _log.error("%s", error)  # a sentence for a person
        return 1
    except OSError as error:
        _log.error("%s", secretfile.explain(error, path))  # as above
        return 1
    sys.stdout.write(
        "From now on the page asks for this password, and who watches now has to show it.\n"
        "Programs give it by HTTP Basic, with any user name.\n"
        "Do not leave the user name empty: some programs then send no password at all.\n"
    )
    return 0


def _ask() -> str:
    """Return the new password. Raises ValueError if it is none."""
    if sys.stdin.isatty():
        password = getpass.getpass("New password: ")
        if getpass.getpass("The same again: ") != password:
            raise ValueError("these were not the same: nothing was changed")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < SHORTEST:
        raise ValueError(f"it needs {SHORTEST} characters at least: nothing was changed")
    if len(password) > LONGEST:
        raise ValueError(f"it may have {LONGEST} characters at most: nothing was changed")
    if not password.isprintable():
        raise ValueError("no phone could type that: nothing was changed")
    return password

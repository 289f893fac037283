"""``doorbelld passwd``: sets the password, changes it, or removes it."""

from __future__ import annotations

import getpass
import sys
from argparse import Namespace
from pathlib import Path

from doorbelld.access.password import LONGEST, SHORTEST, hashed
from doorbelld.commands.base import CommandError, Load
from doorbelld.config.load import ConfigError
from doorbelld.config.schema import PASSWORD_FILE
from doorbelld.system import secretfile

OPTIONS = {"--remove": "remove the password"}


def run(options: Namespace, load: Load) -> int:
    """Write the password's hash to its file, or remove that file."""
    path = load().access.password_file
    if path is None:
        raise ConfigError(["[access] password_file = none: there is no place for a password"])
    if options.remove and path != PASSWORD_FILE:
        raise ConfigError(["[access] password_file must be taken out of the configuration"])
    try:
        if options.remove:
            _remove(path)
        else:
            _set(path)
    except OSError as error:
        raise CommandError(secretfile.explain(error, path)) from error
    return 0


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    sys.stdout.write("The page no longer asks for a password.\n")


def _set(path: Path) -> None:
    password = _ask()
    secretfile.write(path, f"{hashed(password)}\n".encode("ascii"))
    sys.stdout.write(
        "From now on the page asks for this password; everyone watching now must enter it again.\n"
        "Programs send it by HTTP Basic, with any user name.\n"
        "Do not leave the user name empty: some programs then send no password at all.\n"
    )


def _ask() -> str:
    """Return the new password: from the terminal, twice the same, or the first line of stdin."""
    if sys.stdin.isatty():
        password = getpass.getpass("New password: ")
        if getpass.getpass("The same again: ") != password:
            raise CommandError("the two passwords differ: nothing was changed")
    else:
        try:
            password = sys.stdin.readline().rstrip("\n")
        except UnicodeDecodeError:
            raise CommandError("the password is not UTF-8 text: nothing was changed") from None
    if len(password) < SHORTEST:
        raise CommandError(
            f"the password needs at least {SHORTEST} characters: nothing was changed"
        )
    if len(password) > LONGEST:
        raise CommandError(f"the password has more than {LONGEST} characters: nothing was changed")
    if not password.isprintable():
        raise CommandError(
            "the password has a character that no phone can type: nothing was changed"
        )
    return password

"""``doorbelld passwd``: sets, changes or removes the password. ``embed-url``: what works without.

Both write a secret that says who may watch.
"""

from __future__ import annotations

import getpass
import sys
from argparse import Namespace
from pathlib import Path
from typing import ClassVar

from doorbelld.access import embedding
from doorbelld.access.authenticator import password_id_of
from doorbelld.access.password import LONGEST, SHORTEST, hashed
from doorbelld.commands.base import CommandError, Load
from doorbelld.commands.local import page_urls, scheme
from doorbelld.config.load import ConfigError
from doorbelld.config.schema import PASSWORD_FILE, AccessSection, Config
from doorbelld.system import secretfile
from doorbelld.wiring import password_path

_PICTURES = ("video_feed", "snapshot.jpg")


class Password:
    """``doorbelld passwd``: sets the password, changes it, or removes it."""

    OPTIONS: ClassVar = {"--remove": "remove the password"}

    @staticmethod
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


class EmbedUrl:
    """``doorbelld embed-url``: prints URLs by which pages of other sites can show the picture."""

    OPTIONS: ClassVar = {"--renew": "make a new key, which ends all earlier URLs"}

    @staticmethod
    def run(options: Namespace, load: Load) -> int:
        """Print the URLs of the picture, signed by the key, which is made if it is missing."""
        settings = load()
        path = settings.access.embed_key_file
        if path is None:
            raise ConfigError(["[access] embed_key_file = none: there is no place for the key"])
        password_id = _password_id(settings.access)
        page = _page(settings)
        token = embedding.make_token(_key(path, renew=options.renew), password_id).decode()
        lines = [f"{page}{name}?{embedding.PARAMETER}={token}" for name in _PICTURES]
        sys.stdout.write("\n".join(lines) + f"\n{_advice(password_id)}\n")
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


def _password_id(section: AccessSection) -> bytes:
    """Return what stands for the password, b"" if there is none."""
    path = password_path(section)
    try:
        return password_id_of(path) if path else b""
    except ValueError as error:
        raise ConfigError([f"[access] password_file = {path}: {error}"]) from None


def _page(settings: Config) -> str:
    host, port = settings.server.listen[0]
    fallback = f"{scheme(settings)}://localhost:{port}/"
    return next(page_urls(settings, host, port), fallback)


def _key(path: Path, *, renew: bool) -> bytes:
    """Return the key in the file, or write a new one."""
    try:
        key = b"" if renew else embedding.read_key(path)
        if not key:
            text = embedding.new_key()
            secretfile.write(path, text.encode("ascii"))
            key = bytes.fromhex(text)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None
    except OSError as error:
        raise CommandError(secretfile.explain(error, path)) from error
    return key


def _advice(password_id: bytes) -> str:
    without = " without the password" if password_id else ""
    until = "the password is changed or until " if password_id else ""
    return (
        "Any page can show the picture by these addresses, with any name of this machine in them.\n"
        f"Keep them to yourself: they work{without} until {until}"
        "doorbelld embed-url --renew."
    )

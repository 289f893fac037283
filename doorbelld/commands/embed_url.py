"""``doorbelld embed-url``: prints URLs by which pages of other sites can show the picture."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from doorbelld.access import embedding
from doorbelld.access.authenticator import password_id_of
from doorbelld.commands.base import CommandError, Load
from doorbelld.commands.local import page_urls, scheme
from doorbelld.config.load import ConfigError
from doorbelld.config.schema import AccessSection, Config
from doorbelld.system import secretfile
from doorbelld.wiring import password_path

OPTIONS = {"--renew": "make a new key, which ends all earlier URLs"}

_PICTURES = ("video_feed", "snapshot.jpg")


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

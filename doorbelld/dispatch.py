"""Commands: everything that ``doorbelld`` does besides running the daemon."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

from doorbelld.access import reach
from doorbelld.access.authenticator import cookie_of, password_id_of
from doorbelld.commands.cameras import cameras
from doorbelld.commands.check import check, unseen
from doorbelld.commands.embed_url import embed_url
from doorbelld.commands.make_certificate import make_certificate
from doorbelld.commands.passwd import passwd
from doorbelld.commands.status import status, urls
from doorbelld.config.load import DEFAULT_PATH, ConfigError
from doorbelld.config.schema import PASSWORD_FILE, AccessSection, Config
from doorbelld.system.users import become_the_service
from doorbelld.wiring import (
    access_rules,
    camera_settings,
    open_authenticator,
    password_path,
    tls_context,
)

_log = logging.getLogger(__name__)


def run(options: argparse.Namespace, load: Callable[[], Config]) -> int:
    """Carry out the command, or ``--check``, in the options; return the exit code.

    ``load`` reads the configuration. Raises ConfigError where that cannot be used.
    """
    if options.command == "cameras":
        return cameras(as_json=options.json)
    if options.command:
        return _command(options, load())
    as_service = become_the_service()
    if as_service:
        _log.info("checking as the user that the service runs as")
    return _check(load(), as_service=as_service)


def _check(settings: Config, *, as_service: bool) -> int:
    """Try all that the daemon would use; return the exit code. Raises ConfigError."""
    problems = unseen(settings) if as_service else []
    if problems:
        raise ConfigError(problems)
    tls_context(settings.access)
    open_authenticator(settings.access)
    hosts = [each.host for each in settings.server.listen]
    doubts = reach.doubts(access_rules(settings.access), hosts)
    return check(settings, camera_settings(settings.camera), doubts)


def _command(options: argparse.Namespace, settings: Config) -> int:
    """Carry out a command that needs the configuration; return the exit code."""
    access = settings.access
    if options.command == "make-certificate":
        paths = _certificate_paths(access, options.config)
        return make_certificate(*paths, access.hosts, force=options.force)
    if options.command == "passwd":
        if access.password_file == "none":
            raise ConfigError(["[access] password_file = none: there is no place for a password"])
        if options.remove and access.password_file != PASSWORD_FILE:
            raise ConfigError(["[access] password_file must be taken out of the configuration"])
        return passwd(Path(access.password_file), remove=options.remove)
    if options.command == "embed-url":
        return _embed_url(settings, renew=options.renew)
    secure = access.tls_certificate != "none"
    cookie = _own_cookie(access)
    return status(
        settings.server.listen,
        access_rules(access),
        secure=secure,
        cookie=cookie,
        as_json=options.json,
    )


def _embed_url(settings: Config, *, renew: bool) -> int:
    access, path = settings.access, password_path(settings.access)
    if access.embed_key_file == "none":
        raise ConfigError(["[access] embed_key_file = none: there is no place for the key"])
    try:
        password_id = password_id_of(path) if path else b""
    except ValueError as error:
        raise ConfigError([f"[access] password_file = {path}: {error}"]) from None
    scheme = "https" if access.tls_certificate != "none" else "http"
    host, port = settings.server.listen[0]
    places = urls(host, scheme, port, access_rules(access))
    page = next(places, f"{scheme}://localhost:{port}/")
    return embed_url(Path(access.embed_key_file), password_id, page, renew=renew)


def _own_cookie(section: AccessSection) -> str | None:
    """Return a cookie that opens the daemon, if this user may read the password's file."""
    path = password_path(section)
    try:
        return cookie_of(path) if path else None
    except ValueError:
        return None


def _certificate_paths(section: AccessSection, main_file: Path | None) -> tuple[Path, Path]:
    """Return where certificate and key are configured to be, or belong beside the main file."""
    folder = (main_file or DEFAULT_PATH).absolute().parent
    certificate, key = section.tls_certificate, section.tls_key
    return (
        folder / "tls.crt" if certificate == "none" else Path(certificate),
        folder / "tls.key" if key == "none" else Path(key),
    )

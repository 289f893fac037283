"""``doorbelld backup``: writes everything into one file. ``doorbelld restore``: puts it back."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import ClassVar

from doorbelld.commands import local
from doorbelld.commands.base import CommandError, Load
from doorbelld.config.load import DEFAULT_PATH, ConfigError
from doorbelld.config.load import load as load_file
from doorbelld.visits import archive
from doorbelld.visits.visit import StoreError

_log = logging.getLogger(__name__)

OPTIONS = {"FILE": "the file to write; - is standard output"}

_STANDARD_OUTPUT = "-"
_MB = 1_000_000


def run(options: Namespace, load: Load) -> int:
    """Write the configuration and all visits into a file; return the exit code."""
    load()  # What has a mistake now could not be restored.
    state, configuration = local.state_folder(), _configuration(options).parent
    path = Path(options.file)
    try:
        if options.file == _STANDARD_OUTPUT:
            _insist_on_a_reader()
            archive.write(state, configuration, sys.stdout.buffer)
        else:
            archive.backup(state, configuration, path)
    except StoreError as error:
        raise CommandError(str(error)) from error
    _warn_without_visits(state)
    if options.file == _STANDARD_OUTPUT:
        return 0
    size = f" ({path.stat().st_size / _MB:.0f} MB)" if path.is_file() else ""
    sys.stdout.write(
        f"{path} is written{size}. It has the password and all keys: keep it private.\n"
    )
    return 0


class Restore:
    """``doorbelld restore``: puts back what ``doorbelld backup`` has written."""

    OPTIONS: ClassVar = {"FILE": "the file that doorbelld backup has written"}

    @staticmethod
    def run(options: Namespace, _load: Load) -> int:
        """Replace configuration and visits; return the exit code."""
        source, main = Path(options.file), _configuration(options)
        check = partial(_check, source, main.name)
        try:
            archive.restore(source, local.state_folder(), main.parent, check)
        except StoreError as error:
            raise CommandError(str(error)) from error
        sys.stdout.write(
            f"Configuration and visits are those of {source}.\n"
            "Start it again: sudo systemctl start doorbelld\n"
        )
        return 0


def _configuration(options: Namespace) -> Path:
    """Return the main file of the configuration."""
    path: Path = options.config or DEFAULT_PATH
    return path.absolute()


def _warn_without_visits(state: Path) -> None:
    if not (state / "visits" / "index.sqlite").exists():
        _log.warning("there are no visits in %s; if they are elsewhere, set STATE_DIRECTORY", state)


def _insist_on_a_reader() -> None:
    if sys.__stdout__ is None:
        raise CommandError("standard output is closed: name a file, or use a pipe")
    if sys.stdout.isatty():
        raise CommandError("a backup cannot be read on a terminal: name a file, or use a pipe")


def _check(source: Path, name: str, folder: Path) -> None:
    """Raise ConfigError if the configuration in a backup cannot be used.

    ``folder`` is where it was unpacked, and ``name`` is that of the main file.
    """
    main = folder / name
    paths = [main] if main.exists() else sorted((folder / "conf.d").glob("*.conf"))
    try:
        for path in paths:
            load_file(path)
    except ConfigError as error:
        problems = [each.replace(f"{folder}/", f"{source}: ") for each in error.problems]
        raise ConfigError([*problems, "nothing was replaced"]) from None

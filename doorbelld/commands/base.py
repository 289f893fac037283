"""Base: what every subcommand is, and how it says that it has failed."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Protocol

from doorbelld.config.schema import Config

Load = Callable[[], Config]
"""Reads the configuration. Raises ConfigError."""


class CommandError(Exception):
    """A command could not do its work; ``exit_code`` is 1, unless a subclass has another.

    ``problems`` has a sentence for each thing that went wrong: what, where, and what helps.
    """

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UsageError(CommandError):
    """The options do not fit together, or have a value that no command could use."""

    exit_code = 2


class Command(Protocol):
    """The module of a subcommand, or a class in the module of another one."""

    OPTIONS: Mapping[str, str]
    """The options that only this command has, each with its help, as a user writes them.

    ``--json`` is a flag, ``--export DIR`` an option with a value. ``FILE`` is no option, but a
    word that the command needs; it is ``options.file``.
    """

    @staticmethod
    def run(options: Namespace, load: Load) -> int:
        """Carry out the command; return the exit code. Raises ConfigError and CommandError."""


def is_service() -> bool:
    """Return whether systemd has started this process as a service."""
    return "NOTIFY_SOCKET" in os.environ

"""The ``doorbelld`` command: parses its arguments, and runs a subcommand, the daemon by default."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

from doorbelld import __version__
from doorbelld.commands.base import Command, CommandError, is_service
from doorbelld.config.load import DEFAULT_PATH, ConfigError, load
from doorbelld.system import log

_log = logging.getLogger(__name__)

_COMMANDS = {
    "run": "serve the page; this is the default",
    "status": "show what the running daemon does, and its URLs",
    "visits": "list who was at the door, export visits, or delete them",
    "cameras": "list the cameras of this machine",
    "check": "show the effective configuration, and try the camera",
    "bell": "list the buttons that can ring, and print what is pressed",
    "ring": "ring the bell",
    "notify": "show who is notified of a ring, or send a test message",
    "passwd": "set the password",
    "embed-url": "print URLs of the picture for pages of other sites",
    "backup": "write configuration and visits into a file",
    "restore": "put back what backup has written",
    "make-certificate": "make a self-signed certificate for HTTPS",
}
_CLASSES = {
    "ring": ("bell", "Ring"),
    "passwd": ("access", "Password"),
    "embed-url": ("access", "EmbedUrl"),
    "restore": ("backup", "Restore"),
}
"""The commands that are a class in a module with others: the names of both."""

_DEFAULT = "run"
_COMMON = ("--config", "--set", "--version", "--help")
"""The options that every command has; -v and -h are too short to be ambiguous."""

_EX_CONFIG = 78
"""The exit code for a bad configuration under systemd, see systemd.exec(5)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``doorbelld`` command; return its exit code."""
    _open_missing_streams()
    options = _parse(arguments)
    log.set_up(verbose=options.verbose)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # A terminal may not know every letter.
    read = partial(load, options.config, [*options.set, *options.set_after])
    try:
        return _load(options.command or _DEFAULT).run(options, read)
    except (ConfigError, CommandError, OSError) as error:
        return _report(error)


def _open_missing_streams() -> None:
    """Let what a command prints be lost if its standard streams were closed when it was started.

    Python has None in their place then, and the command should do its work all the same.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest free number: this one.
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # a descriptor


def _report(error: ConfigError | CommandError | OSError) -> int:
    """Log a line for everything that went wrong; return the exit code."""
    problems = [error.strerror or str(error)] if isinstance(error, OSError) else error.problems
    for problem in problems:
        _log.error("%s", problem)
    if isinstance(error, ConfigError):
        return _EX_CONFIG if is_service() else 2
    return error.exit_code if isinstance(error, CommandError) else 1


def _load(command: str) -> Command:
    """Return the module or the class of a command.

    It is loaded now and not before: the daemon should not pay for what only other commands need.
    """
    module, cls = _CLASSES.get(command, (command.replace("-", "_"), ""))
    found = importlib.import_module(f"doorbelld.commands.{module}")
    return cast("Command", getattr(found, cls) if cls else found)


def _options(command: str) -> dict[str, str]:
    """Return the options that only this command has, each with the name of its value, or ""."""
    written = (each.partition(" ") for each in _load(command).OPTIONS if each.startswith("-"))
    return {option: value for option, _, value in written}


def _parse(arguments: Sequence[str] | None) -> Namespace:
    """Return all options, which may come before or after the command."""
    parser = _Parser(
        prog="doorbelld", description="Show the camera at the door on every phone in the house."
    )
    _add_common_options(parser)
    subparsers = parser.add_subparsers(
        dest="command", title="commands", parser_class=_CommandParser
    )
    commands = {
        name: subparsers.add_parser(name, help=text, command=name)
        for name, text in _COMMANDS.items()
    }
    words = [word for word in (sys.argv[1:] if arguments is None else arguments) if word != "--"]
    _refuse_ambiguous(parser, words)
    words, valued = _take_valued(words)
    options, rest = parser.parse_known_args(words)
    # Options of a command that came before it, or without any.
    rest = [*rest, *valued]
    options, rest = commands[options.command or _DEFAULT].parse_known_args(rest, options)
    if rest:
        _refuse(parser, rest)
    return options


def _take_valued(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return all other words, and the options of commands with a value, as ``--option=value``.

    Before a command, the value of one would be taken for the command.
    """
    left, taken, queue = [], [], list(words)
    while queue:
        word = queue.pop(0)
        if not _is_valued(word):
            left.append(word)
        elif "=" in word or not queue or queue[0].startswith("--"):
            taken.append(word)
        else:
            taken.append(f"{word}={queue.pop(0)}")
    return left, taken


def _is_valued(word: str) -> bool:
    option = word.partition("=")[0]
    if not option.startswith("--") or any(each.startswith(option) for each in _COMMON):
        return False
    known = {each: value for name in _COMMANDS for each, value in _options(name).items()}
    return any(known[each] for each in known if each == option or each.startswith(option))


def _refuse_ambiguous(parser: argparse.ArgumentParser, words: Iterable[str]) -> None:
    """End with a usage error if an abbreviation stands for several options, of any command.

    Otherwise ``--re`` would remove the password with one command and renew a key with another.
    """
    for option in {word.partition("=")[0] for word in words if word.startswith("--")}:
        if option in _COMMON:
            continue
        known = {*_COMMON, *(each for name in _COMMANDS for each in _options(name))}
        meant = sorted(each for each in known if each.startswith(option))
        if option not in known and len(meant) > 1:
            parser.error(f"ambiguous option: {option} could match {', '.join(meant)}")


def _refuse(parser: argparse.ArgumentParser, words: Iterable[str]) -> NoReturn:
    """End with a usage error: an option is unknown, or belongs to other commands."""
    owners = {word: _owners(word) for word in words}
    unknown = [word for word, (_, commands) in owners.items() if not commands]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    option, commands = next(iter(owners.values()))
    named = " or ".join(name for name in commands if name != _DEFAULT)
    parser.error(f"{option} goes with {named or 'no command'}")


def _owners(word: str) -> tuple[str, list[str]]:
    """Return the option that a word stands for, and the commands that have it."""
    option, commands = word.partition("=")[0], []
    if option.startswith("--"):
        for name in _COMMANDS:
            for known in _options(name):
                if known.startswith(option):
                    option = known  # from now on in full
                    commands.append(name)
    return option, commands


class _Parser(argparse.ArgumentParser):
    """The parser of the whole command line."""

    def format_help(self) -> str:
        """Return the help, with the options of every command."""
        own = filter(None, map(_options_help, _COMMANDS))
        return "\n".join([super().format_help(), *own])


def _options_help(command: str) -> str:
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    _add_options(parser.add_argument_group(f"options of {command}"), command)
    return parser.format_help().lstrip("\n")


class _CommandParser(argparse.ArgumentParser):
    """The parser of what follows a command."""

    def __init__(self, *, command: str, **settings: Any) -> None:
        super().__init__(description=f"doorbelld {command}: {_COMMANDS[command]}.", **settings)
        self._command = command
        self._is_complete = False
        self._words: list[argparse.Action] = []

    def parse_known_args(  # type: ignore[override]  # its overloads come to the same
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Add the options, now that the command is given; then parse."""
        if not self._is_complete:
            self._is_complete = True
            _add_common_options(self, after_command=True)
            _add_options(self, self._command)
            self._words = [
                self.add_argument(name.lower(), metavar=name, help=text, action=_OneWord)
                for name, text in _load(self._command).OPTIONS.items()
                if not name.startswith("-")
            ]
        found = super().parse_known_args(args, namespace)
        for word in self._words:
            word.required = False  # The second time, only options are left to be parsed.
        return found


class _OneWord(argparse.Action):
    """A word that is given once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        _option: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest, None) is not None:
            parser.error(f"unrecognized arguments: {values}")
        setattr(namespace, self.dest, values)


def _add_options(parser: argparse._ActionsContainer, command: str) -> None:
    """Add the options that only this command has."""
    for written, text in _load(command).OPTIONS.items():
        option, _, value = written.partition(" ")
        if value:
            parser.add_argument(option, metavar=value, help=text)
        elif option.startswith("-"):
            parser.add_argument(option, help=text, action="store_true")


def _add_common_options(parser: argparse.ArgumentParser, *, after_command: bool = False) -> None:
    """Add what every command has. After the command, what is not given changes nothing."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=argparse.SUPPRESS if after_command else None,
        help=f"read FILE, and conf.d/*.conf beside it, instead of {DEFAULT_PATH}",
    )
    parser.add_argument(
        "--set",
        dest="set_after" if after_command else "set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="set one key, which overrides the files; may be given several times",
    )
    parser.add_argument("--version", action="version", version=f"doorbelld {__version__}")
    parser.add_argument(
        "-v",
        dest="verbose",
        action="store_true",
        default=argparse.SUPPRESS if after_command else False,
        help="log every request as well",
    )

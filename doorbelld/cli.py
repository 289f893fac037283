"""The ``doorbelld`` command: what it is told, and who does it."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from doorbelld import __version__
from doorbelld.config.load import DEFAULT_PATH, ConfigError, load
from doorbelld.config.schema import Config
from doorbelld.daemon import Daemon
from doorbelld.handover.handover import Handover
from doorbelld.net.keptpair import KeptPair
from doorbelld.net.ports import Ports
from doorbelld.system import log, systemd
from doorbelld.system.process import raise_descriptor_limit
from doorbelld.wiring import open_authenticator, tls_context

_log = logging.getLogger(__name__)

_NO_COMMAND = None
_OPTIONS_OF: dict[str, tuple[str | None, ...]] = {
    "check": (_NO_COMMAND,),
    "json": ("status", "cameras"),
    "force": ("make-certificate",),
    "remove": ("passwd",),
    "renew": ("embed-url",),
}
"""Options that go with some commands and would mean nothing with the others."""

_EX_CONFIG = 78
"""What a bad configuration is called under systemd, see systemd.exec(5)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``doorbelld`` command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _refuse_misplaced_options(parser, options)
    log.set_up(verbose=options.verbose)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # No name is too strange for a terminal.
    load_again = partial(load, options.config, options.set)
    try:
        if options.command or options.check:
            from doorbelld import dispatch  # what only commands need costs the daemon memory

            return dispatch.run(options, load_again)
        daemon = _daemon(load_again(), load_again)
    except ConfigError as error:
        for problem in error.problems:
            _log.error("%s", problem)
        return _EX_CONFIG if _is_service() else 2
    except OSError as error:
        _log.error("%s", error.strerror)
        return 1
    return daemon.run() if daemon else 1


def _is_service() -> bool:
    return "NOTIFY_SOCKET" in os.environ


def _daemon(settings: Config, load: Callable[[], Config]) -> Daemon | None:
    """Return the daemon; None at a terminal if it cannot listen, which is logged then.

    A person at a terminal does not want to wait for a port. Raises ConfigError and OSError.
    """
    raise_descriptor_limit(settings.server.max_viewers)
    kept = KeptPair(_state_folder())
    context = tls_context(settings.access, kept, at_start=True)
    authenticator = open_authenticator(settings.access)
    handover = Handover(systemd.DescriptorStore(), systemd.inherited_descriptors())
    ports = Ports(handover.listen, settings.server.listen)
    if ports.failed and not _is_service():
        for failure in ports.failed:
            _log.error("%s", failure.strerror)
        return None
    return Daemon(settings, ports, load, context, authenticator, handover, kept)


def _state_folder() -> Path | None:
    """Return the folder for files that outlive the service: StateDirectory= in systemd.exec(5)."""
    first = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None


def _refuse_misplaced_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a usage error where an option was given that its command does not have."""
    for name, commands in _OPTIONS_OF.items():
        if getattr(options, name) and options.command not in commands:
            named = " or ".join(each for each in commands if each)
            parser.error(f"--{name} goes with {named or 'no command'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="doorbelld", description="Show the camera at the door on every phone of the house."
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("status", "cameras", "passwd", "embed-url", "make-certificate"),
        help="status: what the running daemon does, and its URLs; cameras: what this machine has;"
        " passwd: sets the password; embed-url: prints addresses for pages of other sites;"
        " make-certificate: makes a self-signed one for HTTPS",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"read FILE, and conf.d/*.conf beside it, instead of {DEFAULT_PATH}",
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="set one key, over what the files say; may be given several times",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="print the effective configuration, look for the camera, and exit",
    )
    _add_options_of_commands(parser)
    parser.add_argument("--version", action="version", version=f"doorbelld {__version__}")
    parser.add_argument("-v", dest="verbose", action="store_true", help="log every request as well")
    return parser


def _add_options_of_commands(parser: argparse.ArgumentParser) -> None:
    """Add what goes with some commands alone, see _OPTIONS_OF."""
    parser.add_argument(
        "--json", action="store_true", help="let status and cameras speak to programs"
    )
    parser.add_argument(
        "--force", action="store_true", help="let make-certificate replace what is there"
    )
    parser.add_argument("--remove", action="store_true", help="let passwd take it away")
    parser.add_argument(
        "--renew",
        action="store_true",
        help="let embed-url make a new key, which ends all earlier URLs",
    )

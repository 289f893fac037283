"""``doorbelld run``, or ``doorbelld`` alone: the daemon, in the foreground."""

from __future__ import annotations

import logging
from argparse import Namespace
from typing import TYPE_CHECKING

from doorbelld.commands.base import CommandError, Load, is_service
from doorbelld.config.schema import Config

if TYPE_CHECKING:
    from doorbelld.daemon import Daemon

_log = logging.getLogger(__name__)

OPTIONS = {"--check": "do the same as the command check"}


def run(options: Namespace, load: Load) -> int:
    """Run the daemon until a signal stops it; return the exit code."""
    if options.check:
        from doorbelld.commands import check  # The daemon does not need it.

        return check.run(options, load)
    try:
        daemon = _daemon(load(), load)
    except OSError as error:
        raise CommandError(error.strerror or str(error)) from error
    try:
        daemon.run()
    except OSError:  # It is expected nowhere in there, so the log needs to say where it came from.
        _log.critical("the daemon has failed", exc_info=True)
        return 1


def _daemon(settings: Config, load: Load) -> Daemon:
    """Return the daemon. Raises ConfigError, OSError and CommandError."""
    # This module is loaded for its options, too. What parsing took can be used again by now.
    from doorbelld.daemon import Daemon
    from doorbelld.net.handover import Handover
    from doorbelld.net.ports import Ports
    from doorbelld.net.tls import KeptPair
    from doorbelld.system import systemd
    from doorbelld.system.process import raise_descriptor_limit
    from doorbelld.wiring import open_authenticator, tls_context

    raise_descriptor_limit(settings.server.max_viewers)
    folder = systemd.state_folder()
    kept = KeptPair(folder)
    context = tls_context(settings.access, kept, at_start=True)
    authenticator = open_authenticator(settings.access)
    handover = Handover(systemd.DescriptorStore(), systemd.inherited_descriptors())
    ports = Ports(handover.listen, settings.server.listen)
    if ports.failed and not is_service():  # A person at a terminal does not want to wait for one.
        raise CommandError(*(str(failure.strerror) for failure in ports.failed))
    return Daemon(settings, ports, load, context, authenticator, handover, kept, folder)

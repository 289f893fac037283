"""Process: what the whole process asks of the system: signals as bytes, and many open files."""

from __future__ import annotations

import errno
import logging
import resource
import signal

from doorbelld.wakeup import Wakeup

_log = logging.getLogger(__name__)

_LEAST_FILES = 32
"""Open files that a daemon takes with a camera and a few viewers."""


def catch_signals() -> Wakeup:
    """Return what wakes when a signal comes; its bytes are the signals' numbers."""
    wakeup = Wakeup()
    signal.set_wakeup_fd(wakeup.writer.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    return wakeup


def raise_descriptor_limit(max_viewers: int) -> None:
    """Allow as many open sockets as the system lets us have: every viewer is one.

    Raises OSError if they are too few to start.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY:
        return
    if most < _LEAST_FILES:
        text = f"only {most} files may be open (ulimit -n), and at least {_LEAST_FILES} are needed"
        raise OSError(errno.EMFILE, text)
    if most < max_viewers + 2000:
        _log.warning("only %d files may be open: too few for %d viewers", most, max_viewers)

"""Log: writes the daemon's log lines to the journal or to a terminal.

A line is never worth a delay. If it cannot be written, because the disk is full or because the
program that reads it has stopped reading, it is counted, and the daemon goes on.
"""

from __future__ import annotations

import logging
import os
import select

_STANDARD_ERROR = 2

_PRIORITIES = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
    logging.CRITICAL: "<2>",
}


def set_up(*, verbose: bool) -> None:
    """Log to standard error, with priorities if the journal reads it. The journal adds the time."""
    _close_gaps()
    handler = _Handler(_STANDARD_ERROR)
    is_journal = _is_journal(_STANDARD_ERROR)
    handler.setFormatter(_JournalFormatter() if is_journal else _TerminalFormatter())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])


def _close_gaps() -> None:
    """Open the standard streams that were closed when the process was started.

    Otherwise a viewer's socket would get the number of one, and the viewer would be sent what
    libraries print there.
    """
    for number in range(_STANDARD_ERROR + 1):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest free number: this one.


def _is_journal(fd: int) -> bool:
    """Compare with the stream that systemd connected to the journal, see systemd.exec(5)."""
    found = os.fstat(fd)
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _Handler(logging.Handler):
    """Writes to a descriptor as much as it takes without waiting."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or count it as lost. The next line that works says how many were lost."""
        text = self.format(record)
        if self._lost and self._write(self._format_loss()):
            self._lost = 0
        if self._lost or not self._write(text):
            self._lost += 1

    def _format_loss(self) -> str:
        text = f"{self._lost} lines before this one could not be logged"
        level = logging.WARNING
        values = {"msg": text, "levelno": level, "levelname": logging.getLevelName(level)}
        return self.format(logging.makeLogRecord(values))

    def _write(self, text: str) -> bool:
        """Write all of it; return whether that was possible."""
        data = f"{text}\n".encode(errors="replace")
        try:
            while data:
                # No more at once than a pipe takes that has any room.
                if not self._poll.poll(0):
                    return False
                data = data[os.write(self._fd, data[: select.PIPE_BUF]) :]
        except OSError:
            return False
        return True


class _JournalFormatter(logging.Formatter):
    """Puts an sd-daemon(3) priority before every line, also before those of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, "<6>")
        return "\n".join(priority + line for line in super().format(record).splitlines())


class _TerminalFormatter(logging.Formatter):
    """Formats the message alone, with the level if it is a warning or worse."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname}: {text}"

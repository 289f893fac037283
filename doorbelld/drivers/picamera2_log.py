"""Log of picamera2: routes what the library and libcamera report through our log.

Both write to standard error, some lines at every open. Only their errors are logged here, each
once an hour. With the option -v everything is.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sys
import threading
import traceback

from doorbelld.drivers.errors import describe
from doorbelld.system.limited_log import OnceLog

logger = logging.getLogger(__name__)

_once = OnceLog(logger)
_PREFIX = re.compile(r"^(\[[^\]]*\] *)+")
"""The time and the thread before a line of libcamera."""


def redirect_libcamera() -> None:
    """Do it, if libcamera is installed: it reads its environment when it has its first line."""
    try:
        if importlib.util.find_spec("libcamera") is None:
            return
    except ValueError:  # it was not loaded from a file, so it is not the real one
        return
    verbose = logger.isEnabledFor(logging.DEBUG)
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:INFO" if verbose else "*:ERROR")
    if "LIBCAMERA_LOG_FILE" not in os.environ:
        # libcamera opens it by this name, and later than now, so both ends stay open.
        reader, writer = os.pipe()
        os.environ["LIBCAMERA_LOG_FILE"] = f"/proc/self/fd/{writer}"
        thread = threading.Thread(target=_forward, args=(reader,), name="libcamera log")
        thread.daemon = True
        thread.start()


def redirect_picamera2() -> None:
    """Route what the library logs, and the errors that end its threads. May be called again."""
    theirs = logging.getLogger("picamera2")
    if any(isinstance(each, _Handler) for each in theirs.handlers):
        return
    handler = _Handler()
    theirs.handlers[:] = [handler]
    theirs.propagate = False
    theirs.setLevel(logging.DEBUG if logger.isEnabledFor(logging.DEBUG) else logging.WARNING)
    others = threading.excepthook

    def excepthook(found: threading.ExceptHookArgs) -> None:
        frames = traceback.walk_tb(found.exc_traceback)
        if not any(_is_theirs(frame.f_globals.get("__name__", "")) for frame, _ in frames):
            others(found)
        elif found.exc_value is not None and id(found.exc_value) != handler.logged:
            _log(logging.ERROR, f"picamera2: {describe(found.exc_value)}")

    threading.excepthook = excepthook


def destructor_failed(found: sys.UnraisableHookArgs) -> None:
    """Log it, in the place of ``sys.unraisablehook``."""
    if found.exc_value is not None:
        _log(logging.ERROR, f"picamera2: {describe(found.exc_value)}")


def _forward(reader: int) -> None:
    """Log what libcamera writes."""
    with open(reader, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = _PREFIX.sub("", line).strip()
            is_error = text.startswith(("ERROR", "FATAL"))
            _log(logging.ERROR if is_error else logging.DEBUG, f"libcamera: {text}")


def _is_theirs(module: str) -> bool:
    return module.partition(".")[0] == "picamera2"


class _Handler(logging.Handler):
    """Forwards to our log. ``logged`` is the id of the last exception that was."""

    logged = 0

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.logged = id(error)
        why = f": {describe(error)}" if error else ""
        _log(record.levelno, f"picamera2: {record.getMessage()}{why}")


def _log(level: int, text: str) -> None:
    if level < logging.WARNING:
        logger.log(level, "%s", text)
    else:
        _once.log(logging.WARNING, text)

"""The daemon from above: build, start, wait for a signal, stop.

    camera ──JPEG──▶ CaptureThread ──Frame──▶ Broadcaster ──bytes──▶ every viewer's socket
                                                   ▲
                                        sockets handed over by
                                                   │
    clients ──▶ AcceptLoop ──whole heads──▶ handler threads ──▶ page, snapshot, status

Only this module knows the configuration; everything else takes plain arguments.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from select import select

from doorbelld import __version__, assets, config, interfaces, listeners, systemd
from doorbelld.broadcast import Broadcaster
from doorbelld.camera import CameraSettings, open_camera
from doorbelld.cameras import cameras
from doorbelld.capture import CaptureSettings, CaptureThread
from doorbelld.check import check
from doorbelld.config import CameraSection, Config, ConfigError
from doorbelld.httpd import Server
from doorbelld.status import status
from doorbelld.wakeup import Wakeup

_log = logging.getLogger(__name__)

_EX_CONFIG = 78
"""What a bad configuration is called under systemd, see systemd.exec(5)."""

_LOOK_INTERVAL = 1.0
"""Seconds between looks at the threads, and between STATUS lines."""

_SWITCH_INTERVAL = 0.0002
"""Seconds a thread may keep the interpreter from another that wants it. Python's own 5 ms
would let one busy handler thread delay the broadcaster by that much at every single send."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``doorbelld`` command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.json and not options.command:
        parser.error("--json goes with status or cameras")
    systemd.set_up_logging(verbose=options.verbose)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # No name is too strange for a terminal.
    load = partial(config.load, options.config, options.set)
    if options.command == "cameras":
        return cameras(as_json=options.json)
    try:
        settings = load()
        if options.command == "status":
            return status(settings.server.listen, as_json=options.json)
        if options.check:
            return check(settings, camera_settings(settings.camera))
        sockets = systemd.inherited_sockets() or listeners.open_listeners(settings.server.listen)
    except ConfigError as error:
        _log_problems(error)
        return _EX_CONFIG if "NOTIFY_SOCKET" in os.environ else 2
    except OSError as error:
        _log.error("%s", error.strerror)
        return 1
    return Daemon(settings, sockets, load).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="doorbelld", description="Show the camera at the door on every phone of the house."
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("status", "cameras"),
        help="status: what the running daemon does, and its URLs; cameras: what this machine has",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"read FILE, and conf.d/*.conf beside it, instead of {config.DEFAULT_PATH}",
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
    parser.add_argument(
        "--json", action="store_true", help="let status and cameras speak to programs"
    )
    parser.add_argument("--version", action="version", version=f"doorbelld {__version__}")
    parser.add_argument("-v", dest="verbose", action="store_true", help="log every request as well")
    return parser


class Daemon:
    """All parts of a running doorbelld; ``load`` reads the configuration again."""

    def __init__(
        self, settings: Config, sockets: Sequence[socket.socket], load: Callable[[], Config]
    ) -> None:
        self._settings = settings
        self._listen = settings.server.listen
        self._sockets = sockets
        self._load = load
        self._notifier = systemd.Notifier()
        self._broadcaster = Broadcaster(
            max_viewers=settings.server.max_viewers, stall_timeout=settings.server.stall_timeout
        )
        self._capture = CaptureThread(_capture_settings(settings.camera), self._broadcaster.publish)
        self._server = Server(
            sockets,
            broadcaster=self._broadcaster,
            camera_status=self._capture.status,
            assets=assets.load(settings.camera.name),
            max_requests=settings.server.max_requests,
            header_timeout=settings.server.header_timeout,
            stall_timeout=settings.server.stall_timeout,
        )

    def run(self) -> int:
        """Start everything, wait for a signal, stop everything; return the exit code."""
        sys.setswitchinterval(_SWITCH_INTERVAL)
        _raise_descriptor_limit(self._settings.server.max_viewers)
        wakeup = _catch_signals()
        self._server.start()
        self._broadcaster.start()
        self._capture.start()
        host = interfaces.outward_address() or socket.gethostname()
        for url in sorted({listeners.url(each, host) for each in self._sockets}):
            _log.info("doorbelld %s: open %s", __version__, url)
        self._notifier.ready()
        code = self._wait(wakeup)
        _ignore_signals()
        wakeup.close()
        self._stop(code)
        return code

    def _wait(self, wakeup: Wakeup) -> int:
        """Look after the threads until a signal says stop, or one of them fails."""
        watchdog = systemd.watchdog_seconds()
        interval = min(_LOOK_INTERVAL, watchdog / 3) if watchdog else _LOOK_INTERVAL
        threads = (self._server, self._capture, self._broadcaster)
        while True:
            select([wakeup], [], [], interval)
            for number in wakeup.clear():
                if number != signal.SIGHUP:
                    _log.info("%s: stopping", signal.Signals(number).name)
                    return 0
                self._reload()
            if not all(thread.alive for thread in threads):
                _log.critical("a thread has failed: stopping, to be started anew")
                return 1
            self._notifier.status(self._status())
            oldest = min(thread.beat for thread in threads)
            if watchdog and time.monotonic() - oldest < watchdog:
                self._notifier.watchdog()

    def _status(self) -> str:
        camera = self._capture.status()
        text = f"{camera['state'].capitalize()}: {camera['detail']}"
        if camera["state"] == "streaming":
            text += f" at {camera['fps']:.0f} fps"
        return f"{text}; {self._broadcaster.watching} watching"

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            self._apply(self._load())
            _log.info("the configuration was read again")
        except ConfigError as error:
            _log_problems(error)
            _log.error("the configuration stays as it was")
        self._notifier.ready()

    def _apply(self, settings: Config) -> None:
        """Change over to other settings; viewers keep watching."""
        before, self._settings = self._settings, settings
        self._broadcaster.max_viewers = settings.server.max_viewers
        self._broadcaster.stall_timeout = settings.server.stall_timeout
        self._server.set_limits(
            max_requests=settings.server.max_requests,
            header_timeout=settings.server.header_timeout,
            stall_timeout=settings.server.stall_timeout,
        )
        self._server.assets = assets.load(settings.camera.name)
        if settings.camera != before.camera:
            self._capture.reconfigure(_capture_settings(settings.camera))
        if settings.server.listen != self._listen:
            _log.warning("listen has changed: that takes a restart")

    def _stop(self, code: int) -> None:
        self._notifier.stopping()
        ended = {
            "accept": self._server.stop(),
            "capture": self._capture.stop(),
            "broadcast": self._broadcaster.stop(),
        }
        survivors = [name for name, has_ended in ended.items() if not has_ended]
        if survivors:
            # A driver can hold a thread for as long as it likes, and the interpreter's own
            # way out would pull the rug from under it.
            _log.warning("left behind, still at work: %s", ", ".join(survivors))
            logging.shutdown()
            os._exit(code)


def camera_settings(section: CameraSection) -> CameraSettings:
    """Return what a camera needs to know of the configuration."""
    return CameraSettings(
        width=section.resolution.width,
        height=section.resolution.height,
        framerate=section.framerate,
        quality=section.quality,
        rotation=section.rotation,
        hflip=section.hflip,
        vflip=section.vflip,
        stall_timeout=section.stall_timeout,
    )


def _capture_settings(section: CameraSection) -> CaptureSettings:
    return CaptureSettings(
        open_camera=partial(open_camera, section.source, camera_settings(section)),
        name=section.name,
        source=config.without_password(section.source),
        width=section.resolution.width,
        height=section.resolution.height,
        stall_timeout=section.stall_timeout,
    )


def _log_problems(error: ConfigError) -> None:
    for problem in error.problems:
        _log.error("%s", problem)


def _catch_signals() -> Wakeup:
    """Return what wakes when a signal comes; its bytes are the signals' numbers."""
    wakeup = Wakeup()
    signal.set_wakeup_fd(wakeup.writer.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    return wakeup


def _ignore_signals() -> None:
    """Let nothing cut the end short."""
    # The interpreter takes its handlers back on its way out, and a second signal from somebody
    # impatient would then count as a crash.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


def _raise_descriptor_limit(max_viewers: int) -> None:
    """Allow as many open sockets as the system lets us have: every viewer is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most != resource.RLIM_INFINITY and most < max_viewers + 2000:
        _log.warning("only %d files may be open: too few for %d viewers", most, max_viewers)

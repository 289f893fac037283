"""Daemon: builds all parts, starts them, looks after them until a signal, and stops them.

    camera ──JPEG──▶ CaptureThread ──▶ FrameHub ──Frame──▶ Broadcaster ──bytes──▶ viewers' sockets
                                                                ▲
                                                     sockets handed over by
                                                                │
    clients ──▶ AcceptLoop ──requests──▶ handler threads ──▶ page, snapshot, status

Only this module, wiring and the commands know the configuration; everything else takes plain
arguments.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from doorbelld import wiring
from doorbelld.access.authenticator import Authenticator
from doorbelld.access.embedding import Embedding
from doorbelld.access.ring_token import RingToken
from doorbelld.config.load import ConfigError
from doorbelld.config.schema import Config
from doorbelld.media import room
from doorbelld.net.handover import Handover
from doorbelld.net.ports import Endpoints, Ports
from doorbelld.net.tls import KeptPair
from doorbelld.notify.notifier import Notifier
from doorbelld.notify.target import Facts
from doorbelld.server.server import Server
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.capture import CaptureThread
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.state import CameraState
from doorbelld.stream.tiers import Tiers
from doorbelld.system import systemd
from doorbelld.system.process import catch_signals, ignore_signals
from doorbelld.system.wakeup import Wakeup
from doorbelld.visits.doorbell import Doorbell
from doorbelld.web import assets
from doorbelld.web.app import App
from doorbelld.web.site import Site

_log = logging.getLogger(__name__)

_CHECK_INTERVAL = 1.0
"""Seconds between checks of the threads, and between STATUS lines."""

_TESTING = 20.0
"""Seconds that a test message may take: a server that is far away may be slow."""

_SWITCH_INTERVAL = 0.0002
"""Seconds a thread may keep the interpreter from another that wants it. Python's own 5 ms
would let one busy handler thread delay the broadcaster by that much at every single send."""


class _Sites:
    """Makes the Site of a configuration: the first one, and the next one at each reload.

    ``kept`` is the TLS pair that worked last, ``state_folder`` where the token for ringing may be.
    """

    def __init__(self, kept: KeptPair, state_folder: Path | None) -> None:
        self.kept = kept
        self._state_folder = state_folder

    def first(
        self, settings: Config, context: ssl.SSLContext | None, authenticator: Authenticator
    ) -> Site:
        """Return the Site to start with. Raises OSError if the page cannot be read."""
        embedding = Embedding(settings.access.embed_key_file)
        return self._make(settings, context, authenticator, embedding)

    def next(self, settings: Config, before: Site) -> Site:
        """Return the Site after ``before``. Raises ConfigError, and OSError as above.

        What remembers something stays, such as wrong guesses, unless its file is another one.
        """
        section = settings.access
        context = wiring.tls_context(section, self.kept)
        authenticator, embedding = before.authenticator, before.embedding
        if authenticator.path != wiring.password_path(section):
            authenticator = wiring.open_authenticator(section)
        if embedding.path != section.embed_key_file:
            embedding = Embedding(section.embed_key_file)
        return self._make(settings, context, authenticator, embedding)

    def _make(
        self,
        settings: Config,
        context: ssl.SSLContext | None,
        authenticator: Authenticator,
        embedding: Embedding,
    ) -> Site:
        section, name = settings.access, settings.camera.name
        root = wiring.authority_root(section, self.kept)
        files = assets.load(name)
        return Site(
            wiring.access_rules(section),
            authenticator,
            embedding,
            {**files, **assets.of_the_authority(root, name)} if root else files,
            context,
            hsts=section.hsts,
            ring_token=RingToken(wiring.ring_token_path(settings.bell, self._state_folder)),
        )


class Daemon:
    """All parts of a running doorbelld; ``load`` reads the configuration again."""

    def __init__(
        self,
        settings: Config,
        ports: Ports,
        load: Callable[[], Config],
        context: ssl.SSLContext | None,
        authenticator: Authenticator,
        handover: Handover,
        kept: KeptPair,
        state_folder: Path | None,
    ) -> None:
        self._settings = settings
        self._load, self._state_folder = load, state_folder
        self._endpoints = Endpoints(ports, settings.camera.name, secure=context is not None)
        self._sites = _Sites(kept, state_folder)
        self._service_manager = systemd.Notifier()
        handover.viewers.set_password_id(authenticator.password_id)
        hub = FrameHub()
        self._tiers = Tiers(hub)
        self._broadcaster = Broadcaster(
            hub,
            handover.viewers,
            self._tiers,
            max_viewers=settings.server.max_viewers,
            stall_timeout=settings.server.stall_timeout,
        )
        camera = wiring.capture_settings(settings.camera)
        self._capture = CaptureThread(camera, hub, self._changed)
        self._notify = Notifier(
            self._facts,
            lambda: self._doorbell.recorder.knows_older,
            lambda visit: self._doorbell.picture(visit),  # noqa: PLW0108  # it is made below
        )
        self._doorbell = self._make_doorbell(hub)
        self._app = self._make_app(hub, self._sites.first(settings, context, authenticator))
        limits = wiring.server_limits(settings.server)
        self._server = Server(self._endpoints.sockets, self._app, limits)

    def _make_doorbell(self, hub: FrameHub) -> Doorbell:
        return Doorbell(
            wiring.bell_settings(self._settings.bell, self._settings.visits),
            hub,
            self._state_folder,
            pause=self._capture.pause,
            reason=self._capture.reason,
            on_change=self._changed,
            on_news=self._notify.hear,
            on_motion=self._notify.changed,
        )

    def _make_app(self, hub: FrameHub, site: Site) -> App:
        return App(
            site,
            hub,
            self._broadcaster,
            self._capture.status,
            lambda: self._server.limits,
            self._doorbell,
            test_messages=lambda: self._notify.test(_TESTING),
            notify_status=self._notify.status,
        )

    def _changed(self) -> None:
        """Show everyone that the camera, the newest ring or the shutter has changed."""
        self._broadcaster.renew()
        self._notify.changed()

    def _facts(self) -> Facts:
        recorder = self._doorbell.recorder
        return Facts(
            name=self._settings.camera.name,
            reason=self._capture.reason(),
            watching=self._broadcaster.watching,
            motion=recorder.sees_motion,
            is_paused=self._doorbell.shutter.state.closed,
            last=recorder.news(),
            address=self._settings.notify.address or self._endpoints.address(),
        )

    def _choose(self) -> None:
        """Notify those that are configured."""

        def sign(visit: int) -> str:
            return self._app.site.ring_token.answer_token(visit)

        now = self._settings
        self._notify.choose(
            wiring.notified(now.mqtt, now.notify, self._doorbell, sign, self._state_folder)
        )

    def run(self) -> NoReturn:
        """Start everything, wait for a signal, stop everything, and end the process.

        The interpreter's own exit is not used. It restores the signal handlers, so that a second
        Ctrl-C would count as a crash; it crashes a thread that is still held by a driver; and it
        takes a while, in which viewers that stay connected would see nothing.
        """
        sys.setswitchinterval(_SWITCH_INTERVAL)
        room.use_sparingly()
        wakeup = catch_signals()
        code = self._wait(wakeup) if self._start() else 1
        ignore_signals()
        wakeup.close()
        self._stop()
        logging.shutdown()
        os._exit(code)

    def _start(self) -> bool:
        """Start the threads, and log where the page is; return whether they run."""
        try:
            self._broadcaster.start()  # Before the server: new viewers come after inherited ones.
            self._app.recheck()  # The rules may have changed since the previous process.
            self._server.start()
            self._doorbell.start()  # Before the camera, so that a film has its first pictures.
            self._capture.start()
            self._tiers.start()
            self._choose()  # After the camera: it may take a while to load what they need.
        except RuntimeError as error:  # threading raises no better one
            _log.critical("the system is out of threads (%s): stopping, to be started again", error)
            return False
        self._endpoints.log_urls()
        self._doorbell.log_place()
        self._endpoints.begin()
        # Even if a port is still taken, perhaps for days: the boot must not wait for it.
        self._service_manager.ready()
        return True

    def _wait(self, wakeup: Wakeup) -> int:
        """Look after the threads until a signal says stop, or one of them fails."""
        watchdog = systemd.watchdog_seconds()
        interval = min(_CHECK_INTERVAL, watchdog / 3) if watchdog else _CHECK_INTERVAL
        threads = (self._server, self._capture, self._broadcaster, self._tiers)
        poll = select.poll()  # Descriptors may be too many for select().
        poll.register(wakeup, select.POLLIN)
        while True:
            poll.poll(interval * 1000)
            for number in wakeup.clear():
                if number != signal.SIGHUP:
                    _log.info("%s: stopping", signal.Signals(number).name)
                    return 0
                self._reload()
            if not all(thread.alive for thread in threads):
                _log.critical("a thread has failed: stopping, to be started again")
                return 1
            self._endpoints.poll(self._server.listen)
            self._notify.poll()
            self._capture.check_for_hang()
            self._recheck()
            self._service_manager.status(self._status())
            oldest = min(thread.beat for thread in threads)
            if watchdog and time.monotonic() - oldest < watchdog:
                self._service_manager.watchdog()

    def _status(self) -> str:
        waiting = self._endpoints.waiting
        if not self._endpoints.sockets:
            return waiting
        camera = self._capture.status()
        text = f"{camera.state.value.capitalize()}: {camera.detail}"
        if camera.state is CameraState.STREAMING:
            text += f" at {camera.fps:.0f} fps"
        text += f"; {self._broadcaster.watching} watching"
        if self._sites.kept.in_use:
            text += "; TLS with the last pair that worked, see the log"
        return f"{waiting}; {text}" if waiting else text

    def _reload(self) -> None:
        self._service_manager.reloading()
        try:
            settings = self._load()
            self._apply(settings, self._sites.next(settings, self._app.site))
            _log.info("the configuration was read again")
        except ConfigError as error:
            for problem in error.problems:
                _log.error("%s", problem)
            _log.error("the configuration stays as it was")
        except OSError as error:  # such as a shortage of descriptors
            _log.error("the configuration stays as it was: %s", error)
        self._service_manager.ready()

    def _apply(self, settings: Config, site: Site) -> None:
        """Change to other settings; viewers that are still allowed keep watching."""
        before, self._settings = self._settings, settings
        self._broadcaster.max_viewers = settings.server.max_viewers
        self._broadcaster.stall_timeout = settings.server.stall_timeout
        self._server.set_limits(wiring.server_limits(settings.server))
        self._app.change(site)
        self._doorbell.reconfigure(wiring.bell_settings(settings.bell, settings.visits))
        if settings.camera != before.camera:
            self._capture.reconfigure(wiring.capture_settings(settings.camera))
            self._doorbell.recorder.forget_pictures()
        self._endpoints.change(
            settings.camera.name, settings.server.listen, secure=site.tls is not None
        )
        self._choose()  # The first that they hear is the page's address.

    def _recheck(self) -> None:
        """End the streams that may not go on, if a file or a network has changed."""
        site = self._app.site
        # All asked, with |: each reports what has changed since it was last asked.
        if (
            site.authenticator.refresh()
            | site.access.has_lost_a_network()
            | site.embedding.refresh()
        ):
            self._app.recheck()

    def _stop(self) -> None:
        self._service_manager.stopping()
        self._endpoints.stop()
        ended = {"accept": self._server.stop()}
        self._notify.stop(0)  # It begins to send what is left.
        self._doorbell.stop(0)  # It begins to write what is left of a visit.
        ended |= {
            "capture": self._capture.stop(),
            "broadcast": self._broadcaster.stop(),
            "encode": self._tiers.stop(),
            "visits": self._doorbell.stop(),
            "notify": self._notify.stop(),
        }
        survivors = [name for name, has_ended in ended.items() if not has_ended]
        if survivors:
            _log.warning("left behind, still at work: %s", ", ".join(survivors))

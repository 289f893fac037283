"""Ports: listens on the configured addresses, and waits for those that are not available yet.

Another program may have the port, or a name may be unknown until the network is up. For each such
address one line is logged, and it is tried again after one second, two, four, ... sixty. Endpoints
say where the page can be opened at any moment.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from socket import gethostname, socket

from doorbelld import __version__
from doorbelld.net import addresses, listeners
from doorbelld.net.listeners import ListenError
from doorbelld.net.mdns import Announcement

_log = logging.getLogger(__name__)

_SHORTEST, _LONGEST = 1.0, 60.0
"""Seconds between two attempts: they double."""

_UNTRIED = "not tried yet"

Place = tuple[str, int]
Listen = Callable[[Sequence[Place]], tuple[list[socket], list[ListenError]]]


class Ports:
    """Keeps trying the addresses that failed. Only for the main thread.

    ``listen`` opens listeners for several (host, port), and returns the errors as well. Nothing
    here waits: later attempts run in a thread, because a name server may be slow.
    """

    def __init__(self, listen: Listen, places: Sequence[Place]) -> None:
        self._listen = listen
        found, failed = listen(places)
        self._failed = {error.place: error for error in failed}
        self._served = {place for place in places if place not in self._failed}
        self._fresh = found
        self._logged: dict[Place, str] = {}
        self._next_at = time.monotonic() + _SHORTEST
        self._delay = 2 * _SHORTEST  # after the next attempt
        self._attempt: threading.Thread | None = None
        self._results: list[tuple[Place, list[socket], list[ListenError]]] = []

    @property
    def failed(self) -> list[ListenError]:
        """The errors of the addresses that failed."""
        return list(self._failed.values())

    @property
    def waiting(self) -> str:
        """The addresses that it waits for and why, in one line; "" if there are none."""
        return "Waiting for " + ", ".join(map(str, self.failed)) if self._failed else ""

    def take(self) -> list[socket]:
        """Return the listeners that have been opened since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def change(self, places: Sequence[Place]) -> bool:
        """Replace the addresses that it waits for, if any, and try the new ones at once.

        Returns whether it listens on addresses that are not wanted, which takes a restart.
        """
        if self._failed:
            wanted = [place for place in places if place not in self._served]
            untried = {place: ListenError(place, _UNTRIED) for place in wanted}
            self._failed = {place: self._failed.get(place, untried[place]) for place in wanted}
            self._delay, self._next_at = _SHORTEST, 0.0
            return not self._served.issubset(places)
        return self._served != set(places)

    def poll(self) -> None:
        """Log the addresses that it waits for, and try again when it is time."""
        if self._attempt is None:
            self._log_waiting()
            if self._failed and time.monotonic() >= self._next_at:
                self._try()
        elif not self._attempt.is_alive():
            self._attempt = None
            self._collect()

    def _log_waiting(self) -> None:
        """Log each address once when the wait begins, and again if the cause changes."""
        for place, error in self._failed.items():
            if error.kind not in (_UNTRIED, self._logged.get(place)):
                self._logged[place] = error.kind
                _log.warning("%s; waiting for it", error.strerror)

    def _try(self) -> None:
        self._next_at = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _LONGEST)
        attempt = threading.Thread(
            target=self._open, args=(list(self._failed),), name="ports", daemon=True
        )
        try:
            attempt.start()
        except RuntimeError as error:  # out of threads
            _log.debug("cannot listen: %s", error)
            return
        self._attempt = attempt

    def _open(self, places: Sequence[Place]) -> None:
        """Try each address; in a thread of its own."""
        for place in places:
            self._results.append((place, *self._listen([place])))

    def _collect(self) -> None:
        results, self._results = self._results, []
        for place, found, failed in results:
            if place not in self._failed:  # The configuration has changed since.
                listeners.end(found)
            elif failed:
                self._failed[place] = failed[0]
            else:
                del self._failed[place]
                self._logged.pop(place, None)
                self._served.add(place)
                self._fresh += found


class Endpoints:
    """Where the page is: its listeners, and their URLs in the log and in the network's list.

    ``ports`` may open more of them later. ``name`` is what the network's list calls the page. Only
    for the main thread, except address().
    """

    def __init__(self, ports: Ports, name: str, *, secure: bool) -> None:
        self._ports = ports
        self._name, self._secure = name, secure
        self._announcement = Announcement()
        self._url = ""
        self.sockets = ports.take()

    @property
    def waiting(self) -> str:
        """The addresses that are not available yet and why, in one line; "" if there are none."""
        return self._ports.waiting

    def log_urls(self) -> None:
        """Log where the page is."""
        self._log_urls(self.sockets)

    def begin(self) -> None:
        """Announce the page, and begin to wait for the ports that are still taken."""
        self._announce()
        self._ports.poll()

    def poll(self, listen: Callable[[socket], None]) -> None:
        """Serve with ``listen`` at the addresses that have become available."""
        self._ports.poll()
        fresh = self._ports.take()
        for listener in fresh:
            listen(listener)
        self._log_urls(fresh)
        self.sockets += fresh
        if fresh:
            self._announce()
        self._announcement.poll()

    def change(self, name: str, places: Sequence[Place], *, secure: bool) -> None:
        """Show the page as it is after a reload, and wait for other ports."""
        self._name, self._secure = name, secure
        self._announce()
        if self._ports.change(places):
            _log.warning("listen has changed: that takes a restart")

    def stop(self) -> None:
        """Announce the page no more."""
        self._announcement.stop()

    def address(self) -> str:
        """Return where phones in the network find the page."""
        host = addresses.outward()
        if self._url and not host:
            return self._url  # As good as any, while there is no network.
        with suppress(OSError):  # They are closed when the daemon stops.
            urls = self._urls(self.sockets, host or f"{gethostname()}.local")
            others = [url for url in urls if not re.match(r"https?://(127\.|\[::1\])", url)]
            self._url = next(iter(others or urls), "")
        return self._url

    def _urls(self, sockets: Sequence[socket], host: str) -> list[str]:
        """Return the page's URLs at these; ``host`` stands for all addresses. Raises OSError."""
        return sorted({listeners.url(each, host, secure=self._secure) for each in sockets})

    def _log_urls(self, sockets: Sequence[socket]) -> None:
        for url in self._urls(sockets, addresses.outward() or gethostname()):
            _log.info("doorbelld %s: open %s", __version__, url)

    def _announce(self) -> None:
        self._announcement.update(self._name, self.sockets, secure=self._secure)

"""`make soak`: everything that can happen to a daemon, at once and for long. Does it leak?

Fast and slow viewers join and leave at random; pages and pictures are requested; the camera is
lost and found; the configuration is reloaded, changed and broken; the bell rings, motion is looked
for, and visits are read back, answered and deleted. A few viewers stay all the time, one of them a
page in a browser. From time to time all others leave, and the resources of the
daemon and of the browser are sampled.

At the end neither memory, descriptors nor threads may have grown, every viewer that read
everything must have got all pictures of the camera, every visit must be whole, and the page must be
live. Exits 1 if not.
--seed decides what happens, but not when. Interrupt it whenever you like for a verdict on the time
so far.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.report import Target, heading, verdict
from tests.fuzz.answers import ask
from tests.soak import bell
from tests.soak.bell import Bell
from tests.soak.camera import Camera
from tests.soak.page import open_page
from tests.soak.samples import Sample, growth, slope
from tests.soak.viewers import Viewer, Viewers
from tests.support.condition import Condition
from tests.support.daemon import GUARD, Daemon
from tests.support.engines import Tab
from tests.support.kept_visits import KeptVisits
from tests.support.pictures import big_jpeg

_FRAMERATE = 20
_STAY = 6
_MOST = 30
"""Viewers at a time, besides those that stay."""

_LONG = 200
"""Pictures from which on a viewer is judged by itself. The others are judged together."""

_SETTLE = 2.5
"""Seconds after which nothing of a closed connection is left."""

_PATHS = ("/", "/status", "/healthz", "/snapshot.jpg", "/app.js", "/?action=snapshot", "/nothing")
_BROKEN = ("[camera]\nrotation = 45\n", "[server\n", "nonsense", "[doors]\n\xff = 1\n")

_FLAT_BROWSER_MB = 50.0
"""The same for a browser, which frees memory when it likes."""

_FLAT_MB = 2.0
"""Growth below this is noise of the allocator, for any duration: a longer soak finds a smaller
leak."""


class Soak:
    """One daemon, the page that shows it, and everything that is done to it."""

    def __init__(
        self,
        daemon: Daemon,
        camera: Camera,
        page: Tab,
        config: Path,
        kept: KeptVisits,
        seed: int,
    ) -> None:
        self._daemon = daemon
        self._camera = camera
        self._page = page
        self._config = config
        self._chance = random.Random(seed)  # noqa: S311
        self._begin = time.monotonic()
        self._camera_back_at = 0.0
        self.viewers = Viewers(daemon, self._chance)
        self.bell = Bell(daemon, kept, self._chance)
        self.samples: list[Sample] = []

    def warm_up(self, seconds: float) -> None:
        """Do everything once that makes the daemon load or keep something permanently."""
        for _ in range(_STAY):
            self.viewers.join(stay=True)
        for _ in range(_MOST):
            self.viewers.join()
            self._ask_much()
        for _ in range(2):
            self._lose_camera()
            self.viewers.read(self._camera_back_at - time.monotonic())
            self._find_camera()
            self._reload_changed()
            self._reload_broken()
            self.bell.ring()
        self.bear(seconds)
        self.ebb()
        self.samples.clear()

    def bear(self, seconds: float) -> None:
        """Let random things happen for so many seconds."""
        end = time.monotonic() + seconds
        actions = [*[self._join] * 12, *[self.viewers.one_leaves] * 6, *[self._ask] * 12]
        actions += [self._ask_much, self._say_half, self._reload_changed, self._reload_broken]
        actions += [self._lose_camera]
        actions += [self.bell.ring, self.bell.read_back, self.bell.answer, self.bell.delete]
        while time.monotonic() < end:
            self._chance.choice(actions)()
            self.viewers.read(self._chance.expovariate(20))
            if time.monotonic() > self._camera_back_at:
                self._camera.plugged = True

    def ebb(self) -> None:
        """Let all viewers leave but those that stay, and sample the daemon's resources."""
        self.viewers.all_leave()
        self._find_camera()
        self.viewers.read(GUARD, lambda: self._daemon.status()["watching"] == _STAY + 1)
        self.viewers.read(GUARD, lambda: self._page.state() == "live")
        assert self._page.state() == "live"
        looks: list[Condition] = []
        end = time.monotonic() + _SETTLE
        while time.monotonic() < end:
            self.viewers.read(0.1)
            looks.append(Condition.now(self._daemon.pid))
        sample = Sample(
            time.monotonic() - self._begin,
            min(look.resident for look in looks) / 1e6,
            min(look.descriptors for look in looks),
            min(look.threads for look in looks),
            self._page.memory() / 1e6,
        )
        self.samples.append(sample)
        print(
            f"{sample.seconds:7.0f} s  {sample.resident:6.1f} MB  {sample.descriptors:3.0f}"
            f" descriptors  {sample.threads:3.0f} threads  {sample.browser:4.0f} MB of the browser"
            f"  {self.viewers.joined:6d} viewers so far",
            flush=True,
        )

    def _join(self) -> None:
        if len(self.viewers) < _STAY + _MOST:
            self.viewers.join()

    def _ask(self) -> None:
        requests = [
            f"GET {self._chance.choice(_PATHS)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            for _ in range(self._chance.choice([1, 1, 1, 4]))
        ]
        ask(self._daemon, requests, hang_up=True)

    def _say_half(self) -> None:
        with self._daemon.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: local")

    def _lose_camera(self) -> None:
        self._camera.plugged = False
        self._camera_back_at = time.monotonic() + self._chance.uniform(0.5, 4)

    def _find_camera(self) -> None:
        self._camera.plugged = True
        self.viewers.read(
            GUARD, lambda: bool(self._daemon.status()["camera"]["state"] == "streaming")
        )

    def _reload_changed(self) -> None:
        lines = [
            "[server]",
            f"max_viewers = {self._chance.randint(_STAY + _MOST + 10, 100)}",
            f"header_timeout = {self._chance.randint(2, 5)}",
        ]
        if self._chance.random() < 0.5:  # This opens the camera again.
            lines += ["[camera]", f"name = Door {self._chance.randint(1, 9)}"]
        if self._chance.random() < 0.5:  # This begins to look for motion again.
            lines += ["[visits]", f"ignore = 0 0 1 0.{self._chance.randint(1, 9)}"]
        self._reload("\n".join(lines))

    def _reload_broken(self) -> None:
        self._reload(self._chance.choice(_BROKEN))

    def _reload(self, text: str) -> None:
        self._config.write_text(text, encoding="latin-1")
        self._daemon.send(signal.SIGHUP)

    def _ask_much(self) -> None:
        """Send many requests at once, so that every thread for requests is used."""
        socks = [self._daemon.connect() for _ in range(20)]
        for sock in socks:
            sock.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for sock in socks:
            sock.close()


def main() -> int:
    """Run the soak; return the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seconds = options.minutes * 60
    print(f"soaking for {options.minutes:g} minutes, with --seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="doorbelld-soak-") as name:
        folder = Path(name)
        config = folder / "doorbelld.conf"
        config.touch()
        picture = big_jpeg(16)
        kept = KeptVisits(folder / "state")
        with Camera(folder / "c", picture, _FRAMERATE) as camera, Daemon(folder) as daemon:
            daemon.start(
                {
                    "camera.source": camera.source,
                    "camera.stall_timeout": 2,
                    "server.stall_timeout": 3,
                    "server.max_requests": 2,
                    **bell.settings(kept),
                },
                environ=kept.environ,
                arguments=["--config", str(config)],
            )
            daemon.wait_for_state("streaming")
            with open_page(daemon, folder / "browser") as page:
                soak = Soak(daemon, camera, page, config, kept, options.seed)
                try:
                    _run(soak, seconds)
                finally:
                    soak.viewers.close()
    return 0 if _judge(soak.samples, soak.viewers.fast, soak.bell) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description="Soak doorbelld.")
    parser.add_argument("--minutes", type=float, default=30, help="for how long (30)")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1 << 32),
        help="what decides about what happens, to have the same again",
    )
    return parser.parse_args()


def _run(soak: Soak, seconds: float) -> None:
    """Warm up for a fifth of the time, then sample a score of times."""
    end = time.monotonic() + seconds
    interval = min(max(seconds / 15, 5), 60)
    try:
        soak.warm_up(seconds / 5)
        heading("Warm: from here on nothing may grow")
        while time.monotonic() < end:
            soak.bear(interval)
            soak.ebb()
    except KeyboardInterrupt:
        print(" interrupted")


def _judge(samples: Sequence[Sample], fast: Sequence[Viewer], bell_: Bell) -> bool:
    """Print slopes and verdict; return whether all is well."""
    if not samples:
        print("Too short for a verdict.")
        return False
    heading("Slopes, an hour")
    for column, unit in (
        ("resident", " MB"),
        ("descriptors", ""),
        ("threads", ""),
        ("browser", " MB"),
    ):
        print(f"{column:12} {slope(samples, column):+8.2f}{unit}")
    heading(f"Verdict on {len(samples)} samples and {len(fast)} viewers that read everything")
    lived = [viewer for viewer in fast if viewer.span >= _LONG]
    shares = [100 * viewer.got / viewer.span for viewer in lived]
    short = [viewer for viewer in fast if 0 < viewer.span < _LONG]
    together = sum(viewer.span for viewer in short)
    if together:
        shares.append(100 * sum(viewer.got for viewer in short) / together)
    return verdict(
        [
            Target("resident memory grew by", growth(samples, "resident"), _FLAT_MB, " MB"),
            Target("descriptors grew by", growth(samples, "descriptors"), 0),
            Target("threads grew by", growth(samples, "threads"), 0),
            Target(
                "the browser's memory grew by", growth(samples, "browser"), _FLAT_BROWSER_MB, " MB"
            ),
            Target("pictures that the worst of them got", min(shares), 95, " %", at_least=True),
            Target("visits that were read", bell_.read, 1, at_least=True),
            Target("visits that were not whole", bell_.damaged, 0),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

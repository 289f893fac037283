"""Ringing: a daemon with a bell that a test presses, and a page whose chimes are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon
from tests.support.kept_visits import KeptVisits
from tests.support.phone import TEST_CARD

COUNTED = """(() => {
  window.tones = 0;
  window.vibrations = 0;
  const { start } = OscillatorNode.prototype;
  OscillatorNode.prototype.start = function (...given) {
    window.tones += 1;
    return start.apply(this, given);
  };
  navigator.vibrate = () => { window.vibrations += 1; };
})()"""
"""Counts the tones and vibrations of a page."""

TONES = 6
"""Of one chime."""


class Door:
    """A daemon with a test card, and with a token for its bell."""

    def __init__(self, daemon: Daemon, folder: Path, **settings: object) -> None:
        self.daemon = daemon
        self._kept = KeptVisits(folder / "state")
        self._settings = {**TEST_CARD, **self._kept.settings(), **settings}
        self.start()
        self.daemon.wait_for_state("streaming")

    def start(self) -> None:
        """Start it, perhaps again."""
        self.daemon.start(self._settings, environ=self._kept.environ)

    def post(self, path: str) -> None:
        """Do what a button of another page does."""
        assert self.daemon.request(path, "POST")[0].status == 200

    def ring(self) -> None:
        """Press the bell."""
        self.post(f"/ring?token={self._kept.token}")


def chimes(evaluate: Any) -> int:
    """Return how many chimes a page has played that has run :data:`COUNTED`."""
    tones: int = evaluate("window.tones")
    assert tones % TONES == 0
    return tones // TONES

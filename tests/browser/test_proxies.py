"""The page behind real proxies on a slow link: its badge is right, and its picture soon fresh."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from tests.support import proxy_servers
from tests.support.daemon import GUARD, eventually
from tests.support.network_namespace import NamespacedDaemon
from tests.support.numbered_pictures import NUMBERS, numbered, read_number
from tests.support.phone import Phone
from tests.support.pipe_camera import PipeCamera
from tests.support.plain_proxies import SERVERS, in_front
from tests.support.slow_link import MACHINE, SlowLink
from tests.support.wire import Wire

RATE = 250_000
FPS, KILOBYTES = 20, 45

FRESH = 2.0
"""Seconds that a picture may be old."""
TO_SAY_SO = 2.0
"""Seconds after which the badge must be right."""
TO_NOTICE = 5.0
"""Seconds for which older ones may come, until the page has noticed. It is 1 on a quiet machine."""
IN_A_ROW = 20
LONG_ENOUGH = 8.0
"""Seconds: until then a page that does nothing about it is some 5 s behind."""

LOOK = """() => {
  const canvas = document.getElementById("picture");
  const { state } = document.getElementById("stage").dataset;
  return [state, canvas.width > 16 ? canvas.toDataURL("image/png") : ""];
}"""


class Filming:
    """Numbered pictures, and when each was taken."""

    def __init__(self, camera: PipeCamera) -> None:
        self._camera = camera
        self._taken = [0.0] * NUMBERS
        self._end = threading.Event()

    def taken(self, number: int) -> float:
        return self._taken[number]

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(1 / FPS):
            self._taken[number] = time.time()
            self._camera.show(numbered(number, KILOBYTES))
            number = (number + 1) % NUMBERS


class Sight(NamedTuple):
    """What the screen shows: the badge's state, and how old the picture is at least."""

    at: float
    state: str
    age: float


def look(phone: Phone, filming: Filming) -> Sight:
    at = time.time()
    state, url = phone.page.evaluate(LOOK)
    if not url:
        return Sight(at, state, 0.0)
    png = base64.b64decode(url.partition(",")[2])
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    number = read_number(cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA))
    return Sight(at, state, at - filming.taken(number))


@pytest.mark.parametrize("name", [each for each in SERVERS if "1.1" not in each])
def test_badge_is_right_and_the_picture_soon_fresh(
    phone: Phone, tmp_path: Path, pipe_camera: PipeCamera, name: str
) -> None:
    with ExitStack() as stack:
        link = stack.enter_context(SlowLink(RATE))
        daemon = NamespacedDaemon(tmp_path, link.machine)
        settings = {
            "camera.source": pipe_camera.source,
            "access.trusted_proxies": "127.0.0.1",
            "access.networks": "any",
        }
        stack.enter_context(daemon).start(settings, prefix=link.machine.prefix)
        filming = Filming(pipe_camera)
        pipe_camera.show(numbered(0, KILOBYTES))
        stack.enter_context(filming.running())
        daemon.wait_for_log("camera streaming")
        port = stack.enter_context(in_front(SERVERS[name], daemon, MACHINE, link.machine.prefix))
        connect = partial(link.connect, port)
        proxy_servers.wait_until_it_listens(connect, tmp_path)
        wire = stack.enter_context(Wire(connect))
        phone.open(daemon, wire.port)
        eventually(lambda: look(phone, filming).age, "a picture")
        watching = Watching(phone, filming)
        eventually(watching.is_over, "a picture that stays fresh", 3 * GUARD)
        phone.page.goto("about:blank")


class Watching:
    """Checks each look at the screen, until it shows the door as it is and goes on doing so."""

    def __init__(self, phone: Phone, filming: Filming) -> None:
        self._look = partial(look, phone, filming)
        self._last = self._look()
        self._begun = self._last.at
        self._late = self._wrong = 0.0
        self._in_a_row = 0

    def is_over(self) -> bool:
        """Look once more."""
        seen, last = self._look(), self._last
        self._last = seen
        says_live = seen.state in ("live", "slow")
        is_old = min(seen.age, last.age) > FRESH
        self._late += seen.at - last.at if is_old else 0.0
        self._wrong = self._wrong + seen.at - last.at if is_old and says_live else 0.0
        assert self._wrong < TO_SAY_SO, seen
        assert self._late < TO_NOTICE, seen
        self._in_a_row = self._in_a_row + 1 if says_live and seen.age < FRESH else 0
        return self._in_a_row >= IN_A_ROW and seen.at - self._begun > LONG_ENOUGH

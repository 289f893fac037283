"""Notifications: how soon a ring is at a broker, a phone and a page, and what they cost.

The broker and the ntfy server are the real ones of the tests. A press is a POST: it counts from the
moment before the request is sent.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import doorbell, material, procfs, stream
from bench.doorbell import Client, Door
from doorbelld.notify.notifier import Choice, Notifier
from doorbelld.notify.ntfy import Ntfy, NtfySettings
from doorbelld.notify.target import Facts
from doorbelld.notify.webhook import Webhook, WebhookSettings
from tests.support.mosquitto import Mosquitto
from tests.support.ntfy_server import NtfyServer
from tests.support.ports import free_port
from tests.support.stream_parser import StreamParser

if TYPE_CHECKING:
    from bench.load import ViewerGroup
    from bench.material import Material
    from bench.servers import Running

_SETTLE = 3.0
_TIMEOUT = 30.0
_ROUNDS = 3
_PLACE = "127.0.0.1"

_SMALLEST, _LARGEST = 56_000, 66_000
"""Bytes of the pictures. Different ones, so that a better picture may follow a ring."""


class Receivers:
    """A broker, an ntfy server and a webhook, which come and go together."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.broker = Mosquitto(folder)
        self.ntfy = NtfyServer(folder / "ntfy", visitor_request_limit_burst=10_000)
        self._hook = _Hook()
        self.mqtt_settings = {"mqtt_broker": f"{_PLACE}:{self.broker.port}"}
        self.push_settings = {
            "notify_ntfy": self.ntfy.topic_url,
            "notify_webhook": f"http://{_PLACE}:{self._hook.port}/",
        }

    @property
    def settings(self) -> dict[str, str]:
        """Those of a daemon that notifies all of them."""
        return {**self.mqtt_settings, **self.push_settings}

    def start(self) -> None:
        """Start them, perhaps again."""
        self.broker.start()
        self.ntfy.start()
        self._hook.start()

    def kill(self) -> None:
        """End them as a crash does."""
        self.broker.kill()
        self.ntfy.kill()
        self._hook.kill()

    def counts(self) -> list[int]:
        """Return how many events, messages and posts each of them has had; while they run."""
        events = re.findall(r"Received PUBLISH from \S+ \([^)]*/event'", self.broker.log)
        return [len(events), len(self.ntfy.messages()), self._hook.count]

    def __enter__(self) -> Receivers:
        """Start them."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        self.kill()


class _Hook:
    """A webhook at a port of its own, which counts its posts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.count = 0
        self._server: ThreadingHTTPServer | None = None
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                hook.count += 1
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler

    def start(self) -> None:
        self._server = ThreadingHTTPServer((_PLACE, self.port), self._handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def kill(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def _material(frames: Material) -> Iterator[tuple[Path, Material]]:
    """Yield a folder, and in it pictures as large as those of most cameras."""
    with doorbell.temporary_folder() as folder:
        sources = sorted(frames.folder.glob("*.jpg"))
        step = (_LARGEST - _SMALLEST) // (len(sources) - 1)
        mjpeg = folder / "large.mjpeg"
        pictures = (
            material.padded(path.read_bytes(), _SMALLEST + number * step)
            for number, path in enumerate(sources)
        )
        mjpeg.write_bytes(b"".join(pictures))
        yield folder, replace(frames, mjpeg=mjpeg)


def _wait(client: Client, is_it: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until each target is as it should be, by what ``/status`` says of it."""
    deadline = time.monotonic() + _TIMEOUT
    while not all(map(is_it, client.json("/status")["notify"].values())):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not notified: {client.json('/status')['notify']}")
        time.sleep(0.05)


def _is_delivered(target: dict[str, Any]) -> bool:
    return bool(target["state"] == "ok" and target["delivered"])


# How soon.

_PRESSES = 100
_PAUSE = 0.25
"""Seconds between two presses; there are two daemons, and each takes two presses a second."""

_GOLDEN = 0.618
"""Spreads the presses evenly over the time between two pictures."""

_Seen = SimpleQueue[tuple[float, int]]
"""The moment at which each ring was there, on time.monotonic()'s clock, and its visit."""


class Arrivals(NamedTuple):
    """Milliseconds from each press to where it is noticed.

    The event at a client of the broker; the message at a client of ntfy, with the picture loaded;
    and the state at a page, of a daemon with notifications and of one without.
    """

    mqtt: list[float]
    ntfy: list[float]
    page: list[float]
    page_without: list[float]


def arrivals(frames: Material) -> Arrivals:
    """Press the bells of two daemons in turns, of which one notifies."""
    found = Arrivals([], [], [], [])
    with ExitStack() as stack:
        folder, large = stack.enter_context(_material(frames))
        receivers = stack.enter_context(Receivers(folder / "receivers"))
        bell = {"bell_again": 0}
        doors = [
            Door(folder / "with", large, **bell, **receivers.settings),
            Door(folder / "without", large, **bell),
        ]
        (running, client), (other, client_without) = (
            stack.enter_context(doorbell.opened(door)) for door in doors
        )
        client.ring()
        _wait(client, _is_delivered)
        event = stack.enter_context(_events(receivers.broker.port))
        message = stack.enter_context(_messages(receivers.ntfy))
        page, page_without = (stack.enter_context(_states(each)) for each in (running, other))
        for number in range(_PRESSES):
            for presser, seen in (
                (client, ((event, found.mqtt), (message, found.ntfy), (page, found.page))),
                (client_without, ((page_without, found.page_without),)),
            ):
                _press(presser, seen)
                time.sleep(_PAUSE + 0.1 * (number * _GOLDEN % 1))
    return found


def _press(client: Client, seen: tuple[tuple[_Seen, list[float]], ...]) -> None:
    begin = time.monotonic()
    visit = client.ring()
    for queue, found in seen:
        at, number = queue.get(timeout=_TIMEOUT)
        if number != visit:
            raise RuntimeError(f"visit {number} was seen instead of {visit}")
        found.append(1000 * (at - begin))


@contextmanager
def _events(port: int) -> Iterator[_Seen]:
    """Read what the broker passes on, as a home automation does: the images, too."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    seen: _Seen = SimpleQueue()
    is_subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)

    def receive(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/event"):
            seen.put((time.monotonic(), int(json.loads(message.payload)["visit"])))

    client.on_message = receive
    client.on_subscribe = lambda *_: is_subscribed.set()
    client.connect(_PLACE, port)
    client.loop_start()
    try:
        client.subscribe("#", qos=1)
        if not is_subscribed.wait(_TIMEOUT):
            raise RuntimeError("the broker does not answer")
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def _messages(server: NtfyServer) -> Iterator[_Seen]:
    """Read the topic as the app does, which loads the picture of each message."""
    seen: _Seen = SimpleQueue()

    def read() -> None:
        while True:
            line = subscriber.next()
            if line["event"] == "message":
                _load_picture(server, line)
                seen.put((time.monotonic(), int(line["click"].rpartition("#")[2])))

    with server.subscribe() as subscriber:
        threading.Thread(target=_until_closed, args=(read,), daemon=True).start()
        yield seen
        server.kill()  # It ends what waits for the next line.


def _load_picture(server: NtfyServer, message: dict[str, Any]) -> None:
    """Load it, again and again: the server passes a message on before it can find its picture."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        with suppress(AssertionError):
            server.attachment(message)
            return
        time.sleep(0.001)


@contextmanager
def _states(running: Running) -> Iterator[_Seen]:
    """Read what a page reads."""
    seen: _Seen = SimpleQueue()
    is_open = threading.Event()
    parser = StreamParser(live=True)

    def read() -> None:
        data, newest = _after_head(sock), None
        while data:
            for part in parser.feed(data):
                if part.is_state:
                    visit = part.state["visit"]
                    ring = visit and (visit["id"], visit["presses"])
                    if is_open.is_set() and ring != newest:
                        seen.put((time.monotonic(), ring[0]))
                    newest = ring
                    is_open.set()
            data = sock.recv(1 << 16)

    with socket.create_connection((running.host, running.port), _TIMEOUT) as sock:
        sock.sendall(b"GET /live?v=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        threading.Thread(target=_until_closed, args=(read,), daemon=True).start()
        if not is_open.wait(_TIMEOUT):
            raise RuntimeError("the page gets no state")
        yield seen
        sock.shutdown(socket.SHUT_RDWR)


def _after_head(sock: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += sock.recv(1 << 16)
    return received.partition(b"\r\n\r\n")[2]


def _until_closed(read: Callable[[], None]) -> None:
    with suppress(OSError, ValueError, HTTPException):
        read()


# Memory, and what a frame costs.

VIEWERS = 30
_SECONDS = 4.0


class Costs(NamedTuple):
    """What notifications add.

    Megabytes of memory with a broker, with an ntfy server and a webhook, and with all of them;
    microseconds of the thread that publishes a frame, while nothing can be delivered; and how much
    CPU the daemon needs for a frame that is sent to viewers, against one without notifications.
    """

    mqtt_mb: float
    push_mb: float
    all_mb: float
    capture_us: float
    frame_ratio: float


def costs(group: ViewerGroup, frames: Material) -> Costs:
    """Run daemons with notifications and without at the same time, so that load affects all."""
    memory, ratios = [], []
    with _material(frames) as (folder, large), Receivers(folder / "receivers") as receivers:
        chosen: Sequence[dict[str, str]] = (
            {},
            receivers.mqtt_settings,
            receivers.push_settings,
            receivers.settings,
        )
        for number in range(_ROUNDS):
            names = [folder / f"{number}-{each}" for each in range(len(chosen))]
            doors = [Door(name, large, **each) for name, each in zip(names, chosen)]
            memory.append(_memory_mb(group, doors))
            doors = [Door(name, frames, **each) for name, each in zip(names, chosen)]
            ratios.append(_frame_ratio(group, doors[0], doors[-1]))
    mqtt, push, all_ = (median(each[number] - each[0] for each in memory) for number in (1, 2, 3))
    return Costs(mqtt, push, all_, _capture_us(frames), median(ratios))


def _memory_mb(group: ViewerGroup, doors: Sequence[Door]) -> list[float]:
    """Return the memory of each, with a viewer, after a ring."""
    with ExitStack() as stack:
        opened = [stack.enter_context(doorbell.opened(door)) for door in doors]
        for running, _ in opened:
            stack.enter_context(group.watching(running, 1))
        time.sleep(2 * _SETTLE)
        for _, client in opened:
            client.ring()
            _wait(client, _is_delivered)
        time.sleep(_SETTLE)
        return [procfs.resident_mb(running.pid) for running, _ in opened]


def _frame_ratio(group: ViewerGroup, without: Door, with_: Door) -> float:
    found = []
    for door in (with_, without):
        with doorbell.opened(door) as (running, client):
            client.ring()
            _wait(client, _is_delivered)
            size = stream.part_size(running.host, running.port, running.server.path)
            found.append(group.measure_running(running, size, VIEWERS, _SECONDS).cpu_us)
    return found[0] / found[1]


def _capture_us(frames: Material) -> float:
    """Return what a frame costs more during a visit while nothing can be delivered."""
    pictures = [path.read_bytes() for path in sorted(frames.folder.glob("*.jpg"))]
    facts = Facts("", "", 0, motion=False, is_paused=False, last=None, address="http://localhost/")
    url = f"http://{_PLACE}:{free_port()}/"  # Nothing listens there, which is no news here.
    logging.getLogger("doorbelld.notify").setLevel(logging.ERROR)
    choices = [
        Choice("ntfy", url, lambda: Ntfy(NtfySettings(url, None), str)),
        Choice("webhook", url, lambda: Webhook(WebhookSettings(url, None))),
    ]
    found: list[list[float]] = [[], []]
    for _ in range(_ROUNDS):
        for chosen, microseconds in zip(([], choices), found):
            notifier = Notifier(lambda: facts, lambda: True, lambda _: None)
            notifier.choose(chosen)
            with doorbell.temporary_folder() as folder:
                spent = doorbell.publish_us(pictures, folder, is_open=True, hear=notifier.hear)
            microseconds.append(spent)
            notifier.stop()
    return median(found[1]) - median(found[0])


# While all are away.

RINGS = 1000
_RING_PAUSE = 0.025
_PRESSES_A_VISIT = 100
_WARM_UP = 200
"""Presses after which as much waits as ever may."""

_FRAMERATE = 5
"""Of the camera: so slow that its cost does not hide that of waiting."""

_MINUTE = 60.0


class Away(NamedTuple):
    """A thousand presses while broker, ntfy and webhook are away.

    How much memory grows in megabytes, from the presses when as much waits as ever may to the last
    ones; how much more all of them add than to a daemon without notifications, at most, and once
    nothing waits any more; seconds of CPU that an hour of waiting costs; and how much was sent late
    after the return.
    """

    growth_mb: float
    most_mb: float
    left_mb: float
    hour_s: float
    late: int


def away(frames: Material) -> Away:
    """Press while all are away, wait, and let them return."""
    with ExitStack() as stack:
        folder, large = stack.enter_context(_material(frames))
        receivers = stack.enter_context(Receivers(folder / "receivers"))
        bell = {"bell_again": 0, "camera_framerate": _FRAMERATE}
        doors = [
            Door(folder / "with", large, **bell, **receivers.settings),
            Door(folder / "without", large, **bell),
        ]
        for door in doors:
            door.run_as("bench.without_limit")
        opened = [stack.enter_context(doorbell.opened(door)) for door in doors]
        for _, client in opened:
            client.ring()
            _wait(client, _is_delivered)
        time.sleep(_SETTLE)
        before, counts = _all_mb(opened), receivers.counts()
        receivers.kill()
        memory = _press_often(opened)
        time.sleep(_MINUTE + _SETTLE)
        left = _all_mb(opened)
        hour = _hour_s(opened)
        receivers.start()
        late = _late(opened[0][0], receivers, counts)
    notifying, quarter = [each for each, _ in memory], len(memory) // 4
    growth = median(notifying[-quarter:]) - median(notifying[:quarter])
    most = max(_more(before, each) for each in memory)
    return Away(growth, most, _more(before, left), hour, late)


_Pair = tuple[float, float]
"""Figures of the daemon with notifications, and of the one without."""


def _more(before: _Pair, after: _Pair) -> float:
    return after[0] - before[0] - (after[1] - before[1])


def _all_mb(opened: Sequence[tuple[Running, Client]]) -> _Pair:
    (with_, _), (without, _) = opened
    return procfs.resident_mb(with_.pid), procfs.resident_mb(without.pid)


def _press_often(opened: Sequence[tuple[Running, Client]]) -> list[_Pair]:
    """Press, and now and then answer, so that there are several visits; return the memory."""
    memory = []
    for number in range(RINGS):
        for _, client in opened:
            visit = client.ring()
            if number % _PRESSES_A_VISIT == _PRESSES_A_VISIT - 1:
                client.ask(f"/visits/{visit}/answered", "POST")
        if number >= _WARM_UP:
            memory.append(_all_mb(opened))
        time.sleep(_RING_PAUSE)
    return memory


def _hour_s(opened: Sequence[tuple[Running, Client]]) -> float:
    """Return what one daemon needs more than the other in an hour, from a minute."""
    before = [procfs.cpu_seconds(running.pid) for running, _ in opened]
    time.sleep(_MINUTE)
    spent = [procfs.cpu_seconds(running.pid) - start for (running, _), start in zip(opened, before)]
    return 60 * (spent[0] - spent[1])


def _late(running: Running, receivers: Receivers, before: list[int]) -> int:
    """Return how much of the time before was sent; a test message shows that all are back."""
    client = Client(running)  # The connection from before has been idle for too long.
    try:
        results = client.json("/notify/test", "POST")
    finally:
        client.close()
    if not all(each["delivered"] for each in results):
        raise RuntimeError(f"not delivered: {results}")
    time.sleep(_SETTLE)
    sent = [now - then for now, then in zip(receivers.counts(), before)]
    return sum(sent) - len(results)

"""Leftovers: retained messages at the broker on topics that the settings no longer name.

Home Assistant would show a doorbell for ever that is dead. So a file remembers where we have
published, and what is left there is emptied on the next connection to the same broker.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from doorbelld.notify import discovery, outgoing
from doorbelld.system import files

_FILE = "mqtt"
_MOST_PLACES = 16
_LONGEST = 1000
"""Characters of a topic in the file: a little more than the configuration allows."""

_TOPIC, _DISCOVERY = "topic", "discovery"


class Place(NamedTuple):
    """Where we have published: at a broker, our topics or a message of discovery.

    ``name`` is what our topics begin with, or the whole topic of that message.
    """

    broker: str
    kind: str
    name: str

    @property
    def marker(self) -> str:
        """The topic whose retained message shows whether the place is given up."""
        return outgoing.availability(self.name) if self.kind == _TOPIC else self.name

    @property
    def topics(self) -> list[str]:
        """All that are retained; the marker is the last, so it stays until all is done."""
        return outgoing.retained(self.name) if self.kind == _TOPIC else [self.name]


class Leftovers:
    """What is to be emptied on one connection after the other. Only their thread calls it.

    Another doorbell may have these topics by now, on this machine or another one. So they are
    emptied only if the broker says that none is online there, and the message of discovery only
    if it names these topics, or those that we have now.
    """

    def __init__(
        self, folder: Path | None, broker: str, topic: str, discovery_topic: str | None
    ) -> None:
        self._path = folder / _FILE if folder is not None else None
        self._broker = broker
        self._current = [Place(broker, _TOPIC, topic)]
        if discovery_topic is not None:
            self._current.append(Place(broker, _DISCOVERY, discovery_topic))
        self._places: list[Place] = []
        self._doubtful: dict[str, Place] = {}  # by their markers
        self._named: dict[Place, str | None] = {}  # by messages of discovery
        self._given_up: set[str] = set()
        self._left: deque[tuple[str, Place]] = deque()
        self._on_its_way: tuple[int, str, Place] | None = None

    def begin(self) -> Collection[str]:
        """Return the topics to read on a new connection; note that we publish there now."""
        known = _read(self._path)
        earlier = [place for place in known if place not in self._current]
        self._places = [*earlier, *self._current][-_MOST_PLACES:]
        if self._places != known:
            self._save()
        self._named, self._given_up = {}, {self._current[0].name}
        self._left.clear()
        self._on_its_way = None
        here = [place for place in self._places if place.broker == self._broker]
        self._doubtful = {place.marker: place for place in here if place not in self._current}
        return self._doubtful.keys()

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Judge a place by its retained message."""
        if not (retained and payload and topic in self._doubtful):
            return
        place = self._doubtful.pop(topic)
        if place.kind == _DISCOVERY:
            self._named[place] = discovery.topic_in(payload)
        elif payload == outgoing.OFFLINE:
            self._given_up.add(place.name)
            self._empty(place)
        for place in [each for each, name in self._named.items() if name in self._given_up]:
            del self._named[place]
            self._empty(place)

    def next(self) -> str | None:
        """Return the topic to empty now: one at a time, so that no ring waits behind them."""
        return self._left[0][0] if self._left and self._on_its_way is None else None

    def sent(self, number: int) -> None:
        """Note the number of that message."""
        self._on_its_way = (number, *self._left.popleft())

    def confirm(self, number: int) -> None:
        """Note that a message has arrived, which may be that one."""
        if self._on_its_way is None or self._on_its_way[0] != number:
            return
        _, topic, place = self._on_its_way
        self._on_its_way = None
        if topic == place.marker:
            self._places.remove(place)
            self._save()

    def _empty(self, place: Place) -> None:
        self._left += ((topic, place) for topic in place.topics)

    def _save(self) -> None:
        if self._path is None:
            return
        new = self._path.with_name(f".{self._path.name}")
        with suppress(OSError):  # Then something may be left at the broker.
            # Not by secretfile.write(), which loads what takes a megabyte.
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._places, file)
            new.replace(self._path)


def _read(path: Path | None) -> list[Place]:
    """Return the places in the file, as far as it makes sense."""
    found: object = None
    if path is not None:
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads(files.read(path))
    places = [_place(each) for each in found] if isinstance(found, list) else []
    return [place for place in places if place is not None][-_MOST_PLACES:]


def _place(found: object) -> Place | None:
    if not (isinstance(found, list) and len(found) == len(Place._fields)):
        return None
    if not all(isinstance(each, str) and 0 < len(each) <= _LONGEST for each in found):
        return None
    place = Place(*found)
    # Wildcards in it would stop paho, and a broker would not take the rest.
    is_topic = place.name.isprintable() and not set("#+") & set(place.name)
    return place if is_topic and place.kind in (_TOPIC, _DISCOVERY) else None

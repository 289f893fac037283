"""Incoming: what messages of others make the doorbell do: ring, close the camera, answer."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from doorbelld.notify.target import describe_fault
from doorbelld.system.limited_log import OnceLog

_log = logging.getLogger(__name__)

_BOUNCE = 0.5
"""Seconds after a press in which more messages belong to it: many devices send several. It also
bounds what a device gone wild costs: two presses a second, as over HTTP."""

_LONGEST = 4096
"""Bytes of a message that is looked at."""

_SHOWN = 40
"""Characters of a bad message in the log."""

_ACTIONS = ("action", "event")
"""Keys with which zigbee2mqtt and others say which button was pressed how."""

_SHUTTER = {"ON": True, "OFF": False}


class Door(Protocol):
    """The doorbell, as far as messages reach it."""

    def ring(self, pressed_at: float, source: str) -> object:
        """Ring. ``pressed_at`` is on time.monotonic()'s clock."""

    def answer(self, number: int) -> object:
        """Mark this visit as answered."""

    def close_shutter(self, closed: bool) -> object:
        """Close the camera, or open it again."""


class Incoming:
    """Does what messages say. Retained ones do nothing: they may be of yesterday.

    ``newest`` is the visit that is answered; None if there is none.
    """

    def __init__(
        self,
        door: Door,
        topic: str,
        *,
        button: tuple[str | None, str | None],
        birth: tuple[str | None, Callable[[], None]],
    ) -> None:
        self.newest: int | None = None
        self._door = door
        self._topic = topic
        self._button_value = button[1]
        self._pressed_at = -_BOUNCE
        self._oddities = OnceLog(_log)
        self._actions: dict[str, Callable[[bytes], None]] = {
            f"{topic}/shutter/set": self._shutter,
            f"{topic}/answered/set": self._answered,
        }
        if button[0] is not None:
            self._actions[button[0]] = self._press
        if birth[0] is not None:
            self._on_birth = birth[1]
            self._actions[f"{birth[0]}/status"] = self._birth

    @property
    def topics(self) -> list[str]:
        """What it wants to read."""
        return list(self._actions)

    def handle(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Do what a message says. Never raises."""
        action = self._actions.get(topic)
        if action is None or retained or not payload:
            return
        if len(payload) > _LONGEST:
            self._ignore(topic, payload, "is too long")
            return
        try:
            action(payload)
        except Exception as error:  # noqa: BLE001  # paho would end the connection
            self._oddities.log(logging.ERROR, f"a message on {topic}: {describe_fault(error)}")

    def _shutter(self, payload: bytes) -> None:
        closed = _SHUTTER.get(_text(payload).strip().upper())
        if closed is None:
            self._ignore(f"{self._topic}/shutter/set", payload, "is neither ON nor OFF")
        else:
            self._door.close_shutter(closed)

    def _answered(self, _payload: bytes) -> None:
        if self.newest is not None:
            self._door.answer(self.newest)

    def _birth(self, payload: bytes) -> None:
        if _text(payload).strip() == "online":
            self._on_birth()

    def _press(self, payload: bytes) -> None:
        now = time.monotonic()
        # First: a storm of messages must not cost more than this.
        if now - self._pressed_at < _BOUNCE or not is_press(_text(payload), self._button_value):
            return
        self._pressed_at = now
        self._door.ring(now, "mqtt")

    def _ignore(self, topic: str, payload: bytes, why: str) -> None:
        shown = ascii(_text(payload)[:_SHOWN])
        self._oddities.log(logging.WARNING, f"ignored a message on {topic}: {shown} {why}")


def is_press(text: str, value: str | None) -> bool:
    """Return whether this message on the button's topic rings; see docs/notifications.md."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, (dict, list)):
        return bool(text.strip()) if value is None else text.strip() == value.strip()
    if value is not None:
        return any(each == value for each in _values(content))
    return isinstance(content, dict) and any(content.get(key) for key in _ACTIONS)


def _values(content: Any) -> Iterator[str]:
    """Yield every value in what JSON holds, as it is written there."""
    left = [content]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            left += each.values()
        elif isinstance(each, list):
            left += each
        else:
            yield each if isinstance(each, str) else json.dumps(each)


def _text(payload: bytes) -> str:
    return payload.decode("utf-8", "replace")

"""ButtonThread: waits for the bell's button, on any input device that has it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from doorbelld.drivers.errors import describe
from doorbelld.system.limited_log import OnceLog, StateLog
from doorbelld.system.worker import Worker
from doorbelld.visits.inputs import AUTO, InputDevice, Inputs

_INTERVAL = 1.0
"""Seconds between two looks for devices that have come."""

_log = logging.getLogger(__name__)


class ButtonThread(Worker):
    """Calls ``on_press`` with the moment of each press, a time.monotonic() by the kernel's clock.

    ``button`` is the path of a device, or AUTO for all that have the key ``key`` and may be read;
    with None it waits for another configuration.
    A device may be plugged in and out at any time. A key that is held is one press.
    """

    def __init__(self, on_press: Callable[[float], None], button: str | None, key: int) -> None:
        super().__init__("button")
        self._on_press = on_press
        self._wanted = button, key
        self._states = StateLog(_log)
        self._once = OnceLog(_log)
        self._status: tuple[tuple[InputDevice, ...], str] = ((), "")

    def reconfigure(self, button: str | None, key: int) -> None:
        """Wait for another button from now on."""
        self._wanted = button, key
        self._wakeup.set()

    def status(self) -> dict[str, Any]:
        """Return ``bell`` of ``/status``: the devices that are read, and why there is none."""
        devices, problem = self._status
        state = "ok" if devices else "missing" if problem else "off"
        return {
            "state": state if self.alive else "off",
            "detail": problem,
            "devices": [{"path": each.path, "name": each.name} for each in devices],
        }

    def _loop(self) -> None:
        while not self._stopping:
            button, key = self._wanted
            if button is None:
                self._status = (), ""
                self._wakeup.wait(_INTERVAL)
                self._wakeup.clear()
            else:
                self._try_to_wait(button, key)

    def _try_to_wait(self, button: str, key: int) -> None:
        """Report presses; if that fails, say why, and begin again: the bell has to ring."""
        try:
            self._wait_for(button, key)
        except Exception as error:  # noqa: BLE001  # nothing may end this thread
            problem = f"no button can be read: {describe(error)}"
            self._status = (), problem
            self._once.log(logging.ERROR, problem)
            self._wakeup.wait(_INTERVAL)

    def _wait_for(self, button: str, key: int) -> None:
        """Report the presses of one configuration, until there is another."""
        inputs = Inputs(button, key)
        look_at = 0.0
        try:
            while not self._stopping and self._wanted == (button, key):
                self.beat = time.monotonic()
                if self.beat >= look_at:
                    look_at = self.beat + _INTERVAL
                    inputs.scan()
                self._note(inputs, button, key)
                for press in inputs.wait(look_at - self.beat, self._wakeup):
                    self._report(press.at)
                self._wakeup.clear()
        finally:
            inputs.close()

    def _report(self, moment: float) -> None:
        try:
            self._on_press(moment)
        except Exception:  # noqa: BLE001  # the next press may still ring
            _log.exception("a press of the button failed to ring")

    def _note(self, inputs: Inputs, button: str, key: int) -> None:
        """Keep the state for status(), and log what is new in it."""
        before, problem_before = self._status
        devices, problem = tuple(inputs.devices), ""
        if not devices:
            none = f"No button: no input device has the key {key}; see sudo doorbelld bell"
            problem = next(iter(inputs.problems.values()), none)
        self._status = devices, problem
        for device in devices:
            if device not in before:
                self._states.log(logging.INFO, f"the bell's button is {device}")
        for device in before:
            if device not in devices:
                self._states.log(logging.WARNING, f"the bell's button {device} was unplugged")
        # A machine without any button is no fault: a bell may ring over HTTP, or not exist.
        if problem != problem_before and inputs.problems:
            self._states.log(logging.INFO if button == AUTO else logging.WARNING, problem)
        self._states.flush()

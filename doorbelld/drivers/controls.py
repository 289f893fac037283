"""Control: one setting that a camera offers, such as its focus, in words for the user."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    """What can be set, by the name of its key in the configuration.

    ``values`` says what is possible: ``"0 to 255 in steps of 5"``, ``"auto, 50 Hz, 60 Hz"``.
    ``value`` is the current one, written the same way; empty if the camera does not say it.
    """

    name: str
    values: str
    value: str

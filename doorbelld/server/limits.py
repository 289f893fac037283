"""Limits: how much of everything clients may take."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What the configuration sets: threads that answer, and seconds."""

    max_requests: int
    header_timeout: float
    stall_timeout: float

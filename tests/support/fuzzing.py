"""Fuzzing: how often a property is tried.

`make test` tries every property a few times, always with the same examples. `make fuzz` sets
``FUZZ_TIMES``: it tries so many times more, with other examples in every round.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings

from tests.support.daemon import GUARD

TIMES = int(os.environ.get("FUZZ_TIMES", "0"))
"""How many times more is tried than in `make test`; 0 in `make test`."""

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
"""Health checks that measure the machine, which may be busy."""


def set_up() -> None:
    """Choose the settings of `make test` or `make fuzz`."""
    settings.register_profile(
        "test", derandomize=True, deadline=None, suppress_health_check=_SLOW, print_blob=True
    )
    settings.register_profile(
        "fuzz",
        max_examples=100 * max(1, TIMES),
        deadline=None,
        suppress_health_check=_SLOW,
        print_blob=True,
    )
    settings.load_profile("fuzz" if TIMES else "test")


def examples(count: int, **options: int) -> settings:
    """Return the settings of a property that is tried ``count`` times in `make test`."""
    return settings(max_examples=count * max(1, TIMES), **options)  # type: ignore[arg-type]


_guard = [GUARD]


@contextmanager
def patience() -> Iterator[float]:
    """Yield the seconds to wait for an event; raise AssertionError if it did not happen.

    After a failure hypothesis tries a hundred smaller examples: that need not take thirty
    seconds each time.
    """
    try:
        yield _guard[0]
    except AssertionError:
        _guard[0] = GUARD / 15
        raise

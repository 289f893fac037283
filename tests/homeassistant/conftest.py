"""Fixtures of the tests with the real Home Assistant: ``make test-homeassistant`` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.homeassistant.house import House


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a house with everything in it, in which the bell has never rung."""
    folder: Path = tmp_path_factory.mktemp("house")
    with ExitStack() as stack:
        yield House(folder, stack)

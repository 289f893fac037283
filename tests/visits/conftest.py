"""Fixtures of the tests of visits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.input_devices import InputKernel


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InputKernel]:
    """Return a kernel without any input device."""
    found = InputKernel(tmp_path, monkeypatch)
    yield found
    found.close()

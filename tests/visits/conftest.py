from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorbelld.visits.store import VisitStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the store, which the store makes."""
    return tmp_path / "visits"


@pytest.fixture
def store(folder: Path) -> Iterator[VisitStore]:
    """Return an open store with much room."""
    found = VisitStore(folder, space=10**9, days=30)
    found.open()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _no_test_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fsync() do nothing in this process: what calls it is tested in one of its own."""
    monkeypatch.setattr(os, "fsync", lambda _: None)

"""What the tests of cameras share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import pictures, v4l2

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def v4l2_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the preloaded camera, compiled once."""
    return v4l2.build(tmp_path_factory.mktemp("v4l2"))


@pytest.fixture
def device(v4l2_library: Path, tmp_path: Path) -> v4l2.V4l2Device:
    """Return a webcam that shows sixteen pictures, by their number, over and over."""
    shown = [pictures.jpeg(number, 640, 480) for number in range(16)]
    return v4l2.V4l2Device(v4l2_library, tmp_path, shown)

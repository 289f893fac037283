from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from doorbelld.stream.shutter import Shutter


def test_is_open_at_first_and_kept_when_it_was_closed(tmp_path: Path) -> None:
    paused: list[bool] = []
    shutter = Shutter(tmp_path, paused.append)
    assert not shutter.state.closed
    assert shutter.state.since == pytest.approx(time.time(), abs=5)
    assert not (tmp_path / "shutter").exists()
    closed = shutter.close(True)
    assert closed.closed
    assert paused == [True]
    assert not (tmp_path / "shutter").exists(), "the camera is closed before the disk is asked"
    shutter.save()
    assert (tmp_path / "shutter").stat().st_mode & 0o777 == 0o600

    again: list[bool] = []
    later = Shutter(tmp_path, again.append)
    assert (later.state, again) == (closed, [True])
    later.close(False)
    later.save()
    last: list[bool] = []
    assert not Shutter(tmp_path, last.append).state.closed
    assert not last


def test_same_state_again_changes_nothing(tmp_path: Path) -> None:
    paused: list[bool] = []
    shutter = Shutter(tmp_path, paused.append)
    first = shutter.close(True)
    assert shutter.close(True) == first
    assert paused == [True]
    shutter.save()
    stamp = (tmp_path / "shutter").stat().st_mtime_ns
    shutter.save()
    assert (tmp_path / "shutter").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("text", [b"", b"closed", b"half-open 1", b"\xff\xff", b"closed x\n"])
def test_file_that_makes_no_sense_counts_as_closed(
    tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shutter").write_bytes(text)
    paused: list[bool] = []
    shutter = Shutter(tmp_path, paused.append)
    assert shutter.state.closed
    assert paused == [True]
    assert shutter.problem in caplog.text
    assert str(tmp_path / "shutter") in shutter.problem
    shutter.close(False)
    shutter.save()
    assert not shutter.problem
    assert not Shutter(tmp_path, paused.append).state.closed


def test_file_that_cannot_be_read_counts_as_closed(tmp_path: Path) -> None:
    (tmp_path / "shutter").mkdir()
    assert Shutter(tmp_path, lambda _closed: None).state.closed


def test_file_that_cannot_be_written_closes_the_camera_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paused: list[bool] = []
    folder = tmp_path / "missing"
    shutter = Shutter(folder, paused.append)
    assert shutter.close(True).closed
    shutter.save()
    assert paused == [True]
    assert shutter.problem.endswith("the shutter stays closed, but not after a restart")
    assert caplog.text.count(shutter.problem) == 1
    folder.mkdir()
    shutter.save()
    assert not shutter.problem
    assert Shutter(folder, paused.append).state.closed


def test_without_a_folder_it_is_kept_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    shutter = Shutter(None, lambda _closed: None)
    assert shutter.close(True).closed
    shutter.save()
    assert not caplog.text

from __future__ import annotations

import socket

import pytest

from doorbelld.stream.viewer import Viewer


def taken(fps: float, camera: float, seconds: int = 10, start: float = 5000.0) -> list[int]:
    """Return which frames of a camera's a viewer with a cap takes."""
    with socket.socket() as sock:
        viewer = Viewer(sock, "10.0.0.9", key="", fps=fps, advance=False)
        found = []
        for number in range(round(seconds * camera)):
            captured_at = start + number / camera
            if viewer.is_due(captured_at):
                viewer.advance_due(captured_at)
                found.append(number)
        return found


@pytest.mark.parametrize("fps", [0.5, 1, 5, 7, 10, 12.5, 15, 25, 29, 30])
def test_cap_is_kept_on_average_and_in_even_steps(fps: float) -> None:
    numbers = taken(fps, camera=30)
    assert len(numbers) == pytest.approx(fps * 10, abs=1.01)
    steps = {after - before for before, after in zip(numbers, numbers[1:])}
    assert max(steps) - min(steps) <= 1


def test_cap_above_the_cameras_rate_lets_every_frame_through() -> None:
    assert taken(60, camera=30) == list(range(300))


def test_frames_missed_in_a_pause_are_not_made_up_for() -> None:
    with socket.socket() as sock:
        viewer = Viewer(sock, "10.0.0.9", key="", fps=10, advance=False)
        for captured_at in (100.0, 200.0):
            assert viewer.is_due(captured_at)
            viewer.advance_due(captured_at)
            assert not viewer.is_due(captured_at + 1 / 30)

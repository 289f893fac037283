from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from doorbelld.stream.viewer import TcpInfo, Viewer
from tests.support.daemon import GUARD
from tests.support.socketpairs import connection


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


# Behind a long round trip.

ROUND_TRIP, PART = 0.08, 45_000


class Distant:
    """A viewer, and what the kernel says of its connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.viewer = Viewer(sock, "10.0.0.9", key="", fps=None, advance=False)
        self.usual = self.viewer.most_unacknowledged
        self.info = TcpInfo(0.0, ROUND_TRIP, ROUND_TRIP, 1, 10 * PART)

    def after(self, fps: int, *, round_trip: float = ROUND_TRIP, size: int = PART) -> int:
        """Let a second pass; return how many bytes may be under way from now on."""
        arrived = self.info.acknowledged + fps * size
        self.info = self.info._replace(acknowledged=arrived, round_trip=round_trip)
        self.viewer.sent += fps
        self.viewer.sample_rate(1.0)
        return self.viewer.most_unacknowledged


@pytest.fixture
def distant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Distant]:
    with socket.socket() as sock:
        found = Distant(sock)
        monkeypatch.setattr(TcpInfo, "of", lambda _: found.info)
        yield found


def test_more_is_under_way_behind_a_long_round_trip_while_the_link_is_free(
    distant: Distant,
) -> None:
    assert distant.after(8) == distant.usual, "not known yet"
    assert distant.after(8) > PART
    assert distant.after(30) > 3 * PART
    assert distant.after(0) == distant.usual


def test_no_part_is_sent_into_a_queue(distant: Distant) -> None:
    distant.after(8)
    on_its_way = 16 * PART * ROUND_TRIP
    assert distant.after(16, round_trip=0.13) == pytest.approx(on_its_way, rel=0.01)
    assert distant.after(16, round_trip=0.3) == distant.usual, "at once when the link has slowed"


def test_no_more_is_under_way_than_the_kernel_sends_at_once(distant: Distant) -> None:
    distant.after(8)
    distant.info = distant.info._replace(room=PART + 20_000)
    assert distant.after(8) == 20_000
    distant.info = distant.info._replace(room=PART // 2)
    assert distant.after(8) == distant.usual


def test_each_part_is_waited_for_on_a_short_round_trip(distant: Distant) -> None:
    distant.info = distant.info._replace(shortest=0.004)
    for _ in range(3):
        assert distant.after(30, round_trip=0.005) == distant.usual


def test_kernel_says_what_has_arrived() -> None:
    server, client = connection()
    with server, client:
        before = TcpInfo.of(server)
        server.sendall(b"x" * 1000)
        assert len(client.recv(1000)) > 0
        after = TcpInfo.of(server)
    assert after.acknowledged > before.acknowledged
    assert 0 <= after.ago < GUARD
    assert 0 < after.shortest <= after.round_trip < 1
    assert after.room > 1000

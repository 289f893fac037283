from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from doorbelld.media import multipart
from doorbelld.media.codec import load_opencv
from doorbelld.net.handover import Handover
from doorbelld.stream import broadcaster as broadcast
from doorbelld.stream import viewer
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.link import Wishes
from doorbelld.stream.tiers import Tiers
from doorbelld.stream.viewer import News, Report
from tests.support.daemon import GUARD, eventually
from tests.support.pictures import encoded, scene
from tests.support.socketpairs import connection, part, publish, read

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
OPENING = HEAD + multipart.BOUNDARY


@pytest.fixture
def hub() -> FrameHub:
    return FrameHub()


@pytest.fixture
def broadcaster(hub: FrameHub) -> Iterator[Broadcaster]:
    found = Broadcaster(hub, Handover().viewers, max_viewers=3, stall_timeout=60)
    found.start()
    yield found
    assert found.stop(GUARD)


def read_to_end(client: socket.socket) -> bytes:
    with client.makefile("rb") as file:
        return file.read()


def state(text: bytes) -> bytes:
    """Return the part that a state is sent as."""
    return b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b\r\n--frame\r\n" % (
        len(text),
        text,
    )


def join(broadcaster: Broadcaster, sock: socket.socket, **options: object) -> bool:
    return broadcaster.join(sock, HEAD, address="10.0.0.9", **options)  # type: ignore[arg-type]


def wait_for_count(broadcaster: Broadcaster, count: int) -> None:
    eventually(lambda: broadcaster.watching == count, f"{count} watching")


def test_viewer_gets_the_newest_frame_at_once_and_then_every_frame(
    hub: FrameHub, broadcaster: Broadcaster
) -> None:
    server, client = connection()
    with client:
        publish(hub)
        newest = publish(hub)
        assert join(broadcaster, server)
        read(client, OPENING + part(newest))
        for _ in range(3):
            read(client, part(publish(hub)))
        broadcaster.stop()
        assert read_to_end(client) == multipart.ENDING


def test_viewer_that_comes_before_the_first_frame_waits_for_it(
    hub: FrameHub, broadcaster: Broadcaster
) -> None:
    server, client = connection()
    with client:
        join(broadcaster, server)
        read(client, OPENING)
        read(client, part(publish(hub)))


def test_first_viewer_gets_the_picture_that_was_only_on_offer(
    hub: FrameHub, broadcaster: Broadcaster
) -> None:
    server, client = connection()
    other_server, other = connection()
    with client, other:
        publish(hub)
        hub.offer(lambda: b"newest", 2.0)
        eventually(lambda: not hub.wants(9.0), "nothing wants frames")
        join(broadcaster, server)
        found = b""
        while b"newest" not in found:
            found += client.recv(65536)
        assert found.count(b"Content-Length") == 1, "an older picture came first"
        join(broadcaster, other_server)
        wait_for_count(broadcaster, 2)
        client.close()
        wait_for_count(broadcaster, 1)
        assert hub.wants(9.0)
        other.close()
        eventually(lambda: not hub.wants(9.0), "nothing wants frames")


def test_browser_gets_the_next_headers_in_advance(hub: FrameHub, broadcaster: Broadcaster) -> None:
    server, client = connection()
    with client:
        publish(hub, b"frame 1")
        join(broadcaster, server, advance=True)
        read(client, HEAD + multipart.ADVANCE_HEAD + multipart.advance_part(b"frame 1"))
        publish(hub, b"frame 2")
        read(client, multipart.advance_part(b"frame 2"))


def test_slow_viewer_loses_frames_gets_the_newest_and_delays_no_other(
    hub: FrameHub, broadcaster: Broadcaster
) -> None:
    slow_server, slow = connection(buffer=4096)
    fast_server, fast = connection()
    with slow, fast:
        join(broadcaster, slow_server, key="slow")
        read(slow, OPENING)
        big = newest = publish(hub, b"x" * 3_000_000)
        join(broadcaster, fast_server, key="fast")
        read(fast, OPENING + part(big))
        for _ in range(5):
            newest = publish(hub)
            read(fast, part(newest))
        (row,) = broadcaster.viewers("slow")
        assert (row.sent, row.dropped) == (0, 5)
        # It went on with the part it was in, and then straight to the newest.
        read(slow, part(big) + part(newest))
        (row,) = eventually(
            lambda: [row for row in broadcaster.viewers("slow") if row.sent == 2], "both sent"
        )
        assert row.dropped == 4


def test_nothing_new_is_sent_while_the_last_frame_is_not_acknowledged(
    hub: FrameHub, broadcaster: Broadcaster
) -> None:
    server, client = connection(buffer=4096)
    # The kernel would take many of these frames; the viewer has read none of them.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
    with client:
        join(broadcaster, server)
        first = newest = publish(hub, b"x" * 300_000)
        read(client, OPENING + part(first)[:2])
        for dropped in range(1, 19):
            newest = publish(hub)
            wait_for_dropped(broadcaster, dropped)
        read(client, part(first)[2:] + part(newest))


def test_trusted_viewer_that_stops_reading_is_soon_checked_again(
    hub: FrameHub, broadcaster: Broadcaster
) -> None:
    server, client = connection(buffer=4096)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
    with client:
        join(broadcaster, server)
        read(client, OPENING)
        for _ in range(1, 50):
            read(client, part(publish(hub)))
        for sequence in range(50, 70):
            publish(hub, b"x" * 3000)
            eventually(lambda: counted(broadcaster) == sequence, f"{sequence} frames counted")  # noqa: B023
        assert broadcaster.viewers()[0].dropped >= 20 - 5


def counted(broadcaster: Broadcaster) -> int:
    row = broadcaster.viewers()[0]
    return row.sent + row.dropped


def wait_for_dropped(broadcaster: Broadcaster, count: int) -> None:
    eventually(lambda: broadcaster.viewers()[0].dropped == count, f"{count} dropped")


def test_rate_cap_spaces_frames_evenly(hub: FrameHub, broadcaster: Broadcaster) -> None:
    server, client = connection()
    with client:
        join(broadcaster, server, fps=10)
        read(client, OPENING)
        for sequence in range(1, 31):  # a second of 30 frames
            frame = publish(hub, captured_at=1000 + sequence / 30)
            if sequence % 3 == 1:
                read(client, part(frame))
        broadcaster.stop()
        assert read_to_end(client) == multipart.ENDING


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_viewer_that_leaves_is_gone_at_once_though_no_frame_comes(
    broadcaster: Broadcaster, how: str
) -> None:
    server, client = connection()
    join(broadcaster, server)
    read(client, OPENING)
    with client:
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "half-close":
            client.shutdown(socket.SHUT_WR)
        else:
            client.close()
        wait_for_count(broadcaster, 0)
    assert broadcaster.viewers() == []
    assert server.fileno() == -1


def test_viewer_that_takes_nothing_is_dropped_after_the_stall_timeout(
    hub: FrameHub, broadcaster: Broadcaster
) -> None:
    stalled_server, stalled = connection(buffer=4096)
    well_server, well = connection()
    with stalled, well:
        broadcaster.stall_timeout = 1.5
        big = publish(hub, b"x" * 1_000_000)
        join(broadcaster, stalled_server)
        join(broadcaster, well_server, key="well")
        read(well, OPENING + part(big))
        wait_for_count(broadcaster, 1)
        assert [row.key for row in broadcaster.viewers()] == ["well"]
        with pytest.raises(ConnectionResetError):
            read_to_end(stalled)


def test_no_more_than_max_viewers_may_watch(broadcaster: Broadcaster) -> None:
    pairs = [connection() for _ in range(4)]
    joined = [join(broadcaster, server) for server, _ in pairs]
    assert joined == [True, True, True, False]
    assert broadcaster.watching == 3
    pairs[0][1].close()
    wait_for_count(broadcaster, 2)
    assert join(broadcaster, pairs[3][0])
    for _, client in pairs:
        client.close()


def test_no_viewer_can_join_after_the_stop(broadcaster: Broadcaster) -> None:
    broadcaster.stop()
    server, client = connection()
    with server, client:
        assert not join(broadcaster, server)
    assert broadcaster.stop(GUARD)


def test_viewer_that_vanishes_while_it_joins_is_not_counted(
    hub: FrameHub, broadcaster: Broadcaster
) -> None:
    server, client = connection()
    client.close()
    publish(hub)
    join(broadcaster, server)
    wait_for_count(broadcaster, 0)


def test_broadcaster_that_never_started_stops_too(hub: FrameHub) -> None:
    server, client = connection()
    idle = Broadcaster(hub, Handover().viewers, max_viewers=1, stall_timeout=1)
    join(idle, server)
    assert idle.stop(GUARD)
    with client:
        assert read_to_end(client) == b""


# Viewers that read the state as well.


@pytest.fixture
def states(broadcaster: Broadcaster) -> Iterator[list[bytes]]:
    """Return a list whose last item is the state."""
    found = [b"first"]
    broadcaster.use_news(lambda: found[-1])
    yield found
    broadcaster.stop()


def test_page_gets_the_state_first_and_again_when_it_changes(
    hub: FrameHub, broadcaster: Broadcaster, states: list[bytes]
) -> None:
    server, client = connection()
    with client:
        frame = publish(hub)
        states += [b"second"]
        join(broadcaster, server, news=News(pictures=True))
        read(client, OPENING + state(b"second") + part(frame))
        wait_for_count(broadcaster, 1)
        read(client, state(b"second"))  # There is one more viewer.
        for text in (b"third", b"fourth"):
            states += [text]
            broadcaster.renew()
            read(client, state(text))
        read(client, part(publish(hub)))
        broadcaster.stop()
        assert read_to_end(client) == multipart.ENDING


@pytest.mark.usefixtures("states")
def test_page_gets_no_cards(hub: FrameHub, broadcaster: Broadcaster) -> None:
    page_server, page = connection()
    server, program = connection()
    with page, program:
        card = hub.publish(b"a card", 1.0, live=False)
        join(broadcaster, page_server, news=News(pictures=True))
        read(page, OPENING + state(b"first"))
        join(broadcaster, server)
        read(program, OPENING + part(card))
        read(program, part(hub.publish(b"another", 2.0, live=False)))
        live = publish(hub)
        read(program, part(live))
        found = b""
        while not found.endswith(part(live)):
            found += page.recv(1 << 16)
        assert found.replace(state(b"first"), b"") == part(live)


def test_page_without_pictures_is_not_watching(
    hub: FrameHub, broadcaster: Broadcaster, states: list[bytes]
) -> None:
    server, client = connection()
    loaded: list[bytes] = []

    def load() -> bytes:
        loaded.append(b"a picture")
        return loaded[-1]

    with client:
        hub.offer(load, 1.0)
        join(broadcaster, server, key="hidden", news=News(pictures=False))
        read(client, OPENING + state(b"first"))
        assert not loaded, "no one has asked for a picture"
        assert (broadcaster.watching, broadcaster.viewers(), hub.wants(9.0)) == (0, [], False)
        assert not broadcaster.report("hidden", "10.0.0.9", 1.0, 1.0)
        publish(hub)
        states += [b"second"]
        broadcaster.renew()
        read(client, state(b"second"))
        broadcaster.stop()
        assert read_to_end(client) == multipart.ENDING


def test_pages_without_pictures_have_a_limit_of_their_own(broadcaster: Broadcaster) -> None:
    pairs = [connection() for _ in range(8)]
    joined = [
        join(broadcaster, server, news=News(pictures=number % 2 == 0))
        for number, (server, _) in enumerate(pairs)
    ]
    assert joined == [True] * 6 + [False] * 2
    assert broadcaster.watching == 3
    pairs[1][1].close()
    eventually(lambda: join(broadcaster, pairs[7][0], news=News(pictures=False)), "room for one")
    for server, client in pairs:
        client.close()
        server.close()


def test_viewer_may_join_while_others_are_admitted(hub: FrameHub) -> None:
    found = Broadcaster(hub, Handover().viewers, max_viewers=3, stall_timeout=60)
    pairs = [connection() for _ in range(3)]
    waiting = [pairs[2][0]]

    class Interrupted(News):
        """Another viewer joins at the moment at which the broadcaster looks at this one."""

        def __getattribute__(self, name: str) -> object:
            is_looked_at = threading.current_thread().name == "broadcast"
            if name == "pictures" and is_looked_at and waiting:
                join(found, waiting.pop())
            return super().__getattribute__(name)

    for server, _ in pairs[:2]:
        join(found, server, news=Interrupted(pictures=False))
    found.start()
    read(pairs[2][1], OPENING)
    assert found.stop(GUARD)
    for _, client in pairs:
        client.close()


def test_changes_that_come_fast_are_sent_together(
    broadcaster: Broadcaster, states: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = connection()
    with client:
        join(broadcaster, server, news=News(pictures=False))
        read(client, OPENING + state(b"first"))
        broadcaster.renew()
        read(client, state(b"first"))
        monkeypatch.setattr(broadcast, "_NEWS_PAUSE", 24 * 3600.0)
        for number in range(20):
            states += [b"%d" % number]
            broadcaster.renew()
        monkeypatch.undo()
        read(client, state(b"19"))


@pytest.mark.parametrize("pictures", [True, False])
def test_silence_is_broken_by_the_state(
    hub: FrameHub, monkeypatch: pytest.MonkeyPatch, pictures: bool
) -> None:
    monkeypatch.setattr(broadcast, "_TICK", 0.01)
    monkeypatch.setattr(viewer, "_SILENCE", 0.0 if pictures else 24 * 3600.0)
    monkeypatch.setattr(viewer, "_SILENCE_WITHOUT_PICTURES", 24 * 3600.0 if pictures else 0.0)
    server, client = connection()
    broadcaster = Broadcaster(hub, Handover().viewers, max_viewers=1, stall_timeout=60)
    broadcaster.use_news(lambda: b"state")
    broadcaster.start()
    with client:
        join(broadcaster, server, news=News(pictures=pictures))
        read(client, OPENING + state(b"state") * 5)
        assert broadcaster.stop(GUARD)


def test_nobody_reads_the_state_so_it_is_not_made(hub: FrameHub, broadcaster: Broadcaster) -> None:
    made: list[bytes] = []

    def make() -> bytes:
        made.append(b"state")
        return made[-1]

    broadcaster.use_news(make)
    server, client = connection()
    with client:
        join(broadcaster, server)
        read(client, OPENING + part(publish(hub)))
        eventually(lambda: not broadcaster._has_news, "the change was seen")
    assert made == []


def test_report_is_kept_with_every_viewer_of_that_key_and_address(
    broadcaster: Broadcaster,
) -> None:
    pairs = [connection() for _ in range(3)]
    for (server, _), key in zip(pairs, ("a", "a", "b")):
        join(broadcaster, server, key=key)
    eventually(lambda: len(broadcaster.viewers()) == 3, "3 viewers")
    assert broadcaster.report("a", "10.0.0.9", 0.25, 1000.0)
    assert not broadcaster.report("a", "10.0.0.8", 5.0, 1.0)
    assert not broadcaster.report("c", "10.0.0.9", 5.0, 1.0)
    reports = [each.reported for each in broadcaster._viewers.values()]
    assert [report and report[:2] for report in reports] == [(0.25, 1000.0)] * 2 + [None]
    assert isinstance(reports[0], Report)
    for _, client in pairs:
        client.close()


def test_too_little_memory_for_the_state_is_logged_and_it_comes_later(
    broadcaster: Broadcaster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [b"first", b"", b"second"]

    def make() -> bytes:
        found = results.pop(0)
        if not found:
            raise MemoryError
        return found

    monkeypatch.setattr(viewer, "_SILENCE_WITHOUT_PICTURES", 24 * 3600.0)
    server, client = connection()
    with client:
        broadcaster.use_news(make)
        join(broadcaster, server, news=News(pictures=False))
        read(client, OPENING + state(b"first"))
        broadcaster.renew()
        read(client, state(b"second"))
        assert "too little memory" in caplog.text


class Sleeper(Broadcaster):
    """A broadcaster that shows whether it sleeps."""

    sleeps = False

    def _wait(self, timeout: float) -> None:
        self.sleeps = True
        super()._wait(timeout)
        self.sleeps = False


@pytest.fixture
def idle(hub: FrameHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sleeper]:
    """Return a broadcaster that does nothing unless it is woken."""
    monkeypatch.setattr(broadcast, "_TICK", 24 * 3600)
    found = Sleeper(hub, Handover().viewers, max_viewers=3, stall_timeout=1e9)
    found.start()
    yield found
    assert found.stop(GUARD)


def test_page_that_catches_up_gets_the_newest_state_and_then_no_card(
    hub: FrameHub, idle: Sleeper
) -> None:
    server, client = connection(buffer=4096)
    states = [b"first"]
    idle.use_news(lambda: states[-1])
    with client:
        big = publish(hub, b"x" * 3_000_000)
        join(idle, server, news=News(pictures=True))
        eventually(idle.viewers, "a viewer")
        for text in (b"second", b"third", b"fourth"):
            states += [text]
            idle.renew()
            eventually(lambda: not idle._has_news, "it has been passed on")
        card = hub.publish(b"a card", 2.0, live=False)
        eventually(lambda: idle._shown is card, "the card is shown")
        read(client, OPENING + state(b"first") + part(big) + state(b"fourth"))
        read(client, part(publish(hub)))


@pytest.mark.parametrize(
    "end",
    [
        lambda broadcaster: broadcaster.dismiss(b"another password"),
        lambda broadcaster: broadcaster.keep_only(lambda _viewer: False),
    ],
    ids=["dismiss", "keep_only"],
)
def test_streams_end_at_once_though_no_frame_comes(
    idle: Sleeper, end: Callable[[Broadcaster], None]
) -> None:
    server, client = connection()
    with client:
        join(idle, server)
        read(client, OPENING)
        eventually(lambda: idle.sleeps, "it sleeps again")
        end(idle)
        assert client.recv(1000) == b""


def test_frame_and_new_viewer_wake_the_thread(hub: FrameHub, idle: Sleeper) -> None:
    server, client = connection()
    with client:
        join(idle, server)
        read(client, OPENING)
        for _ in range(5):
            eventually(lambda: idle.sleeps, "it sleeps again")
            read(client, part(publish(hub)))


def test_failure_of_the_thread_is_logged_and_seen(
    hub: FrameHub, broadcaster: Broadcaster, caplog: pytest.LogCaptureFixture
) -> None:
    server, client = connection()
    with client:
        join(broadcaster, server)
        read(client, OPENING)
        publish(hub, "no bytes")  # type: ignore[arg-type]
        eventually(lambda: not broadcaster.alive, "the thread ended")
        assert read_to_end(client) == multipart.ENDING
    assert "the broadcast thread failed" in caplog.text


@pytest.fixture
def tiered(hub: FrameHub) -> Iterator[Broadcaster]:
    """Return a broadcaster with smaller pictures, and a viewer's screen of 100 pixels for them."""
    tiers = Tiers(hub)
    found = Broadcaster(hub, Handover().viewers, tiers, max_viewers=3, stall_timeout=60)
    tiers.start()
    found.start()
    yield found
    assert found.stop(GUARD)
    assert tiers.stop(GUARD)


@pytest.mark.parametrize("is_first_there", [True, False])
def test_first_picture_already_fits_the_screen(
    hub: FrameHub, tiered: Broadcaster, is_first_there: bool
) -> None:
    load_opencv()
    camera = encoded(scene(640, 480))
    server, client = connection()
    with client, client.makefile("rb") as file:
        if is_first_there:
            publish(hub, camera)
        assert join(tiered, server, key="k", wishes=Wishes(width=400))
        read(client, OPENING)
        frame = publish(hub, camera)
        heads = [file.readline() for _ in range(5)]
        assert b"X-Quality: 320\r\n" in heads
        assert tiered.viewers("k")[0].quality == "auto 320"
        assert frame.sequence == 1 + is_first_there


def test_picture_that_is_not_made_is_replaced_by_the_cameras_own(
    hub: FrameHub, tiered: Broadcaster
) -> None:
    server, client = connection()
    with client:
        assert join(tiered, server, wishes=Wishes(width=400))
        read(client, OPENING)
        read(client, part(publish(hub, b"no picture at all")))

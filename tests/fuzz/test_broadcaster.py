"""The broadcaster, with viewers that join, read, stall, break and leave in any order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from doorbelld.media import codec, jpeg
from doorbelld.media.codec import Size
from doorbelld.media.frame import Frame
from doorbelld.net.handover import Handover
from doorbelld.stream import broadcaster as broadcast
from doorbelld.stream import viewer
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.link import AdaptiveViewer, Wishes
from doorbelld.stream.tiers import Tiers
from tests.fuzz.client import Client, made_of, picture
from tests.support import processes
from tests.support.daemon import GUARD
from tests.support.fuzzing import examples, patience

pytestmark = pytest.mark.process

SIZES = st.sampled_from([0, 10, 1_000, 20_000, 150_000, 600_000])
RATES = st.sampled_from([None, None, 1, 15, 1000])
WHICH = st.integers(0, 5)
INTERVAL = 1 / 30
LONG = 100.0
"""Seconds after which any cap lets a frame through."""

TICK = 0.02
"""Seconds between the broadcaster's checks for stalled viewers: one would be long here."""

NEVER = 3600.0


def until(look: Callable[[], bool], what: str) -> None:
    """Wait for something that takes the other thread a moment."""
    with patience() as seconds:
        give_up_at = time.monotonic() + seconds
        while not look():
            assert time.monotonic() < give_up_at, f"never: {what}"
            time.sleep(0.0002)


def open_files() -> int:
    return len(processes.descriptors(os.getpid()))


class Broadcasting(RuleBasedStateMachine):
    """Whatever happens, each viewer gets whole parts in order, and all sockets are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.files = open_files()
        self.frames: dict[int, Frame] = {}
        self.clients: list[Client] = []
        self.left: list[Client] = []
        self.captured_at = 0.0
        self.state = 0
        self.all_read_to_the_end = False
        self.making_fails = False

    @initialize(max_viewers=st.integers(1, 6), all_read_to_the_end=st.booleans())
    def begin(self, max_viewers: int, all_read_to_the_end: bool) -> None:
        self.all_read_to_the_end = all_read_to_the_end
        self.tick = mock.patch.object(broadcast, "_TICK", TICK)
        self.tick.start()
        # Pages that read nothing for a while would stall: what they got depended on the time.
        self.silence = mock.patch.object(viewer, "_SILENCE", NEVER)
        self.silence.start()
        self.hub = FrameHub()
        self.making = mock.patch.object(codec, "shrink", self.shrink)
        self.making.start()
        self.sizing = mock.patch.object(jpeg, "size", return_value=(640, 480))
        self.sizing.start()
        self.tiers = Tiers(self.hub)
        self.tiers.start()
        self.broadcaster = Broadcaster(
            self.hub, Handover().viewers, self.tiers, max_viewers=max_viewers, stall_timeout=NEVER
        )
        self.broadcaster.use_news(lambda: b'{"number": %d}' % self.state)
        self.broadcaster.start()

    # What happens to it.

    @rule(size=SIZES, count=st.integers(1, 5))
    def publish(self, size: int, count: int) -> None:
        for _ in range(count):
            self.show(size)

    @rule(fps=RATES, small=st.booleans(), tls=st.booleans())
    def a_program_joins(self, fps: float | None, small: bool, tls: bool) -> None:
        self.join(Client(self.frames, fps=fps, small=small, tls=tls))

    @rule(fps=RATES, small=st.booleans(), tls=st.booleans())
    def a_browser_joins(self, fps: float | None, small: bool, tls: bool) -> None:
        self.join(Client(self.frames, advance=True, fps=fps, small=small, tls=tls))

    @rule(fps=RATES, small=st.booleans(), tls=st.booleans())
    def a_page_joins(self, fps: float | None, small: bool, tls: bool) -> None:
        self.join(Client(self.frames, live=True, fps=fps, small=small, tls=tls))

    @rule(
        fps=RATES,
        small=st.booleans(),
        tls=st.booleans(),
        live=st.booleans(),
        wishes=st.builds(
            Wishes, st.sampled_from([0, 320]), st.sampled_from([0, 10_000]), st.integers(0, 7)
        ),
    )
    def a_viewer_with_a_slow_link_joins(
        self, fps: float | None, small: bool, tls: bool, live: bool, wishes: Wishes
    ) -> None:
        self.join(Client(self.frames, live=live, fps=fps, small=small, tls=tls, wishes=wishes))

    @precondition(lambda self: self.clients)
    @rule(which=WHICH, step=st.integers(0, 5))
    def another_step_fits(self, which: int, step: int) -> None:
        key = self.client(which).key
        for each in list(self.broadcaster._viewers.values()):
            if each.key == key and isinstance(each, AdaptiveViewer):
                each.link.step = step

    @rule(fails=st.booleans())
    def pictures_can_be_made_or_not(self, fails: bool) -> None:
        self.making_fails = fails

    def shrink(self, data: bytes, sizes: Sequence[Size]) -> Iterator[bytes]:
        for _ in sizes:
            if self.making_fails:
                raise ValueError
            yield made_of(data)

    @rule(size=SIZES)
    def a_card_is_shown(self, size: int) -> None:
        self.show(size, live=False)

    @rule()
    def state_changes(self) -> None:
        self.state += 1
        self.broadcaster.renew()

    @precondition(lambda self: self.clients)
    @rule(which=WHICH)
    def who_reads_gets_the_state(self, which: int) -> None:
        client = self.client(which)
        if client.live:
            client.read_until_state(self.state)

    @rule(count=st.integers(2, 6))
    def a_crowd_joins(self, count: int) -> None:
        for number in range(count):
            small, advance = number % 2 == 1, number % 3 == 2
            self.join(Client(self.frames, advance=advance, small=small))

    @rule()
    def join_and_be_gone(self) -> None:
        client = Client(self.frames)
        client.close_own_end(reset=True)
        if not client.join(self.broadcaster):
            client.close()
        self.left.append(client)
        self.all_are_counted()

    @precondition(lambda self: self.clients)
    @rule(which=WHICH, most=st.integers(1, 5_000))
    def read_a_little(self, which: int, most: int) -> None:
        self.client(which).read(most)

    @precondition(lambda self: self.clients)
    @rule(which=WHICH)
    def read_what_is_there(self, which: int) -> None:
        client = self.client(which)
        while client.read(1 << 20):
            pass

    @precondition(lambda self: self.clients)
    @rule(which=WHICH)
    def who_reads_gets_the_newest(self, which: int) -> None:
        client = self.client(which)
        if client.fps:
            self.captured_at += LONG
            self.show(100)
        if self.frames:
            client.read_until_newest()
            self.all_was_counted_as_sent(client)

    @precondition(lambda self: self.clients)
    @rule(which=WHICH, how=st.sampled_from(["close", "reset", "half-close"]))
    def leave(self, which: int, how: str) -> None:
        client = self.client(which)
        self.clients.remove(client)
        self.left.append(client)
        if how == "half-close":
            client.half_close()
        else:
            client.close_own_end(reset=how == "reset")
        self.all_are_counted()
        if how == "half-close":
            client.read_to_end()

    @precondition(lambda self: self.clients)
    @rule(which=WHICH, size=SIZES)
    def writing_fails(self, which: int, size: int) -> None:
        client = self.client(which)
        self.clients.remove(client)
        self.left.append(client)
        client.break_daemons_end()
        self.captured_at += LONG
        self.show(size)
        client.read_to_end()
        self.all_are_counted()

    @precondition(lambda self: any(client.small for client in self.clients))
    # A page gets the state when another viewer is dropped, and its kernel may take longer to
    # acknowledge that than the timeout is here.
    @precondition(lambda self: not any(client.live for client in self.clients))
    @rule(which=WHICH)
    def who_takes_nothing_is_dropped(self, which: int) -> None:
        small = [client for client in self.clients if client.small]
        staller = small[which % len(small)]
        self.captured_at += LONG
        self.show(600_000)
        self.clients.remove(staller)
        self.left.append(staller)
        for client in self.clients:
            client.read_until_newest()
            self.all_was_counted_as_sent(client)
        self.broadcaster.stall_timeout = 2 * TICK
        self.all_are_counted()
        self.broadcaster.stall_timeout = NEVER
        self.settle()
        self.all_are_counted()
        staller.read_to_end()

    def teardown(self) -> None:
        if not hasattr(self, "broadcaster"):
            return
        try:
            self.end()
        finally:
            self.tick.stop()
            self.silence.stop()
            self.broadcaster.stop(GUARD)
            self.tiers.stop(GUARD)
            self.making.stop()
            self.sizing.stop()
            for client in (*self.clients, *self.left):
                client.close_own_end()
        assert not [client for client in self.left if client.server.fileno() >= 0], "left open"
        assert open_files() == self.files

    def end(self) -> None:
        if self.all_read_to_the_end:
            self.captured_at += LONG
            self.show(1_000)
            for client in self.clients:
                client.read_until_newest()
                self.all_was_counted_as_sent(client)
        assert self.broadcaster.stop(GUARD)
        assert self.broadcaster.stop(GUARD), "a second time does no harm"
        assert self.broadcaster.watching == 0
        late = Client(self.frames)
        assert not late.join(self.broadcaster)
        late.close()
        self.left += self.clients
        for client in self.clients:
            client.read_to_end()
            if self.all_read_to_the_end:
                client.must_have_ended_properly()

    # How it is done and checked.

    def join(self, client: Client) -> None:
        joined = client.join(self.broadcaster)
        assert joined is (len(self.clients) < self.broadcaster.max_viewers)
        if joined:
            self.clients.append(client)
        else:
            assert client.server.fileno() >= 0, (
                "a client that is turned away is not closed: it is answered"
            )
            client.close()
        assert self.broadcaster.watching == len(self.clients)

    def client(self, which: int) -> Client:
        return self.clients[which % len(self.clients)]

    def show(self, size: int, *, live: bool = True) -> None:
        self.captured_at += INTERVAL
        sequence = len(self.frames) + 1
        frame = self.hub.publish(picture(sequence, size), self.captured_at, live=live)
        assert frame.sequence == sequence
        self.frames[sequence] = frame

    def settle(self) -> None:
        """Wait for two turns of the broadcaster's thread: then it has seen everything before."""
        for _ in range(2):
            beat = self.broadcaster.beat
            self.broadcaster._wakeup.set()
            until(lambda: self.broadcaster.beat != beat, "a turn of the thread")  # noqa: B023

    def watching(self) -> list[Client]:
        keys = {row.key for row in self.broadcaster.viewers()}
        return [client for client in self.clients if client.key in keys]

    def all_are_counted(self) -> None:
        until(
            lambda: self.broadcaster.watching == len(self.clients) == len(self.watching()),
            f"{len(self.clients)} watching",
        )

    def all_was_counted_as_sent(self, client: Client) -> None:
        def sent() -> int:
            (row,) = self.broadcaster.viewers(client.key)
            return row.sent

        until(lambda: sent() == client.count, f"{client.count} sent")


TestBroadcasting = Broadcasting.TestCase
TestBroadcasting.settings = examples(40, stateful_step_count=40)

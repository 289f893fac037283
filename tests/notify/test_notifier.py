from __future__ import annotations

import gc
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from doorbelld.media.frame import Frame
from doorbelld.notify.mqtt import Mqtt, MqttSettings
from doorbelld.notify.notifier import Choice, Notifier
from doorbelld.notify.ntfy import Ntfy, NtfySettings
from doorbelld.notify.target import Event, Facts, News, Result, Status
from doorbelld.notify.webhook import Webhook, WebhookSettings
from doorbelld.stream.hub import FrameHub
from doorbelld.visits.doorbell import BellSettings, Doorbell
from doorbelld.visits.recorder import VisitRecorder
from doorbelld.visits.recording import Lengths
from doorbelld.visits.visit import Kind, Visit
from tests.support.daemon import GUARD, eventually
from tests.support.pictures import jpeg
from tests.support.ports import free_port

LENGTHS = Lengths(before=5.0, after=600.0, longest=3600.0, framerate=10.0, again=10.0)
EACH_A_RING = BellSettings(LENGTHS._replace(again=0.0), button=None)
"""After an answer, each press begins a visit."""

PICTURE, BETTER = jpeg(1), jpeg(2) + bytes(20_000)


class Recorded:
    """A target that only records. ``trouble`` is called in each method, with its name."""

    def __init__(self, name: str = "phone") -> None:
        self.name = name
        self.news: list[News] = []
        self.facts: list[Facts] = []
        self.calls: list[str] = []
        self.trouble: Callable[[str], None] = lambda _method: None

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self.trouble(method)

    def start(self) -> None:
        self._called("start")

    def stop(self, timeout: float) -> bool:
        assert timeout >= 0
        self._called("stop")
        return True

    def tell(self, news: News) -> None:
        self.news.append(news)
        self._called("tell")

    def show(self, facts: Facts) -> None:
        self.facts.append(facts)
        self._called("show")

    def test(self, news: News, timeout: float) -> Result:
        assert timeout > 0
        self.news.append(news)
        self._called("test")
        return Result(self.name, is_delivered=True, sentence="delivered")

    def status(self) -> Status:
        self.trouble("status")
        return Status("ok", delivered=len(self.news))

    def events(self) -> list[tuple[str, int, int]]:
        """Return what it has heard: the event, the visit and the presses."""
        return [(each.event.value, each.visit.id, each.visit.presses) for each in self.news]

    def wait_for(self, *expected: tuple[str, int, int]) -> None:
        eventually(lambda: len(self.events()) >= len(expected), f"{expected}")
        assert self.events() == list(expected)

    def wait_for_facts(self, look: Callable[[Facts], bool], what: str) -> Facts:
        eventually(lambda: self.facts and look(self.facts[-1]), what)
        return self.facts[-1]


class Door:
    """A doorbell whose notifier has a recording target, and pictures that the test publishes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = FrameHub()
        self.reason = ""
        self.watching = 0
        self.target = Recorded()
        self.start()

    def start(self, lengths: Lengths = LENGTHS) -> None:
        self.notifier = Notifier(self._facts, lambda: self.bell.recorder.knows_older, self._picture)
        self.bell = Doorbell(
            BellSettings(lengths, button=None),
            self.hub,
            self.folder,
            pause=lambda _closed: None,
            reason=lambda: self.reason,
            on_change=self.notifier.changed,
            on_news=self.notifier.hear,
            on_motion=self.notifier.changed,
        )
        self.bell.start()
        self.use(self.target)

    def stop(self) -> None:
        assert self.notifier.stop(GUARD)
        assert self.bell.stop(GUARD)
        assert self.notifier.stop(GUARD), "stop() may be called twice"

    def use(self, *targets: Recorded, settings: object = "") -> None:
        """Choose these; the same settings are the same target."""
        self.notifier.choose([choice(each, settings) for each in targets])

    def _facts(self) -> Facts:
        return Facts(
            name="Front door",
            reason=self.reason,
            watching=self.watching,
            motion=self.bell.recorder.sees_motion,
            is_paused=self.bell.shutter.state.closed,
            last=self.bell.recorder.news(),
            address="http://door/",
        )

    def _picture(self, visit: Visit | None) -> bytes | None:
        return self.bell.still(visit.id) if visit else PICTURE

    def publish(self, data: bytes = PICTURE, at: float | None = None) -> None:
        self.hub.publish(data, time.monotonic() if at is None else at, live=True)

    def ring(self, at: float | None = None) -> int:
        visit = self.bell.ring(time.monotonic() if at is None else at, "http")
        assert visit
        return visit.id


def choice(target: Recorded, settings: object = "") -> Choice:
    return Choice(target.name, settings, lambda: target)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    found = Door(tmp_path)
    yield found
    found.stop()


def test_ring_is_passed_on_once_with_its_still_and_before_the_facts(door: Door) -> None:
    door.target.wait_for_facts(lambda facts: facts.last is None, "the facts")
    door.publish()
    pressed_at = time.monotonic()
    number = door.ring(pressed_at)
    facts = door.target.wait_for_facts(lambda facts: facts.last is not None, "the newest ring")
    assert door.target.events() == [("ring", number, 1)]
    (news,) = door.target.news
    assert (news.still, news.at) == (PICTURE, pressed_at)
    assert news.visit.source == "http"
    assert facts.last == door.bell.recorder.news()
    assert door.target.calls.index("tell") < len(door.target.calls) - 1


def test_ring_without_a_picture_says_why_and_its_first_picture_follows(door: Door) -> None:
    door.reason = "missing"
    number = door.ring()
    door.target.wait_for(("ring", number, 1))
    assert (door.target.news[0].still, door.target.news[0].visit.reason) == (None, "missing")
    door.publish()
    door.target.wait_for(("ring", number, 1), ("picture", number, 1))
    assert (door.target.news[1].still, door.target.news[1].visit.still) == (PICTURE, 1)


def test_sharper_picture_follows_and_that_of_an_earlier_ring_does_not(door: Door) -> None:
    began = time.monotonic() - 40
    door.publish(at=began)
    first = door.ring(began)
    door.publish(BETTER, began + 1)
    door.target.wait_for(("ring", first, 1), ("picture", first, 1))
    assert door.target.news[1].still == BETTER
    door.bell.answer(first)
    with door.bell.recorder._lock:  # The recorder looks for a better one after the next ring.
        door.bell.recorder._memory.all[-1].stills.better = Frame(BETTER, 99, began + 2, 0)
        newest = door.bell.recorder._begin(Kind.RING, "http", began + 9)
        door.bell.recorder._memory.newest_ring = newest
    eventually(lambda: door.bell.store.visits()[-1].still == 3, "the better one")
    second = door.ring(began + 25)
    door.target.wait_for(
        *[("ring", first, 1), ("picture", first, 1), ("answered", first, 1), ("ring", second, 2)]
    )


def test_answer_is_passed_on_once(door: Door) -> None:
    number = door.ring()
    door.bell.answer(number)
    door.bell.answer(number)
    door.bell.answer(99)
    facts = door.target.wait_for_facts(lambda facts: bool(facts.last and facts.last.answered), "it")
    assert facts.last
    assert facts.last.id == number
    assert door.target.events() == [("ring", number, 1), ("answered", number, 1)]


def test_presses_of_one_ring_are_one_message_and_a_second_ring_is_another(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.stop()
    door.start(LENGTHS._replace(again=5.0))
    now = time.monotonic()
    numbers = [door.ring(now - 20 + seconds) for seconds in (0, 1, 2, 6, 7)]
    assert numbers == [1] * 5
    door.target.wait_for(("ring", 1, 1), ("ring", 1, 4))
    door.stop()


def test_rings_in_quick_succession_are_all_passed_on_in_order(door: Door) -> None:
    """The dispatcher is starved: it hangs in the first message until all has happened."""
    free = threading.Event()
    door.target.trouble = lambda method: None if method != "tell" else wait(free)
    moments = [time.monotonic() - 40 + 15 * number for number in range(3)]
    expected = []
    for moment in moments:
        number = door.ring(moment)
        door.bell.answer(number)
        expected += [("ring", number, 1), ("answered", number, 1)]
    free.set()
    door.target.wait_for(*expected)
    assert len({number for _, number, _ in expected}) == 3


def wait(event: threading.Event) -> None:
    assert event.wait(GUARD)


def test_deleting_the_newest_ring_is_passed_on_and_the_one_before_is_the_last(door: Door) -> None:
    first = door.ring(time.monotonic() - 30)
    door.bell.answer(first)
    second = door.ring()
    assert second != first
    eventually(lambda: door.bell.store.visit(second), "both are on the disk")
    door.target.wait_for_facts(lambda facts: bool(facts.last and facts.last.id == second), "it")
    assert door.bell.delete(second)
    eventually(lambda: door.target.news[-1].event is Event.DELETED, "the deletion")
    assert (door.target.news[-1].visit.id, door.target.news[-1].still) == (second, None)
    door.target.wait_for_facts(lambda facts: bool(facts.last and facts.last.id == first), "it")
    assert door.bell.delete(first)
    door.target.wait_for_facts(lambda facts: facts.last is None, "no ring")
    deleted = [each.visit.id for each in door.target.news if each.event is Event.DELETED]
    assert deleted == [second, first]


def test_nothing_of_the_process_before_is_news_but_its_ring_is_shown_and_can_be_deleted(
    door: Door,
) -> None:
    number = door.ring()
    door.target.wait_for(("ring", number, 1))
    door.stop()
    door.target = Recorded()
    door.start()
    facts = door.target.facts or [door.target.wait_for_facts(lambda _: True, "the facts")]
    assert facts[0].last
    assert facts[0].last.id == number
    door.bell.answer(number)
    door.target.wait_for_facts(lambda facts: bool(facts.last and facts.last.answered), "it")
    assert door.target.news == []
    door.bell.delete(number)
    door.target.wait_for(("deleted", number, 1))


def test_motion_the_shutter_and_viewers_are_shown_and_are_no_news(door: Door) -> None:
    door.bell.reconfigure(BellSettings(LENGTHS._replace(after=0.2), button=None))
    door.target.wait_for_facts(lambda facts: not facts.motion, "no motion")
    door.bell.move(time.monotonic())
    door.target.wait_for_facts(lambda facts: facts.motion, "motion")
    door.target.wait_for_facts(lambda facts: not facts.motion, "its end")
    door.bell.close_shutter(True)
    door.target.wait_for_facts(lambda facts: facts.is_paused, "the shutter")
    door.watching, door.reason = 3, "paused"
    door.target.wait_for_facts(lambda facts: (facts.watching, facts.reason) == (3, "paused"), "it")
    assert door.target.news == []
    assert all(one != other for one, other in zip(door.target.facts, door.target.facts[1:]))


@pytest.mark.parametrize("method", ["start", "tell", "show", "status", "test", "stop"])
def test_target_that_raises_ends_nothing_and_is_shown_as_failed(
    door: Door, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(called: str) -> None:
        if called == method:
            raise ValueError("https://user:secret@ntfy.example/topic")

    door.bell.reconfigure(EACH_A_RING)
    bad, good = Recorded("bad"), Recorded("good")
    bad.trouble = trouble
    door.use(bad, good)
    for _ in range(3):
        door.bell.answer(door.ring())
        good.wait_for_facts(lambda facts: facts.last == door.bell.recorder.news(), "the ring")
    assert len(good.events()) == 6
    sentences = [each.sentence for each in door.notifier.test(GUARD)]
    status = door.notifier.status()
    assert list(status) == ["bad", "good"]
    assert status["good"].state == "ok"
    if method in ("start", "tell", "show", "status"):
        assert (status["bad"].state, type(status["bad"].since)) == ("failed", float)
        assert "ValueError at test_notifier.py:" in status["bad"].detail
    if method in ("start", "test"):
        assert "ValueError" in sentences[0]
    door.use(good)
    eventually(lambda: method == "start" or "stop" in bad.calls, "its end")
    assert list(door.notifier.status()) == ["good"]
    assert door.notifier.alive
    assert "secret" not in f"{sentences} {status} {caplog.text}"
    assert sum("bad:" in each.message for each in caplog.records) <= 1


def test_target_that_hangs_is_named_and_delays_no_ring(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorbelld.notify.target._HANGING", 0.05)
    door.bell.reconfigure(EACH_A_RING)
    free = threading.Event()
    door.target.trouble = lambda method: wait(free) if method == "tell" else None
    try:
        first = door.ring()
        door.target.wait_for(("ring", first, 1))
        eventually(lambda: "hangs" in door.notifier.status()["phone"].detail, "that it hangs")
        before = time.thread_time()
        for _ in range(1000):
            door.bell.answer(door.ring())
        assert time.thread_time() - before < 5
        assert len(door.notifier._waiting) == 50
        assert not door.notifier.stop(0.01), "and it is known that it does not end"
    finally:
        free.set()


def test_thousand_presses_while_everything_is_away_leave_a_bounded_rest(door: Door) -> None:
    place = f"http://127.0.0.1:{free_port()}"
    port = free_port()
    door.bell.reconfigure(EACH_A_RING)
    door.notifier.choose(
        [
            Choice("mqtt", "", lambda: Mqtt(MqttSettings("127.0.0.1", port), door.bell)),
            Choice("ntfy", "", lambda: Ntfy(NtfySettings(f"{place}/x", None), str)),
            Choice("webhook", "", lambda: Webhook(WebhookSettings(f"{place}/x", None))),
        ]
    )

    def is_failing() -> bool:
        return {each.state for each in door.notifier.status().values()} == {"failed"}

    def press(count: int) -> int:
        """Return how many bytes are allocated after so many presses, each with a new picture."""
        for number in range(count):
            door.publish(jpeg(number % 50) + bytes(20_000))
            door.bell.answer(door.ring())
        eventually(lambda: not door.notifier._waiting, "all passed on")
        eventually(lambda: len(door.bell.recorder.in_memory()) == 1, "all written")
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        press(100)
        eventually(is_failing, "all of them fail")
        before = press(100)
        assert press(1000) - before < 1 << 20
    finally:
        tracemalloc.stop()
    assert is_failing()
    assert min(door.notifier.status()[name].dropped for name in ("ntfy", "webhook")) > 500


def test_thousand_presses_leave_nothing_behind(door: Door) -> None:
    door.bell.reconfigure(EACH_A_RING)
    door.publish(BETTER)
    for _ in range(1000):
        door.bell.answer(door.ring())
    eventually(lambda: not door.notifier._waiting, "all passed on")
    kept = [weakref.ref(each.visit) for each in door.target.news[:-200]]
    assert kept
    door.target.news.clear()
    gc.collect()
    assert not [each for each in kept if each()]


def test_reload_keeps_what_has_not_changed_and_changes_the_rest(door: Door) -> None:
    door.target.wait_for_facts(lambda _: True, "the facts")
    other, changed = Recorded("other"), Recorded()
    door.use(door.target, other)
    other.wait_for_facts(lambda _: True, "the facts")
    assert door.target.calls.count("start") == 1
    door.notifier.choose([choice(changed, "another address"), choice(other)])
    changed.wait_for_facts(lambda _: True, "the facts")
    eventually(lambda: door.target.calls[-1] == "stop", "the end of the old one")
    number = door.ring()
    changed.wait_for(("ring", number, 1))
    other.wait_for(("ring", number, 1))
    assert other.calls.count("start") == 1
    assert door.target.news == []
    door.use()
    eventually(lambda: changed.calls[-1] == other.calls[-1] == "stop", "the end of both")
    assert door.notifier.status() == {}
    assert door.notifier.test(GUARD) == []


def test_modules_are_loaded_in_the_thread_that_chooses_and_failing_to_is_no_harm(
    door: Door,
) -> None:
    threads, other = [], Recorded("other")

    def load() -> None:
        threads.append(threading.current_thread())
        raise ImportError("broken")

    door.notifier.choose([choice(other)._replace(load=load)])
    other.wait_for_facts(lambda _: True, "the facts")
    assert threads == [threading.current_thread()]


def test_without_a_target_there_is_no_thread_and_nothing_waits(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.stop()
    door.use = lambda *_targets, **_settings: None  # type: ignore[method-assign]
    door.start()
    door.notifier.choose([])
    door.ring()
    door.notifier.poll()
    assert "notify" not in [each.name for each in threading.enumerate()]
    assert not door.notifier._waiting
    door.notifier.choose([choice(door.target)])
    number = door.ring(time.monotonic() + 1)
    door.target.wait_for_facts(lambda facts: bool(facts.last and facts.last.id == number), "it")
    door.stop()


def test_ring_before_the_targets_are_chosen_waits_for_them(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.stop()
    choose, door.use = door.use, lambda *_targets, **_settings: None  # type: ignore[method-assign]
    door.start()
    number = door.ring()
    choose(door.target)
    door.target.wait_for(("ring", number, 1))
    door.stop()


def test_ring_that_is_a_minute_old_is_not_passed_on(door: Door) -> None:
    door.ring(time.monotonic() - 61)
    door.target.wait_for_facts(lambda facts: facts.last is not None, "the ring")
    assert door.target.news == []


def test_ring_of_the_last_moment_is_passed_on_before_the_end(tmp_path: Path) -> None:
    door = Door(tmp_path)
    free = threading.Event()
    door.target.trouble = lambda method: wait(free) if method == "show" else None
    door.target.wait_for_facts(lambda _: True, "the facts")
    number = door.ring()
    assert not door.notifier.stop(0)
    free.set()
    door.stop()
    assert door.target.events() == [("ring", number, 1)]
    assert door.target.calls[-1] == "stop"


def test_while_the_disk_does_not_answer_a_ring_is_passed_on_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a broker would learn for a moment that the bell has never rung."""
    monkeypatch.setattr(VisitRecorder, "knows_older", False)
    door = Door(tmp_path)
    eventually(lambda: door.target.calls, "it has started")
    door.notifier.changed()
    number = door.ring()
    door.target.wait_for(("ring", number, 1))
    assert door.target.calls[:3] == ["start", "show", "tell"], "a message needs a name"
    door.stop()


def test_system_out_of_threads_is_shown_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(tmp_path)
    door.stop()
    with monkeypatch.context() as patch:
        patch.setattr(Notifier, "start", _no_threads)
        door.start()
        door.notifier.poll()
        assert door.notifier.status()["phone"].detail == "the system is out of threads"
        assert len([each for each in caplog.records if "out of threads" in each.message]) == 1
    door.notifier.poll()
    number = door.ring()
    door.target.wait_for(("ring", number, 1))
    assert door.notifier.status()["phone"].state == "ok"
    door.stop()


def _no_threads(_worker: Notifier) -> None:
    raise RuntimeError("can't start new thread")


def test_test_message_has_the_newest_still_or_the_picture_of_now(door: Door) -> None:
    door.target.wait_for_facts(lambda _: True, "the facts")
    assert door.notifier.test(GUARD) == [Result("phone", is_delivered=True, sentence="delivered")]
    (news,) = door.target.news
    assert (news.visit.id, news.visit.source, news.still) == (0, "test", PICTURE)
    door.publish(BETTER)
    number = door.ring()
    door.target.wait_for(("ring", 0, 1), ("ring", number, 1))
    door.notifier.test(GUARD)
    assert (door.target.news[-1].visit.id, door.target.news[-1].still) == (number, BETTER)


def test_test_of_a_target_that_hangs_ends(door: Door) -> None:
    free = threading.Event()
    slow, good = Recorded("slow"), Recorded("good")
    slow.trouble = lambda method: wait(free) if method == "test" else None
    door.use(slow, good)
    good.wait_for_facts(lambda _: True, "the facts")
    results: Sequence[Result] = door.notifier.test(0.1)
    assert [(each.target, each.is_delivered) for each in results] == [
        ("slow", False),
        ("good", True),
    ]
    free.set()

"""Doorbell: the bell, its visits and the shutter, for all that ring, read or show them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from doorbelld.stream.hub import FrameHub
from doorbelld.stream.shutter import Shutter, ShutterState
from doorbelld.system import clock
from doorbelld.visits.button import ButtonThread
from doorbelld.visits.recorder import VisitRecorder
from doorbelld.visits.recording import Lengths
from doorbelld.visits.store import Totals, VisitStore
from doorbelld.visits.visit import Kind, News, StoreError, Visit, VisitState, described
from doorbelld.visits.writer import Problem

if TYPE_CHECKING:
    from doorbelld.visits.motion import MotionThread

_log = logging.getLogger(__name__)

T = TypeVar("T")

_NEWS = ("id", "kind", "state", "at", "pressed_at", "presses", "still", "reason", "answered")
"""What pages learn of a ring at once."""

_MB = 1_000_000
_OPENING = 0.5
"""Seconds that the start may be later because of the disk."""

_SAVING = 1.0
"""Seconds that a change of the shutter may wait for the disk, which may not answer at all."""

_TEMPORARY_SPACE = 50 * _MB
"""Bytes for visits in a temporary folder, which may be in memory."""


@dataclass(frozen=True)
class BellSettings:
    """The sections [bell] and [visits] of doorbelld.conf(5). ``space`` is in bytes.

    ``button`` is None for no button, "auto", or an input device, and ``key`` the code of its key.
    ``ignore`` are parts of the picture: left, top, width and height, as fractions of it.
    """

    lengths: Lengths = Lengths()  # noqa: RUF009  # a NamedTuple never changes
    space: int = 1000 * _MB
    days: float = 30.0
    button: str | None = "auto"
    key: int = 256
    motion: bool = False
    ignore: tuple[tuple[float, float, float, float], ...] = ()


class Doorbell:
    """All of it. Any thread may call the methods; none waits for a camera.

    ``folder`` is where state outlives the daemon; None: nothing does. ``pause`` closes the camera
    and opens it again. For ``reason`` and what begins with ``on_`` see :class:`VisitRecorder`.
    """

    def __init__(
        self,
        settings: BellSettings,
        hub: FrameHub,
        folder: Path | None,
        *,
        pause: Callable[[bool], None],
        reason: Callable[[], str],
        on_change: Callable[[], None],
        on_news: Callable[[News], None] = lambda _news: None,
        on_motion: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._folder = folder
        self._motion: MotionThread | None = None
        self._looks_before = 0
        self._on_change = on_change
        self._temporary: Path | None = None
        self._elsewhere: Problem | None = None
        self._fault = ""
        self.shutter = Shutter(folder, pause)
        self.recorder = VisitRecorder(hub, self._open_store, reason, on_change, on_news, on_motion)
        self.recorder.writer.each_hour = self.shutter.save  # It may have failed before.
        self._button = ButtonThread(self._press, settings.button, settings.key)

    def start(self) -> None:
        """Begin to record, and to listen to the button. A failure is logged and in status().

        Waits a moment for the disk, and not longer.
        """
        self.recorder.configure(self._settings.lengths)
        try:
            self.recorder.start()
            self.recorder.wait_until_opened(_OPENING)
            self._button.start()
            self._start_motion()
        except RuntimeError as error:  # threading raises no better one
            self._fault = f"the bell does not work, the system is out of threads: {error}"

    def log_place(self) -> None:
        """Log that it has not started, or where visits are kept if not where they should be."""
        if self._fault:
            _log.error("%s", self._fault)
        self.recorder.do(self._log_place)

    def stop(self, timeout: float = 1.0) -> bool:
        """End; return whether all threads did in time. May be called more than once."""
        threads = (self._button, self._motion, self.recorder)
        ended = [each.stop(timeout) for each in threads if each]
        if all(ended) and self._temporary is not None:
            import shutil  # It needs memory, and a service does not need it.

            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
        return all(ended)

    def reconfigure(self, settings: BellSettings) -> None:
        """Use other settings."""
        before, self._settings = self._settings, settings
        if settings.lengths != before.lengths:
            self.recorder.configure(settings.lengths)
        self.recorder.do(self._set_limits)
        self._button.reconfigure(settings.button, settings.key)
        if _of_motion(settings) != _of_motion(before):
            self._restart_motion()

    def _restart_motion(self) -> None:
        if self._motion and not self._motion.stop():
            _log.warning("motion is still looked for with the settings from before")
            return
        try:
            self._start_motion()
        except RuntimeError as error:
            _log.error("motion is not recorded, the system is out of threads: %s", error)

    def _start_motion(self) -> None:
        self._looks_before, self._motion = self.looks, None
        if self._settings.motion:
            from doorbelld.visits.motion import MotionSettings, MotionThread  # rarely needed

            lengths = self._settings.lengths
            settings = MotionSettings(self._settings.ignore, lengths.after, lengths.longest)
            self._motion = MotionThread(self._hub, self.move, settings)
            self._motion.start()

    # What happens

    def ring(self, pressed_at: float, source: str) -> Visit | None:
        """Ring: begin a visit or continue it, in memory, and tell the pages. Returns it at once.

        ``pressed_at`` is on time.monotonic()'s clock, ``source`` is where the press came from.
        None: it was the bounce of a contact.
        """
        return self.recorder.ring(pressed_at, source)

    def _press(self, pressed_at: float) -> None:
        self.ring(pressed_at, "button")

    def move(self, moved_at: float) -> None:
        """Begin or continue a visit because something has moved."""
        self.recorder.move(moved_at)

    def close_shutter(self, closed: bool) -> ShutterState:
        """Close the camera, or open it again, at once.

        It waits a moment for the disk: what the answer says has to be true after a crash, too.
        """
        state = self.shutter.close(closed)
        if closed:
            self.recorder.forget_pictures()
        self._on_change()
        self.recorder.do_now(self.shutter.save, _SAVING)
        return state

    # Visits

    @property
    def store(self) -> VisitStore:
        """What is on the disk. Raises StoreError if that is not known yet."""
        store = self.recorder.store
        if store is None:
            raise StoreError("the visits are not read yet; try it again in a moment")
        return store

    def visits(
        self, before: int | None = None, limit: int = 50, kind: Kind | None = None
    ) -> list[Visit]:
        """Return the newest visits, the newest first: with ids below ``before``, of one kind."""
        nothing: list[Visit] = []
        stored = self._ask(lambda: self.store.visits(before, limit, kind), nothing)
        found = {each.id: each for each in stored}
        for each in self.recorder.in_memory():
            if (before is None or each.id < before) and kind in (None, each.kind):
                found[each.id] = _merged(each, found.get(each.id))
        return sorted(found.values(), key=lambda each: -each.id)[:limit]

    def visit(self, number: int) -> Visit | None:
        """Return one visit; None if there is none with this id."""
        stored = self._ask(lambda: self.store.visit(number), None)
        found = [each for each in self.recorder.in_memory() if each.id == number]
        return _merged(found[0], stored) if found else stored

    def still(self, number: int) -> bytes | None:
        """Return the newest still of a visit; None if it has none."""
        return self.recorder.still(number) or self._ask(lambda: self.store.still(number), None)

    def picture(self, visit: Visit | None) -> bytes | None:
        """Return the still of a visit, if it has one, or the picture of now."""
        still = self.still(visit.id) if visit else None
        latest = self._hub.latest
        return still or (latest.data if latest and latest.live else None)

    def answer(self, number: int) -> Visit | None:
        """Mark a visit as answered, if it is not yet; return it, or None if there is none."""
        found = self.recorder.answer(number)
        at = self.recorder.answered_at(number)  # The disk must not say anything else.
        stored = self._ask(lambda: self.store.answer(number, at), None)
        if found is None:
            self.recorder.look_for_older()
        self._on_change()
        return _merged(found, stored) if found else stored

    def delete(self, number: int) -> bool:
        """Delete a visit; return whether there was one."""
        was_in_memory = self.recorder.delete(number)
        was_stored = self._ask(lambda: self.store.delete(number), False)
        self.recorder.look_for_older()
        return was_in_memory or was_stored

    def delete_all(self) -> int:
        """Delete all visits; return how many there were."""
        in_memory = [each.id for each in self.recorder.in_memory()]
        count = sum(self.delete(number) for number in in_memory)
        count += self._ask(lambda: self.store.delete_all(), 0)  # noqa: PLW0108  # store may raise
        self.recorder.look_for_older()
        return count

    def _ask(self, question: Callable[[], T], otherwise: T) -> T:
        """Return what the store answers, or if it cannot, what is there without it."""
        if self.recorder.store is None:
            return otherwise
        try:
            return question()
        except StoreError as error:
            self.recorder.writer.fail(str(error))
            return otherwise

    # What others show

    @property
    def looks(self) -> int:
        """How many pictures were looked at for motion, also with settings from before."""
        return self._looks_before + (self._motion.looks if self._motion else 0)

    def state(self) -> dict[str, Any]:
        """Return what belongs to the state of docs/live.md."""
        news = self.recorder.news()
        return {"visit": news and _as_news(news), "shutter": self.shutter.state._asdict()}

    def status(self) -> dict[str, Any]:
        """Return what belongs to ``/status``."""
        shutter = {**self.shutter.state._asdict(), "detail": self.shutter.problem}
        return {"bell": self._button.status(), "visits": self._visits_status(), "shutter": shutter}

    def _visits_status(self) -> dict[str, Any]:
        problem = self.recorder.writer.problem or self._elsewhere
        if self.recorder.has_ended:
            problem = Problem("the thread that writes visits does not run", self.recorder.beat)
        totals = self._ask(lambda: self.store.totals(), Totals(0, 0))  # noqa: PLW0108  # store may raise
        is_open = any(each.state is VisitState.OPEN for each in self.recorder.in_memory())
        return {
            "state": "memory" if self._elsewhere else "failed" if problem else "ok",
            "detail": problem.detail if problem else "",
            "since": round(clock.unix(problem.since), 3) if problem else None,
            "count": totals.count,
            "bytes": totals.bytes,
            "space": self._space,
            "days": self._settings.days,
            "open": is_open,
            "ignore": [list(zone) for zone in self._settings.ignore],
            "motion": self._motion_status(),
        }

    def _motion_status(self) -> dict[str, Any]:
        motion = self._motion
        if not self._settings.motion:
            return {"state": "off", "detail": "", "looks": 0}
        detail = motion.problem if motion else "the system is out of threads"
        looks = motion.looks if motion else 0
        return {"state": "failed" if detail else "on", "detail": detail, "looks": looks}

    # In the recorder's thread

    @property
    def _space(self) -> int:
        space = self._settings.space
        return min(space, _TEMPORARY_SPACE) if self._temporary else space

    def _set_limits(self) -> None:
        self.store.space, self.store.days = self._space, self._settings.days
        if self.store.enforce():
            self.recorder.look_for_older()

    def _log_place(self) -> None:
        if self._elsewhere:
            level = logging.INFO if self._folder is None else logging.ERROR
            why = self._elsewhere.detail
            _log.log(level, "visits are kept only until the daemon stops: %s", why)

    def _open_store(self) -> VisitStore:
        """Open the store in the folder or, if that is not possible, in a temporary one."""
        why, last_id = "there is no STATE_DIRECTORY", 0
        if self._folder is not None:
            store = self._store_in(self._folder / "visits")
            try:
                store.open()
                return store
            except StoreError as error:
                why, last_id = str(error), error.last_id
        self._elsewhere = Problem(why, time.monotonic())
        import tempfile  # It needs memory, and a service does not need it.

        try:
            self._temporary = Path(tempfile.mkdtemp(prefix="doorbelld-"))
            store = self._store_in(self._temporary, last_id)
            store.open()
        except (OSError, StoreError) as error:
            _log.error("visits are kept in memory alone: %s", error)
            return self._store_in(Path(os.devnull), last_id)
        return store

    def _store_in(self, folder: Path, last_id: int = 0) -> VisitStore:
        return VisitStore(folder, space=self._space, days=self._settings.days, after=last_id)


def _of_motion(settings: BellSettings) -> tuple[object, ...]:
    """Return what the thread that looks for motion depends on."""
    return settings.motion, settings.ignore, settings.lengths.after, settings.lengths.longest


def _merged(visit: Visit, stored: Visit | None) -> Visit:
    """Return a visit as it is in memory, with what the disk knows of its film."""
    if stored is None:
        return visit
    return replace(
        visit,
        frames=stored.frames,
        seconds=stored.seconds,
        before=stored.before,
        bytes=stored.bytes,
    )


def _as_news(visit: Visit) -> dict[str, Any]:
    found = described(visit)
    return {key: found[key] for key in _NEWS}

"""What the page says about its picture: the verdict on the facts, held for a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import evaluate

pytestmark = pytest.mark.process

CAMERA = {"state": "streaming", "reason": "", "detail": "A camera", "since": 1000, "fps": 30}
GOOD: dict[str, Any] = {
    "hidden": False,
    "status": 0,
    "text": "",
    "isOpen": True,
    "failures": 0,
    "silence": 0.03,
    "heardAt": 2000,
    "hasEnded": False,
    "online": True,
    "camera": CAMERA,
    "cameraAge": 0,
    "age": 0.1,
    "lag": 0.05,
    "pause": 0.03,
    "smaller": False,
    "canShrink": True,
    "isLimited": False,
    "limit": 0,
    "shutter": None,
}


def judge(folder: Path, *cases: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the verdicts on these facts; those that are not given are good."""
    facts = json.dumps([{**GOOD, **case} for case in cases])
    script = f'const {{ judge }} = await import("./states.js"); return {facts}.map(judge);'
    found: list[dict[str, Any]] = evaluate(folder, script)
    return found


def states(folder: Path, *cases: dict[str, Any]) -> list[str]:
    return [verdict["state"] for verdict in judge(folder, *cases)]


def said(verdict: dict[str, Any]) -> list[str]:
    """Return the keys of the sentences of a verdict."""
    return [verdict[each][0] for each in ("headline", "detail", "help", "note") if verdict[each]]


def test_good_picture_is_live_and_nothing_is_said(tmp_path: Path) -> None:
    (verdict,) = judge(tmp_path, {})
    assert verdict["state"] == "live"
    assert said(verdict) == []


def test_hidden_page_is_paused_whatever_else_is_so(tmp_path: Path) -> None:
    assert states(tmp_path, {"hidden": True}, {"hidden": True, "status": 503}) == ["paused"] * 2


def test_page_waits_for_its_first_picture(tmp_path: Path) -> None:
    starting = {**CAMERA, "state": "starting"}
    found = judge(tmp_path, {"age": None}, {"camera": None}, {"camera": starting, "age": None})
    assert [verdict["state"] for verdict in found] == ["connecting"] * 3
    assert [said(verdict) for verdict in found] == [[], [], ["camera.starting"]]


@pytest.mark.parametrize(
    ("age", "pause", "fps", "state"),
    [
        (1.2, 0.03, 30, "live"),
        (1.5, 0.03, 30, "stale"),
        (3.1, 0.03, 0.5, "live"),  # a slow camera
        (3.3, 0.03, 0.1, "stale"),
        (2.5, 1.4, 30, "live"),  # rare pictures, but each is as new as it can be
        (3.3, 9, 30, "stale"),
    ],
)
def test_picture_may_be_as_old_as_its_pauses_and_not_older(
    tmp_path: Path, age: float, pause: float, fps: float, state: str
) -> None:
    camera = {**CAMERA, "fps": fps}
    assert states(tmp_path, {"age": age, "pause": pause, "camera": camera}) == [state]


def test_old_picture_has_its_age_and_the_one_to_blame(tmp_path: Path) -> None:
    camera, link, nothing = judge(
        tmp_path,
        {"age": 4.4, "cameraAge": 3.9},
        {"age": 4.4, "lag": 4.3},
        {"age": 1.6, "silence": 1.4},
    )
    assert camera["headline"] == ["stale.age", {"seconds": 4}]
    assert said(camera)[1:] == ["stale.camera"]
    assert said(link)[1:] == ["stale.connection"]
    assert said(nothing)[0] == "connection.weak"


def test_slow_is_live_with_a_note(tmp_path: Path) -> None:
    found = judge(
        tmp_path,
        {"smaller": True},
        {"lag": 1.4, "age": 1.1},
        {"lag": 1.4, "age": 1.1, "canShrink": False},
        {"isLimited": True},
        {"pause": 0.7, "canShrink": False},
    )
    assert [verdict["state"] for verdict in found] == ["slow"] * 5
    notes = ["slow.smaller", "slow.late", "slow.full", "slow.full", "slow.full"]
    assert [said(verdict) for verdict in found] == [[note] for note in notes]


def test_camera_that_is_slow_itself_is_live(tmp_path: Path) -> None:
    slow = {"pause": 0.7, "canShrink": False}
    few = {**CAMERA, "fps": 2}
    found = states(tmp_path, {**slow, "camera": few}, {**slow, "canShrink": True})
    assert found == ["live", "live"]


def test_silence_is_weak_first_and_then_no_connection(tmp_path: Path) -> None:
    old = {"age": 9}
    found = judge(
        tmp_path,
        *({**old, "silence": silence} for silence in (1.6, 3.4, 3.6)),
        {**old, "silence": 4, "online": False},
        {**old, "silence": 1.6, "failures": 2},
        {**old, "silence": 4, "hasEnded": True},
        {**old, "silence": 7, "hasEnded": True},
    )
    assert [verdict["state"] for verdict in found] == [
        *("stale", "stale", "offline", "offline", "offline", "stale", "offline")
    ]
    assert said(found[0])[0] == said(found[1])[0] == "connection.weak"
    assert found[2]["detail"] == ["connection.silent", {"time": 2000}]
    assert found[3]["detail"] == ["connection.network"]
    assert said(found[5])[0] == "connection.restart"
    assert said(found[2])[-1] == "trying"


def test_page_that_never_had_an_answer_says_so_soon(tmp_path: Path) -> None:
    never = {"camera": None, "age": None, "isOpen": False, "heardAt": 0}
    found = [
        {**never, "silence": 2},
        {**never, "silence": 2, "failures": 2},
        {**never, "silence": 4},
    ]
    assert states(tmp_path, *found) == ["connecting", "offline", "offline"]


def test_camera_that_is_closed_on_purpose_is_no_fault(tmp_path: Path) -> None:
    camera = {**CAMERA, "state": "offline", "reason": "paused"}
    closed = {"camera": camera, "shutter": {"closed": True, "since": 2000}}
    paused, full, lost, hidden = judge(
        tmp_path,
        closed,
        {**closed, "status": 503},
        {**closed, "silence": 9},
        {**closed, "hidden": 1},
    )
    assert paused == full
    assert (paused["state"], paused["technical"]) == ("shut", None)
    assert paused["headline"] == ["shutter.since", {"time": 2000}]
    assert said(lost)[0] == "connection.none"
    assert hidden["state"] == "paused"


def test_camera_that_was_just_resumed_is_starting(tmp_path: Path) -> None:
    camera = {**CAMERA, "state": "offline", "reason": "paused"}
    shutter = {"closed": False, "since": 2000}
    resumed, older = judge(tmp_path, {"camera": camera, "shutter": shutter}, {"camera": camera})
    assert said(resumed) == ["camera.starting"]
    assert said(older)[1] == "reason.paused"


def test_lost_camera_has_its_reason_in_words_and_the_details_apart(tmp_path: Path) -> None:
    camera = {**CAMERA, "state": "offline", "reason": "busy", "detail": "motion uses it"}
    known, unknown = judge(tmp_path, {"camera": camera}, {"camera": {**camera, "reason": ""}})
    assert known["state"] == "offline"
    assert said(known) == ["offline.since", "reason.busy", "reason.busy.help", "trying"]
    assert known["technical"] == "motion uses it"
    assert said(unknown)[1] == "reason.other"


@pytest.mark.parametrize(
    ("status", "state", "key"),
    [
        *((status, "offline", f"answer.{status}") for status in (403, 404, 421, 500, 502)),
        (504, "offline", "answer.502"),
        (418, "offline", "answer.other"),
        (503, "full", "full"),
    ],
)
def test_refusal_has_its_own_sentence(tmp_path: Path, status: int, state: str, key: str) -> None:
    (verdict,) = judge(tmp_path, {"status": status, "text": "because"})
    assert (verdict["state"], said(verdict)[0]) == (state, key)
    assert state == "full" or verdict["technical"] == f"{status}: because"


def test_full_says_how_many_may_watch_once_that_is_known(tmp_path: Path) -> None:
    first, later = judge(tmp_path, {"status": 503}, {"status": 503, "limit": 3})
    assert first["detail"] == ["trying"]
    assert later["detail"] == ["full.limit", {"count": 3}]


# Held for a moment.


def settle(folder: Path, *spans: tuple[str, float], step: float = 0.2) -> list[tuple[str, float]]:
    """Return what is shown and for how long, while each state is wanted for so many seconds."""
    wanted = [[state] * round(seconds / step) for state, seconds in spans]
    flat = json.dumps([state for states in wanted for state in states])
    script = f"""
      const {{ Calm }} = await import("./states.js");
      const calm = new Calm();
      return {flat}.map((state, index) => calm.settle({{ state }}, index * {step}).state);
    """
    shown: list[tuple[str, float]] = []
    for state in evaluate(folder, script):
        before = shown.pop() if shown and shown[-1][0] == state else (state, 0)
        shown.append((state, round(before[1] + step, 1)))
    return shown


def test_fault_is_shown_soon(tmp_path: Path) -> None:
    shown = settle(tmp_path, ("live", 4), ("stale", 2), ("offline", 2))
    assert [state for state, _ in shown] == ["live", "stale", "offline"]
    assert shown[0][1] <= 4.5
    assert shown[1][1] <= 2.5


def test_glitch_is_not_shown(tmp_path: Path) -> None:
    assert settle(
        tmp_path, ("live", 4), ("stale", 0.2), ("live", 4), ("slow", 0.8), ("live", 2)
    ) == [("live", 11.0)]


def test_faults_in_turn_are_one_fault(tmp_path: Path) -> None:
    spans = [("live", 4.0), *(("stale", 0.2), ("offline", 0.2)) * 5]
    assert settle(tmp_path, *spans)[1][0] in ("stale", "offline")
    assert settle(tmp_path, *spans)[0][1] <= 4.5


def test_link_that_comes_and_goes_does_not_make_the_badge_flicker(tmp_path: Path) -> None:
    spans = [("live", 1.2), ("stale", 0.8)] * 15
    shown = settle(tmp_path, ("live", 4), *spans)
    assert len(shown) <= 5


def test_slow_stays_until_the_link_is_good_for_a_while(tmp_path: Path) -> None:
    shown = settle(tmp_path, ("live", 4), *[("slow", 1.2), ("live", 1)] * 8, ("live", 4))
    assert [state for state, _ in shown] == ["live", "slow", "live"]


def test_pause_and_return_take_no_time(tmp_path: Path) -> None:
    shown = settle(tmp_path, ("live", 1), ("paused", 0.2), ("connecting", 0.2), ("live", 0.2))
    assert [state for state, _ in shown] == ["live", "paused", "connecting", "live"]


# Falling behind.


def keep_pace(folder: Path, lags: list[float], step: float = 0.2) -> dict[str, list[Any]]:
    """Return when a stream with these lags, one after the other, is reported and given up."""
    script = f"""
      const {{ Pace }} = await import("./pace.js");
      const pace = new Pace();
      const found = {{ reports: [], endings: [], wishes: [] }};
      {json.dumps(lags)}.forEach((lag, index) => {{
        const at = index * {step};
        pace.picture(10000, at);
        pace.sample(index * 20000 * {step}, at);
        pace.lag = lag;
        if (pace.isToReport(at)) found.reports.push(at);
        if (!pace.isToGiveUp(at)) return;
        found.endings.push(at);
        found.wishes.push(pace.wish(at, true), pace.wish(at, false));
        pace.begin(at);
      }});
      return found;
    """
    found: dict[str, list[Any]] = evaluate(folder, script)
    return found


def test_stream_that_keeps_up_is_never_reported(tmp_path: Path) -> None:
    found = keep_pace(tmp_path, [0.1, 0.5, 0.1, 0.9, 0.1] * 20)
    assert found["reports"] == found["endings"] == []


def test_falling_behind_and_catching_up_are_reported(tmp_path: Path) -> None:
    found = keep_pace(tmp_path, [0.1] * 10 + [1.0] * 5 + [0.1] * 20)
    assert len(found["reports"]) == 2
    assert found["endings"] == []


def test_stream_that_stays_behind_is_reported_again(tmp_path: Path) -> None:
    found = keep_pace(tmp_path, [1.0, 1.1] * 25)
    assert 4 <= len(found["reports"]) <= 6
    assert found["endings"] == []


def test_stream_that_is_too_late_is_given_up_for_one_that_fits_the_link(tmp_path: Path) -> None:
    found = keep_pace(tmp_path, [0.1] * 10 + [5.0] * 10 + [0.1] * 10)
    assert len(found["endings"]) == 1
    smaller, rarer = found["wishes"]
    assert smaller == {"rate": pytest.approx(16000, rel=0.1)}
    assert rarer == {"rate": pytest.approx(16000, rel=0.1), "fps": pytest.approx(1.6, rel=0.1)}


def test_stream_that_is_always_late_is_given_up_ever_more_rarely(tmp_path: Path) -> None:
    endings = keep_pace(tmp_path, [5.0] * 500)["endings"]
    pauses = [late - early for early, late in zip(endings, endings[1:])]
    assert pauses == sorted(pauses)
    assert len(endings) <= 6

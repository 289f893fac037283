"""The film of the page of visits: which picture is due when, and which are fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import evaluate

pytestmark = pytest.mark.process

PLAYER = """
const { Player } = await import("./player.js");
const kept = new Set(TIMES.map((_, index) => index));
const wanted = [];
const shown = [];
const frames = {
  get: (index) => (kept.has(index) ? { index } : undefined),
  want: (index, stride) => wanted.push([index, stride]),
  isFull: false,
};
const player = new Player(frames, (index) => shown.push(index));
player.times = TIMES;
"""
FRAMES = """
globalThis.location = { search: "", replace() {} };
const asked = [];
const waiting = [];
globalThis.fetch = (url, { signal }) => new Promise((resolve, reject) => {
  const index = Number(url.match(/(\\d+)\\.jpg$/)[1]);
  asked.push(index);
  waiting.push([index, resolve, reject]);
  signal.addEventListener("abort", () => reject(new Error("aborted")));
});
const turn = () => new Promise((resolve) => setTimeout(resolve));
const failures = [];
const { Frames } = await import("./player.js");
const frames = new Frames(7, { came() {}, failed: ({ message }) => failures.push(message) });
async function answer(size, status = 200) {
  for (const [index, resolve] of waiting.splice(0)) {
    resolve({ ok: status === 200, status, blob: async () => ({ index, size }) });
  }
  await turn();
}
"""
TEN_A_SECOND = [round(number / 10 - 0.5, 3) for number in range(20)]


def play(folder: Path, script: str, times: Sequence[float] = TEN_A_SECOND) -> Any:
    begun = PLAYER.replace("TIMES", json.dumps(times))
    return evaluate(folder, f"{begun}{script}")


def test_film_plays_at_the_speed_at_which_it_was_taken(tmp_path: Path) -> None:
    script = """
      player.play(100);
      const seen = [];
      for (let frame = 0; frame <= 120; frame += 1) {
        player.tick(100 + frame / 60);
        seen.push([frame / 60, player.times[player.index] + 0.5]);
      }
      return [seen, shown, player.isPlaying];
    """
    seen, shown, is_playing = play(tmp_path, script)
    assert shown == list(range(20))
    for passed, moment in seen:
        assert moment == pytest.approx(min(passed, 1.9), abs=0.1001)
    assert not is_playing


def test_pictures_at_odd_moments_are_shown_at_them(tmp_path: Path) -> None:
    script = """
      player.play(0);
      for (const at of [0.5, 0.99, 1.01, 3.9, 4.05, 4.2]) player.tick(at);
      return shown;
    """
    assert play(tmp_path, script, [-1, 0, 3, 3.1]) == [0, 1, 2, 3]


def test_screen_that_is_slow_leaves_pictures_out(tmp_path: Path) -> None:
    script = "player.play(0); player.tick(0.55); player.tick(1.25); return shown;"
    assert play(tmp_path, script) == [0, 5, 12]


def test_film_waits_for_pictures_and_takes_fewer(tmp_path: Path) -> None:
    script = """
      for (let index = 1; index < 20; index += 1) kept.delete(index);
      player.play(0);
      player.tick(0.3);
      const before = [player.isWaiting, player.index];
      player.tick(0.65);
      const during = [player.isWaiting, player.index, wanted[wanted.length - 1][1]];
      player.tick(9);
      kept.add(2).add(4);
      player.tick(10);
      player.tick(10.21);
      return [before, during, shown];
    """
    before, during, shown = play(tmp_path, script)
    assert before == [False, 0]
    assert during == [True, 2, 2]
    assert shown == [0, 2, 4]


def test_film_that_has_ended_begins_again(tmp_path: Path) -> None:
    script = "player.seek(19, 0); player.play(1); player.tick(1.05); return [shown, player.index];"
    assert play(tmp_path, script) == [[19, 0], 0]


def test_film_that_goes_on_waits_for_its_end(tmp_path: Path) -> None:
    script = """
      player.isOpen = true;
      player.seek(19, 0);
      player.play(0);
      player.tick(5);
      const isPlaying = player.isPlaying;
      player.times = player.times.concat([1.5, 1.6]);
      kept.add(20).add(21);
      player.tick(5.11);
      player.tick(5.21);
      player.isOpen = false;
      player.tick(5.3);
      return [isPlaying, shown, player.isPlaying];
    """
    assert play(tmp_path, script) == [True, [19, 20, 21], False]


def test_place_is_held_inside_the_film(tmp_path: Path) -> None:
    script = "player.seek(99, 0); player.seek(-5, 0); return shown;"
    assert play(tmp_path, script) == [19, 0]


def test_picture_that_is_not_there_yet_is_shown_when_it_comes(tmp_path: Path) -> None:
    script = """
      kept.delete(7);
      player.seek(7, 0);
      const before = shown.slice();
      kept.add(7);
      player.tick(3);
      player.tick(4);
      return [before, shown];
    """
    assert play(tmp_path, script) == [[], [7]]


def test_few_requests_at_once_and_some_ahead(tmp_path: Path) -> None:
    script = """
      frames.want(0, 1, 100);
      const first = asked.slice();
      for (let round = 0; round < 20; round += 1) await answer(50000);
      return [first, asked, frames.isFull];
    """
    first, asked, is_full = evaluate(tmp_path, FRAMES + script)
    assert first == [0, 1, 2, 3]
    assert asked == list(range(24))
    assert is_full


def test_pictures_far_from_the_place_are_dropped(tmp_path: Path) -> None:
    script = """
      frames.want(0, 1, 1000);
      for (let round = 0; round < 20; round += 1) await answer(50000);
      frames.want(500, 1, 1000);
      await answer(50000);
      return [0, 23, 500, 503].map((index) => Boolean(frames.get(index)));
    """
    assert evaluate(tmp_path, FRAMES + script) == [False, False, True, True]


def test_large_pictures_are_few(tmp_path: Path) -> None:
    script = """
      frames.want(0, 1, 1000);
      for (let round = 0; round < 30; round += 1) await answer(4 * 1024 * 1024);
      const few = asked.length;
      frames.want(3, 1, 1000);
      for (let round = 0; round < 30; round += 1) await answer(4 * 1024 * 1024);
      return [few, Boolean(frames.get(3))];
    """
    few, has_next = evaluate(tmp_path, FRAMES + script)
    assert few <= 8
    assert has_next


def test_error_is_reported_and_nothing_more_is_fetched(tmp_path: Path) -> None:
    script = """
      frames.want(0, 1, 100);
      await answer(1, 404);
      const count = asked.length;
      await turn();
      frames.want(0, 1, 100);
      return [failures[0], count, asked.length];
    """
    message, count, again = evaluate(tmp_path, FRAMES + script)
    assert message == "This visit is not there any more."
    assert count == 4
    assert again > 4


def test_nothing_comes_after_the_end(tmp_path: Path) -> None:
    script = """
      frames.want(0, 1, 100);
      frames.close();
      await turn();
      return [failures, asked.length, Boolean(frames.get(0))];
    """
    assert evaluate(tmp_path, FRAMES + script) == [[], 4, False]


def test_film_that_was_closed_can_be_fetched_again(tmp_path: Path) -> None:
    """If a visit could not be deleted, the user may go on watching its film."""
    script = """
      frames.want(0, 1, 100);
      for (let round = 0; round < 20; round += 1) await answer(2 * 1024 * 1024);
      frames.close();
      asked.length = 0;
      frames.want(0, 1, 100);
      return asked;
    """
    assert evaluate(tmp_path, FRAMES + script) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("one", "other", "line"),
    [
        ((0.1, 0.2), (0.4, 0.6), "0.10 0.20 0.30 0.40"),
        ((0.4, 0.6), (0.1, 0.2), "0.10 0.20 0.30 0.40"),
        ((-3, 0.901), (0.334, 7), "0.00 0.90 0.33 0.10"),
    ],
)
def test_part_of_the_picture_is_written_for_the_configuration(
    tmp_path: Path, one: tuple[float, float], other: tuple[float, float], line: str
) -> None:
    script = f"""
      globalThis.window = globalThis;
      const {{ between, lineOf }} = await import("./zones.js");
      const point = ([x, y]) => ({{ x, y }});
      const zone = between(point({json.dumps(one)}), point({json.dumps(other)}));
      return [lineOf([]), lineOf([zone]), lineOf([zone, zone])];
    """
    assert evaluate(tmp_path, script) == [
        "ignore = none",
        f"ignore = {line}",
        f"ignore = {line}, {line}",
    ]

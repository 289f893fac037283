"""What the page asks its stream for, and what it makes of the pictures that come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.node import evaluate

pytestmark = pytest.mark.process

PAGE = """
let time = 1000;
performance.now = () => time * 1000;
Date.now = () => time * 1000;
const asked = [];
let send = null;
globalThis.fetch = async (url) => {
  begin = "--frame\\r\\n";
  asked.push(Number(new URLSearchParams(url.split("?")[1]).get("width")));
  const body = new ReadableStream({ start: (controller) => { send = controller; } });
  return new Response(body, {
    headers: { "Content-Type": "application/octet-stream", "X-Now": `${time}` },
  });
};
const turn = () => new Promise((done) => setTimeout(done, 0));
const { DaemonClock } = await import("./clock.js");
const { Watch } = await import("./watch.js");
const none = () => null;
const watch = new Watch(new DaemonClock(), {
  picture: (picture) => watch.drawn(picture, time), news: none, login: none,
});
let begin = "--frame\\r\\n";
async function part(type, text, more = "") {
  const length = `Content-Length: ${text.length}\\r\\n`;
  const head = `${begin}Content-Type: ${type}\\r\\n${length}${more}\\r\\n`;
  begin = "\\r\\n--frame\\r\\n";
  send.enqueue(new TextEncoder().encode(head + text));
  await turn();
}
const state = (width) => part("application/json", JSON.stringify({
  v: 1, now: time, watching: 1, quality: "auto",
  camera: { state: "streaming", width, age_ms: 0, fps: 20 },
}));
const picture = (made) => part("image/jpeg", "JPEG",
  `X-Timestamp: ${time}\\r\\n${made ? `X-Quality: ${made}\\r\\n` : ""}`);
async function pass(seconds, width, made) {
  for (const end = time + seconds; time < end;) {
    time += 0.2;
    watch.look(time, width);
    await turn();
    await picture(made);
  }
}
async function start(width, camera) {
  watch.start(width);
  await turn();
  await state(camera);
}
const isSmaller = () => watch.facts(time).smaller;
"""
"""A page whose daemon is this script, and whose time passes when it says so."""


def run(folder: Path, script: str) -> Any:
    return evaluate(folder, PAGE + script + "; watch.stop(); return result;")


def test_picture_made_for_the_screen_is_not_a_smaller_one(tmp_path: Path) -> None:
    """The daemon decides how much smaller: a quarter of a very large picture, for example."""
    found = run(
        tmp_path,
        """
        await start(2000, 2592);
        const result = [];
        for (const made of [648, 324, 648]) {
          await picture(made);
          result.push(isSmaller());
        }
        """,
    )
    assert found == [False, True, False]


def test_any_smaller_picture_on_a_large_screen_is_one(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
        await start(2000, 1280);
        const result = [];
        for (const made of [640, 0, 1280]) {
          await picture(made);
          result.push(isSmaller());
        }
        """,
    )
    assert found == [True, False, False]


def test_another_camera_is_judged_anew(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
        await start(1000, 1920);
        await picture(960);
        await state(1280);
        await picture(640);
        const result = isSmaller();
        """,
    )
    assert found is False


@pytest.mark.parametrize(
    ("camera", "made", "later", "asked"),
    [
        (1280, 640, 850, [700]),  # not worth it
        (1280, 640, 920, [700, 920]),
        (1280, 640, 4000, [700, 4000]),
        (640, 0, 4000, [700]),  # the camera has no more
        (1280, 0, 4000, [700]),  # its own picture is there already
        (1280, 640, 300, [700]),
    ],
)
def test_wider_pictures_are_asked_for_once_it_is_worth_it(
    tmp_path: Path, camera: int, made: int, later: int, asked: list[int]
) -> None:
    script = f"""
        await start(700, {camera});
        await pass(2, 700, {made});
        await pass(4, {later}, {made});
        const result = asked;
    """
    assert run(tmp_path, script) == asked


def test_wider_pictures_wait_until_the_screen_is_calm(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
        await start(700, 1280);
        await pass(2, 700, 640);
        for (let width = 700; width < 1700; width += 100) await pass(0.4, width, 640);
        const during = asked.length;
        await pass(2, 1600, 640);
        const result = [during, ...asked];
        """,
    )
    assert found == [1, 700, 1600]


def test_wider_pictures_wait_for_a_better_link(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
        await start(700, 1280);
        await pass(2, 700, 640);
        await pass(3, 2000, 320);
        const during = asked.length;
        await pass(2, 2000, 640);
        const result = [during, ...asked];
        """,
    )
    assert found == [1, 700, 2000]


@pytest.mark.parametrize("state", ["null", "{}", '{"camera": null}', "no JSON"])
def test_stream_that_is_not_understood_counts_as_a_failure(tmp_path: Path, state: str) -> None:
    script = """
    watch.start(0);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await turn();
      await part("application/json", TEXT);
      for (const end = time + 4; time < end;) {
        time += 0.2;
        watch.look(time, 0);
        await turn();
      }
    }
    const result = [asked.length, watch.facts(time).failures];
    """
    opened, failures = run(tmp_path, script.replace("TEXT", repr(state)))
    assert opened >= 3
    assert failures >= 3

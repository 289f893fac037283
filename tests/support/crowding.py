"""Crowding: what lies on top of another on a screen, is cut off, or cannot be reached."""

from __future__ import annotations

from itertools import combinations

from tests.support.posed_page import PosedPage

_FINGER = 44
"""CSS pixels that a button has at least."""

FOUND = """() => {
  const found = {};
  const ids = ["name", "taken", "watching", "badge", "headline", "detail", "help", "note", "more",
    "snapshot", "fullscreen", "logout", "watchers", "ring-none", "ring-headline", "ring-detail",
    "answered", "ring-close", "question-headline", "question-detail", "pause-no", "pause-yes",
    "resume", "last", "visits", "sound", "pause"];
  for (const id of ids) {
    const { left, top, right, bottom } = document.getElementById(id).getBoundingClientRect();
    if (right > left && bottom > top) found[id] = [left, top, right, bottom];
  }
  return found;
}"""
_REACHED = """(id) => {
  const element = document.getElementById(id);
  // Behind the text of a bar, fingers reach the picture.
  const isReached = (block, edge, inwards) => {
    element.scrollIntoView({ block, inline: "nearest" });
    const box = element.getBoundingClientRect();
    const hit = document.elementFromPoint((box.left + box.right) / 2, box[edge] + inwards);
    return box.left >= 0 && box.right <= innerWidth && hit !== null
      && (element.contains(hit) || hit.id === "picture");
  };
  const inwards = Math.min(8, element.getBoundingClientRect().height / 2);
  return isReached("start", "top", inwards) && isReached("end", "bottom", -inwards);
}"""
_CUT_OFF = """() => Array.from(document.querySelectorAll("#stage *"))
  .filter((each) => each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 1
    && !["inline", "contents"].includes(getComputedStyle(each).display))
  .map((each) => each.id || each.className)"""

_BUTTONS = {
    *("snapshot", "fullscreen", "logout", "answered", "ring-close", "pause-no", "pause-yes"),
    *("resume", "last", "visits", "sound", "pause"),
}

Box = tuple[float, float, float, float]


def _overlap(one: Box, other: Box) -> bool:
    return all(one[at] < other[at + 2] - 0.5 and other[at] < one[at + 2] - 0.5 for at in (0, 1))


def check(posed: PosedPage, where: str) -> None:
    found: dict[str, Box] = posed.phone.evaluate(FOUND)
    assert {"name", "badge", "snapshot", "fullscreen"} <= set(found)
    for one, other in combinations(found, 2):
        assert not _overlap(found[one], found[other]), f"{one}, {other}: {where}"
    for id_ in found:
        assert posed.page.evaluate(_REACHED, id_), f"{id_}: {where}"
    for id_ in _BUTTONS & set(found):
        left, top, right, bottom = found[id_]
        assert min(right - left, bottom - top) >= _FINGER, f"{id_}: {where}"
    cut_off = posed.phone.evaluate(_CUT_OFF)
    assert not cut_off, f"{cut_off}: {where}"

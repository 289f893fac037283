"""The page's scripts and styles work in the browsers that tablets of 2018 have."""

from __future__ import annotations

import pytest

from tests.support.scripts import STATIC, Script, loaded, parse

pytestmark = pytest.mark.process

NEWER = {
    *(".allSettled(", ".any(", ".at(", ".canParse(", ".checkVisibility(", ".findLast(", ".flat("),
    *(".flatMap(", ".fromEntries(", ".hasOwn(", ".matchAll(", ".pipeThrough(", ".pipeTo("),
    *(".randomUUID(", ".replaceAll(", ".replaceChildren(", ".roundRect(", ".showModal("),
    *(".timeout(", ".toSorted(", ".trimEnd(", ".trimStart(", ".withResolvers("),
    *(".ariaBusy", ".ariaLabel", ".inert", "visualViewport"),
    *("BigInt", "DecompressionStream", "FinalizationRegistry", "ImageDecoder", "OffscreenCanvas"),
    *("PointerEvent", "ResizeObserver", "TransformStream", "WeakRef", "createImageBitmap"),
    *("globalThis", "queueMicrotask", "requestIdleCallback", "structuredClone"),
}
"""What browsers of 2018 (Safari 12, Chrome 64, Firefox 60) do not all have."""

FALL_BACKS = {
    "PointerEvent": "a touch brings the bars back, and enlarges the whole page",
    "createImageBitmap": "an image decodes the picture",
    "ResizeObserver": "the picture is laid out when the window changes its size",
}
"""Those of them that a script uses all the same, and what happens without."""


def test_each_script_is_loaded() -> None:
    assert sorted(each.name for each in loaded()) == sorted(p.name for p in STATIC.glob("*.js"))


def test_scripts_are_those_of_2018() -> None:
    found = parse(loaded(), 2018)
    assert {name: each.error for name, each in found.items() if each.error} == {}


@pytest.mark.parametrize(
    "text",
    ["a?.b", "a ?? b", "try { a() } catch { b() }", "class A { b = 1 }", "1_000", "a ||= 1"],
)
def test_newer_syntax_would_be_noticed(text: str) -> None:
    assert parse([Script("new", text, "module")], 2018)["new"].error


def test_newer_functions_have_a_fall_back() -> None:
    used = {name for found in parse(loaded(), 2018).values() for name in found.names}
    # Of window, and called.
    used |= {name.strip(".(") for name in used}
    assert used & NEWER == set(FALL_BACKS)

"""The pages' styles have something for the browsers that tablets of 2018 have."""

from __future__ import annotations

import pytest

from tests.support.styles import BROWSERS, as_read_by, missing, rules, styles


@pytest.mark.parametrize("name", styles())
def test_newer_styles_have_plainer_ones_before_them(name: str) -> None:
    assert missing(styles()[name]) == []


@pytest.mark.parametrize("name", ["app.css", "visits.css"])
def test_page_has_its_base_once_and_in_the_same_file(name: str) -> None:
    text = styles()[name]
    both = [rules(text) for text in (styles()["app.css"], styles()["visits.css"])]
    common = set.intersection(*map(set, both))
    assert "@import" not in text  # or there were one more request before anything is drawn
    assert "html background: var(--ground); color: var(--ink);" in common
    assert [each for each in common if rules(text).count(each) > 1] == []
    # What both have is in the base alone, which comes first.
    assert set(rules(text)[: len(common)]) == common


@pytest.mark.parametrize(
    "text",
    [
        "a { inset: 0 }",
        "a { width: min(1px, 2px); }",
        "a { width: min(1px, 2px); width: 1px }",
        "a { padding: 1px; padding: max(1px, env(safe-area-inset-top)); }",
        "a { --edge: 1px; --edge: max(1px, 2px); }",
        "a { color: rgb(1 2 3 / 4%); }",
        "a { gap: 1px; }",
        "@supports (gap: 1px) { a { gap: 1px; } }",
        "a { aspect-ratio: 1; }",
        "a { display: contents }",
        "a { width: fit-content; }",
        "a { overflow-wrap: anywhere; }",
        "a { height: 100dvh; }",
        "@media (orientation: portrait) { a { width: clamp(1px, 2px, 3px); } }",
        "a:hover, a:focus-visible { color: red; }",
        "a:has(b), b { color: red; }",
    ],
)
def test_newer_style_would_be_noticed(text: str) -> None:
    assert missing(text)


@pytest.mark.parametrize(
    "text",
    [
        "a { width: 1px; width: min(1px, 2px); }",
        "@supports (width: max(1px, 2px)) { a { --edge: max(1px, env(safe-area-inset-top)); } }",
        "@container (min-width: 1px) { a:has(b) { width: fit-content; } }",
        "a { grid-template-rows: minmax(min-content, 1fr); color: rgba(1, 2, 3, 0.4); }",
        "a:focus-visible, b:focus-visible { color: red; }",
        "a { text-wrap: balance; /* gap: 1px; */ }",
        "@keyframes wait { to { opacity: 0.2; } } a { content: ''; }",
    ],
)
def test_style_with_a_plainer_one_is_right(text: str) -> None:
    assert missing(text) == []


def test_older_browser_drops_what_it_does_not_know() -> None:
    oldest, middle, _ = BROWSERS
    text = "a:has(b) { gap: 1px; width: max(1px, env(x)); color: rgb(1 2 3 / 4%) } /* max( */"
    assert as_read_by(oldest, text).strip() == (
        "a:unknown-has(b) { unknown-gap: 1px; width: unknown-max(1px, unknown-env(x));"
        " color: unknown-rgb(1 2 3 / 4%) }"
    )
    assert "unknown-max(1px, env(x)); color: rgb(1" in as_read_by(middle, text)

"""axe-core: the rules of accessibility that a program can check, in any browser."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

_FIND = """axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
  violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html }) => `${id}: ${help}: ${html}`)))"""


def violations(evaluate: Callable[[str], Any]) -> list[str]:
    """Return what is wrong with the page as it is now, a line for each rule and element.

    ``evaluate`` returns the value of a JavaScript expression, once its promise is kept, as
    Playwright's ``page.evaluate`` does.
    """
    if not evaluate("'axe' in window"):
        evaluate(f"{_source()}\n;true")
    found: list[str] = evaluate(_FIND)
    return found


def _source() -> str:
    folder = resources.files("axe_playwright_python")
    return (folder / "axe.min.js").read_text("utf-8")

"""Styles: what a browser of 2018 makes of the pages' CSS, and what it would miss."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from doorbelld.web import assets

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_PROPERTY = (
    r"(?<![-\w])(?:accent-color|aspect-ratio|backdrop-filter|color-scheme|column-gap|contain"
    r"|container-type|content-visibility|forced-color-adjust|gap|inset(?:-\w+)*|overscroll-behavior"
    r"|row-gap|scrollbar-\w+|text-wrap|translate|rotate|scale)(?=\s*:)"
)
_FUNCTION = r"(?<![-\w])(?:clamp|color-mix|env|max|min)(?=\()"
_COLOUR = r"(?<![-\w])(?:rgb|hsl)a?(?=\([^,)]*\))"
_VALUE = r"(?<=[:\s])(?:anywhere|contents|fit-content|revert)(?=\s*(?:;|!|\)))"
_UNIT = r"(?<=\d)(?:[dls]v[hw]|cq\w+|lh)(?![-\w])"
_NEWER = re.compile(f"{_PROPERTY}|{_FUNCTION}|{_COLOUR}|{_VALUE}|{_UNIT}")
_SELECTOR = re.compile(r"(?<=:)(?:has|is|where|focus-visible|autofill)\b|(?<=:)not(?=\([^)]*,)")
_QUERY = re.compile(
    r"(?<=@)(?:container|layer|property)\b"
    r"|(?<=\()(?:prefers-contrast|forced-colors|dynamic-range|update)(?=:)"
)
_HARMLESS = {
    *("color-scheme", "contain", "container-type", "forced-color-adjust", "text-wrap"),
}
"""Without these, everything is as large, and where it was."""

_HOPELESS = {"gap", "row-gap", "column-gap"}
"""Browsers that know it for a grid alone pass for browsers that know it everywhere."""


class Browser(NamedTuple):
    """A browser of 2018: ``knows`` has what it knows of the newer features."""

    name: str
    knows: frozenset[str] = frozenset()


BROWSERS = (
    Browser("oldest"),  # Chrome 63 and Firefox 58
    Browser("middle", frozenset({"env", "contents", "rgb"})),  # Chrome 69
    Browser("safari", frozenset({"env", "contents", "min", "max"})),  # Safari 11.1
)


def styles() -> dict[str, str]:
    """Return the text of every stylesheet as a browser gets it, by its name."""
    files = assets.load("Front door")
    return {path[1:]: files[path].body.decode() for path in sorted(files) if path.endswith(".css")}


def as_read_by(browser: Browser, text: str) -> str:
    """Return a stylesheet that means to a browser of today what this one means to ``browser``.

    What it does not know has a name that no browser knows, and so each of today's rules about that
    applies: a declaration, a rule or a block is dropped, or a variable becomes worthless.
    """

    def rename(found: re.Match[str]) -> str:
        return found[0] if found[0] in browser.knows else f"unknown-{found[0]}"

    text = _COMMENT.sub("", text)
    for newer in (_NEWER, _SELECTOR, _QUERY):
        text = newer.sub(rename, text)
    return text


def missing(text: str) -> list[str]:
    """Return what in a stylesheet has a newer feature, and nothing for browsers without it."""
    return [problem for rule in _rules(_COMMENT.sub("", text)) for problem in _problems(*rule)]


def rules(text: str) -> list[str]:
    """Return the rules of a stylesheet, each in one line with all that is around it."""
    return [
        " ".join([*around, *(f"{name}: {value};" for name, value in declarations)])
        for around, declarations in _rules(_COMMENT.sub("", text))
        if declarations
    ]


def _rules(text: str) -> Iterator[tuple[list[str], list[tuple[str, str]]]]:
    """Yield the declarations of each block, and what is before its braces and those around it."""
    around: list[str] = []
    since = 0
    for brace in re.finditer(r"[{}]", text):
        before, since = text[since : brace.start()], brace.end()
        *statements, last = before.split(";")
        if brace[0] == "{":
            assert not statements, "a declaration before a block in a block"
            around.append(last.strip())
            continue
        pairs = [each.partition(":") for each in (*statements, last) if each.strip()]
        yield around.copy(), [(name.strip(), value.strip()) for name, _, value in pairs]
        around.pop()


def _problems(around: list[str], declarations: list[tuple[str, str]]) -> Iterator[str]:
    where = " ".join(around)
    is_guarded = any(each.startswith(("@supports", "@container")) for each in around)
    selectors = around[-1].split(",") if around else []
    if not is_guarded and len({bool(_SELECTOR.search(each)) for each in selectors}) > 1:
        yield f"{where}: dropped with all of its selectors"
    plain: set[str] = set()
    for name, value in declarations:
        if name in _HOPELESS:
            yield f"{where}: {name}"
        newer = _NEWER.findall(f"{name}: {value};")
        if not newer:
            plain.add(name)
        elif not (is_guarded or name in _HARMLESS):
            # Where env() is known, what is wrong beside it is only found when it is too late to
            # take the declaration before; and a variable is never judged before.
            is_late = "env(" in value or name.startswith("--")
            if is_late or name not in plain:
                yield f"{where}: {name}: {value}"

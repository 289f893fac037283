"""Documents, docstrings and comments use plain words, which a colleague would say aloud."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import ROOT
from tests.support.paths import SCRIPTS

ARCHAIC = re.compile(
    r"\b(?:afresh|anew|heed(?:s|ed)?|in vain|meanwhile|mend(?:s|ed)?|nevertheless|nobody"
    r"|somebody|told|whoever|whom)\b"
    r"|\b(?:for|from|of|to|with|one|only those) who\b"
    r"|(?:^|[.:;|,] |\b(?:and|but|or) )who (?!has\b|is\b|may\b|was\b)\w+"
    r"|(?:^|[.;] )tell\b|\btells (?:of|that|whether)\b",
    re.IGNORECASE | re.MULTILINE,
)
QUOTED = ("Nobody is watching.",)
"""What a command prints, word for word."""

DOCUMENTS = sorted(
    path
    for pattern in (
        *("*.md", "docs/*.md", "docs/man/*", "etc/**/*.conf", "systemd/*", "tools/*", "Makefile"),
        *("debian/control", "debian/rules", "debian/doorbelld.*", "pyproject.toml", "bench/*.c"),
        *(f"doorbelld/**/*.{kind}" for kind in ("html", "js", "css")),
    )
    for path in ROOT.glob(pattern)
    if path.is_file()
)
SOURCES = sorted(
    path for folder in ("doorbelld", "bench", "tests") for path in (ROOT / folder).rglob("*.py")
)

"""Files that do not pass yet."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def archaic(text: str) -> list[str]:
    """Return the archaic words of a text."""
    for each in QUOTED:
        text = text.replace(each, "")
    return [found[0] for found in ARCHAIC.finditer(text)]


def prose(source: str) -> Iterator[str]:
    """Yield the comments of a Python file and its docstrings, each on a single line."""
    comments: list[str] = []
    last_line = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last_line + 1:
            yield " ".join(comments)
            comments = []
        comments.append(token.string.lstrip("# "))
        last_line = token.start[0]
    yield " ".join(comments)
    for node in ast.walk(ast.parse(source)):
        # A string that is a statement: a docstring, or the description of the constant above it.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield " ".join(str(node.value.value).split())


def archaic_in_source(path: Path) -> list[str]:
    return [word for text in prose(path.read_text(encoding="utf-8")) for word in archaic(text)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_document_is_in_plain_words(path: Path) -> None:
    assert archaic(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_source_is_in_plain_words(path: Path) -> None:
    assert archaic_in_source(path) == []


def test_all_files_are_found() -> None:
    assert {path.name for path in DOCUMENTS} > {
        *("README.md", "doorbelld.8", "doorbelld.conf", "rules", "app.js", "login.html"),
        *(f"{name}.js" for name in SCRIPTS),
        *("pyproject.toml", "viewers.c"),
    }
    assert {name_of(path) for path in SOURCES} > {
        *("doorbelld/daemon.py", "doorbelld/web/__init__.py", "bench/load.py"),
        *("tests/conftest.py", "tests/support/daemon.py", "tests/functional/test_paths.py"),
    }


SAMPLE = '''
"""Module: who asks is answered."""
TEXT = "whom"  # the user
f(x)  # told
# The answer goes to
# who has logged in.
class A:
    """In
    vain."""
    limit = 1
    """Nobody needs more."""
'''


def test_comments_and_docstrings_are_checked_and_other_strings_are_not() -> None:
    found = [word for text in prose(SAMPLE) for word in archaic(text)]
    assert found == ["told", "to who", ": who asks", "In vain", "Nobody"]


@pytest.mark.parametrize(
    "text",
    [
        "A user who has logged in may watch.",
        "Who may watch",
        "it depends on who asks",
        "It can tell which one.",
        "Nobody is watching.",
    ],
)
def test_plain_words_pass(text: str) -> None:
    assert archaic(text) == []

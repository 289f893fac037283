"""The words of everything that a user reads: plain ones, which a colleague would say aloud."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.daemon import ROOT

ARCHAIC = re.compile(
    r"\b(anew|nobody|somebody|whom|whoever|told|nevertheless)\b"
    r"|\b(?:for|from|of|to|with|only those) who\b|(?:^|[.;|,] |\band )who (?:ask|come|open|watch)",
    re.IGNORECASE | re.MULTILINE,
)
QUOTED = ("Nobody is watching.",)
"""What a command prints, word for word."""

DOCUMENTS = sorted(
    path
    for pattern in (
        *("*.md", "docs/*.md", "docs/man/*", "etc/**/*.conf", "systemd/*", "tools/*", "Makefile"),
        *("debian/control", "debian/rules", "debian/doorbelld.*"),
        *(f"doorbelld/**/*.{kind}" for kind in ("html", "js", "css")),
    )
    for path in ROOT.glob(pattern)
    if path.is_file()
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_is_in_plain_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for each in QUOTED:
        text = text.replace(each, "")
    assert [found[0] for found in ARCHAIC.finditer(text)] == []


def test_they_are_all_there() -> None:
    named = {path.name for path in DOCUMENTS}
    assert named > {"README.md", "doorbelld.8", "doorbelld.conf", "rules", "app.js", "login.html"}

"""The manual for proxies, docs/proxies.md: its blocks, as a test can run them."""

from __future__ import annotations

import re

from tests.support.daemon import ROOT

_MANUAL = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the one block that is written in this language; "nginx path" is that for a path."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", _MANUAL, re.DOTALL | re.MULTILINE)
    assert isinstance(found, str)
    return found


def moved(text: str, *changes: tuple[str, str]) -> str:
    """Return a block with other ports, because those in it may be in use on this machine."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text

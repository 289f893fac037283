"""Advice: why a request was refused, and what the owner of the doorbell can set to change that."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import NamedTuple

_MOST = 80
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>doorbelld</title>
<h1>Not shown here</h1>
<p>{why}.</p>
<p>{how}</p>
<pre>{lines}</pre>
</html>
"""
_HOW = "If this is your doorbell, put this into /etc/doorbelld/conf.d/access.conf and reload:"
_HOW_TO_ADD = "If this is your doorbell, add this to what is set there (the dots) and reload:"
MORE = "..., "
"""Stands for what a list in the configuration already has: clients we refuse must not see it."""


class Advice(NamedTuple):
    """``why`` is a sentence without its full stop; ``settings`` are keys of [access]."""

    why: str
    settings: Mapping[str, str]

    def __str__(self) -> str:
        """Return it in one line, for the log and for programs."""
        lines = " and ".join(f"[access] {key} = {value}" for key, value in self.settings.items())
        return f"{self.why}; to allow it, set {lines}" if lines else self.why

    def as_page(self) -> str:
        """Return it for a browser."""
        pairs = (f"{key} = {value}" for key, value in self.settings.items())
        lines = html.escape("\n".join(["[access]", *pairs]))
        adds = any(value.startswith(MORE) for value in self.settings.values())
        how = _HOW_TO_ADD if adds else _HOW
        return _PAGE.format(why=html.escape(self.why), how=how, lines=lines)


def quoted(text: str) -> str:
    """Return a text that a client has sent, short and harmless in a log or a page."""
    shown = text if len(text) <= _MOST else f"{text[:_MOST]}..."
    return ascii(shown)

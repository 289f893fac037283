"""Scripts: what a browser of a given year makes of the page's JavaScript."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.support.daemon import ROOT

STATIC = ROOT / "doorbelld" / "web" / "static"
_PARSER = Path(__file__).with_name("parse_scripts.js")
_TAG = re.compile(r"<script\b([^>]*)>")


class Script(NamedTuple):
    """A script as the page loads it."""

    name: str
    text: str
    kind: str
    """"module" or "script"."""
    tag: str = ""


class Parsed(NamedTuple):
    """What the parser says of it."""

    error: str
    imports: list[str]
    names: list[str]


def parse(scripts: Iterable[Script], year: int) -> dict[str, Parsed]:
    """Parse as a browser does that knows the JavaScript of that year, 5 for ECMAScript 5."""
    rows = [[each.name, each.text, year, each.kind] for each in scripts]
    done = subprocess.run(
        ["node", str(_PARSER)], input=json.dumps(rows), capture_output=True, text=True, check=True
    )
    return {name: Parsed(**found) for name, found in json.loads(done.stdout).items()}


def loaded() -> list[Script]:
    """Return the scripts in the pages' tags, and those that they import."""
    found: dict[str, Script] = {}
    for page in sorted(STATIC.glob("*.html")):
        for tag in _TAG.findall(page.read_text(encoding="utf-8")):
            kind = "module" if 'type="module"' in tag else "script"
            _add(found, re.search(r'src="[./]*([^"]+)"', tag)[1], kind, tag)  # type: ignore[index]
    return list(found.values())


def _add(found: dict[str, Script], name: str, kind: str, tag: str = "") -> None:
    if name in found:
        return
    found[name] = Script(name, (STATIC / name).read_text(encoding="utf-8"), kind, tag)
    if kind == "module":
        # A newer grammar, so that this finds the imports of a script that is too new.
        for each in parse([found[name]], 2022)[name].imports:
            _add(found, each.removeprefix("./"), "module")

"""Runs the page's modules in Node, without a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.daemon import GUARD, ROOT

STATIC = ROOT / "doorbelld" / "web" / "static"
# As much of a browser as the modules ask for when they are loaded, and the clock that they read.
BROWSER = """
const {{ languages, search, now }} = {facts};
globalThis.document = {{ documentElement: {{}} }};
globalThis.location = {{ search }};
Object.defineProperty(globalThis, "navigator", {{ value: {{ languages }}, configurable: true }});
if (now !== null) Date.now = () => now * 1000;
const RealDate = Date;
globalThis.Date = class extends RealDate {{
  constructor(...given) {{ super(...(given.length ? given : [RealDate.now()])); }}
}};
"""


def evaluate(
    folder: Path,
    script: str,
    *,
    languages: Sequence[str] = ("en-GB",),
    search: str = "",
    now: float | None = None,
    zone: str = "UTC",
) -> Any:
    """Return what ``script``, the body of an async function, returns.

    It may import the page's modules as ``./NAME.js``. ``languages`` and ``search`` are what the
    browser says of itself and of the URL, ``now`` is the time and ``zone`` the time zone there.
    """
    for path in STATIC.glob("*.js"):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    facts = json.dumps({"languages": list(languages), "search": search, "now": now})
    run = f"{BROWSER.format(facts=facts)}\nconst result = await (async () => {{ {script} }})();\n"
    (folder / "run.js").write_text(f"{run}console.log(JSON.stringify(result));\n")
    done = subprocess.run(
        ["node", "run.js"],
        cwd=folder,
        env={**os.environ, "TZ": zone},
        check=True,
        capture_output=True,
        text=True,
        timeout=GUARD,
    )
    return json.loads(done.stdout)

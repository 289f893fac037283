"""Code that a child process runs before anything else, in a ``sitecustomize`` module."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon import ROOT


def sitecustomize(folder: Path, name: str, code: str) -> dict[str, str]:
    """Return an environment in which every Python runs ``code`` first.

    The module is in ``folder``/``name``.
    """
    path = folder / name
    path.mkdir()
    (path / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": f"{path}:{ROOT}"}

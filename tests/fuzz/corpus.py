"""Corpus: requests that are kept as files because each of them is special.

tests/data/requests has them as they go over the wire. The name of a file says what is special
about it and which answers it must get: ``two-lengths.400``, ``pipelined.200.404``, and
``nothing.closed`` where the connection is only closed.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.support.daemon import ROOT

FOLDER = ROOT / "tests" / "data" / "requests"


class Kept(NamedTuple):
    """One request; ``statuses`` are those of its answers, in order."""

    name: str
    data: bytes
    statuses: tuple[int, ...]


def _read() -> list[Kept]:
    found = []
    for path in sorted(FOLDER.iterdir()):
        _, *words = path.name.split(".")
        statuses = () if words == ["closed"] else tuple(map(int, words))
        found.append(Kept(path.name, path.read_bytes(), statuses))
    return found


CORPUS = _read()

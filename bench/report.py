"""Tables for the terminal, and the targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def heading(text: str) -> None:
    """Print the title of the next table."""
    print(f"\n{text}\n", flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is aligned left, the others are aligned right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print(_line(head, widths))
    print("  ".join("-" * width for width in widths))
    for row in rows:
        print(_line(row, widths))
    print(end="", flush=True)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    others = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:]))
    return "  ".join((first, *others))


@dataclass(frozen=True)
class Target:
    """A measured value and its limit; ``measured`` is None if it could not be measured."""

    name: str
    measured: float | None
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def missed(self) -> bool:
        """Whether it was measured and is beyond the limit."""
        if self.measured is None:
            return False
        return self.measured < self.limit if self.at_least else self.measured > self.limit

    def row(self) -> tuple[str, str, str, str]:
        """Return its row in the table of targets."""
        sign = ">=" if self.at_least else "<="
        limit = f"{sign} {self.limit:g}{self.unit}"
        if self.measured is None:
            return self.name, "-", limit, "not measured"
        verdict = "MISSED" if self.missed else "ok"
        return self.name, f"{self.measured:.2f}{self.unit}", limit, verdict


def verdict(targets: Sequence[Target]) -> bool:
    """Print all targets; return True if none was missed."""
    table(("target", "measured", "limit", ""), [target.row() for target in targets])
    return not any(target.missed for target in targets)

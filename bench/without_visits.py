"""The daemon without bell and visits, to compare: ``python -m bench.without_visits``.

It takes the command line of doorbelld. Nothing is recorded, nothing is kept from before a press,
and SQLite is not loaded.
"""

from __future__ import annotations

import sys
import types


def _leave_out() -> None:
    """Make an index that is never opened do without SQLite, and a doorbell that does nothing."""
    sqlite3 = types.ModuleType("sqlite3")
    for name in ("Connection", "Error"):
        setattr(sqlite3, name, type(name, (Exception,), {}))
    sys.modules["sqlite3"] = sqlite3
    from doorbelld.visits.doorbell import Doorbell

    def nothing(_: Doorbell) -> None:
        pass

    for name in ("start", "log_place"):
        setattr(Doorbell, name, nothing)


if __name__ == "__main__":
    _leave_out()
    from doorbelld.cli import main

    sys.exit(main())

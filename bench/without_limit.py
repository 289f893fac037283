"""The daemon with a bell that may be pressed over HTTP as often as one likes.

``python -m bench.without_limit`` takes the command line of doorbelld.
"""

from __future__ import annotations

import math
import sys

from doorbelld.cli import main
from doorbelld.web import bell

if __name__ == "__main__":
    bell._BURST = math.inf  # type: ignore[assignment]  # noqa: SLF001
    sys.exit(main())

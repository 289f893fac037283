"""``python3 -m doorbelld``: the same as the ``doorbelld`` command."""

import sys

from doorbelld.cli import main

sys.exit(main())

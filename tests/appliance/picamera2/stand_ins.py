"""Stand-ins for what picamera2 imports, but needs only for a screen and for raw files.

The first thing that picamera2 imports.
"""

from __future__ import annotations

import sys
import types


class _Anything(types.ModuleType):
    def __getattr__(self, name: str) -> _Anything:
        return _Anything(name)


for _name in ("pykms", "pidng", "pidng.core", "pidng.camdefs"):
    sys.modules[_name] = _Anything(_name)

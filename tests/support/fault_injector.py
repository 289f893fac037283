"""FaultInjector: makes a function of the daemon, or of a library below it, fail on demand.

A ``sitecustomize`` module replaces the function before anything of the daemon runs; all the rest
of the process is as it is shipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.sitecustomize import sitecustomize

if TYPE_CHECKING:
    from pathlib import Path

_CODE = """
import importlib, os, sys, time

flag = {flag!r}

def is_to_fail():
    try:
        with open(flag) as file:
            word = file.read()
    except OSError:
        return False
    if word == "once":
        os.unlink(flag)
    return True

def failing(*arguments, **more):
    if is_to_fail():
        {fault}
    return original(*arguments, **more)

{preparation}
module, _, path = {target!r}.partition(":")
*outer, name = path.split(".")
owner = importlib.import_module(module)
for each in outer:
    owner = getattr(owner, each)
original = getattr(owner, name)
setattr(owner, name, failing)
"""


class FaultInjector:
    """Makes ``target`` (``module:Class.method``) execute ``fault``, a Python statement, instead.

    The fault sees the call's ``arguments``, what ``preparation`` has defined, and ``flag``, the
    path of a file that exists as long as the function is to fail. A fault that ends without an
    exception is followed by the call.
    """

    def __init__(self, folder: Path, target: str, fault: str, preparation: str = "") -> None:
        self._flag = folder / "fault.flag"
        code = _CODE.format(
            flag=str(self._flag), target=target, fault=fault, preparation=preparation
        )
        self.environ = sitecustomize(folder, "fault", code)
        """What a process needs in its environment to have the fault."""

    def fail_always(self) -> None:
        """Make every call fail from now on."""
        self._write("always")

    def fail_once(self) -> None:
        """Make the next call fail, and no other."""
        self._write("once")

    def stop(self) -> None:
        """Make no more calls fail."""
        self._flag.unlink()

    @property
    def has_failed(self) -> bool:
        """Whether the one call has failed."""
        return not self._flag.exists()

    def _write(self, word: str) -> None:
        written = self._flag.with_suffix(".new")
        written.write_text(word)
        written.replace(self._flag)  # never half written

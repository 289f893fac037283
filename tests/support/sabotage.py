"""Sabotage: a function of the daemon, or of a library below it, that fails at the test's word.

It is put in place by a ``sitecustomize`` module, before anything of the daemon runs; all the
rest of the process is as it is shipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.systemd import service

if TYPE_CHECKING:
    from pathlib import Path

_CODE = """
import importlib, os, sys, time

flag = {flag!r}

def take_word():
    try:
        with open(flag) as file:
            word = file.read()
    except OSError:
        return False
    if word == "once":
        os.unlink(flag)
    return True

def sabotaged(*arguments, **more):
    if take_word():
        {fault}
    return before(*arguments, **more)

{preparation}
module, _, path = {target!r}.partition(":")
*outer, name = path.split(".")
owner = importlib.import_module(module)
for each in outer:
    owner = getattr(owner, each)
before = getattr(owner, name)
setattr(owner, name, sabotaged)
"""


class Sabotage:
    """Makes ``target`` (``module:Class.method``) execute ``fault``, a Python statement, instead.

    The fault sees the call's ``arguments``, what ``preparation`` has defined, and ``flag``, the
    path of a file that is there for as long as it is to fail. What comes after it is the call.
    """

    def __init__(self, folder: Path, target: str, fault: str, preparation: str = "") -> None:
        self._flag = folder / "sabotage.flag"
        code = _CODE.format(
            flag=str(self._flag), target=target, fault=fault, preparation=preparation
        )
        self.environ = service(folder, "sabotage", code)
        """What a process needs in its environment to be sabotaged."""

    def begin(self) -> None:
        """Let every call fail from now on."""
        self._say("always")

    def strike(self) -> None:
        """Let the next call fail, and no other."""
        self._say("once")

    def end(self) -> None:
        """Let it work again."""
        self._flag.unlink()

    @property
    def has_struck(self) -> bool:
        """Whether the one call has failed."""
        return not self._flag.exists()

    def _say(self, word: str) -> None:
        written = self._flag.with_suffix(".new")
        written.write_text(word)
        written.replace(self._flag)  # never half written

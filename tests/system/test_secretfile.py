"""The sentence for a secret file that cannot be written."""

from __future__ import annotations

import os
from errno import EACCES, ENOENT, ENOSPC, EPERM
from pathlib import Path

import pytest

from doorbelld.system import secretfile


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (ENOENT, "the folder /etc/doorbelld is missing; make it first"),
        (EACCES, "only root may do that; try it with sudo"),
        (EPERM, "only root may do that; try it with sudo"),
        (ENOSPC, os.strerror(ENOSPC)),
    ],
)
def test_sentence_says_what_helps(number: int, said: str) -> None:
    path = Path("/etc/doorbelld/password")
    error = OSError(number, os.strerror(number))
    assert secretfile.explain(error, path) == f"{path}: {said}"

"""SECURITY.md names tests that exist."""

from __future__ import annotations

import re

from tests.support.daemon import ROOT

TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROMISES = re.findall(
    r"^\| (\S.*) \| (.*) \|$", TEXT.partition("## What is promised")[2], re.MULTILINE
)


def test_every_promise_names_tests_that_exist() -> None:
    assert len(PROMISES) > 5
    for promise, proof in PROMISES:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", proof)
        assert named, f"no test for: {promise}"
        for path, test in named:
            assert f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


def test_it_is_one_page() -> None:
    assert len(TEXT.splitlines()) < 80

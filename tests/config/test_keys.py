from __future__ import annotations

import re
from pathlib import Path

import pytest

from doorbelld.config import keys
from doorbelld.config.values import KEY

HEADER = Path("/usr/include/linux/input-event-codes.h")


def test_names_are_those_of_the_kernel() -> None:
    text = HEADER.read_text(encoding="utf-8")
    known = {
        name: int(number, 0)
        for name, number in re.findall(
            r"^#define\s+((?:KEY|BTN)_\w+)\s+(\w+)\b", text, re.MULTILINE
        )
        if number[0].isdigit()
    }
    named = [re.fullmatch(r"(\w+) \((\d+)\)", keys.describe(code)) for code in range(1, 0x300)]
    found = {match[1]: int(match[2]) for match in named if match}
    assert len(found) > 250
    # KEY_ALL_APPLICATIONS is a newer name of 204 than some of these headers have.
    assert found.items() - known.items() <= {("KEY_ALL_APPLICATIONS", 204)}


@pytest.mark.parametrize(
    ("text", "code"),
    [("1", 1), ("767", 767), ("btn_0", 256), ("KEY_102ND", 86), ("KEY_POWER", 116)],
)
def test_key_is_written_by_its_code_or_its_name(text: str, code: int) -> None:
    assert KEY.parse(text) == code


@pytest.mark.parametrize("text", ["0", "768", "-1", "1.5", "KEY_NONSENSE", "ENTER", "²", ""])
def test_other_text_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        KEY.parse(text)


def test_key_without_a_name_is_described_by_its_code() -> None:
    assert keys.describe(600) == "key 600"

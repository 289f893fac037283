"""The installed configuration file is complete and correct, and changes no setting."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from doorbelld.config import load as config
from doorbelld.config.schema import SECTIONS, Config
from doorbelld.config.values import to_text

SHIPPED = Path(__file__).parents[1] / "etc" / "doorbelld" / "doorbelld.conf"
_KEY = re.compile(r"#(\w+) = (.*)")


class Key(NamedTuple):
    """A key of the file, which is commented out, and the comment above it."""

    section: str
    name: str
    value: str
    explanation: list[str]


def text() -> str:
    return SHIPPED.read_text(encoding="utf-8")


def shipped() -> list[Key]:
    """Return the keys in the order of the file."""
    found: list[Key] = []
    section = ""
    comment: list[str] = []
    for line in text().splitlines():
        key = _KEY.fullmatch(line)
        if line.startswith("["):
            section, comment = line.strip("[]"), []
        elif key:
            found.append(Key(section, key[1], key[2], comment))
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            assert line == "", f"not a comment, section or key: {line}"
            comment = []
    return found


def uncommented() -> str:
    return re.sub(r"^#(?=\w+ = )", "", text(), flags=re.MULTILINE)


def test_has_exactly_the_keys_of_the_code_in_the_same_order() -> None:
    expected = [(section, each.name) for section, cls in SECTIONS.items() for each in fields(cls)]
    assert [(key.section, key.name) for key in shipped()] == expected


def test_shows_the_default_of_every_key() -> None:
    default = Config()
    for key in shipped():
        value = getattr(getattr(default, key.section), key.name)
        assert key.value == to_text(value), key.name


def test_explains_every_key_in_the_line_above_it() -> None:
    for key in shipped():
        known = SECTIONS[key.section].__dataclass_fields__[key.name]
        assert key.explanation == [known.metadata["meaning"]], key.name


def test_changes_no_setting_as_it_is_installed() -> None:
    lines = [line for line in text().splitlines() if line and not line.startswith("#")]
    assert lines == [f"[{section}]" for section in SECTIONS]
    assert config.load(SHIPPED) == Config()


def test_can_be_read_with_every_key_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "doorbelld.conf"
    path.write_text(uncommented(), encoding="utf-8")
    assert path.read_text(encoding="utf-8").count("\n#") < text().count("\n#")
    assert config.load(path) == Config()


def test_every_key_has_an_effect_when_it_is_changed(tmp_path: Path) -> None:
    others = {
        "source": "pattern",
        "verify": "no",
        "resolution": "320x240",
        "rotation": "90",
        "hflip": "yes",
        "vflip": "yes",
        "zoom": "0.25, 0.25, 0.5, 0.5",
        "tuning": "imx219_noir.json",
        "listen": ":7",
        "password_file": "/run/password",
        "embed_key_file": "/run/embed_key",
        "networks": "192.0.2.0/24, lan",
        "trusted_proxies": "::1/128",
        "embed": "https://dashboard.example",
        "tls_certificate": "/etc/doorbelld/tls.crt",
        "tls_key": "/etc/doorbelld/tls.key",
        "hsts": "yes",
        "button": "/dev/input/event7",
        "token_file": "/run/ring_token",
        "motion": "yes",
        "ntfy": "https://ntfy.sh/door",
        "webhook": "http://192.0.2.7/hook",
        "key_file": "/run/webhook_key",
        "address": "https://door.example.org/",
        "broker": "mqtts://192.0.2.7:8883",
        "ignore": "0 0 0.5 0.25, 0.5 0.5 0.5 0.5",
    }
    for key in shipped():
        other = others.get(key.name, "7")
        path = tmp_path / "doorbelld.conf"
        path.write_text(f"[{key.section}]\n{key.name} = {other}\n", encoding="utf-8")
        found = getattr(getattr(config.load(path), key.section), key.name)
        assert to_text(found) == other


def test_is_plain_text_that_fits_a_terminal() -> None:
    assert text().isascii()
    assert text().endswith("\n")
    assert max(map(len, text().splitlines())) <= 100

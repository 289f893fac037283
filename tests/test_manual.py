"""The man pages agree with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest

from doorbelld.config.schema import SECTIONS
from doorbelld.config.values import to_text
from tests.support.daemon import ROOT

MANUAL = ROOT / "docs" / "man"


def described(section: str) -> dict[str, str]:
    """Return the keys of a section and their defaults in doorbelld.conf(5)."""
    text = (MANUAL / "doorbelld.conf.5").read_text(encoding="utf-8")
    found = re.search(rf"^\.Sh {section.upper()}\n(.*?)^\.Sh ", text, re.MULTILINE | re.DOTALL)
    assert found, f"doorbelld.conf(5) has no section {section}"
    return dict(re.findall(r"^\.It Va (\w+) No = (.*)$", found[1], re.MULTILINE))


@pytest.mark.parametrize("section", SECTIONS)
def test_doorbelld_conf_5_has_every_key_with_its_default(section: str) -> None:
    default = SECTIONS[section]()
    known = {each.name: to_text(getattr(default, each.name)) for each in fields(default)}
    assert list(described(section).items()) == list(known.items())


def test_doorbelld_conf_5_explains_keys_as_the_shipped_file_does() -> None:
    text = (MANUAL / "doorbelld.conf.5").read_text(encoding="utf-8").replace("\n", " ")
    for section, cls in SECTIONS.items():
        for each in fields(cls):
            if each.name not in ("source", "listen", "framerate", "quality", "rotation"):
                assert each.metadata["meaning"] in text, f"{section}.{each.name}"


@pytest.mark.process
def test_doorbelld_8_has_every_option_and_command() -> None:
    command = [sys.executable, "-m", "doorbelld", "--help"]
    usage = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = (MANUAL / "doorbelld.8").read_text(encoding="utf-8")
    options = set(re.findall(r"--?(\w+)", usage.partition("options:")[2] or usage))
    assert {"config", "set", "check", "json", "force", "remove", "version", "v", "help"} <= options
    listed = set(re.findall(r"\bFl (?:-)?(\w+)", text)) | set(
        re.findall(r", -(\w+)$", text, re.MULTILINE)
    )
    assert {
        "authority",
        "config",
        "set",
        "check",
        "delete",
        "export",
        "json",
        "force",
        "remove",
        "renew",
        "test",
        "version",
        "v",
        "h",
        "help",
    } == listed
    commands = re.search(r"\{([\w-]+(?:,[\w-]+)*)\}", usage)
    assert commands
    assert set(commands[1].split(",")) == set(re.findall(r"^\.It Cm ([\w-]+)$", text, re.MULTILINE))


@pytest.mark.process
@pytest.mark.parametrize("page", sorted(MANUAL.iterdir()), ids=lambda page: page.name)
def test_pages_are_well_formed(page: object) -> None:
    command = ["mandoc", "-T", "lint", "-W", "warning", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")

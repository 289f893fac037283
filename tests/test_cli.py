"""The command line as it is parsed; tests/functional/test_command_line.py runs it."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from doorbelld import cli
from doorbelld.commands.base import CommandError
from doorbelld.config.load import ConfigError
from tests.support.daemon import ROOT


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set=a.b=1", "--set", "a.b=2", "--config", "x", "-v", "--json", "status"],
        ["status", "--set=a.b=1", "--set", "a.b=2", "--config", "x", "-v", "--json"],
        ["--set=a.b=1", "--config", "y", "status", "--json", "--conf=x", "-v", "--set=a.b=2"],
        ["--js", "-v", "--config=x", "--set=a.b=1", "status", "--set=a.b=2"],
    ],
)
def test_options_may_come_before_or_after_the_command(arguments: list[str]) -> None:
    options = cli._parse(arguments)
    assert (options.command, options.json, options.verbose) == ("status", True, True)
    assert options.config == Path("x")
    assert [*options.set, *options.set_after] == ["a.b=1", "a.b=2"], "the last one wins"


@pytest.mark.parametrize("command", [[], ["run"]])
def test_without_a_command_it_is_the_daemon(command: list[str]) -> None:
    options = cli._parse([*command, "--set", "status"])
    assert options.command in (None, "run")
    assert not options.check
    assert [*options.set, *options.set_after] == ["status"]
    assert cli._parse(["--check", *command]).check
    assert cli._parse([*command, "--chec"]).check


@pytest.mark.parametrize("words", [["--re", "passwd"], ["embed-url", "--re"], ["--c", "x"]])
def test_ambiguous_abbreviation_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli._parse(words)
    assert "ambiguous option: --" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--", "status", "--json"], ["status", "--", "--json"], ["--json", "status", "--"]]
)
def test_two_dashes_alone_change_nothing(words: list[str]) -> None:
    options = cli._parse(words)
    assert (options.command, options.json) == ("status", True)


@pytest.mark.process
def test_the_daemon_loads_no_other_command() -> None:
    script = """
import sys
from doorbelld import cli
options = cli._parse(["--config=/dev/null", "--set=camera.source=pattern"])
cli._load(cli._DEFAULT)
print(sorted(each for each in sys.modules if each.startswith("doorbelld.commands.")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['doorbelld.commands.base', 'doorbelld.commands.run']\n"


@pytest.mark.process
def test_a_command_loads_no_daemon() -> None:
    script = """
import sys
from doorbelld import cli
cli._parse(["status"])
try:
    cli._parse(["--help"])
finally:
    sys.exit("doorbelld.daemon" in sys.modules)
"""
    command = [sys.executable, "-c", script]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("error", "lines", "code", "under_systemd"),
    [
        (ConfigError(["one", "two"]), ["one", "two"], 2, 78),
        (CommandError("one", "two"), ["one", "two"], 1, 1),
        (OSError(errno.EMFILE, "Too many open files", "/x"), ["Too many open files"], 1, 1),
        (OSError("something else"), ["something else"], 1, 1),
    ],
)
def test_every_command_reports_an_error_in_the_same_way(
    error: Exception,
    lines: list[str],
    code: int,
    under_systemd: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("doorbelld.system.log.set_up", lambda **_: None)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    for command in cli._COMMANDS:
        caplog.clear()
        monkeypatch.setattr(cli._load(command), "run", fail)
        words = [each for each in cli._load(command).OPTIONS if not each.startswith("-")]
        assert cli.main([command, *words]) == code
        assert [(each.levelname, each.message) for each in caplog.records] == [
            ("ERROR", line) for line in lines
        ]
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    assert cli.main(["status"]) == under_systemd


def test_every_command_has_its_module_and_every_module_its_command() -> None:
    no_commands = {"base", "local"}
    files = {path.stem for path in (ROOT / "doorbelld" / "commands").glob("[!_]*.py")}
    own_module = {name.replace("-", "_") for name in cli._COMMANDS if name not in cli._CLASSES}
    shared = {module for module, _ in cli._CLASSES.values()}
    assert files - no_commands == own_module | shared
    for name in cli._COMMANDS:
        for written in cli._load(name).OPTIONS:
            assert re.fullmatch(r"--[a-z-]+( [A-Z|a-z]+)?|[A-Z]+", written)


class Porter:
    """A command with everything that a command may have."""

    OPTIONS: ClassVar = {
        "--json": "print JSON",
        "--into DIR": "write into DIR",
        "FILE": "the file to carry",
    }


@pytest.fixture
def porter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the command ``porter``, which is a class in a module."""
    monkeypatch.setitem(cli._COMMANDS, "porter", "carry a file")
    monkeypatch.setitem(cli._CLASSES, "porter", ("base", "Porter"))
    monkeypatch.setattr("doorbelld.commands.base.Porter", Porter, raising=False)


@pytest.mark.usefixtures("porter")
@pytest.mark.parametrize(
    "words",
    [
        ["porter", "f", "--into", "a b", "--json"],
        ["porter", "--into=a b", "--js", "f"],
        ["--into", "a b", "--json", "porter", "f"],
        ["--in=a b", "porter", "f", "--json"],
        ["--set=x.y=z", "--int", "a b", "-v", "--json", "porter", "--config", "x", "f"],
    ],
)
def test_values_and_words_of_a_command(words: list[str]) -> None:
    options = cli._parse(words)
    assert (options.command, options.json, options.file) == ("porter", True, "f")
    assert options.into == "a b"


@pytest.mark.usefixtures("porter")
def test_word_may_be_a_dash_and_an_option_be_left_out() -> None:
    options = cli._parse(["porter", "-"])
    assert (options.file, options.into, options.json) == ("-", None, False)


@pytest.mark.usefixtures("porter")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["porter"], "the following arguments are required: FILE"),
        (["porter", "--json"], "the following arguments are required: FILE"),
        (["porter", "f", "g"], "unrecognized arguments: g"),
        (["porter", "f", "--into"], "argument --into: expected one argument"),
        (["--into", "--json", "porter", "f"], "argument --into: expected one argument"),
        (["--into", "a", "status"], "--into goes with porter"),
        (["--in", "a b"], "--into goes with porter"),
        (["status", "--into=a b"], "--into goes with porter"),
        (["porter", "f", "--renew"], "--renew goes with embed-url"),
    ],
)
def test_values_and_words_that_do_not_fit_are_refused(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli._parse(words)
    assert capsys.readouterr().err.endswith(f": error: {why}\n")


@pytest.mark.usefixtures("porter")
def test_help_shows_values_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["porter", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            cli._parse(words)
    whole, own = capsys.readouterr().out.split("usage: doorbelld porter ")
    assert "options of porter:\n  --json      print JSON\n  --into DIR  write" in whole
    assert re.search(r"\[--json\]\s\[--into DIR\]\s+FILE\n", own)


def test_exit_code_of_a_command_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherError(CommandError):
        exit_code = 7

    def fail(*_: object) -> int:
        raise OtherError("no")

    monkeypatch.setattr("doorbelld.system.log.set_up", lambda **_: None)
    monkeypatch.setattr(cli._load("status"), "run", fail)
    assert cli.main(["status"]) == 7

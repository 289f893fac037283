"""``doorbelld notify``: what it says of the targets, and of a test message to each."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import pytest

from doorbelld.commands import local, notify
from doorbelld.commands.base import CommandError
from doorbelld.commands.local import Answer, NotAllowedError
from doorbelld.commands.notify import Filter
from doorbelld.config.schema import Config, MqttSection, NotifySection
from doorbelld.config.values import Broker

if TYPE_CHECKING:
    from collections.abc import Sequence

SINCE = 1764147600.0
OK = {"state": "ok", "detail": "", "since": None, "delivered": 12, "failed": 1, "dropped": 0}
STARTING = {**OK, "state": "starting", "delivered": 0, "failed": 0}
FAILED = {**OK, "state": "failed", "detail": "nas does not answer", "since": SINCE, "dropped": 2}

CONFIG = Config(
    notify=NotifySection(ntfy="http://127.0.0.1:1/mArKeR", webhook="https://127.0.0.1/mArKeR"),
    mqtt=MqttSection(broker=Broker("127.0.0.1", 1883, secure=False)),
)
OPENS = "Notify: this opens the filter at once, and for good:"
ALL = {"mqtt": OK, "ntfy": OK, "webhook": OK}


class Asked:
    """A daemon that answers as a test wants; it remembers what it was asked."""

    def __init__(self, states: dict[str, Any] | None, answer: Answer) -> None:
        self.status = {"camera": {}} if states is None else {"camera": {}, "notify": states}
        self.posts: list[str] = []
        self._answer = answer

    def post(self, path: str, timeout: float) -> Answer:
        assert timeout > 30
        self.posts.append(path)
        return self._answer


@pytest.fixture(autouse=True)
def no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "read_filter", Filter)


def run(
    monkeypatch: pytest.MonkeyPatch,
    states: dict[str, Any] | None,
    *,
    config: Config = CONFIG,
    results: Sequence[tuple[str, bool, str]] | None = None,
    answer: Answer | None = None,
) -> int:
    """Run the command, with ``--test`` if a daemon's answer to that is given."""
    rows = [dict(zip(("target", "delivered", "sentence"), row)) for row in results or ()]
    asked = Asked(states, answer or Answer(200, is_ours=True, body=json.dumps(rows).encode()))
    monkeypatch.setattr(local, "find", lambda *_: (asked, asked.status))
    is_test = results is not None or answer is not None
    code = notify.run(Namespace(test=is_test), lambda: config)
    assert asked.posts == ["/notify/test"] * is_test
    return code


def test_a_line_for_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remark = {**OK, "detail": "the picture is too large"}
    assert run(monkeypatch, {"mqtt": OK, "ntfy": STARTING, "webhook": remark}) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mqtt: ok (12 delivered, 1 failed, 0 dropped).",
        "ntfy: starting (0 delivered, 0 failed, 0 dropped).",
        "webhook: ok (12 delivered, 1 failed, 0 dropped): the picture is too large.",
    ]


def test_what_has_failed_and_since_when(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, {**ALL, "mqtt": FAILED}) == 1
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(SINCE))
    assert capsys.readouterr().out.splitlines()[0] == (
        f"mqtt: failed since {since} (12 delivered, 1 failed, 2 dropped): nas does not answer."
    )


@pytest.mark.parametrize("states", [None, {}])
def test_with_nothing_configured_one_sentence_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, states: dict[str, Any] | None
) -> None:
    choices: tuple[list[tuple[str, bool, str]] | None, ...] = (None, [])
    for results in choices:
        with pytest.raises(CommandError) as raised:
            run(monkeypatch, states, config=Config(), results=results)
        assert raised.value.exit_code == 1
        assert str(raised.value).startswith("Nothing is notified when the bell rings: set ntfy or")
        assert len(raised.value.problems) == 1


def test_what_the_daemon_does_not_use_yet_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, {"ntfy": OK, "mqtt": OK}) == 1
    assert capsys.readouterr().out.splitlines()[-1] == (
        "webhook: doorbelld does not use it yet: sudo systemctl reload doorbelld"
    )


def test_test_says_how_each_went(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [("mqtt", True, "delivered"), ("ntfy", True, "no picture."), ("webhook", True, "ok")]
    assert run(monkeypatch, ALL, results=results) == 0
    assert capsys.readouterr().out == "mqtt: delivered.\nntfy: no picture.\nwebhook: ok.\n"
    results[1] = ("ntfy", False, "ntfy.sh does not answer")
    assert run(monkeypatch, ALL, results=results) == 1
    assert "\nntfy: ntfy.sh does not answer.\n" in capsys.readouterr().out


def test_if_one_fails_the_filter_of_the_unit_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = Filter((), ("0.0.0.0/0", "::/0"))
    monkeypatch.setattr(notify, "read_filter", lambda: everything)
    results = [("mqtt", False, "nas does not answer")]
    config = Config(mqtt=CONFIG.mqtt)
    assert run(monkeypatch, {"mqtt": OK}, config=config, results=results) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Notify: mqtt: the IP filter of doorbelld.service hides 127.0.0.1 from it.",
        f'{OPENS} sudo systemctl set-property doorbelld.service IPAddressAllow="127.0.0.1"',
    ]


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (
            Answer(401, True, b"the password is needed\n"),
            4,
            "does not let this user send a test: t",
        ),
        (
            Answer(403, True, b"another web site\n"),
            4,
            "doorbelld does not let this user send a tes",
        ),
        (
            Answer(429, True, b"try again in 9 s\n"),
            1,
            "doorbelld has sent no test: try again in 9 s",
        ),
        (Answer(404, True, b"not found\n"), 1, "doorbelld has sent no test: not found"),
        (Answer(200, True, b"<html>"), 1, "doorbelld has not answered: "),
    ],
)
def test_refusal_is_said(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, code: int, said: str
) -> None:
    with pytest.raises(CommandError, match=said) as raised:
        run(monkeypatch, ALL, answer=answer)
    assert raised.value.exit_code == code
    assert isinstance(raised.value, NotAllowedError) == (code == 4)


def test_places_are_those_of_the_configuration() -> None:
    found = [tuple(each)[:4] for each in notify.places(CONFIG)]
    assert found == [
        ("mqtt", "127.0.0.1", 1883, False),
        ("ntfy", "127.0.0.1", 1, False),
        ("webhook", "127.0.0.1", 443, True),
    ]
    assert notify.places(Config()) == []

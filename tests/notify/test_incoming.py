"""What messages of others make the doorbell do."""

from __future__ import annotations

import logging
from unittest.mock import Mock

import pytest

from doorbelld.notify.incoming import Incoming, is_press


@pytest.fixture
def door() -> Mock:
    return Mock()


@pytest.fixture
def birth() -> Mock:
    return Mock()


@pytest.fixture
def inbox(door: Mock, birth: Mock) -> Incoming:
    return Incoming(door, "d", button=("button", None), birth=("ha", birth))


@pytest.mark.parametrize(
    ("text", "rings"),
    [
        ("single", True),
        ("1", True),
        ('"single"', True),
        ("  ", False),
        ('{"action": "single", "battery": 90}', True),
        ('{"event": "S"}', True),
        ('{"action": "", "battery": 90}', False),  # zigbee2mqtt: the button was released
        ('{"action": null}', False),
        ('{"battery": 90}', False),
        ('[{"action": "single"}]', False),
        ("[" * 4000, True),  # no JSON
    ],
)
def test_what_rings_without_a_value(text: str, rings: bool) -> None:
    assert is_press(text, None) is rings


@pytest.mark.parametrize(
    ("text", "value", "rings"),
    [
        ("single", "single", True),
        (" single\n", "single", True),
        ("double", "single", False),
        ("1", "1", True),
        ('{"action": "single"}', "single", True),
        ('{"action": "double"}', "single", False),
        ('{"Button1": {"Action": "SINGLE"}}', "SINGLE", True),
        ('{"input": [{"on": true}]}', "true", True),
        ('{"press": 1}', "1", True),
        ('{"single": "other"}', "single", False),
    ],
)
def test_what_rings_with_a_value(text: str, value: str, rings: bool) -> None:
    assert is_press(text, value) is rings


def test_commands_reach_the_door(inbox: Incoming, door: Mock) -> None:
    inbox.handle("d/shutter/set", b"ON", retained=False)
    inbox.handle("d/shutter/set", b"off", retained=False)
    inbox.handle("d/answered/set", b"PRESS", retained=False)  # There is no visit yet.
    inbox.newest = 7
    inbox.handle("d/answered/set", b"PRESS", retained=False)
    assert [call.args for call in door.close_shutter.call_args_list] == [(True,), (False,)]
    assert [call.args for call in door.answer.call_args_list] == [(7,)]


def test_retained_and_empty_messages_do_nothing(inbox: Incoming, door: Mock, birth: Mock) -> None:
    inbox.newest = 7
    for topic in inbox.topics:
        for text in (b"ON", b"online", b"single"):
            inbox.handle(topic, text, retained=True)
        inbox.handle(topic, b"", retained=False)
    inbox.handle("other", b"ON", retained=False)
    assert not door.mock_calls
    assert not birth.mock_calls


def test_home_assistant_is_born(inbox: Incoming, birth: Mock) -> None:
    inbox.handle("ha/status", b"offline", retained=False)
    assert not birth.called
    inbox.handle("ha/status", b"online", retained=False)
    assert birth.call_count == 1


def test_a_storm_of_presses_rings_as_one(
    inbox: Incoming, door: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("doorbelld.notify.incoming.time.monotonic", lambda: now)
    for number in range(10_000):
        now = 100 + number / 1000
        inbox.handle("button", b'{"action": "single"}', retained=False)
    assert 19 <= door.ring.call_count <= 21
    assert door.ring.call_args.args[1] == "mqtt"


def test_bad_messages_are_logged_once(
    inbox: Incoming, door: Mock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(100):
        inbox.handle("d/shutter/set", b"maybe\n\x1b[31m\xff", retained=False)
        inbox.handle("button", b"x" * 100_000, retained=False)
    assert not door.mock_calls
    assert [record.message for record in caplog.records] == [
        "ignored a message on d/shutter/set: 'maybe\\n\\x1b[31m\\ufffd' is neither ON nor OFF",
        f"ignored a message on button: '{'x' * 40}' is too long",
    ]


def test_a_door_that_fails_does_not_end_the_connection(
    inbox: Incoming, door: Mock, caplog: pytest.LogCaptureFixture
) -> None:
    door.close_shutter.side_effect = RuntimeError("no")
    for _ in range(3):
        inbox.handle("d/shutter/set", b"ON", retained=False)
    [line] = caplog.messages
    assert line.startswith("a message on d/shutter/set: failed in doorbelld (RuntimeError at ")

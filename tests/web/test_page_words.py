"""The page's sentences and dates, in every language that it speaks."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import STATIC, evaluate

pytestmark = pytest.mark.process

WORDS = (STATIC / "words.js").read_text(encoding="utf-8")
PLURALS = re.compile(r"\.(zero|one|two|few|many|other)$")
LONGEST = {
    "badge": 11,
    "title": 28,
    "picture": 20,
    "watching": 20,
    "watching.more": 28,
    "watching.self": 48,
    "watching.since": 28,
    "ring.answered": 12,
    "ring.last": 18,
    "ring.visits": 12,
    "sound.on": 12,
    "sound.off": 12,
    "sound.tap": 16,
    "shutter.cancel": 12,
    "shutter.pause": 18,
    "fullscreen.enter": 12,
    "fullscreen.leave": 18,
    "snapshot.take": 10,
    "logout": 12,
    "technical": 24,
    "slow": 60,
    "install.trust": 200,
    "zones.zone": 70,
}
"""Characters that there is room for: under this key, and under those that begin with it."""
LONGEST_HEADLINE = 48
LONGEST_SENTENCE = 80


def tables() -> dict[str, dict[str, str]]:
    """Return the tables of words.js, by language."""
    found = {}
    for name, rows in re.findall(r"(?ms)^const ([a-z]{2,3}) = \{$(.*?)^\};$", WORDS):
        pairs = re.findall(r'(?m)^  "([\w.]+)": "([^"]*)",$', rows)
        lines = [line for line in rows.splitlines() if line and not line.startswith("  //")]
        assert len(pairs) == len(lines), f"a line of {name} is not a pair of strings"
        assert len(dict(pairs)) == len(pairs), f"a key is twice in {name}"
        found[name] = dict(pairs)
    return found


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def room_for(key: str, text: str) -> int:
    """Return how many characters this sentence may have."""
    if text.endswith(".") and not key.startswith("install.trust"):
        return LONGEST_SENTENCE
    *_, room = (
        LONGEST_HEADLINE,
        *(LONGEST[start] for start in sorted(LONGEST) if f"{key}.".startswith(f"{start}.")),
    )
    return room


def test_there_are_two_languages() -> None:
    assert set(tables()) == {"en", "de"}


def test_every_language_has_the_same_sentences() -> None:
    keys = {name: {PLURALS.sub("", key) for key in table} for name, table in tables().items()}
    assert all(each == keys["en"] for each in keys.values())


def test_every_language_fills_in_the_same_values() -> None:
    english = tables()["en"]
    for table in tables().values():
        for key, text in table.items():
            here = set(re.findall(r"\{(\w+)\}", text))
            there = set(
                re.findall(r"\{(\w+)\}", english.get(key, english[PLURALS.sub(".other", key)]))
            )
            assert here == there, key


def test_every_sentence_fits() -> None:
    for table in tables().values():
        for key, text in table.items():
            assert 0 < len(text) <= room_for(key, text), key
            assert text == text.strip(), key


def test_help_ends_with_a_full_stop_and_a_headline_does_not() -> None:
    for table in tables().values():
        for key, text in table.items():
            if f"{key}.help" in table:
                assert not text.endswith("."), key
            if key.endswith(".help"):
                assert text.endswith("."), key


def page() -> str:
    """Return all scripts, documents and programs that may ask for sentences."""
    return "".join(
        path.read_text(encoding="utf-8")
        for path in sorted((*STATIC.iterdir(), STATIC.parent / "visits_page.py"))
        if path.suffix in (".js", ".html", ".py") and path.name != "words.js"
    )


def test_every_key_that_the_page_asks_for_is_there() -> None:
    keys = {PLURALS.sub("", key) for key in tables()["en"]} | set(tables()["en"])
    patterns = (r'\bsay\("([\w.]+)"', r'data-say(?:-\w+)?="([\w.]+)"', r'\["(\w+\.[\w.]+)"')
    asked = {key for pattern in patterns for key in re.findall(pattern, page())}
    assert len(asked) > 30
    assert asked <= keys


def test_every_sentence_is_asked_for() -> None:
    named = set(re.findall(r'"([\w.]+)"', page()))
    begun = tuple(re.findall(r"`([\w.]+\.)\$\{", page()))
    assert [
        key
        for key in tables()["en"]
        if PLURALS.sub("", key) not in named and key not in named and not key.startswith(begun)
    ] == []


@pytest.mark.parametrize(
    ("languages", "search", "expected"),
    [
        (["de-AT", "en"], "", "de"),
        (["fr-FR", "de", "en"], "", "de"),
        (["fr-FR"], "", "en"),
        ([], "", "en"),
        (["EN-us"], "", "en"),
        (["en"], "?lang=de", "de"),
        (["de"], "?lang=fr", "de"),
        (["de"], "?lang=%00__proto__", "de"),
        (["en"], "?lang=de-no-such-tag-at-all", "de"),
        (["en-US@posix"], "", "en"),
        (["de_DE"], "", "de"),
    ],
)
def test_language_is_the_first_of_the_browser_that_there_is(
    tmp_path: Path, languages: list[str], search: str, expected: str
) -> None:
    script = """
      const words = await import("./words.js");
      words.clock(0);
      return [words.language, document.documentElement.lang, words.say("logout")];
    """
    found = evaluate(tmp_path, script, languages=languages, search=search)
    assert found == [expected, expected, tables()[expected]["logout"]]


def say(folder: Path, *asked: tuple[str, dict[str, Any]], language: str = "en") -> list[str]:
    """Return what say() returns for each key and its values."""
    calls = ", ".join(f'say("{key}", {values})' for key, values in asked)
    script = f'const {{ say }} = await import("./words.js"); return [{calls}];'
    found: list[str] = evaluate(folder, script, languages=[language])
    return found


def test_values_are_filled_in_as_they_are(tmp_path: Path) -> None:
    found = say(
        tmp_path,
        ("title.live", {"name": "<b>$& {name}"}),
        ("offline.since", {"time": "9:13"}),
        ("offline.since", {}),
    )
    assert found == ["● <b>$& {name}", "Offline since 9:13", "Offline since {time}"]


def test_count_decides_the_plural(tmp_path: Path) -> None:
    one, two = ("watching", {"count": 1}), ("watching", {"count": 2})
    assert say(tmp_path, one, two) == ["1 watching", "2 watching"]
    assert say(tmp_path, one, two, language="de") == ["1 sieht zu", "2 sehen zu"]


def test_browser_without_plural_rules_counts_too(tmp_path: Path) -> None:
    script = """
      delete Intl.PluralRules;
      const { say } = await import("./words.js");
      return [1, 2].map((count) => say("watching", { count }));
    """
    assert evaluate(tmp_path, script, languages=["de"]) == ["1 sieht zu", "2 sehen zu"]


def test_unknown_key_is_known_to_be_unknown(tmp_path: Path) -> None:
    script = """
      const { knows, say } = await import("./words.js");
      return ["reason.busy", "reason.new", "constructor"].map((key) => [knows(key), say(key)]);
    """
    assert evaluate(tmp_path, script) == [
        [True, "Another program is using the camera"],
        [False, "reason.new"],
        [False, "constructor"],
    ]


@pytest.mark.parametrize("code", ["novel", "too-hot", "two words", "a.b", "constructor", "{}"])
def test_reason_that_the_page_does_not_know_is_another_one(tmp_path: Path, code: str) -> None:
    script = """
      const elements = {};
      document.getElementById = (id) => {
        elements[id] = elements[id] || { setAttribute() {}, removeAttribute() {} };
        return elements[id];
      };
      const { Panel } = await import("./panel.js");
      new Panel({ dataset: {} }).show({
        state: "offline", detail: [`reason.${CODE}`], help: [`reason.${CODE}.help`],
      }, 0);
      return [elements.detail.textContent, elements.help.textContent];
    """
    assert evaluate(tmp_path, script.replace("CODE", json.dumps(code))) == [
        "The camera does not work",
        "The technical details say more.",
    ]


def test_sentence_that_a_language_lacks_is_english(tmp_path: Path) -> None:
    script = """
      const { readFileSync, writeFileSync } = await import("fs");
      const source = readFileSync("words.js", "utf8").replace('  "logout": "Abmelden",', "");
      writeFileSync("lacking.js", source);
      const { say } = await import("./lacking.js");
      return [say("connection.none"), say("logout")];
    """
    assert evaluate(tmp_path, script, languages=["de"]) == ["Keine Verbindung", "Log out"]


NOON = at("2026-03-04 12:00")


@pytest.mark.parametrize(
    ("language", "zone", "moment", "expected"),
    [
        ("en-GB", "UTC", "2026-03-04 09:05", "9:05"),
        ("en-GB", "UTC", "2026-03-03 23:59", "Tue 3 Mar, 23:59"),
        ("en-GB", "UTC", "2025-12-31 23:59", "31 Dec 2025, 23:59"),
        ("en-US", "UTC", "2026-03-04 09:05", "9:05 AM"),
        ("en-US", "UTC", "2025-12-31 23:59", "Dec 31, 2025, 11:59 PM"),
        ("de", "UTC", "2026-03-04 09:05", "9:05"),
        ("de", "UTC", "2026-03-03 23:59", "Di., 3. März, 23:59"),
        ("de", "UTC", "2025-12-31 23:59", "31. Dez. 2025, 23:59"),
        ("fr", "UTC", "2025-12-31 23:59", "Dec 31, 2025, 11:59 PM"),
        ("de", "Europe/Berlin", "2026-03-03 23:30", "0:30"),
        ("de", "America/New_York", "2026-03-04 04:30", "Di., 3. März, 23:30"),
        ("de", "Pacific/Auckland", "2025-12-31 12:00", "Do., 1. Jan., 1:00"),
        ("de", "Europe/Berlin", "2027-01-01 00:00", "1. Jan. 2027, 1:00"),
    ],
)
def test_time_has_the_day_unless_it_is_today_and_the_year_if_it_is_another(
    tmp_path: Path, language: str, zone: str, moment: str, expected: str
) -> None:
    script = f'const {{ clock }} = await import("./words.js"); return clock({at(moment)});'
    found = evaluate(tmp_path, script, languages=[language], now=NOON, zone=zone)
    assert re.sub(r"\s", " ", found) == expected


def test_the_time_and_pm_stay_on_one_line(tmp_path: Path) -> None:
    script = f"""
      const {{ clock, exactTime, timeOfDay }} = await import("./words.js");
      return [clock, exactTime, timeOfDay].map((form) => form({at("2026-03-03 14:05")}));
    """
    assert evaluate(tmp_path, script, languages=["en-US"], now=NOON) == [
        "Tue, Mar 3, 2:05\N{NO-BREAK SPACE}PM",
        "2:05:00\N{NO-BREAK SPACE}PM",
        "2:05\N{NO-BREAK SPACE}PM",
    ]
    script = script.replace("clock, exactTime, timeOfDay].map", "clock].map")
    assert evaluate(tmp_path, script, languages=["de"], now=NOON) == ["Di., 3. März, 14:05"]


def test_form_of_the_login_speaks_the_same_languages() -> None:
    script = (STATIC / "login.js").read_text(encoding="utf-8")
    words = script.partition("const words = {")[2].partition("\n};")[0]
    assert re.findall(r"^  (\w+): \{$", words, re.MULTILINE) == [
        name for name in tables() if name != "en"
    ]

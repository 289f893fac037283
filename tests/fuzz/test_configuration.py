"""Configuration files as people write them, and any others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from doorbelld.config import load as config
from doorbelld.config.load import ConfigError
from doorbelld.config.schema import SECTIONS
from tests.support.cost import assert_cheap
from tests.support.fuzzing import examples

SECRET = "s3cr3t"
KEYS = [key for cls in SECTIONS.values() for key in cls.__dataclass_fields__]

PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
NUMBERS = st.one_of(st.integers(1, 100), st.floats(1, 100)).map(str)
ADDRESSES = st.ip_addresses().map(str)
ORIGINS = st.builds(
    "{}://x.example:{}".format, st.sampled_from(["http", "https"]), st.integers(1, 9999)
)

VALUES: dict[str, SearchStrategy[str]] = {
    "camera.source": st.one_of(
        st.sampled_from(["auto", "pattern", "picamera:1", "picamera2"]),
        PRINTABLE.map("file:{}".format),
        PRINTABLE.map("v4l2:/{}".format),
        st.builds("rtsp://cam:{}/".format, st.integers(1, 65535)),  # a path is not shown
    ),
    "camera.resolution": st.builds("{}x{}".format, st.integers(16, 9999), st.integers(16, 9999)),
    "camera.framerate": NUMBERS,
    "camera.rotation": st.sampled_from(["0", "90", "180", "270"]),
    "camera.verify": st.sampled_from(["yes", "no", "Off", "1"]),
    "camera.hflip": st.sampled_from(["yes", "no", "On", "0"]),
    "camera.name": PRINTABLE,
    "server.listen": st.lists(
        st.builds("{}:{}".format, st.sampled_from(["", "[::1]", "h"]), st.integers(0, 65535)),
        min_size=1,
    ).map(",".join),
    "server.stall_timeout": NUMBERS,
    "access.networks": st.lists(st.one_of(ADDRESSES, st.just("lan")), min_size=1).map(", ".join),
    "access.embed": st.lists(ORIGINS, min_size=1).map(",".join),
    "access.password_file": PRINTABLE.map("/{}".format),
}


@pytest.fixture(autouse=True, scope="module")
def _a_system_without_configuration() -> Iterator[None]:
    before, config.DEFAULT_PATH = config.DEFAULT_PATH, Path("/nonexistent/doorbelld.conf")
    yield
    config.DEFAULT_PATH = before


def load(path: Path | None, *settings: str) -> tuple[str, tuple[str, ...]]:
    """Return the configuration, as --check prints it, and its problems."""
    try:
        return config.describe(config.load(path, settings)), ()
    except ConfigError as error:
        return "", error.problems


def problems(data: bytes) -> list[str]:
    """Load a file with this content; return its problems, without the file's name."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.conf"
        path.write_bytes(data)
        shown, found = load(path)
    assert bool(shown) is not bool(found)
    start = f"{path}:"
    assert all(problem.startswith(start) for problem in found), found
    return [problem[len(start) :] for problem in found]


def check_places(problems: list[str], lines: list[str]) -> None:
    """Check that every problem names the line where it is."""
    for problem in problems:
        place = re.match(r"(\d+): (?:\[(.*?)\] (.*?)(?::| = )|.)", problem, re.DOTALL)
        assert place, problem
        assert 1 <= int(place[1]) <= len(lines), problem
        if place[3]:
            line = lines[int(place[1]) - 1]
            assert line.lstrip().startswith(place[3]), f"{problem!r} is not in {line!r}"


LINES = st.one_of(
    st.sampled_from([f"[{name}]" for name in SECTIONS]),
    st.builds("{}{}{}".format, st.sampled_from(KEYS), st.sampled_from("=:"), st.text(max_size=9)),
    st.builds("{}{}".format, st.sampled_from(KEYS), st.sampled_from([" = 7", "", "="])),
    st.sampled_from(
        ["[DEFAULT]", "[", "[]", "[x", " indented", "\t= 5", "# x", ";", "=", "", "x="]
    ),
    st.text(max_size=12),
)


@given(st.binary(max_size=60))
@examples(200)
def test_any_bytes_load_or_are_explained_with_their_line(data: bytes) -> None:
    problems(data)


@given(st.lists(LINES, max_size=12))
@examples(150)
def test_any_lines_load_or_are_explained_with_their_line(lines: list[str]) -> None:
    text = "\n".join(lines)
    check_places(problems(text.encode("utf-8", "replace")), re.split(r"\r\n|\r|\n", text))


@given(st.text())
@examples(200)
def test_any_setting_is_taken_or_explained(text: str) -> None:
    for setting in (text, f"camera.{text}", f"camera.source={text}", f"access.networks={text}"):
        _, found = load(None, setting)
        assert all(problem.startswith("--set ") for problem in found)


RUNS = st.builds(
    lambda start, run, end: start + run * (15_000 // len(run)) + end,
    st.sampled_from(
        ["", "[", "key", "source=", "source = http://", "name:", "listen=", "embed = "]
    ),
    st.sampled_from(
        [*" \t=:;#[].,/@%-1aä", "a ", "a=", "x://", "a@", "\n ", "x,", "\u0301", "[a]"]
    ),
    st.sampled_from(["", "x", "=", "]", "\x1f", "@", "://", "\u0327" * 3000]),
)


@given(RUNS)
@examples(60)
def test_no_line_takes_long_to_read(text: str) -> None:
    data = f"[camera]\n{text}\n[access]\n{text}".encode()
    assert_cheap(lambda: problems(data), len(data))
    assert_cheap(lambda: load(None, text, f"camera.{text}", f"camera.source={text}"), 3 * len(text))


@given(st.fixed_dictionaries({}, optional=VALUES))
@examples(150)
def test_what_is_described_loads_as_the_same(values: dict[str, str]) -> None:
    found = config.load(settings=[f"{key}={value}" for key, value in values.items()])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.conf"
        path.write_text(config.describe(found), encoding="utf-8")
        assert config.load(path) == found


@given(st.sampled_from(["rtsp", "http", "ftp"]), st.text(max_size=8), st.text(max_size=8))
@examples(150)
def test_a_secret_is_never_shown(scheme: str, before: str, after: str) -> None:
    for text in (
        f"{scheme}://user:{before}{SECRET}{after}@camera/x",
        f"{scheme}://camera/{after}?{before}key={SECRET}{after}",
        f"{scheme}://camera/{before}{SECRET}{after}",
        f"{scheme}:///{before}{SECRET}{after}",
    ):
        shown, found = load(None, f"camera.source={text}")
        assert SECRET not in str(found)
        if found:
            continue
        url = urlsplit(text)
        if SECRET in (url.password or "") + url.path + url.query:
            assert SECRET not in shown

"""What ``doorbelld check`` says of the bell and of visits; the camera is in tests/functional."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doorbelld.commands import check
from doorbelld.config.schema import BellSection, Config, VisitsSection
from doorbelld.media import codec
from tests.support.visits import make_state


def about(*, as_service: bool = True, **visits: object) -> list[str]:
    settings = Config(visits=VisitsSection(**visits))  # type: ignore[arg-type]
    return list(check._about_the_folder(settings, as_service=as_service))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a state folder that does not exist yet."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.usefixtures("folder")
def test_nothing_is_said_of_a_folder_that_no_service_has_made() -> None:
    assert about() == []


def test_says_how_many_visits_there_are_and_how_many_more_fit(folder: Path) -> None:
    folder.mkdir()
    # A visit of 20 s at 10 frames a second has about 10 MB.
    [line] = about(space=100)
    assert line == f"Visits: 0 in {folder}/visits (0 MB); about 10 more fit."
    assert [*folder.iterdir()] == []
    make_state(folder / "x")
    (folder / "x" / "visits").rename(folder / "visits")
    size = sum(path.stat().st_size for path in (folder / "visits").glob("*.*pg"))
    assert size
    [line] = about(space=1)
    assert line.startswith(f"Visits: 4 in {folder}/visits (0 MB); about ")


def test_says_that_the_disk_has_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.setattr(check, "room", lambda *_: -5)
    [line] = about()
    assert line.endswith("; each new one takes the place of old ones.")


def test_says_that_the_index_is_damaged(folder: Path) -> None:
    (folder / "visits").mkdir(parents=True)
    (folder / "visits" / "index.sqlite").write_bytes(b"x" * 4096)
    [line] = about()
    assert line.startswith(f"Visits: {folder}/visits/index.sqlite: the index of visits is damaged")


def test_says_that_the_folder_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    [line] = about()
    assert line == (
        f"Visits: the service may not write to {folder}, and will lose them when it stops."
    )
    [line] = about(as_service=False)
    assert line == f"Visits: only root may check {folder}: sudo doorbelld --check"


def test_says_what_is_wrong_with_the_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    token = folder / "ring_token"

    def said() -> str:
        return "\n".join(check._about_the_token(BellSection(), folder))

    without = "Without a token, only a browser that has logged in can ring."
    assert said() == "", "it can be made"
    token.write_text("x\n")
    why = "it holds no token: delete it, and a new one is made"
    assert said() == f"Bell: {token}: {why}. {without}"
    token.write_text("x" * 32)
    assert said() == ""
    token.unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert said() == f"Bell: {token}: it does not exist and cannot be made. {without}"
    assert not [*check._about_the_token(BellSection(token_file=None), folder)]


def test_says_which_button_is_missing() -> None:
    [line] = check._about_buttons(BellSection(button="/dev/input/nowhere"))
    assert line.startswith("Bell: There is no device at /dev/input/nowhere; check that ")
    assert [*check._about_buttons(BellSection(button=None))] == []


def test_says_that_motion_needs_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*check._about_motion(VisitsSection(motion=True))] == []
    monkeypatch.setattr(codec, "is_installed", lambda: False)
    [line] = check._about_motion(VisitsSection(motion=True))
    assert line.endswith("apt install python3-opencv")
    assert [*check._about_motion(VisitsSection())] == []

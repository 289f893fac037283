"""The page over HTTPS: the same as over HTTP, which is redirected to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import eventually
from tests.support.phone import TEST_CARD, Phone, Phones
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.secure import SecureDaemon, make_pair


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[SecureDaemon]:
    """Return a daemon with a certificate that is not started yet."""
    found = SecureDaemon(tmp_path, make_pair(tmp_path))
    with found:
        yield found


@pytest.fixture
def visitor(phones: Phones) -> Phone:
    """Return a phone on which the browser's warning was dismissed."""
    return phones(ignore_https_errors=True)


def test_page_is_live_and_the_browser_has_nothing_to_complain_about(
    visitor: Phone, secure: SecureDaemon
) -> None:
    secure.start({**TEST_CARD, "access.hsts": "yes"})
    visitor.open(secure).wait_for("live")
    assert visitor.evaluate("() => isSecureContext && location.protocol") == "https:"
    assert visitor.problems == []
    secure.wait_for_viewers(1)


def test_newest_picture_is_on_the_screen(
    visitor: Phone, secure: SecureDaemon, pipe_camera: PipeCamera
) -> None:
    secure.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    visitor.open(secure).wait_for("live", lambda: pipe_camera.show(jpeg(1, 640, 480)))
    visitor.bare()
    for number in (2, 3, 4):
        pipe_camera.show(jpeg(number, 640, 480))
        eventually(lambda number=number: visitor.number() == number, f"picture {number}")  # type: ignore[misc]


def test_page_recovers_after_a_restart(visitor: Phone, secure: SecureDaemon) -> None:
    secure.start(TEST_CARD)
    visitor.open(secure).wait_for("live")
    secure.stop()
    visitor.wait_for("offline")
    secure.start(TEST_CARD)
    visitor.wait_for("live")


def test_http_is_redirected_to_https(visitor: Phone, secure: SecureDaemon) -> None:
    secure.start(TEST_CARD)
    visitor.page.goto(f"http://127.0.0.1:{secure.port}/?x=1", wait_until="domcontentloaded")
    assert visitor.page.url == f"https://127.0.0.1:{secure.port}/?x=1"

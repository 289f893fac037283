"""One browser for all tests, and a phone for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, expect

from tests.support import chromium
from tests.support.daemon import GUARD, Daemon
from tests.support.phone import PORTRAIT, TEST_CARD, Phone, Phones

expect.set_options(timeout=GUARD * 1000)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return the browser."""
    with chromium.chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="session")
def doorbell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon with the test card, for tests that change nothing about it."""
    with Daemon(tmp_path_factory.mktemp("doorbell")) as found:
        found.start(TEST_CARD)
        found.wait_for_state("streaming")
        yield found


@pytest.fixture
def phones(browser: Browser) -> Iterator[Phones]:
    """Return what makes a phone, given its size and more of Playwright's options."""
    made: list[Phone] = []
    with ExitStack() as stack:

        def make(size: tuple[int, int] = PORTRAIT, **options: object) -> Phone:
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                is_mobile=True,
                has_touch=True,
                **{"locale": "en-GB", **options},  # type: ignore[arg-type]
            )
            stack.callback(context.close)
            made.append(Phone(context.new_page()))
            return made[-1]

        yield make
    assert not [url for phone in made for url in phone.strangers], "the page asked strangers"


@pytest.fixture
def phone(phones: Phones) -> Phone:
    """Return a phone that is held upright."""
    return phones()

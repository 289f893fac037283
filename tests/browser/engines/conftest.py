"""The same tests in Chromium, Firefox and WebKitGTK: each browser runs once, with a tab a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chromium import Chromium
from tests.support.engines import Engine, Tab
from tests.support.firefox import firefox
from tests.support.webkit import webkit


@pytest.fixture(scope="session", params=["chromium", "firefox", "webkit"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Return a running browser."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "firefox":
        with firefox(folder) as found:
            yield found
    elif request.param == "webkit":
        with webkit(folder) as view:
            yield view
    else:
        yield Chromium(request.getfixturevalue("browser"), folder)


@pytest.fixture
def tab(engine: Engine) -> Iterator[Tab]:
    """Return an empty tab."""
    with engine.tab() as found:
        yield found

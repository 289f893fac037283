"""A daemon that several tests share, where none of them changes anything about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon
from tests.support.service_manager import ServiceManager


@pytest.fixture(scope="module")
def doorbell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon with the test card, which has a picture; it logs every request."""
    with Daemon(tmp_path_factory.mktemp("doorbell")) as found:
        found.start({"camera.resolution": "160x120"}, arguments=["-v"])
        found.wait_for_state("streaming")
        yield found


@pytest.fixture
def manager() -> Iterator[ServiceManager]:
    """Return a service manager that stores descriptors from one daemon to the next."""
    with ServiceManager(capacity=4096) as found:
        yield found


@pytest.fixture
def systemd() -> Iterator[ServiceManager]:
    """Return a service manager without a store, whose messages the test reads."""
    with ServiceManager() as found:
        yield found

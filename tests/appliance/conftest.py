"""Fixtures of the appliance tests: the package, and machines with it.

These tests need root and take half an hour: ``make test-appliance`` runs them.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.appliance import roots
from tests.appliance.container import Container
from tests.appliance.package import Package
from tests.support.daemon import ROOT

SUITES = ("bullseye", "bookworm", "trixie")
NewContainer = Callable[[], Container]


@pytest.fixture(scope="session")
def package() -> Package:
    """Return the package, built from this checkout as README says."""
    subprocess.run(["make", "deb"], cwd=ROOT, check=True)
    return Package(ROOT / "doorbelld.deb")


@pytest.fixture(scope="session", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """Return each supported Debian release."""
    return str(request.param)


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder for the machines' disks; it is deleted at the end."""
    folder = tmp_path_factory.mktemp("disks")
    yield folder
    shutil.rmtree(folder)


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def clean(suite: str, disks: Path, package: Package) -> Path:
    """Return a clean Debian that can boot, with the dependencies downloaded but not installed."""
    machine = Container(roots.make(disks / suite, suite), next(_numbers))
    machine.put(package.path)
    machine.write("/etc/dpkg/dpkg.cfg.d/fast", "force-unsafe-io\n")
    machine.prepare("apt-get", "update")
    fetched = machine.prepare(
        *("apt-get", "install", "--yes", "--download-only", f"/root/{package.path.name}")
    )
    print(f"\n{suite}: " + "; ".join(line for line in fetched.splitlines() if "MB" in line))
    return machine.root


@pytest.fixture(scope="session")
def ready(clean: Path, disks: Path, package: Package) -> Path:
    """Return a Debian with all dependencies of the package, but without the package."""
    machine = Container(_copy(clean, disks), next(_numbers))
    needs = f"{package.field('Depends')}, {package.field('Recommends')}"
    machine.prepare("apt-get", "satisfy", "--yes", needs)
    return machine.root


@pytest.fixture(scope="session")
def installed(ready: Path, disks: Path, package: Package) -> Path:
    """Return a Debian with the package installed that was never booted."""
    machine = Container(_copy(ready, disks), next(_numbers))
    machine.prepare("apt-get", "install", "--yes", f"/root/{package.path.name}")
    machine.write("/etc/doorbelld/conf.d/test.conf", "[camera]\nsource = pattern\n")
    return machine.root


@pytest.fixture
def clean_machine(clean: Path, disks: Path) -> Iterator[Container]:
    """Return a machine for one test, not booted yet, with a newly installed Debian."""
    with Container(_copy(clean, disks), next(_numbers)) as machine:
        yield machine


@pytest.fixture
def new_machine(ready: Path, disks: Path) -> Iterator[Container]:
    """Return a machine for one test, not booted yet, with everything but the package."""
    with Container(_copy(ready, disks), next(_numbers)) as machine:
        yield machine


@pytest.fixture
def spare_machine(installed: Path, disks: Path) -> Iterator[Container]:
    """Return a machine for one test, not booted yet, with doorbelld and the test card."""
    with Container(_copy(installed, disks), next(_numbers)) as machine:
        yield machine


@pytest.fixture(scope="module")
def machine(installed: Path, disks: Path) -> Iterator[Container]:
    """Return a booted machine that the tests of a module share; its log must have no traceback."""
    with Container(_copy(installed, disks), next(_numbers)) as machine:
        machine.boot()
        yield machine
        journal = machine.journal("doorbelld")
        assert "Traceback" not in journal, journal


def _copy(root: Path, disks: Path) -> Path:
    copy = disks / f"{root.name}-{next(_numbers)}"
    subprocess.run(["cp", "--archive", "--reflink=auto", str(root), str(copy)], check=True)
    return copy

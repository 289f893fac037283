"""The rules on the tests themselves: what they may import, what they share, what they start."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import support
from tests.support.daemon import GUARD, ROOT
from tests.support.process_guard import ProcessGuard, ProcessStartedError

TESTS = Path(__file__).parent
HANGING = """
import time

def test_hangs():
    time.sleep(3600)

def test_passes():
    pass
"""
OF_TESTS = re.compile(r"tests\.(\w+\.)*(test_\w+|conftest)$")


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, modules and what is imported from them."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_no_module_imports_a_test_module() -> None:
    files = sorted(TESTS.rglob("*.py"))
    assert len(files) > 100
    wrong = [
        f"{path.relative_to(TESTS)} imports {name}"
        for path in files
        for name in imported(path)
        if OF_TESTS.match(name)
    ]
    assert wrong == []


def test_index_of_the_support_package_names_each_module_once() -> None:
    modules = [path.stem for path in (TESTS / "support").glob("*.py") if path.stem != "__init__"]
    rows = re.findall(r"(?m)^(\w+) {2,}\S", support.__doc__ or "")
    assert sorted(rows) == sorted(modules)


def test_process_without_the_marker_fails_the_test(process_guard: ProcessGuard) -> None:
    with pytest.raises(ProcessStartedError, match=r"needs @pytest.mark.process.*echo"):
        subprocess.run(["echo"], check=True)
    with pytest.raises(ProcessStartedError, match="echo"):
        process_guard.allow()  # what happens at the test's end, whatever caught the first


@pytest.mark.process
def test_process_with_the_marker_is_allowed() -> None:
    subprocess.run(["true"], check=True)


@pytest.mark.process
def test_test_that_hangs_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(HANGING)
    ours = ("PYTEST", "COVERAGE")  # of the run that this test is part of
    environ = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--numprocesses=2", "test_it.py"),
            *(f"--config-file={ROOT}/pyproject.toml", f"--rootdir={tmp_path}"),
            "--override-ini=faulthandler_timeout=5",
        ],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * GUARD,
    )
    assert "crashed while running 'test_it.py::test_hangs'" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert 'test_it.py", line 5 in test_hangs' in done.stderr


def test_fixture_that_starts_processes_marks_its_tests(
    request: pytest.FixtureRequest, v4l2_library: Path
) -> None:
    assert request.node.get_closest_marker("process")
    assert v4l2_library.exists()

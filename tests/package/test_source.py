"""What the package consists of, as far as a test can see without building it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import doorbelld
from doorbelld.config.schema import Config
from tests.support.daemon import ROOT

DEBIAN = ROOT / "debian"
UNITS = ROOT / "systemd"


def unit(name: str) -> dict[str, list[str]]:
    """Return the settings of a unit, each with a list of its values."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text(encoding="utf-8").splitlines():
        if re.match(r"\w+=", line):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_newest_version_in_its_changelog_is_the_version_of_the_code() -> None:
    first = (DEBIAN / "changelog").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"doorbelld ({doorbelld.__version__}) ")


def test_its_opencv_is_the_pinned_one() -> None:
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    version = re.findall(r"^opencv-python-headless==(\S+)", pins, re.MULTILINE)
    assert f" {version[0]} " in (DEBIAN / "copyright").read_text(encoding="utf-8")


def test_the_document_named_in_the_manual_is_installed_under_that_name() -> None:
    manual = (ROOT / "docs" / "man" / "doorbelld.conf.5").read_text(encoding="utf-8")
    (named,) = re.findall(r"^\.Pa /(usr/share/doc/doorbelld)/(\S+)$", manual, re.MULTILINE)
    installed = (DEBIAN / "doorbelld.install").read_text(encoding="utf-8")
    assert f"docs/{named[1]} {named[0]}\n" in installed
    rules = (DEBIAN / "rules").read_text(encoding="utf-8")
    assert f" -X {named[1]}" in rules, "a long file would be compressed and end in .gz"


def test_socket_unit_includes_the_default_port_of_the_configuration() -> None:
    for listen in Config().server.listen:
        assert str(listen.port) in unit("doorbelld.socket")["ListenStream"]


def test_installation_makes_the_state_folder_as_systemd_would() -> None:
    folder = f"/var/lib/{unit('doorbelld.service')['StateDirectory'][0]}"
    user = unit("doorbelld.service")["User"][0]
    lines = (DEBIAN / "doorbelld.tmpfiles").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        f"d {folder} 0755 {user} {user}"
    ]


def test_systemd_always_restarts_the_service_except_after_a_bad_configuration() -> None:
    service = unit("doorbelld.service")
    assert service["Restart"] == ["always"]
    assert service["StartLimitIntervalSec"] == ["0"]
    assert service["RestartPreventExitStatus"] == [str(os.EX_CONFIG)]


@pytest.mark.process
def test_the_launcher_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    text = (DEBIAN / "bin" / "doorbelld").read_text(encoding="utf-8")
    replaced = {"/usr/share/doorbelld": str(ROOT), "/usr/lib/doorbelld": str(tmp_path / "lib")}
    for installed, here in replaced.items():
        assert installed in text
        text = text.replace(installed, here)
    launcher = tmp_path / "launcher"
    launcher.write_text(text, encoding="utf-8")
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("doorbelld", "argparse", "cv2", "numpy"):
        (trap / f"{name}.py").write_text("raise SystemExit('in the trap')\n")
    options = text.splitlines()[0].partition(" ")[2].split()
    done = subprocess.run(
        [sys.executable, *options, launcher, "--version"],
        cwd=trap,
        env={**os.environ, "PYTHONPATH": str(trap)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"doorbelld {doorbelld.__version__}\n"


def test_documents_that_link_to_each_other_are_installed_together() -> None:
    installed = (DEBIAN / "doorbelld.install").read_text(encoding="utf-8")
    found = re.findall(r"^docs/(\S+\.md) ", installed, re.MULTILINE)
    for name in found:
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert {*re.findall(r"\]\((\w+\.md)", page)} <= {*found}, name


def test_purge_deletes_everything_and_remove_nothing() -> None:
    script = (DEBIAN / "doorbelld.postrm").read_text(encoding="utf-8")
    [deleted] = re.findall(
        r'^if \[ "\$1" = purge \]; then\n(.*?)^fi$', script, re.MULTILINE | re.DOTALL
    )
    assert "rm -rf /etc/doorbelld /var/lib/doorbelld\n" in deleted
    assert script.count("rm -") == 1


def test_build_of_the_package_copies_what_is_installed() -> None:
    installed = (DEBIAN / "doorbelld.install").read_text(encoding="utf-8").splitlines()
    sources = [line.split()[0] for line in installed if line and not line.startswith("#")]
    build = (ROOT / "tools" / "deb").read_text(encoding="utf-8")
    [parts] = re.findall(r"^parts=\((.*)\)$", build, re.MULTILINE)
    copied = parts.split()
    assert {"docs/live.md", "docs/visits.md"} <= {*sources}
    for source in sources:
        assert any(f"{source}/".startswith(f"{part}/") for part in copied), source

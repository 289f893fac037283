"""The package through its life: installed, upgraded, removed and purged."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.appliance.test_service import UNIT, fetch, main_pid, wait_for_picture
from tests.support.daemon import ROOT, eventually

if TYPE_CHECKING:
    from tests.appliance.container import Container
    from tests.appliance.package import Package

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = "/etc/doorbelld/doorbelld.conf"
_CHANGES = ("etc/", "usr/", "opt/", "srv/", "home/", "root/", "var/lib/", "var/spool/")
"""Where a package may leave something; the rest is logs, caches and what is gone at a boot."""

_KEPT_BY_DEBIAN = re.compile(
    r"var/lib/(dpkg|apt|systemd|dbus)/"
    r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/(machine-id|resolv\.conf|\.pwd\.lock)$"
    r"|.*/__pycache__(/|$)|etc/ld\.so\.cache$"
)


def tree(root: Path) -> set[str]:
    """Return the paths of all files and folders that count, relative to the root."""
    found = subprocess.run(
        ["find", ".", "-xdev", "-printf", "%P\\n"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {path for path in found if path.startswith(_CHANGES) and not _KEPT_BY_DEBIAN.match(path)}


def install(machine: Container, package: Package) -> None:
    machine.put(package.path)
    machine.run("apt-get", "install", "--yes", f"/root/{package.path.name}")


def test_installed_as_readme_says_it_runs_at_once(new_machine: Container, package: Package) -> None:
    """Word for word, in a booted machine; only apt's question is answered beforehand."""
    section = re.search(r"\n## Install\n(.*?)\n## ", README, re.DOTALL)
    assert section, "README has no section Install"
    commands = re.findall(r"```sh\n(.*?)```", section[1], re.DOTALL)[0].splitlines()
    assert commands == ["sudo apt install ./doorbelld.deb"]
    new_machine.boot()
    new_machine.write("/etc/apt/apt.conf.d/90yes", 'APT::Get::Assume-Yes "true";\n')
    new_machine.write("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n')
    (new_machine.root / "usr/local/bin/sudo").chmod(0o755)
    new_machine.run("sh", "-c", f"cd /root && PATH=/usr/local/bin:$PATH && {commands[0]}")
    eventually(lambda: fetch(new_machine, "/")[0] == 200, "the page")
    assert fetch(new_machine, "/healthz") == (
        503,
        b"offline: No camera found; check that one is plugged in\n",
    )
    assert new_machine.show(UNIT, "UnitFileState") == "enabled"
    status = new_machine.run("doorbelld", "status", check=False)
    assert re.match(r"Front door: offline since \d\d:\d\d: No camera found", status)
    assert new_machine.run("doorbelld", "cameras", check=False).startswith("No camera found")
    assert package.field("Version") in new_machine.run("doorbelld", "--version")


def test_an_upgrade_keeps_the_configuration_and_restarts_it(
    new_machine: Container, package: Package, tmp_path: Path
) -> None:
    new_machine.boot()
    install(new_machine, package.older(tmp_path))
    edited = new_machine.read(CONFIGURATION) + "\n[camera]\nsource = pattern\nname = Mine\n"
    new_machine.write(CONFIGURATION, edited)
    new_machine.run("systemctl", "restart", "doorbelld")
    wait_for_picture(new_machine)
    before = main_pid(new_machine)
    install(new_machine, package)
    wait_for_picture(new_machine)
    assert main_pid(new_machine) not in ("0", before)
    assert new_machine.read(CONFIGURATION) == edited
    assert b"Mine" in fetch(new_machine, "/")[1]
    installed = new_machine.run("dpkg-query", "--show", "--showformat=${Version}", "doorbelld")
    assert installed == package.field("Version")


def test_an_upgrade_leaves_a_disabled_service_alone(
    new_machine: Container, package: Package, tmp_path: Path
) -> None:
    new_machine.boot()
    install(new_machine, package.older(tmp_path))
    new_machine.run("systemctl", "disable", "--now", "doorbelld")
    install(new_machine, package)
    assert new_machine.show(UNIT, "UnitFileState") == "disabled"
    assert new_machine.show(UNIT, "ActiveState") == "inactive"


def test_removed_it_stops_and_purged_it_leaves_nothing(
    new_machine: Container, package: Package
) -> None:
    new_machine.boot()
    needs = f"{package.field('Depends')}, {package.field('Recommends')}"
    new_machine.run("apt-get", "satisfy", "--yes", needs)
    before = tree(new_machine.root)
    install(new_machine, package)
    eventually(lambda: fetch(new_machine, "/")[0] == 200, "the page")
    assert tree(new_machine.root) > before, "this test sees what a package brings"
    new_machine.run("apt-get", "remove", "--yes", "doorbelld")
    assert fetch(new_machine, "/")[0] == 0
    running = new_machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "doorbelld" not in running
    assert (new_machine.root / CONFIGURATION[1:]).exists()
    new_machine.run("apt-get", "purge", "--yes", "doorbelld")
    assert tree(new_machine.root) - before == {f"root/{package.path.name}"} - before
    units = new_machine.run("systemctl", "list-unit-files", "--no-legend", "--no-pager")
    assert "doorbelld" not in units
    assert "doorbelld" not in new_machine.run("systemctl", "list-units", "--all", "--no-pager")


def test_installed_again_after_a_purge_it_runs(new_machine: Container, package: Package) -> None:
    new_machine.boot()
    for _ in range(2):
        install(new_machine, package)
        eventually(lambda: fetch(new_machine, "/")[0] == 200, "the page")
        new_machine.run("apt-get", "purge", "--yes", "doorbelld")
        assert fetch(new_machine, "/")[0] == 0

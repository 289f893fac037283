"""Paho versions: the libraries of Debian 11, 12 and 13, each in a folder of its own."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import ROOT

VERSIONS = {
    "1.5.1": "sha256:9feb068e822be7b3a116324e01fb6028eb1d66412bf98595ae72698965cb1cae",
    "1.6.1": "sha256:2a8291c81623aec00372b5a85558a372c747cbca8e9934dfe218638b8eefc26f",
    "2.1.0": "sha256:6db9ba9b34ed5bc6b6e3812718c7e06e2fd7444540df2455d2c51bd58808feee",
}


def folder(version: str) -> Path:
    """Return the folder from which this version is imported; install it first if necessary."""
    cache = ROOT / ".cache"
    found = cache / f"paho-{version}"
    with (cache / "paho.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Tests run side by side.
        if not (found / "paho").exists():
            _install(version, found)
    return found


def _install(version: str, found: Path) -> None:
    """Install it, built with the setuptools of the environment as tools/venv does."""
    new = found.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    requirement = new / "requirement.txt"
    requirement.write_text(f"paho-mqtt=={version} --hash={VERSIONS[version]}\n")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    how = ["--no-deps", "--no-build-isolation", "--use-pep517", "--require-hashes"]
    where = ["--target", str(new / "lib"), "-r", str(requirement)]
    subprocess.run([*command, *how, *where], check=True)
    (new / "lib").rename(found)
    shutil.rmtree(new)

"""Package: a .deb, and what can be asked of it or done to it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """The .deb at ``path``."""

    path: Path

    def field(self, name: str) -> str:
        """Return a field of its control file."""
        return _output("dpkg-deb", "--field", str(self.path), name).strip()

    def files(self) -> list[str]:
        """Return the paths it installs, folders with a slash at their end."""
        lines = _output("dpkg-deb", "--contents", str(self.path)).splitlines()
        return [line.split(None, 5)[5].partition(" -> ")[0][1:] for line in lines]

    def older(self, folder: Path) -> Package:
        """Return the same as a build of an earlier version."""
        tree = folder / "older"
        _output("dpkg-deb", "--raw-extract", str(self.path), str(tree))
        control = tree / "DEBIAN" / "control"
        version = f"Version: {self.field('Version')}"
        text = control.read_text()
        assert version in text
        control.write_text(text.replace(version, f"{version}~older"))
        older = folder / "older.deb"
        _output("dpkg-deb", "--build", "--root-owner-group", "-Zgzip", "-z1", str(tree), str(older))
        return Package(older)


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

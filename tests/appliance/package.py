"""Package: a .deb, its fields, and an older version made from it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

AVAHI_FILE = "/etc/avahi/services/doorbelld.service"


@dataclass(frozen=True)
class Package:
    """The .deb at ``path``."""

    path: Path

    def field(self, name: str) -> str:
        """Return a field of its control file."""
        return _output("dpkg-deb", "--field", str(self.path), name).strip()

    def needs(self) -> tuple[str, ...]:
        """Return the names of the packages it depends on, the first one of each alternative."""
        dependencies = self.field("Depends").split(",")
        return tuple(re.split(r"[\s|(:]", each.strip())[0] for each in dependencies)

    def older(self, folder: Path) -> Package:
        """Return the package with an earlier version, and with the file for Avahi that it had."""
        tree = folder / "older"
        _output("dpkg-deb", "--raw-extract", str(self.path), str(tree))
        control = tree / "DEBIAN" / "control"
        version = f"Version: {self.field('Version')}"
        text = control.read_text()
        assert version in text
        control.write_text(text.replace(version, f"{version}~older"))
        avahi_file = tree / AVAHI_FILE[1:]
        avahi_file.parent.mkdir(parents=True)
        avahi_file.write_text("<service-group/>\n")
        with (tree / "DEBIAN" / "conffiles").open("a") as conffiles:
            conffiles.write(f"{AVAHI_FILE}\n")
        older = folder / "older.deb"
        _output("dpkg-deb", "--build", "--root-owner-group", "-Zgzip", "-z1", str(tree), str(older))
        return Package(older)


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

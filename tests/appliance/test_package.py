"""The package: it is installed, upgraded, removed and purged."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.appliance.package import AVAHI_FILE
from tests.appliance.service import UNIT, announced, fetch, install, main_pid, wait_for_picture
from tests.support.daemon import ROOT, eventually
from tests.support.mosquitto import Mosquitto, running
from tests.support.ntfy_server import NtfyServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.appliance.container import Container
    from tests.appliance.package import Package

README = (ROOT / "README.md").read_text(encoding="utf-8")
PASSWORD = "correct horse"
CONFIGURATION = "/etc/doorbelld/doorbelld.conf"
_CHANGES = ("etc/", "usr/", "opt/", "srv/", "home/", "root/", "var/lib/", "var/spool/")
"""Where a package could leave files. Elsewhere are logs, caches, and files that end at a boot."""

_KEPT_BY_DEBIAN = re.compile(
    r"var/lib/(dpkg|apt|systemd|dbus)/"
    r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/(machine-id|resolv\.conf|\.pwd\.lock)$"
    r"|.*/__pycache__(/|$)|etc/ld\.so\.cache$"
)


def tree(root: Path) -> set[str]:
    """Return the paths of all files and folders that matter here, relative to the root."""
    found = subprocess.run(
        ["find", ".", "-xdev", "-printf", "%P\\n"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {path for path in found if path.startswith(_CHANGES) and not _KEPT_BY_DEBIAN.match(path)}


class Reader:
    """Runs the commands of README exactly as they are; only questions are answered in advance."""

    def __init__(self, machine: Container) -> None:
        self._machine = machine
        machine.write("/etc/apt/apt.conf.d/90yes", 'APT::Get::Assume-Yes "true";\n')
        machine.write("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n')
        (machine.root / "usr/local/bin/sudo").chmod(0o755)

    def follow(self, section: str) -> list[str]:
        """Run the commands of a section; return the output of each."""
        found = re.search(rf"\n## {section}\n(.*?)\n## ", README, re.DOTALL)
        assert found, f"README has no section {section}"
        commands = "".join(re.findall(r"```sh\n(.*?)```", found[1], re.DOTALL)).splitlines()
        assert commands, f"{section} has no commands"
        return [self._run(command) for command in commands]

    def _run(self, command: str) -> str:
        # The exit code of these says that there is no camera, which is right on this machine.
        check = command not in ("doorbelld status", "doorbelld cameras")
        if command.endswith(" bell"):
            command = f"timeout --preserve-status --signal=INT 5 {command}"  # Ctrl-C
        if command.endswith(" passwd") or "/dev/stdin" in command:
            command = f"echo '{PASSWORD}' | {command}"
        shell = f"cd /root && PATH=/usr/local/bin:$PATH && {command}"
        return self._machine.run("sh", "-c", shell, check=check)


def may_show_it(machine: Container, origin: str) -> bool:
    """Return whether the page allows this origin to show it."""
    with urllib.request.urlopen(machine.url("/", 80)) as answer:
        policy: str = answer.headers["Content-Security-Policy"]
    return policy.endswith(f"; frame-ancestors {origin}")


def secure_page(machine: Container) -> bytes:
    """Return the page as a browser gets it that trusts the machine's own certificate."""
    certificate = machine.root / "etc/doorbelld/tls.crt"
    context = ssl.create_default_context(cafile=str(certificate))
    url = machine.url("/", 80).replace("http:", "https:")
    try:
        with urllib.request.urlopen(url, context=context) as answer:
            return bytes(answer.read())
    except urllib.error.URLError:
        return b""


def ring(machine: Container) -> int:
    """Ring the bell; return the visit when it is on the disk."""
    before = json.loads(fetch(machine, "/status")[1])["visits"]["count"]
    visit = int(machine.run("doorbelld", "ring").rpartition("visit ")[2].rstrip(".\n"))
    eventually(
        lambda: json.loads(fetch(machine, "/status")[1])["visits"]["count"] > before, "it is kept"
    )
    return visit


def visits(machine: Container) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(fetch(machine, "/visits.json")[1])["visits"]
    return found


@contextmanager
def servers_of_messages(machine: Container, folder: Path) -> Iterator[tuple[NtfyServer, Mosquitto]]:
    """Run ntfy and a broker on this host, under the names that README has for them."""
    host = machine.address.rpartition(".")[0] + ".1"
    machine.write("/etc/hosts", f"127.0.0.1 localhost\n{host} ntfy.sh homeassistant.local\n")
    certificate, key = folder / "ntfy.crt", folder / "ntfy.key"
    usage = "keyUsage = critical, keyCertSign, digitalSignature"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "9", "-subj", "/CN=ntfy.sh", "-keyout", str(key)]
    command += ["-addext", "subjectAltName = DNS:ntfy.sh", "-addext", usage]
    subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True)
    machine.write("/usr/local/share/ca-certificates/ntfy.crt", certificate.read_text())
    machine.run("update-ca-certificates")
    passwords = folder / "passwords"
    passwords.write_text(f"doorbell:{PASSWORD}\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    lines = ("allow_anonymous false", f"password_file {passwords}", f"listener 1883 {host}")
    tls = {"listen_https": f"{host}:443", "cert_file": certificate, "key_file": key}
    with running(folder, *lines) as broker, NtfyServer(folder / "ntfy", **tls) as ntfy:
        yield ntfy, broker


def tell_the_phone(machine: Container, reader: Reader, folder: Path) -> None:
    """Follow README to a message with the picture on the phone, and to Home Assistant."""
    card, conf = "/etc/doorbelld/conf.d/0-card.conf", "/etc/doorbelld/conf.d"
    machine.write(card, "[camera]\nsource = pattern\n")
    with servers_of_messages(machine, folder) as (ntfy, _):
        made, _, test, *_ = reader.follow("Tell my phone")
        assert test == "ntfy: delivered.\n"
        topic = made.strip().rpartition("/")[2]
        [message] = ntfy.messages(topic)
        assert ntfy.attachment(message).startswith(b"\xff\xd8"), "with the picture"
        eventually(
            lambda: "mqtt: ok" in machine.run("doorbelld", "notify", check=False), "the broker"
        )
        owner = machine.run("stat", "--format=%U %a", "/etc/doorbelld/mqtt_password")
        assert owner == "doorbelld 600\n"
        visit = ring(machine)
        eventually(lambda: len(ntfy.messages(topic)) == 2, "the ring is on the phone")
        assert ntfy.messages(topic)[1]["click"].endswith(f":5000/visits#{visit}")
    machine.run("rm", card, f"{conf}/phone.conf", f"{conf}/mqtt.conf")
    machine.run("systemctl", "reload", "doorbelld")


def test_readme_can_be_followed_word_for_word(
    clean_machine: Container, package: Package, tmp_path: Path
) -> None:
    clean_machine.boot()
    reader = Reader(clean_machine)
    reader.follow("Install")
    eventually(lambda: fetch(clean_machine, "/")[0] == 200, "the page")
    eventually(
        lambda: (
            fetch(clean_machine, "/healthz")
            == (503, b"offline: No camera found; check that one is plugged in\n")
        ),
        "the problem in plain words",
    )
    assert clean_machine.show(UNIT, "UnitFileState") == "enabled"
    assert package.field("Version") in clean_machine.run("doorbelld", "--version")
    status = reader.follow("Open it on the phone")[0]
    assert re.match(r"Front door: offline since \d\d:\d\d: No camera found", status)
    assert f"http://{clean_machine.address}:5000/\n" in status
    bell, rung = reader.follow("Wire a bell")
    assert bell.startswith("There is no input device that doorbelld may read.\n")
    assert re.search(r"\n    http://\S+:5000/ring\?token=\S{32}\n", bell)
    assert rung == "It has rung: visit 1.\n"
    assert "1 visit, 0 MB; " in reader.follow("Visits")[0]
    eventually(lambda: fetch(clean_machine, "/")[0] == 200, "the page, after the restore")
    tell_the_phone(clean_machine, reader, tmp_path)
    cameras, *_ = reader.follow("Configure")
    assert cameras == "No camera found; check that one is plugged in\n"
    with urllib.request.urlopen(clean_machine.url("/", 80)) as answer:
        assert b"<title>Back door</title>" in answer.read()
    reader.follow("Who may watch")
    dashboard = "http://homeassistant.local:8123"
    eventually(lambda: may_show_it(clean_machine, dashboard), "the dashboard may show the page")
    outputs = reader.follow("A password")
    assert outputs[0].startswith("From now on the page asks for this password")
    assert outputs[1] == "The page no longer asks for a password.\n"
    reader.follow("HTTPS")
    eventually(
        lambda: b"<title>Back door</title>" in secure_page(clean_machine), "the page over TLS"
    )
    keys = [f"/etc/doorbelld/{name}.key" for name in ("tls", "authority")]
    owners = clean_machine.run("stat", "--format=%U %a", *keys)
    assert owners == "doorbelld 600\nroot 600\n"
    answer, root = fetch(clean_machine, "/ca.crt")
    chain = clean_machine.root / "etc/doorbelld/authority.crt"
    assert answer == 200
    assert chain.read_text(encoding="ascii").endswith(ssl.DER_cert_to_PEM_cert(root))
    reader.follow("Upgrade, remove")
    assert fetch(clean_machine, "/")[0] == 0


def test_lintian_finds_nothing_in_the_packages_of_all_architectures() -> None:
    subprocess.run(["make", "debs"], cwd=ROOT, check=True)


def test_an_upgrade_keeps_the_configuration_and_restarts_it(
    new_machine: Container, package: Package, tmp_path: Path
) -> None:
    new_machine.boot()
    install(new_machine, package.older(tmp_path))
    edited = new_machine.read(CONFIGURATION) + "\n[camera]\nsource = pattern\nname = Mine\n"
    new_machine.write(CONFIGURATION, edited)
    new_machine.run("systemctl", "restart", "doorbelld")
    wait_for_picture(new_machine)
    visit = ring(new_machine)
    before = main_pid(new_machine)
    assert (new_machine.root / AVAHI_FILE[1:]).exists()
    install(new_machine, package)
    wait_for_picture(new_machine)
    # It was cut off by the upgrade, and is there with its picture.
    assert [(each["id"], each["state"]) for each in visits(new_machine)] == [(visit, "interrupted")]
    assert fetch(new_machine, f"/visits/{visit}.jpg")[1].startswith(b"\xff\xd8")
    assert not list((new_machine.root / AVAHI_FILE[1:]).parent.glob("doorbelld*"))
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


def test_remove_stops_it_and_purge_leaves_nothing(new_machine: Container, package: Package) -> None:
    new_machine.boot()
    before = tree(new_machine.root)
    install(new_machine, package)
    eventually(lambda: fetch(new_machine, "/")[0] == 200, "the page")
    assert tree(new_machine.root) > before, "this test notices the files of a package"
    eventually(lambda: announced(new_machine) == {("_http._tcp", 5000)}, "it is announced")
    visit = ring(new_machine)
    new_machine.write("/etc/doorbelld/conf.d/mine.conf", "[camera]\nname = Mine\n")
    backup = "/var/tmp/doorbelld.backup"  # noqa: S108  # a folder that purge does not look at
    new_machine.run("doorbelld", "backup", backup)
    new_machine.run("apt-get", "remove", "--yes", "doorbelld")
    assert fetch(new_machine, "/")[0] == 0
    eventually(lambda: not announced(new_machine), "it is no longer announced")
    running = new_machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "doorbelld" not in running
    assert (new_machine.root / CONFIGURATION[1:]).exists()
    kept = {path.name for path in (new_machine.root / "var/lib/doorbelld").iterdir()}
    assert {"visits", "ring_token"} <= kept
    new_machine.run("apt-get", "purge", "--yes", "doorbelld")
    assert tree(new_machine.root) - before == {f"root/{package.path.name}"} - before
    units = new_machine.run("systemctl", "list-unit-files", "--no-legend", "--no-pager")
    assert "doorbelld" not in units
    assert "doorbelld" not in new_machine.run("systemctl", "list-units", "--all", "--no-pager")
    install(new_machine, package)
    eventually(lambda: fetch(new_machine, "/")[0] == 200, "the page, installed again")
    assert visits(new_machine) == []
    refused = new_machine.run("doorbelld", "restore", backup, check=False)
    assert "sudo systemctl stop doorbelld" in refused
    new_machine.run("systemctl", "stop", "doorbelld")
    new_machine.run("doorbelld", "restore", backup)
    new_machine.run("systemctl", "start", "doorbelld")
    eventually(lambda: b"Mine" in fetch(new_machine, "/")[1], "the configuration is back")
    assert [each["id"] for each in visits(new_machine)] == [visit]
    assert ring(new_machine) == visit + 1

"""Access to a booted machine: which addresses and which host names it accepts."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support.daemon import eventually

if TYPE_CHECKING:
    from tests.appliance.container import Container


def status(source: str, url: str) -> str:
    """Return the HTTP status that a client with the address ``source`` gets."""
    command = ["curl", "-s", "-g", "--max-time", "10", "--interface", source]
    command += ["-o", "/dev/null", "-w", "%{http_code}", url]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def test_lan_with_public_addresses_is_allowed_and_other_networks_are_not(
    machine: Container,
) -> None:
    machine.add_host_address("2001:db8:213::1/64")
    machine.add_address("2001:db8:213::2/64")
    assert status("2001:db8:213::1", "http://[2001:db8:213::2]:5000/") == "200"
    # The client can reach the machine and get an answer, but is not in any of its networks.
    machine.add_host_address("2001:db8:6666::1/128")
    machine.add_address("2001:db8::2/31")
    assert status("2001:db8:6666::1", "http://[2001:db8:213::2]:5000/") == "403"


def test_vpn_needs_only_the_line_that_readme_shows(machine: Container) -> None:
    phone = "100.101.102.104"
    machine.add_host_address(f"{phone}/32")
    machine.add_address("100.0.0.2/6")  # It is the route back, and is too wide to count as a LAN.
    assert status(phone, machine.url("/")) == "403"
    machine.write("/etc/doorbelld/conf.d/vpn.conf", "[access]\nnetworks = lan, 100.64.0.0/10\n")
    machine.run("systemctl", "reload", "doorbelld")
    eventually(lambda: status(phone, machine.url("/")) == "200", "it is allowed")
    (machine.root / "etc/doorbelld/conf.d/vpn.conf").unlink()
    machine.run("systemctl", "reload", "doorbelld")
    eventually(lambda: status(phone, machine.url("/")) == "403", "it is no longer allowed")


def test_new_host_name_is_accepted_without_a_restart(machine: Container) -> None:
    def answer() -> str:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
        command += ["-H", "Host: front.example.org", machine.url("/")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    before = machine.run("hostname").strip()
    assert answer() == "421"
    machine.run("hostname", "front.example.org")
    assert answer() == "200"
    machine.run("hostname", before)
    assert answer() == "421"


def test_status_prints_the_name_that_avahi_answers_to(machine: Container) -> None:
    avahi = ("org.freedesktop.Avahi", "/", "org.freedesktop.Avahi.Server")
    before = machine.run("hostname").strip().partition(".")[0]
    # Avahi does this itself if another machine has the same name.
    machine.run("busctl", "call", *avahi, "SetHostName", "s", "door-2")
    eventually(
        lambda: "    http://door-2.local:5000/\n" in machine.run("doorbelld", "status"),
        "the new name",
    )
    make = "cd $(mktemp -d) && touch x.conf && doorbelld --config x.conf make-certificate"
    output = machine.run("sh", "-c", make)
    assert "door-2.local" in output
    machine.run("busctl", "call", *avahi, "SetHostName", "s", before)


def test_a_foreign_name_that_points_here_is_refused(machine: Container) -> None:
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: evil.example"]
    done = subprocess.run([*command, machine.url("/")], check=True, capture_output=True, text=True)
    assert done.stdout == "421"


def test_it_keeps_serving_when_only_root_can_read_the_key(machine: Container) -> None:
    def https_status() -> str:
        command = ["curl", "-s", "-k", "-o", "/dev/null", "-w", "%{http_code}"]
        url = machine.url("/").replace("http:", "https:")
        return subprocess.run([*command, url], check=False, capture_output=True, text=True).stdout

    def journal() -> str:
        return machine.journal("doorbelld")

    key, conf = "/etc/letsencrypt/live/door/privkey.pem", "/etc/doorbelld/conf.d/tls.conf"
    folder = machine.root / "etc/letsencrypt"
    paths = f"tls_certificate = {key[:-11]}cert.pem\ntls_key = {key}\n"
    machine.write(conf, f"[access]\n{paths}")
    (machine.root / key[1:]).parent.mkdir(parents=True)
    try:
        machine.run("doorbelld", "make-certificate")
        # These are the permissions that certbot sets.
        machine.run("chown", "--recursive", "root:", "/etc/letsencrypt")
        machine.run("chmod", "700", "/etc/letsencrypt/live")
        problem = "cannot be read: Permission denied for the user doorbelld; man doorbelld.conf"
        assert problem in machine.run("doorbelld", "--check", check=False)
        machine.run("systemctl", "reload", "doorbelld")
        eventually(lambda: f"{problem}" in journal(), "the log says so")
        assert status(machine.address.rpartition(".")[0] + ".1", machine.url("/")) == "200"
        machine.run("chmod", "755", "/etc/letsencrypt/live")
        machine.run("chown", "doorbelld:", key)
        machine.run("systemctl", "reload", "doorbelld")
        eventually(lambda: https_status() == "200", "the key can be read now")
        machine.run("chmod", "700", "/etc/letsencrypt/live")
        machine.run("systemctl", "restart", "doorbelld")
        eventually(lambda: https_status() == "200", "it serves with the last pair that worked")
        assert "serving with the last pair that worked" in journal()
        owners = machine.run("find", "/var/lib/doorbelld/tls", "-printf", "%u %m\n")
        assert owners == "doorbelld 700\ndoorbelld 600\n"
        # What the manual suggests.
        for name in ("cert.pem", "privkey.pem"):
            source = f"{key[:-11]}{name}"
            options = ["-o", "doorbelld", "-m", "600"]
            machine.run("install", *options, source, "/etc/doorbelld/")
        machine.write(conf, f"[access]\n{paths.replace(key[:-11], '/etc/doorbelld/')}")
        assert "tls_key = /etc/doorbelld/" in machine.run("doorbelld", "--check", check=False)
        machine.run("systemctl", "restart", "doorbelld")
        eventually(lambda: https_status() == "200", "it serves with the copies")
    finally:
        for path in (conf, "/etc/doorbelld/cert.pem", "/etc/doorbelld/privkey.pem"):
            (machine.root / path[1:]).unlink(missing_ok=True)
        shutil.rmtree(folder)
        machine.run("systemctl", "restart", "doorbelld")


def test_check_reports_files_that_the_service_cannot_see(machine: Container) -> None:
    machine.run("sh", "-c", "mkdir -p /home/pi && chmod 755 /home/pi && touch /home/pi/x /tmp/x")
    for setting, folder in (
        ("camera.source=file:/home/pi/x", "/home"),
        ("access.tls_key=/root/x", "/root"),
        ("access.password_file=/tmp/x", "/tmp"),  # noqa: S108  # in the container
    ):
        output = machine.run("doorbelld", "--check", f"--set={setting}", check=False)
        assert f": the service sees nothing in {folder}; move the file" in output
    machine.run("sh", "-c", "echo '[camera' >/root/x.conf")
    output = machine.run("doorbelld", "--check", "--config", "/root/x.conf", check=False)
    assert "/root/x.conf: cannot be read: Permission denied" in output


def test_password_of_the_installed_service(machine: Container) -> None:
    def status_of(*options: str) -> str:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options]
        command.append(machine.url("/status"))
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    machine.run("sh", "-c", "echo 'correct horse' | doorbelld passwd")
    try:
        eventually(lambda: status_of() == "401", "a password is required")
        assert status_of("-u", "me:correct horse") == "200"
        owner = machine.run("stat", "--format=%U %a", "/etc/doorbelld/password")
        assert owner == "doorbelld 600\n"
        assert "watching" in machine.run("doorbelld", "status")
        machine.run("systemctl", "restart", "doorbelld")
        eventually(lambda: status_of("-u", "me:correct horse") == "200", "it survives a restart")
        assert status_of("-u", "me:battery staple") == "401"
    finally:
        machine.run("doorbelld", "passwd", "--remove")
    eventually(lambda: status_of() == "200", "no password is required any more")

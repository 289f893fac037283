"""Who gets in on a booted machine, and by which names it is known."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.support.daemon import eventually

if TYPE_CHECKING:
    from tests.appliance.container import Container


def status(source: str, url: str) -> str:
    """Return the status that somebody with that address gets."""
    command = ["curl", "-s", "-g", "--max-time", "10", "--interface", source]
    command += ["-o", "/dev/null", "-w", "%{http_code}", url]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def test_lan_with_public_addresses_is_let_in_and_strangers_are_not(machine: Container) -> None:
    machine.address_here("2001:db8:213::1/64")
    machine.address_there("2001:db8:213::2/64")
    assert status("2001:db8:213::1", "http://[2001:db8:213::2]:5000/") == "200"
    # The machine can be reached and can answer, but this is nobody of its networks.
    machine.address_here("2001:db8:6666::1/128")
    machine.address_there("2001:db8::2/31")
    assert status("2001:db8:6666::1", "http://[2001:db8:213::2]:5000/") == "403"


def test_vpn_takes_the_one_line_that_readme_has(machine: Container) -> None:
    phone = "100.101.102.104"
    machine.address_here(f"{phone}/32")
    machine.address_there("100.0.0.2/6")  # It leads back, and is too wide for a LAN.
    assert status(phone, machine.url("/")) == "403"
    machine.write("/etc/doorbelld/conf.d/vpn.conf", "[access]\nnetworks = lan, 100.64.0.0/10\n")
    machine.run("systemctl", "reload", "doorbelld")
    eventually(lambda: status(phone, machine.url("/")) == "200", "it is let in")
    (machine.root / "etc/doorbelld/conf.d/vpn.conf").unlink()
    machine.run("systemctl", "reload", "doorbelld")
    eventually(lambda: status(phone, machine.url("/")) == "403", "it is not any more")


def test_new_host_name_counts_while_it_runs(machine: Container) -> None:
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


def test_name_that_avahi_answers_to_is_told(machine: Container) -> None:
    avahi = ("org.freedesktop.Avahi", "/", "org.freedesktop.Avahi.Server")
    before = machine.run("hostname").strip().partition(".")[0]
    # As avahi does it by itself where another machine has the same name.
    machine.run("busctl", "call", *avahi, "SetHostName", "s", "door-2")
    eventually(
        lambda: "    http://door-2.local:5000/\n" in machine.run("doorbelld", "status"), "its name"
    )
    make = "cd $(mktemp -d) && touch x.conf && doorbelld --config x.conf make-certificate"
    made = machine.run("sh", "-c", make)
    assert "door-2.local" in made
    machine.run("busctl", "call", *avahi, "SetHostName", "s", before)


def test_a_name_that_somebody_points_here_is_not_ours(machine: Container) -> None:
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: evil.example"]
    done = subprocess.run([*command, machine.url("/")], check=True, capture_output=True, text=True)
    assert done.stdout == "421"


def test_password_of_the_installed_service(machine: Container) -> None:
    def ask(*options: str) -> str:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options]
        command.append(machine.url("/status"))
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    machine.run("sh", "-c", "echo 'correct horse' | doorbelld passwd")
    try:
        eventually(lambda: ask() == "401", "the password is asked for")
        assert ask("-u", "me:correct horse") == "200"
        kept = machine.run("stat", "--format=%U %a", "/etc/doorbelld/password")
        assert kept == "doorbelld 600\n"
        assert "watching" in machine.run("doorbelld", "status")
        machine.run("systemctl", "restart", "doorbelld")
        eventually(lambda: ask("-u", "me:correct horse") == "200", "it is there after a restart")
        assert ask("-u", "me:battery staple") == "401"
    finally:
        machine.run("doorbelld", "passwd", "--remove")
    eventually(lambda: ask() == "200", "nobody is asked any more")

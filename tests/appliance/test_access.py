"""Who gets in on a booted machine, with nothing configured and the unit's own filter at work."""

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

"""The machine's own authority: what it may sign, how a phone gets its root, how it is renewed."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorbelld.net import authority, certificates, mdns
from doorbelld.net.authority import Files
from doorbelld.net.names import is_address
from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.passwords import set_password
from tests.support.secure import (
    Pair,
    SecureDaemon,
    command,
    make_pair,
    make_signed_pair,
    root_of,
    sign,
)
from tests.support.service_manager import ServiceManager

HOST = socket.gethostname().partition(".")[0].lower()
CERTIFICATE, PROFILE = "/ca.crt", "/doorbelld.mobileconfig"
FOREIGN = {
    "another name": "DNS:example.org",
    "another name of the LAN": "DNS:elsewhere.local",
    "a name below": f"DNS:x.{HOST}.local",
    "a domain on the internet that is called like the machine": f"DNS:x.{HOST}",
    "a name that only ends like it": f"DNS:x{HOST}.local",
    "one of several": f"DNS:{HOST}.local, DNS:example.org",
    "an address of the internet": "IP:8.8.8.8",
    "just outside of a private network": "IP:172.32.0.1",
    "an IPv6 address of the internet": "IP:2001:db8::1",
}
OWN = f"DNS:{HOST}.local, IP:192.168.1.7, IP:fd00::7, IP:10.9.8.7"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an authority and a certificate by it."""
    folder = tmp_path_factory.mktemp("made")
    make_signed_pair(folder)
    return folder


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """Return a copy of it, which the test may change."""
    return Path(shutil.copytree(made, tmp_path / "own"))


@pytest.fixture
def secure(own: Path) -> Iterator[SecureDaemon]:
    """Return a daemon that is not started yet; its clients trust the authority's root alone."""
    found = SecureDaemon(own, Pair(own / "tls.crt", own / "tls.key"))
    found.context = ssl.create_default_context(cafile=str(root_of(own)))
    with found:
        yield found


def der_of(pem: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.read_text(encoding="ascii"))


def in_der(folder: Path) -> bytes:
    """Return the root as phones get it."""
    return der_of(root_of(folder))


def text_of(certificate: Path) -> str:
    done = ["openssl", "storeutl", "-noout", "-text", "-certs", str(certificate)]
    return subprocess.run(done, capture_output=True, text=True, check=True).stdout


def verified(folder: Path, pair: Pair, *options: str) -> str:
    """Return what openssl says to a certificate, given the root alone and what the server sends."""
    issuers = folder / "authority.crt"
    trust = ["-CAfile", str(root_of(folder)), "-untrusted", str(issuers)]
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", *options, *trust, pair.certificate],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return what is in all files with certificates and keys, and when they were written."""
    return {
        each.name: (each.stat().st_mtime_ns, each.read_bytes())
        for each in folder.iterdir()
        if each.suffix != ".conf"
    }


def plainly(door: Daemon, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return the answer to a request without TLS: status, headers, body."""
    place = Daemon(door.folder)
    place.port = door.port
    answer, body = place.request(path, headers=headers)
    return answer.status, dict(answer.getheaders()), body


# What is made.


def test_command_makes_it_once_and_says_what_to_do(tmp_path: Path) -> None:
    done = command(tmp_path, "--authority")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("authority.crt", "authority.key", "doorbelld.conf", "tls.crt", "tls.key"),
    ]
    key = tmp_path / "authority.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.stat().st_uid == os.geteuid(), "not the service's, whoever that is"
    assert f"Its authority is new. Only root can read the authority's key, {key}.\n" in done.stdout
    assert f":5000{PROFILE}  (iPhone, iPad)\n" in done.stdout
    assert f":5000{CERTIFICATE}  (others)\n" in done.stdout
    shown = re.search(r"fingerprint .*\n +([0-9A-F:]{95})\n", done.stdout)
    printed = [
        "openssl",
        "x509",
        "-in",
        str(root_of(tmp_path)),
        "-noout",
        "-fingerprint",
        "-sha256",
    ]
    assert shown
    assert shown[1] in subprocess.run(printed, capture_output=True, text=True, check=True).stdout
    assert f"    tls_certificate = {tmp_path}/tls.crt\n" in done.stdout


def test_chain_is_one_that_phones_accept(made: Path) -> None:
    leaf, issuer, root = text_of(made / "tls.crt").split("Certificate:")[1:]
    for each, below in ((issuer, 0), (root, 1)):
        assert f"CA:TRUE, pathlen:{below}\n" in each
        assert "X509v3 Name Constraints: critical" in each
        assert "X509v3 Key Usage: critical\n                Certificate Sign\n" in each
    assert "CA:FALSE" in leaf
    assert "TLS Web Server Authentication" in leaf
    assert all("NIST CURVE: P-256" in each for each in (leaf, issuer, root))
    assert f"DNS:{HOST}.local" in leaf
    assert "IP Address:127.0.0.1" in leaf
    days = [
        "openssl",
        "x509",
        "-in",
        str(made / "tls.crt"),
        "-noout",
        "-checkend",
        str(825 * 86400),
    ]
    assert subprocess.run(days, capture_output=True, check=False).returncode == 1
    assert verified(made, Pair(made / "tls.crt", made / "tls.key")).endswith(": OK\n")


def test_key_of_the_root_is_never_on_the_disk(tmp_path: Path) -> None:
    log, script = tmp_path / "log", tmp_path / "bin" / "openssl"
    script.parent.mkdir()
    script.write_text(
        f"""#!/bin/sh
echo "$@" >>{log}
for each; do case $each in /dev/fd/*) readlink "$each" >>{log};; esac; done
exec {shutil.which("openssl")} "$@"
"""
    )
    script.chmod(0o755)
    folder = tmp_path / "own"
    folder.mkdir()
    assert command(folder, "--authority", path=f"{script.parent}:{os.environ['PATH']}").stdout
    lines = log.read_text().splitlines()
    (made_by,) = (line for line in lines if "-extensions root" in line)
    (signed_by,) = (line for line in lines if "-extensions issuer" in line)
    for line, option in ((made_by, "-keyout"), (signed_by, "-CAkey")):
        assert f"{option} /dev/fd/" in line
        assert lines[lines.index(line) + 1].startswith("/memfd:"), "in memory"


@pytest.mark.parametrize("kind", FOREIGN)
def test_it_may_not_sign_for_anything_else(own: Path, kind: str) -> None:
    said = verified(own, sign(own, FOREIGN[kind]))
    assert re.search("error 4[78] at 0 depth lookup: (permitted|excluded) subtree violation", said)


def test_it_may_sign_for_the_machine_and_private_addresses(own: Path) -> None:
    assert verified(own, sign(own, OWN)).endswith(": OK\n")


@pytest.mark.parametrize("purpose", ["smimesign", "sslclient"])
def test_it_may_not_sign_for_mail_or_clients(own: Path, purpose: str) -> None:
    pair = sign(own, OWN, more="extendedKeyUsage = emailProtection, clientAuth, serverAuth")
    assert verified(own, pair, "-purpose", "sslserver").endswith(": OK\n")
    assert "error 26 at " in verified(own, pair, "-purpose", purpose), "unsupported purpose"


def test_it_may_not_make_another_authority(own: Path) -> None:
    below = sign(own, OWN, more="basicConstraints = critical, CA:TRUE")
    chain = own / "authority.crt"
    kept = chain.read_bytes()
    shutil.copy(below.key, own / "authority.key")
    shutil.copy(below.certificate, chain)
    leaf = sign(own, OWN)
    issuers = own / "issuers.crt"
    issuers.write_bytes(chain.read_bytes())
    chain.write_bytes(kept)
    trust = ["-CAfile", str(root_of(own)), "-untrusted", str(issuers)]
    done = subprocess.run(
        ["openssl", "verify", *trust, leaf.certificate], capture_output=True, text=True, check=False
    )
    assert "path length constraint exceeded" in done.stderr


def test_limits_hold_for_systems_that_ignore_those_of_the_root(own: Path) -> None:
    paths = []
    for number, places in enumerate([OWN, *FOREIGN.values()]):
        paths.append(own / f"{number}.crt")
        shutil.copy(sign(own, places).certificate, paths[-1])
    java: list[str] = [
        "java",
        str(ROOT / "tests" / "support" / "check_chain.java"),
        *map(str, paths),
    ]
    said = subprocess.run(java, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["valid", *["name constraints check failed"] * len(FOREIGN)]


def test_what_it_may_not_sign_is_left_out_and_reported(own: Path) -> None:
    done = command(own, "--force", "--set=access.hosts=door.example.org,198.51.100.7")
    assert done.returncode == 0, done.stderr
    (left_out,) = re.findall(r"Left out, because its authority may not .*: (.*)\n", done.stdout)
    assert {"door.example.org", "198.51.100.7"} <= set(left_out.split(", "))
    assert "door.example.org" not in text_of(own / "tls.crt")


def test_hosts_of_the_configuration_are_permitted_if_named_before(tmp_path: Path) -> None:
    hosts = "--set=access.hosts=example.org,door.example.org,*.lan,198.51.100.7,2001:db8::7"
    done = command(tmp_path, "--authority", hosts)
    assert ", example.org, door.example.org, 198.51.100.7, 2001:db8::7, " in done.stdout
    named = "DNS:example.org, DNS:door.example.org, IP:198.51.100.7, IP:2001:db8::7"
    assert verified(tmp_path, sign(tmp_path, named)).endswith(": OK\n")
    assert "violation" in verified(tmp_path, sign(tmp_path, "IP:198.51.100.8"))
    assert "violation" in verified(tmp_path, sign(tmp_path, "DNS:x.door.example.org"))


# Renewal.


@pytest.mark.parametrize("options", [["--force"], ["--force", "--authority"]])
def test_renewal_is_by_the_same_authority(own: Path, options: list[str]) -> None:
    root, before = in_der(own), contents(own)
    done = command(own, *options)
    assert done.returncode == 0, done.stderr
    assert (
        "Its authority is the same as before, so phones that trust it need nothing" in done.stdout
    )
    after = contents(own)
    assert {name for name in before if before[name] != after[name]} == {"tls.crt", "tls.key"}
    assert der_of_last(own / "tls.crt") == root
    assert verified(own, Pair(own / "tls.crt", own / "tls.key")).endswith(": OK\n")


def der_of_last(chain: Path) -> bytes:
    last = chain.read_text(encoding="ascii").split("-----BEGIN")[-1]
    return ssl.PEM_cert_to_DER_cert(f"-----BEGIN{last}")


def test_self_signed_certificate_gives_way_with_force_alone(tmp_path: Path) -> None:
    make_pair(tmp_path)
    done = command(tmp_path, "--authority")
    assert (done.returncode, "there already; --force" in done.stderr) == (1, True)
    assert not (tmp_path / "authority.key").exists()
    make_signed_pair(tmp_path, "--force")


def no_key(own: Path) -> str:
    (own / "authority.key").unlink()
    return f"{own}/authority.key is missing: put it back, or move {own}/authority.crt away too"


def no_certificate(own: Path) -> str:
    (own / "authority.crt").unlink()
    return f"{own}/authority.crt is missing: put it back, or move {own}/authority.key away too"


def neither(own: Path) -> str:
    for each in ("crt", "key"):
        (own / f"authority.{each}").unlink()
    return f"{own}/tls.crt was signed by an authority, and its files {own}/authority.crt and"


def other_key(own: Path) -> str:
    shutil.copy(own / "tls.key", own / "authority.key")
    return f"{own}/authority.key: is not the key of this certificate"


def a_pipe(own: Path) -> str:
    (own / "authority.key").unlink()
    os.mkfifo(own / "authority.key")
    return f"{own}/authority.key: cannot be read: it is a named pipe"


def no_pem(own: Path) -> str:
    (own / "authority.crt").write_bytes(b"\0")
    return f"{own}/authority.crt: is no certificate in PEM form"


def without_limits(own: Path) -> str:
    (own / "other").mkdir()
    shutil.copy(make_pair(own / "other").certificate, own / "authority.crt")
    shutil.copy(own / "other" / "tls.key", own / "authority.key")
    return f"{own}/authority.crt is not an authority that doorbelld has made; move it"


def for_another_machine(own: Path) -> str:
    configuration, place = own / "limits.cnf", Files.beside(own)
    configuration.write_text("[req]\ndistinguished_name = none\n[none]\n", encoding="ascii")
    limits = "nameConstraints = critical, permitted;DNS:elsewhere.example.org"
    new = ["-x509", *authority.NEW_KEY, "-subj", "/O=doorbelld", "-days", "900"]
    more = ["-addext", "basicConstraints = critical, CA:TRUE", "-addext", limits]
    places = ["-keyout", str(place.key), "-out", str(place.chain)]
    authority.openssl("req", "-config", str(configuration), *new, *more, *places)
    return f"{place.chain} may not sign for any name or address of this machine: move it"


@pytest.mark.parametrize(
    "break_",
    [
        *(no_key, no_certificate, neither, other_key, a_pipe, no_pem, without_limits),
        for_another_machine,
    ],
)
def test_authority_that_cannot_be_used_is_reported(own: Path, break_: object) -> None:
    assert callable(break_)
    problem = break_(own)
    before = {name: (own / name).read_bytes() for name in ("tls.crt", "tls.key")}
    done = command(own, "--force")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"ERROR: {problem}")
    assert len(done.stderr.splitlines()) == 1
    assert {name: (own / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("name", "kept"),
    [("a/CN=b", []), ("a+b", []), ("türklingel", []), (".lan", []), ("x" * 64, ["x" * 64])],
)
def test_one_can_be_made_whatever_the_machine_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kept: list[str]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    monkeypatch.setattr(mdns, "local_name", lambda: "localhost")
    place = Files.beside(tmp_path)
    pair = tmp_path / "tls.crt", tmp_path / "tls.key"
    made = certificates.make(*pair, [], force=False, signer=place)
    names = [each for each in made.names if not is_address(each)]
    assert names == [*kept, *(f"{each}.local" for each in kept), "localhost"]
    about = text_of(place.chain)
    assert "DNS:.local\n" not in about.partition("Permitted:")[2].partition("Excluded:")[0]
    subjects = {
        line.partition("Subject: ")[2] for line in about.splitlines() if "Subject: " in line
    }
    assert all(subject.count("=") == 2 for subject in subjects), "nothing was added to it"


def test_new_one_can_be_made_where_the_old_one_is_lost(own: Path) -> None:
    neither(own)
    done = command(own, "--force", "--authority")
    assert (done.returncode, "Its authority is new." in done.stdout) == (0, True)


@pytest.mark.parametrize("count", range(1, 9))
def test_openssl_that_fails_at_any_step_changes_nothing(tmp_path: Path, count: int) -> None:
    folder, script = tmp_path / "own", tmp_path / "bin" / "openssl"
    script.parent.mkdir()
    script.write_text(
        f"""#!/bin/sh
echo >>{tmp_path}/count
[ "$(wc -l <{tmp_path}/count)" -ne {count} ] || {{ echo no entropy today >&2; exit 3; }}
exec {shutil.which("openssl")} "$@"
"""
    )
    script.chmod(0o755)
    folder.mkdir()
    make_pair(folder)
    before = contents(folder)
    path = f"{script.parent}:{os.environ['PATH']}"
    done = command(folder, "--authority", "--force", path=path)
    if done.returncode == 0:
        assert (tmp_path / "count").read_text().count("\n") < count, "all steps were tried"
        assert count > 6
    else:
        said = "openssl failed, and no file was changed: no entropy today"
        assert done.stderr == f"ERROR: {said}\n"
        assert contents(folder) == before


def test_certificate_ends_before_its_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority, "DAYS", 100)
    authority.make(Files.beside(tmp_path), [f"{HOST}.local", "localhost"], [])
    assert command(tmp_path).returncode == 0
    assert verified(tmp_path, Pair(tmp_path / "tls.crt", tmp_path / "tls.key")).endswith(": OK\n")
    later = str(int(time.time() + 99.5 * authority.DAY))
    options = ["-attime", later, "-partial_chain", "-trusted", str(tmp_path / "tls.crt")]
    done = subprocess.run(
        ["openssl", "verify", *options, tmp_path / "tls.crt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "error 10 at 0 depth lookup: certificate has expired" in done.stderr


def test_authority_that_has_expired_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority, "DAYS", 1)
    authority.make(Files.beside(tmp_path), [f"{HOST}.local", "localhost"], [])
    done = command(tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/authority.crt has expired: move it and {tmp_path}/author" in done.stderr
    assert not (tmp_path / "tls.crt").exists()


# What a phone gets.


def test_clients_that_have_the_root_alone_trust_the_page(secure: SecureDaemon, own: Path) -> None:
    secure.start()
    assert secure.request("/status")[0].status == 200
    root = root_of(own)
    for host in ("127.0.0.1", "localhost"):
        place = f"https://{host}:{secure.port}/status"
        curl = [
            "curl",
            "--fail",
            "--silent",
            "--show-error",
            "--ipv4",
            "--cacert",
            str(root),
            place,
        ]
        done = subprocess.run(curl, capture_output=True, text=True, check=False, timeout=GUARD)
        assert done.returncode == 0, done.stderr


def test_root_is_served_with_and_without_tls(secure: SecureDaemon, own: Path) -> None:
    secure.start()
    answer, body = secure.request(CERTIFICATE)
    assert (answer.status, body) == (200, in_der(own))
    assert answer.getheader("Content-Type") == "application/x-x509-ca-cert"
    status, headers, body = plainly(secure, CERTIFICATE)
    assert (status, body) == (200, in_der(own))
    assert headers["Content-Type"] == "application/x-x509-ca-cert"
    assert plainly(secure, CERTIFICATE, **{"If-None-Match": headers["ETag"]})[0] == 304
    assert plainly(secure, f"{CERTIFICATE}?x")[0] == 307, "nothing else goes in plain text"
    assert plainly(secure, "/")[0] == 307


def test_profile_has_the_root_and_is_the_same_each_time(
    secure: SecureDaemon, own: Path, tmp_path: Path
) -> None:
    secure.start({"camera.name": "Gate & Tür"})
    status, headers, body = plainly(secure, PROFILE)
    assert status == 200
    assert headers["Content-Type"] == "application/x-apple-aspen-config"
    assert secure.request(PROFILE)[1] == body
    profile = plistlib.loads(body)
    assert profile["PayloadType"] == "Configuration"
    assert profile["PayloadDisplayName"] == "Gate & Tür"
    (payload,) = profile["PayloadContent"]
    assert payload["PayloadType"] == "com.apple.security.root"
    assert payload["PayloadContent"] == in_der(own)
    identities = [
        each[f"Payload{key}"] for each in (profile, payload) for key in ("UUID", "Identifier")
    ]
    assert len(set(identities)) == 4
    assert all(
        re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", each) for each in identities[::2]
    )
    secure.stop()
    (own / "log").unlink()
    secure.start()
    again = plistlib.loads(plainly(secure, PROFILE)[2])
    assert again["PayloadUUID"] == profile["PayloadUUID"]
    make_signed_pair(tmp_path)
    for name in ("tls.crt", "tls.key"):
        shutil.copy(tmp_path / name, own / name)
    secure.send(signal.SIGHUP)
    secure.wait_for_log("the configuration was read again")
    other = plistlib.loads(plainly(secure, PROFILE)[2])
    assert other["PayloadContent"][0]["PayloadContent"] == in_der(tmp_path)
    assert other["PayloadUUID"] != profile["PayloadUUID"]


@pytest.mark.parametrize("path", [CERTIFICATE, PROFILE])
def test_key_is_in_no_answer(secure: SecureDaemon, own: Path, path: str) -> None:
    secure.start()
    _, body = secure.request(path)
    for key in (own / "authority.key", own / "tls.key"):
        secret = ssl.PEM_cert_to_DER_cert(key.read_text().replace("PRIVATE KEY", "CERTIFICATE"))
        assert secret[36:68] not in body
        assert b"PRIVATE" not in body


@pytest.mark.parametrize("path", [CERTIFICATE, PROFILE])
def test_there_is_none_without_an_authority(tmp_path: Path, path: str) -> None:
    with SecureDaemon(tmp_path, make_pair(tmp_path)) as door:
        door.start()
        assert door.request(path)[0].status == 404
        assert plainly(door, path)[0] == 307


@pytest.mark.parametrize("path", [CERTIFICATE, PROFILE])
def test_there_is_none_without_tls(own: Path, path: str) -> None:
    assert (own / "authority.crt").exists()
    with Daemon(own) as door:
        door.start()
        assert door.request(path)[0].status == 404


def test_password_is_not_needed_for_it_and_for_nothing_else(
    secure: SecureDaemon, tmp_path: Path
) -> None:
    set_password(tmp_path / "password", "a word at the door")
    secure.start({"access.password_file": tmp_path / "password"})
    for path in (CERTIFICATE, PROFILE):
        assert secure.request(path)[0].status == 200
        assert plainly(secure, path)[0] == 200
    for path in ("/status", f"{CERTIFICATE}?x", "/snapshot.jpg"):
        assert secure.request(path)[0].status == 401
        assert plainly(secure, path)[0] == 307


@pytest.mark.parametrize("path", [CERTIFICATE, PROFILE])
def test_stranger_does_not_get_it(secure: SecureDaemon, path: str) -> None:
    secure.start({"access.networks": "10.0.0.0/8"})
    assert secure.request(path)[0].status == 403
    assert plainly(secure, path)[0] == 403


def test_other_methods_are_refused(secure: SecureDaemon) -> None:
    secure.start()
    answer, _ = secure.request(CERTIFICATE, "POST")
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")


def test_status_says_how_a_phone_can_trust_it(secure: SecureDaemon, own: Path) -> None:
    secure.start()
    settings = {**secure.pair.settings(), "server.listen": f"127.0.0.1:{secure.port}"}
    pairs = [f"--set={key}={value}" for key, value in settings.items()]
    secure.wait_for_state("streaming")
    done = subprocess.run(
        [*secure.command, "status", *pairs], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"    http://127.0.0.1:{secure.port}{CERTIFICATE}  (others)\n" in done.stdout
    fingerprint = re.search(r"    ([0-9A-F:]{95})\n", done.stdout)
    assert fingerprint
    printed = command(own, "--force").stdout
    assert fingerprint[0] in printed


def test_last_pair_that_worked_comes_with_its_root(
    secure: SecureDaemon, systemd: ServiceManager, own: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    environ = {**systemd.environ, "STATE_DIRECTORY": str(state)}
    secure.start(environ=environ)
    root = in_der(own)
    (kept,) = (path for path in (state / "tls").rglob("*") if path.is_file())
    assert (own / "authority.key").read_text().splitlines()[1] not in kept.read_text()
    secure.stop()
    for path in secure.pair:
        path.unlink()
    secure.start(environ=environ, wait=False)
    eventually(lambda: secure.log().count("open https://") == 2, "it serves")
    assert plainly(secure, CERTIFICATE)[::2] == (200, root)

"""Certificates: made by the daemon's command, changed while it runs, reported if broken."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.raw import read_answer
from tests.support.secure import (
    Pair,
    SecureDaemon,
    client_context,
    command,
    make_pair,
    make_pair_of,
    openssl,
)
from tests.support.service_manager import ServiceManager
from tests.support.stream import Stream


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return a certificate for all tests."""
    return make_pair(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return another certificate."""
    return make_pair(tmp_path_factory.mktemp("other"))


@pytest.fixture
def secure(tmp_path: Path, pair: Pair) -> Iterator[SecureDaemon]:
    """Return a daemon, not started yet, with a certificate that may be overwritten."""
    own = Pair(tmp_path / "own.crt", tmp_path / "own.key")
    install(pair, own)
    found = SecureDaemon(tmp_path, own)
    with found:
        yield found


def install(source: Pair, target: Pair) -> None:
    """Replace a certificate and its key by others."""
    for ours, its in zip(source, target):
        shutil.copy(ours, its)


def shown(door: SecureDaemon) -> bytes:
    """Return the certificate that a new client gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(door.connect_plainly()) as sock:
        return sock.getpeercert(binary_form=True) or b""


# The command.


def test_command_prints_what_it_made_and_how_to_use_it(tmp_path: Path) -> None:
    done = command(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    pair = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    assert f"    tls_certificate = {pair.certificate}\n    tls_key = {pair.key}\n" in done.stdout
    fingerprint = hashlib.sha256(pair.der()).hexdigest()
    assert fingerprint in done.stdout.replace(":", "").lower()
    assert stat.S_IMODE(pair.key.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "doorbelld.conf",
        "tls.crt",
        "tls.key",
    ]


def test_configuration_it_prints_is_one_that_works(daemon: Daemon, tmp_path: Path) -> None:
    printed = command(tmp_path).stdout
    section = re.search(r"\[access\](?:\n +tls_\w+ = .+)+", printed)
    assert section
    (tmp_path / "doorbelld.conf").write_text(section[0].replace("    ", ""), encoding="utf-8")
    daemon.start(arguments=["--config", str(tmp_path / "doorbelld.conf")])
    assert ": open https://" in daemon.log()


def test_certificate_is_one_that_browsers_accept(pair: Pair) -> None:
    seconds = str(825 * 24 * 3600)
    text = subprocess.run(
        ["openssl", "x509", "-in", pair.certificate, "-noout", "-text", "-checkend", seconds],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "Certificate will expire" in text, "Apple takes none of more than 825 days"
    assert "NIST CURVE: P-256" in text
    assert "CA:FALSE" in text, "trusting it means trusting this door and nothing else"
    assert "TLS Web Server Authentication" in text
    name = socket.gethostname().partition(".")[0].lower()
    for place in (f"DNS:{name}", f"DNS:{name}.local", "DNS:localhost", "IP Address:127.0.0.1"):
        assert re.search(rf"{re.escape(place)}(,|$)", text, re.MULTILINE), place


def test_names_of_the_configuration_are_in_it(tmp_path: Path) -> None:
    done = command(tmp_path, "--set=access.hosts=door.example.org,other")
    assert ", door.example.org, other, " in done.stdout


def test_it_replaces_nothing_without_force(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    before = [path.read_bytes() for path in pair]
    done = command(tmp_path)
    assert done.returncode == 1
    assert f"{pair.certificate} and {pair.key}: there already; --force" in done.stderr
    assert [path.read_bytes() for path in pair] == before
    pair.certificate.unlink()
    assert command(tmp_path).returncode == 1, "nor half of it"
    assert pair.key.read_bytes() == before[1]
    assert command(tmp_path, "--force").returncode == 0
    assert pair.key.read_bytes() != before[1]
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*pair)


def test_it_writes_where_the_configuration_says(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    pair = Pair(folder / "door.pem", tmp_path / "door.key")
    settings = [f"--set={key}={value}" for key, value in pair.settings().items()]
    assert command(tmp_path, *settings).returncode == 0
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*pair)


def test_it_says_what_it_lacks(tmp_path: Path) -> None:
    done = command(tmp_path, f"--set=access.tls_key={tmp_path}/nowhere/tls.key")
    assert done.returncode == 1
    missing = f"the folder {tmp_path}/nowhere is missing; make it first"
    assert done.stderr == f"ERROR: {tmp_path}/nowhere/tls.key: {missing}\n"
    python = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-m", "doorbelld", f"--config={os.devnull}", "make-certificate"]
        + [f"--set=access.tls_{each}={tmp_path}/tls.{each}" for each in ("certificate", "key")],
        cwd=ROOT,
        env={**os.environ, "PATH": str(python)},
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )
    assert (done.returncode, done.stdout) == (1, "")
    helps = "the openssl command is missing; install it: apt install openssl"
    assert done.stderr == f"ERROR: {helps}\n"
    assert not list(tmp_path.glob("*tls*"))


def test_it_names_the_folder_that_it_may_not_search(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    options = [f"--set=access.tls_{each}={closed}/x/tls.{each}" for each in ("certificate", "key")]
    as_user = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_user, sys.executable, "-m", "doorbelld", "make-certificate", *options],
        cwd=ROOT,
        env={**os.environ, "COVERAGE_PROCESS_CONFIG": ""},  # That user cannot write its data.
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ERROR: {closed}/x: Permission denied; try it with sudo\n"


# A command that fails changes nothing.


class There:
    """An existing pair, each file in its own folder, and what happens to it."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.folder = folder
        self.pair = Pair(folder / "certs" / "door.crt", folder / "keys" / "door.key")
        for path in self.pair:
            path.parent.mkdir(parents=True)
        install(pair, self.pair)
        self._before = self._state()

    def command(self, *prefix: str, **settings: Path) -> str:
        """Run the command with --force, which must fail; return what it says."""
        values = dict(zip(("tls_certificate", "tls_key"), self.pair))
        pairs = [f"--set=access.{key}={path}" for key, path in {**values, **settings}.items()]
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "doorbelld", "make-certificate", "--force", *pairs],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=GUARD,
        )
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert done.stderr.startswith("ERROR: ")
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert self._state() == self._before
        return done.stderr[7:-1]

    def _state(self) -> dict[str, tuple[int, bytes]]:
        """Return all that is in the folders, with owner, mode and time of the pair's files."""
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes())
            for parent in (self.pair.certificate.parent, self.pair.key.parent)
            for path in parent.iterdir()
            if path.is_file()
        }


@pytest.fixture
def there(tmp_path: Path, pair: Pair) -> There:
    return There(tmp_path / "there", pair)


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key"])
def test_a_folder_that_is_missing_changes_nothing(there: There, setting: str) -> None:
    folder = there.folder / "nowhere"
    said = there.command(**{setting: folder / "x"})
    assert said == f"{folder}/x: the folder {folder} is missing; make it first"


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key"])
def test_a_directory_for_a_file_changes_nothing(there: There, setting: str) -> None:
    said = there.command(**{setting: there.folder})
    assert said == f"{there.folder} is a directory; name a file in the configuration"


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key"])
def test_one_file_for_both_changes_nothing(there: There, setting: str) -> None:
    other = there.pair.key if setting == "tls_certificate" else there.pair.certificate
    for path in (other, other.parent / ".." / other.parent.name / other.name):
        said = there.command(**{setting: path})
        assert "tls_certificate and tls_key name the same file; give the key a file" in said


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key"])
@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_link_changes_nothing(
    there: There, other: Pair, tmp_path: Path, setting: str, is_dangling: bool
) -> None:
    path, target = there.folder / "link", tmp_path / "target"
    path.symlink_to(target)
    if not is_dangling:
        shutil.copy(other.key, target)
    said = there.command(**{setting: path})
    assert said.startswith(f"{path} is a symbolic link to {target}; remove the link")
    assert is_dangling or target.read_bytes() == other.key.read_bytes()
    assert path.is_symlink()


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key"])
def test_a_pipe_changes_nothing(there: There, setting: str) -> None:
    path = there.folder / "pipe"
    os.mkfifo(path)
    said = there.command(**{setting: path})
    assert said == f"{path} is not a regular file; name another in the configuration"


OPENSSL = {
    "fails": "echo one >&2; echo 'no entropy today' >&2; exit 3",
    "says nothing": "exit 3",
    "is killed": "kill -9 $$",
    "makes nothing": "exit 0",
    "makes half": 'while [ "$1" != -keyout ]; do shift; done; echo x >"$2"; echo x >"$4"; exit 0',
}


@pytest.mark.parametrize("how", OPENSSL)
def test_openssl_that_fails_changes_nothing(there: There, tmp_path: Path, how: str) -> None:
    script = tmp_path / "bin" / "openssl"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\n{OPENSSL[how]}\n")
    script.chmod(0o755)
    said = there.command("env", f"PATH={script.parent}:{os.environ['PATH']}")
    assert "no file was changed" in said
    assert how != "fails" or said.endswith(": no entropy today")


@pytest.mark.parametrize("setting", ["certificate", "key"])
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("ro", "Read-only file system; make that file system writable first"),
        # Less than one file takes.
        ("rw,nr_blocks=1", "No space left on device; make room there first"),
    ],
)
def test_a_disk_that_takes_nothing_changes_nothing(
    there: There, setting: str, options: str, why: str
) -> None:
    folder: Path = getattr(there.pair, setting).parent
    script = f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"
    if options != "ro":
        script = f"mount -t tmpfs -o {options} none {folder} && echo full >{folder}/old"
    said = there.command(*in_a_mount_namespace(script))
    assert said == f"{folder}: {why}" or (options != "ro" and "no file was changed" in said)


def test_if_the_second_file_cannot_be_replaced_the_first_is_as_it_was(there: There) -> None:
    # A mount point cannot be replaced by rename(): EBUSY.
    certificate = there.pair.certificate
    said = there.command(*in_a_mount_namespace(f"mount --bind {certificate} {certificate}"))
    assert said == f"{certificate.parent}: Device or resource busy; no file was changed"


def test_if_there_was_no_first_file_there_is_none_after_a_failure(
    tmp_path: Path, there: There
) -> None:
    certificate, new = there.pair.certificate, tmp_path / "new.key"
    mount = f"mount --bind {certificate} {certificate}"
    there.command(*in_a_mount_namespace(mount), tls_key=new)
    assert not new.exists()


def in_a_mount_namespace(script: str) -> list[str]:
    """Return a prefix that changes mounts only for the command after it."""
    as_user = ["--map-root-user"] if os.geteuid() else []
    return ["unshare", "--mount", *as_user, "sh", "-c", f'{script} && exec "$@"', "sh"]


# Files that cannot be used.


def missing(pair: Pair, _: Pair) -> str:
    pair.certificate.unlink()
    return f"tls_certificate = {pair.certificate}: cannot be read: No such file or directory"


def key_missing(pair: Pair, _: Pair) -> str:
    pair.key.unlink()
    return f"tls_key = {pair.key}: cannot be read: No such file or directory"


def a_directory(pair: Pair, _: Pair) -> str:
    pair.key.unlink()
    pair.key.mkdir()
    return f"tls_key = {pair.key}: cannot be read: Is a directory"


def no_pem(pair: Pair, _: Pair) -> str:
    pair.certificate.write_bytes(pair.der())
    return f"tls_certificate = {pair.certificate}: is no certificate in PEM form"


def empty(pair: Pair, _: Pair) -> str:
    pair.certificate.write_bytes(b"")
    return f"tls_certificate = {pair.certificate}: is no certificate in PEM form"


def no_key(pair: Pair, _: Pair) -> str:
    shutil.copy(pair.certificate, pair.key)
    return f"tls_key = {pair.key}: is no key in PEM form without a password"


def key_with_password(pair: Pair, _: Pair) -> str:
    options = ["-aes128", "-passout", "pass:1234", "-in", pair.key, "-out", pair.key]
    openssl("ec", *map(str, options), folder=pair.key.parent)
    return f"tls_key = {pair.key}: is no key in PEM form without a password"


def key_of_another(pair: Pair, other: Pair) -> str:
    shutil.copy(other.key, pair.key)
    return f"tls_key = {pair.key}: is not the key of this certificate"


def key_of_another_kind(pair: Pair, _: Pair) -> str:
    rsa = make_pair_of(pair.key.parent, "20200101000000Z", "20400101000000Z", "rsa:2048")
    shutil.copy(rsa.key, pair.key)
    return f"tls_key = {pair.key}: is not the key of this certificate"


def too_weak(pair: Pair, _: Pair) -> str:
    folder = pair.key.parent
    install(make_pair_of(folder, "20200101000000Z", "20400101000000Z", "rsa:1024"), pair)
    return f"tls_certificate = {pair.certificate}: cannot be used: ee key too small"


def a_pipe(pair: Pair, _: Pair) -> str:
    pair.key.unlink()
    os.mkfifo(pair.key)
    return f"tls_key = {pair.key}: cannot be read: it is a named pipe"


BREAK: list[Callable[[Pair, Pair], str]] = [
    missing,
    key_missing,
    a_directory,
    a_pipe,
    no_pem,
    empty,
    no_key,
]
BREAK += [key_with_password, key_of_another, key_of_another_kind, too_weak]


@pytest.mark.parametrize("break_", BREAK)
def test_broken_files_are_reported_at_the_start(
    secure: SecureDaemon, other: Pair, break_: Callable[[Pair, Pair], str]
) -> None:
    problem = break_(secure.pair, other)
    secure.start(wait=False)
    assert secure.wait() == 2
    assert secure.log() == f"ERROR: [access] {problem}\n"


@pytest.mark.parametrize("break_", BREAK)
def test_after_a_reload_with_broken_files_the_old_ones_stay_in_use(
    secure: SecureDaemon, pair: Pair, other: Pair, break_: Callable[[Pair, Pair], str]
) -> None:
    secure.start()
    with Stream(secure) as stream:
        stream.part()
        problem = break_(secure.pair, other)
        secure.send(signal.SIGHUP)
        secure.wait_for_log("the configuration stays as it was")
        assert f"ERROR: [access] {problem}\n" in secure.log()
        assert shown(secure) == pair.der()
        stream.part()


@pytest.mark.parametrize("lacking", ["access.tls_certificate", "access.tls_key"])
def test_one_file_without_the_other_is_refused(secure: SecureDaemon, lacking: str) -> None:
    secure.start({lacking: "none"}, wait=False)
    assert secure.wait() == 2
    assert "[access] tls_certificate and tls_key: one is of no use alone" in secure.log()


def test_check_reports_them_too(secure: SecureDaemon, other: Pair) -> None:
    problem = key_of_another(secure.pair, other)
    secure.start(arguments=["--check"], wait=False)
    assert secure.wait() == 2
    assert problem in secure.log()


@pytest.mark.parametrize(
    ("start", "end", "what"),
    [
        ("20200101000000Z", "20200201000000Z", "has expired"),
        ("20900101000000Z", "20910101000000Z", "is not valid yet"),
    ],
)
def test_wrong_dates_are_logged_and_the_picture_is_shown(
    secure: SecureDaemon, tmp_path: Path, start: str, end: str, what: str
) -> None:
    install(make_pair_of(tmp_path, start, end), secure.pair)
    secure.start()
    expected = f"WARNING: [access] tls_certificate = {secure.pair.certificate}: {what}: browsers"
    assert expected in secure.log()
    assert shown(secure) == secure.pair.der()


def test_end_that_is_near_is_logged(secure: SecureDaemon, tmp_path: Path) -> None:
    soon = time.gmtime(time.time() + 20 * 24 * 3600)
    install(
        make_pair_of(tmp_path, "20200101000000Z", time.strftime("%Y%m%d%H%M%SZ", soon)), secure.pair
    )
    secure.start()
    day = time.strftime("%Y-%m-", soon)
    expected = f"WARNING: [access] tls_certificate = {secure.pair.certificate}: expires on {day}"
    assert expected in secure.log()
    assert shown(secure) == secure.pair.der()


def test_rsa_will_do_and_goes_without_a_warning(secure: SecureDaemon, tmp_path: Path) -> None:
    install(make_pair_of(tmp_path, "20200101000000Z", "20400101000000Z", "rsa:2048"), secure.pair)
    secure.start()
    assert "WARNING" not in secure.log()
    assert shown(secure) == secure.pair.der()


def test_its_chain_is_sent_with_it(secure: SecureDaemon, other: Pair) -> None:
    with secure.pair.certificate.open("ab") as file:
        file.write(other.certificate.read_bytes())
    secure.start()
    command = ["openssl", "s_client", "-showcerts", "-connect", f"127.0.0.1:{secure.port}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.stdout.count(b"-----BEGIN CERTIFICATE-----") >= 2


# The last pair that worked.


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the state directory that systemd makes for the service."""
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def start_as_service(
    secure: SecureDaemon, systemd: ServiceManager, state: Path, **more: object
) -> None:
    environ = {**systemd.environ, "STATE_DIRECTORY": f"{state}:/nowhere"}
    secure.start(dict(more), environ=environ, wait=False)
    eventually(
        lambda: secure.process.poll() is not None or systemd.rest().count("READY=1"), "ready"
    )


def restart(secure: SecureDaemon, systemd: ServiceManager, state: Path, **more: object) -> None:
    assert secure.stop() == 0, secure.log()
    Path(secure.folder, "log").unlink()
    start_as_service(secure, systemd, state, **more)


@pytest.fixture
def served(secure: SecureDaemon, systemd: ServiceManager, state: Path) -> SecureDaemon:
    """Return a service that has a certificate, and has run with it."""
    start_as_service(secure, systemd, state)
    secure.port = int(secure.wait_for_log(r"open https://\S+:(\d+)/")[1])
    return secure


@pytest.mark.parametrize("break_", BREAK)
def test_pair_that_worked_serves_after_a_restart_and_the_log_says_so(
    served: SecureDaemon,
    systemd: ServiceManager,
    state: Path,
    other: Pair,
    break_: Callable[[Pair, Pair], str],
) -> None:
    before = served.pair.der()
    problem = break_(served.pair, other)
    restart(served, systemd, state)
    assert shown(served) == before
    said = "serving with the last pair that worked until a reload can use this one"
    assert served.log().count("ERROR") == 1
    assert f"ERROR: [access] {problem}; {said}\n" in served.log()
    assert systemd.wait_for("STATUS=").endswith("; TLS with the last pair that worked, see the log")
    served.send(signal.SIGHUP)
    served.wait_for_log("the configuration stays as it was")
    assert shown(served) == before
    for path in served.pair:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    install(other, served.pair)
    served.send(signal.SIGHUP)
    served.wait_for_log("the configuration was read again")
    assert shown(served) == other.der()
    while systemd.wait_for("STATUS=").endswith("see the log"):
        pass
    served.pair.key.unlink()
    restart(served, systemd, state)
    assert shown(served) == other.der(), "what the reload has found is the last that worked"


def test_copy_of_the_pair_is_the_services_alone(served: SecureDaemon, state: Path) -> None:
    (kept,) = (path for path in (state / "tls").rglob("*") if path.is_file())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    written = kept.stat()
    served.send(signal.SIGHUP)
    served.wait_for_log("the configuration was read again")
    after = kept.stat()
    assert (after.st_ino, after.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


@pytest.mark.parametrize("how", ["nothing kept", "damaged", "other paths"])
def test_without_a_pair_that_worked_it_does_not_start(
    served: SecureDaemon, systemd: ServiceManager, state: Path, how: str
) -> None:
    more: dict[str, object] = {}
    served.pair.key.unlink()
    if how == "nothing kept":
        shutil.rmtree(state)
    elif how == "damaged":
        (kept,) = (path for path in (state / "tls").rglob("*") if path.is_file())
        kept.write_bytes(kept.read_bytes()[:300])
    else:
        more["access.tls_key"] = served.pair.key.with_name("another.key")
    restart(served, systemd, state, **more)
    assert served.wait() == 78
    assert "cannot be read: No such file or directory\n" in served.log()


def test_copy_goes_when_tls_is_turned_off(
    served: SecureDaemon, systemd: ServiceManager, state: Path
) -> None:
    off = {"access.tls_certificate": "none", "access.tls_key": "none"}
    restart(served, systemd, state, **off)
    served.wait_for_log("open http://")
    assert not [path for path in (state / "tls").rglob("*") if path.is_file()]


def test_pair_that_has_expired_is_better_than_a_dark_door(
    secure: SecureDaemon, systemd: ServiceManager, state: Path, tmp_path: Path
) -> None:
    install(make_pair_of(tmp_path, "20200101000000Z", "20200201000000Z"), secure.pair)
    start_as_service(secure, systemd, state)
    secure.port = int(secure.wait_for_log(r"open https://\S+:(\d+)/")[1])
    expected = secure.pair.der()
    secure.pair.certificate.unlink()
    restart(secure, systemd, state)
    assert shown(secure) == expected
    assert "has expired: browsers will warn" in secure.log()


def test_file_with_key_and_chain_is_kept_as_it_is_shown(
    secure: SecureDaemon, systemd: ServiceManager, state: Path, other: Pair
) -> None:
    both = b"".join(path.read_bytes() for path in (*secure.pair, other.certificate))
    for path in secure.pair:
        path.write_bytes(b"Text before.\r\n" + both.replace(b"\n", b"\r\n"))
    start_as_service(secure, systemd, state)
    (kept,) = (path for path in (state / "tls").rglob("*") if path.is_file())
    assert [line for line in kept.read_text(encoding="ascii").splitlines() if "BEGIN" in line] == [
        "-----BEGIN PRIVATE KEY-----",
        *["-----BEGIN CERTIFICATE-----"] * 2,
    ]


def test_pair_that_cannot_be_kept_is_logged_once_and_served(
    secure: SecureDaemon, systemd: ServiceManager, tmp_path: Path
) -> None:
    (tmp_path / "full").touch()
    start_as_service(secure, systemd, tmp_path / "full")
    for count in (1, 2):
        secure.send(signal.SIGHUP)
        eventually(lambda: secure.log().count("read again") == count, "read again")  # noqa: B023
    assert secure.log().count("cannot keep a copy of the TLS key there: Not a directory") == 1


def test_outside_of_a_service_nothing_is_kept(secure: SecureDaemon, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    secure.start()
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "log"}


# While it runs.


def test_new_clients_get_another_certificate_after_a_reload(
    secure: SecureDaemon, pair: Pair, other: Pair
) -> None:
    secure.start()
    with Stream(secure) as stream, secure.connect() as kept:
        stream.part()
        assert shown(secure) == pair.der()
        install(other, secure.pair)
        assert shown(secure) == pair.der(), "not before the reload"
        secure.send(signal.SIGHUP)
        secure.wait_for_log("the configuration was read again")
        assert shown(secure) == other.der()
        secure.context = client_context(other)
        assert secure.request("/healthz")[0].status in (200, 503)
        for _ in range(5):
            stream.part()
        kept.sendall(b"GET /status HTTP/1.1\r\n\r\n")
        assert read_answer(kept).status == 200


def test_tls_can_be_turned_on_and_off_while_it_runs(daemon: Daemon, pair: Pair) -> None:
    configuration = daemon.folder / "doorbelld.conf"
    configuration.write_text("", encoding="ascii")
    daemon.start(arguments=["--config", str(configuration)])
    secure = SecureDaemon(daemon.folder, pair)
    secure.port = daemon.port
    with Stream(daemon) as plain, daemon.connect() as kept:
        plain.part()
        lines = [f"{key.partition('.')[2]} = {path}" for key, path in pair.settings().items()]
        configuration.write_text("\n".join(["[access]", *lines]), encoding="ascii")
        daemon.send(signal.SIGHUP)
        eventually(lambda: "read again" in daemon.log(), "read again")
        with Stream(secure) as encrypted:
            encrypted.part()
            kept.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_answer(kept).status == 307, "nothing more goes in plain text"
            daemon.wait_for_log("is not let in any more")
            plain.file.read()
            configuration.write_text("", encoding="ascii")
            daemon.send(signal.SIGHUP)
            eventually(lambda: daemon.log().count("read again") == 2, "read again")
            assert daemon.request("/status")[0].status == 200
            encrypted.part()

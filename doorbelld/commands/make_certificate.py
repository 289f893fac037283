"""``doorbelld make-certificate``: a certificate for HTTPS that this machine signs itself."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from doorbelld.net import interfaces, mdns, tls
from doorbelld.net.names import is_address, own_names
from doorbelld.system.users import give_to_the_service

_log = logging.getLogger(__name__)

_DAYS = 824
"""Apple's systems take no certificate for more than 825 days, not even one that was told to be
trusted; a shorter life would only mean a browser's warning more often."""

_TEMPORARY = ".tls-"

# No authority: who trusts this trusts one door, and not all that its key might sign one day.
_REQUEST = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = own
[name]
CN = {name}
[own]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {places}
"""


def make_certificate(certificate: Path, key: Path, hosts: Iterable[str], *, force: bool) -> int:
    """Write a new key and its certificate for this machine's names and addresses, and ``hosts``.

    Replaces files only with ``force``, and then both or none. Returns 0, or 1 where it could not
    be done: then all files are as they were.
    """
    places = list(_places(hosts))
    try:
        _refuse(certificate, key, force=force)
        with ExitStack() as stack:
            # Each beside the file that it becomes, for only so can it take its place at once.
            staged = [Path(stack.enter_context(_folder(path))) for path in (key, certificate)]
            new = (staged[0] / "new.key", staged[1] / "new.crt")
            _make(*new, places)
            _replace([(new[0], key), (new[1], certificate)])
    except ValueError as error:
        _log.error("%s", error)  # a sentence for a person
    except OSError as error:
        _log.error("%s", _explain(error, key.parent))
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
        _log.error("openssl failed, and no file was changed: %s", said[-1])
    else:
        names = ", ".join(place.partition(":")[2] for place in places)
        sys.stdout.write(_report(certificate, key, names))
        return 0
    return 1


def _refuse(certificate: Path, key: Path, *, force: bool) -> None:
    """Raise ValueError, which says what to do, where no pair may be written."""
    if os.path.realpath(certificate) == os.path.realpath(key):
        raise ValueError(
            f"{key}: tls_certificate and tls_key name the same file; give the key a file of its own"
        )
    there = []
    for path in (certificate, key):
        if not path.parent.is_dir():
            raise ValueError(f"{path}: the folder {path.parent} is missing; make it first")
        if path.is_symlink():
            raise ValueError(
                f"{path} is a symbolic link to {path.readlink()};"
                " remove the link, or name another file in the configuration"
            )
        if path.is_dir():
            raise ValueError(f"{path} is a directory; name a file in the configuration")
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is not a regular file; name another in the configuration")
        there += [str(path)] if path.exists() else []
    if there and not force:
        raise ValueError(f"{' and '.join(there)}: there already; --force makes a new pair")


def _explain(error: OSError, folder: Path) -> str:
    """Say what could not be done, where, and what helps."""
    if error.filename == "openssl":
        return "the openssl command is missing; install it: apt install openssl"
    helps = {
        errno.EACCES: "try it with sudo",
        errno.EPERM: "try it with sudo",
        errno.ENOSPC: "make room there first",
        errno.EDQUOT: "make room there first",
        errno.EROFS: "make that file system writable first",
    }.get(error.errno or 0, "no file was changed")
    path = Path(error.filename or folder)
    # The name of a temporary file would not help.
    where = next((each.parent for each in (path, *path.parents) if _TEMPORARY in each.name), path)
    return f"{where}: {error.strerror}; {helps}"


def _folder(path: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=path.parent, prefix=_TEMPORARY)


def _places(hosts: Iterable[str]) -> Iterable[str]:
    """Yield all that a phone may call this machine by, as openssl writes it."""
    short = socket.gethostname().partition(".")[0].lower()
    names = [short, f"{short}.local", mdns.local_name(), *sorted(own_names()), "localhost", *hosts]
    for name in dict.fromkeys(names):
        if is_address(name):
            yield f"IP:{name}"
        elif re.fullmatch(r"[\w.-]+", name, re.ASCII):  # No browser takes a *.lan.
            yield f"DNS:{name}"
    for ip in dict.fromkeys(each.ip for each in interfaces.addresses()):
        if not (ip.version == 6 and ip.is_link_local):  # No browser takes these.
            yield f"IP:{ip}"


def _make(key: Path, certificate: Path, places: list[str]) -> None:
    """Write a new pair that is whole, on the disk and of use, or raise an error."""
    name = places[0].partition(":")[2]
    request = key.with_name("request.cnf")
    request.write_text(_REQUEST.format(name=name, places=", ".join(places)), encoding="ascii")
    command = ["openssl", "req", "-x509", "-config", str(request), "-days", str(_DAYS)]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # ours
    try:
        tls.server_context(certificate, key)
    except tls.CertificateError as error:
        raise ValueError(
            f"{key.parent.parent}: openssl made a pair that cannot be used, so no file was changed;"
            f" the {error.of} {error}"
        ) from None
    key.chmod(0o600)
    certificate.chmod(0o644)
    give_to_the_service(key)
    for path in (key, certificate):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _replace(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Put each new file into the place of another: all of them, or none where one fails."""
    with ExitStack() as undo:
        for new, path in pairs:
            before = new.with_name("before")
            if path.exists():
                _keep(path, before)
                undo.callback(before.replace, path)
            else:
                undo.callback(path.unlink, missing_ok=True)
            new.replace(path)
        undo.pop_all()


def _keep(path: Path, copy: Path) -> None:
    """Make ``copy`` a hard link to the file, or a copy of it where there are no hard links."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copy2(path, copy)
        found = path.stat()
        os.chown(copy, found.st_uid, found.st_gid)


def _report(certificate: Path, key: Path, names: str) -> str:
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))
    fingerprint = hashlib.sha256(der).digest().hex(":").upper()
    return (
        f"A certificate for {names}, good for {_DAYS} days.\n"
        "Its SHA-256 fingerprint, to compare with what the browser shows when it warns:\n"
        f"    {fingerprint}\n"
        "For HTTPS write into the configuration:\n"
        "    [access]\n"
        f"    tls_certificate = {certificate}\n"
        f"    tls_key = {key}\n"
        "Then, and after every new certificate: sudo systemctl reload doorbelld\n"
    )

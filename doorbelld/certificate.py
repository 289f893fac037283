"""``doorbelld make-certificate``: a certificate for HTTPS that this machine signs itself."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from doorbelld import interfaces, mdns
from doorbelld.access import is_address, own_names
from doorbelld.owner import give_to_the_service

_log = logging.getLogger(__name__)

_DAYS = 824
"""Apple's systems take no certificate for more than 825 days, not even one that was told to be
trusted; a shorter life would only mean a browser's warning more often."""

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

    Replaces files only with ``force``. Returns 0, or 1 where it could not be done.
    """
    there = [str(path) for path in (certificate, key) if path.exists()]
    if there and not force:
        _log.error("%s: there already; --force makes a new one", " and ".join(there))
        return 1
    places = list(_places(hosts))
    try:
        _make(certificate, key, places)
    except FileNotFoundError as error:
        missing = "the openssl command" if error.filename == "openssl" else error.filename
        _log.error("%s is missing", missing)
    except OSError as error:
        _log.error("%s: %s", error.filename or certificate.parent, error.strerror)
    except subprocess.CalledProcessError as error:
        _log.error("openssl failed: %s", error.stderr.strip())
    else:
        names = ", ".join(place.partition(":")[2] for place in places)
        sys.stdout.write(_report(certificate, key, names))
        return 0
    return 1


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


def _make(certificate: Path, key: Path, places: list[str]) -> None:
    name = places[0].partition(":")[2]
    with tempfile.TemporaryDirectory(dir=key.parent, prefix=".tls-") as folder:
        request, new_certificate, new_key = (Path(folder, each) for each in ("cnf", "crt", "key"))
        request.write_text(_REQUEST.format(name=name, places=", ".join(places)), encoding="ascii")
        command = ["openssl", "req", "-x509", "-config", str(request), "-days", str(_DAYS)]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
        command += ["-keyout", str(new_key), "-out", str(new_certificate)]
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # ours
        new_key.chmod(0o600)
        new_certificate.chmod(0o644)
        give_to_the_service(new_key)
        new_key.replace(key)
        shutil.move(new_certificate, certificate)


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

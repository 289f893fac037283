"""Authority: a small certificate authority of this machine, whose root a phone can be given.

It is a chain of two. A phone trusts the root; the issuer below it signs the certificate for HTTPS.
Both are limited to the machine's names and to private addresses. Apple's systems and some others
do not apply the limits in a certificate that the user trusts, only in those below it. So the root
signs nothing but the issuer: its key is in memory while the chain is made, and then it is gone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from doorbelld.net import tls
from doorbelld.net.addresses import PRIVATE
from doorbelld.system import files

DAY = 24 * 3600

DAYS = 3650
"""How long a new authority is valid."""

LONGEST_NAME = 64
"""Letters of a common name in a certificate."""

_OURS = (("organizationName", "doorbelld"),)
_CA = """\
basicConstraints = critical, CA:TRUE, pathlen:{below}
keyUsage = critical, keyCertSign
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
nameConstraints = critical, @limits
"""
_CONFIGURATION = f"""\
[req]
distinguished_name = none
[none]
[root]
{_CA.format(below=1)}
[issuer]
{_CA.format(below=0)}
authorityKeyIdentifier = keyid
[limits]
"""
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")
"""The options of ``openssl req`` for a new key."""


class MakingError(Exception):
    """No certificate was made, and all files are as they were. The text says why, and what helps.

    It is one sentence without full stop.
    """


class Files(NamedTuple):
    """The authority's files: the chain of issuer and root, and the issuer's key."""

    chain: Path
    key: Path

    @classmethod
    def beside(cls, folder: Path) -> Files:
        """Return those in a folder, whether they exist or not."""
        return cls(folder / "authority.crt", folder / "authority.key")


class Authority:
    """An authority that exists. Raises MakingError if its files cannot be used."""

    def __init__(self, place: Files) -> None:
        self.place = place
        self._check()
        text = openssl("x509", "-in", str(place.chain), "-noout", "-ext", "nameConstraints")
        self._permitted = list(_permitted(text))
        if not self._permitted:
            raise MakingError(
                f"{place.chain} is not an authority that doorbelld has made; move it and"
                f" {place.key} away, and make one with --authority"
            )
        self.ends_at = _end(place.chain)
        if self.ends_at < time.time() + DAY:
            raise MakingError(
                f"{place.chain} has expired: move it and {place.key} away, and make a new authority"
                " with --authority; then install the new one on the phones"
            )

    def _check(self) -> None:
        for path, other in (self.place, reversed(self.place)):
            if not path.exists():
                raise MakingError(
                    f"{path} is missing: put it back, or move {other} away too, and make a new"
                    " authority with --authority; then install the new one on the phones"
                )
        if not os.access(self.place.key, os.R_OK):
            raise MakingError(f"{self.place.key}: {os.strerror(errno.EACCES)}; try it with sudo")
        try:
            tls.server_context(*self.place)
        except tls.CertificateError as error:
            path = self.place.chain if error.of == "certificate" else self.place.key
            raise MakingError(f"{path}: {error}") from None

    def permits(self, place: str) -> bool:
        """Return whether it may sign for this, such as ``DNS:door.local`` or ``IP:10.0.0.7``."""
        kind, _, value = place.partition(":")
        if kind == "DNS":
            return ("DNS", value.lower()) in self._permitted
        address = ip_address(value)
        return any(kind == "IP" and address in ip_network(net) for kind, net in self._permitted)

    def sign(self, request: Path, extensions: Path, section: str, days: int) -> bytes:
        """Return the certificate for a request as PEM, and the chain after it.

        Its extensions are in this section of a file. It ends before the authority does.
        """
        days = min(days, int((self.ends_at - time.time()) // DAY))
        leaf = request.with_name("leaf.crt")
        _sign(request, extensions, section, self.place, leaf, days)
        # OpenSSL applies all limits, also those of the root.
        issuer = ["-untrusted", str(self.place.chain), "-CAfile", str(self.place.chain)]
        openssl("verify", "-purpose", "sslserver", *issuer, str(leaf))
        return leaf.read_bytes() + self.place.chain.read_bytes()


def make(place: Files, names: Iterable[str], more: Iterable[str]) -> None:
    """Write a new authority for these names, and for private addresses and ``more`` addresses.

    Raises CalledProcessError and OSError.
    """
    # The kernel takes any name, and / and + have a meaning in openssl's subject.
    host = re.sub(r"[^\w-]", "_", socket.gethostname().partition(".")[0], flags=re.ASCII)
    subject = f"/O=doorbelld/CN={f'doorbelld on {host}'[:LONGEST_NAME]}"
    folder = place.chain.parent
    configuration, request = folder / "authority.cnf", folder / "issuer.csr"
    root, issuer = folder / "root.crt", folder / "issuer.crt"
    limits = "\n".join(_limits(names, more))
    configuration.write_text(f"{_CONFIGURATION}{limits}\n", encoding="ascii")
    new = ["req", "-config", str(configuration), *NEW_KEY]
    memory = os.memfd_create("root")
    try:
        key = Path(f"/dev/fd/{memory}")
        openssl(
            *(*new, "-x509", "-subj", subject, "-days", str(DAYS), "-extensions", "root"),
            *("-keyout", str(key), "-out", str(root)),
            keep=memory,
        )
        subject = f"/O=doorbelld/CN={f'doorbelld issuer on {host}'[:LONGEST_NAME]}"
        openssl(*new, "-new", "-subj", subject, "-keyout", str(place.key), "-out", str(request))
        _sign(request, configuration, "issuer", Files(root, key), issuer, DAYS, keep=memory)
    finally:
        os.close(memory)
    place.chain.write_bytes(issuer.read_bytes() + root.read_bytes())
    place.chain.chmod(0o644)
    place.key.chmod(0o600)  # and never the service's


def _sign(
    request: Path, extensions: Path, section: str, by: Files, to: Path, days: int, keep: int = 0
) -> None:
    openssl(
        *("x509", "-req", "-sha256", "-in", str(request), "-out", str(to), "-days", str(days)),
        *("-CA", str(by.chain), "-CAkey", str(by.key), "-set_serial", hex(secrets.randbits(158))),
        *("-extfile", str(extensions), "-extensions", section),
        keep=keep,
    )


def openssl(*arguments: str, keep: int = 0) -> str:
    """Run the ``openssl`` command, which inherits the descriptor ``keep``; return its output.

    Raises CalledProcessError, and OSError if there is no such command.
    """
    import subprocess  # The daemon does not need it.

    command, kept = ["openssl", *arguments], [keep] if keep else []
    done = subprocess.run(command, check=True, capture_output=True, text=True, pass_fds=kept)  # noqa: S603  # ours
    return done.stdout


def root_in(chain: Path) -> bytes | None:
    """Return the root of an authority of ours, in DER form, if a file with certificates has one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(OSError, ValueError):  # The caller will say what is wrong with it.
        context.load_verify_locations(cadata=files.read(chain).decode("ascii", "ignore"))
    for der, about in zip(context.get_ca_certs(binary_form=True), context.get_ca_certs()):
        if about["subject"] == about["issuer"] and _OURS in about["subject"]:
            return der
    return None


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate as browsers show it."""
    return hashlib.sha256(der).digest().hex(":").upper()


def _end(chain: Path) -> float:
    """Return the Unix time at which the first of the chain's certificates ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(chain)
    ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    return min(ends, default=0.0)


def _limits(names: Iterable[str], more: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the name constraints in openssl's form.

    By itself the limit «camera» would permit all names below it too, and .camera is a domain on the
    internet. So everything below is excluded, unless the machine itself has a name there.
    """
    names = list(names)
    for number, name in enumerate(names):
        yield f"permitted;DNS.{number} = {name}"
        if not any(each.endswith(f".{name}") for each in names):
            yield f"excluded;DNS.{number} = .{name}"
    for number, network in enumerate(map(ip_network, [*PRIVATE, *more])):
        yield f"permitted;IP.{number} = {network.network_address}/{network.netmask}"


def _permitted(text: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the value, a name or network, of what name constraints permit."""
    permitted = text.partition("Permitted:")[2].partition("Excluded:")[0]
    for kind, value in re.findall(r"^\s+(DNS|IP):(\S+)\s*$", permitted, re.MULTILINE):
        if kind == "IP":
            base, _, mask = value.partition("/")
            yield kind, f"{base}/{bin(int(ip_address(mask))).count('1')}"
        else:
            yield kind, value.lower()

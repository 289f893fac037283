"""Certificates: makes one for this machine, and checks the one that is served."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from doorbelld.net import addresses, authority, tls
from doorbelld.net.authority import Authority, Files, MakingError
from doorbelld.net.names import is_address, own_names
from doorbelld.system.users import give_to_the_service

DAYS = 824
"""How long a new certificate is valid. Apple's systems accept none of more than 825 days, even
if the user trusts it; a shorter life would only mean that browsers warn more often."""

SLOW = 0.02
"""Seconds of processor time for a handshake. If it takes more, the log warns about the key."""

_TEMPORARY = ".tls-"

_MOST_HELLOS = 2
"""A client says hello once more if it is asked for another group."""

_PARTIAL_CHAIN = ssl.VerifyFlags(0x80000)  # ssl.VERIFY_X509_PARTIAL_CHAIN since Python 3.10
_DATES = {  # X509_V_ERR_… in <openssl/x509_vfy.h>
    9: "is not valid yet: browsers will warn",
    10: "has expired: browsers will warn",
}
_NEAR = 0.1
"""The part of a certificate's life in which its end is near: 82 days for one of ours."""

# CA:FALSE: a browser that trusts this certificate trusts nothing else that its key might sign.
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


class Made(NamedTuple):
    """What was made: the names and addresses of the certificate, and those that are left out.

    ``ends_at`` is the Unix time at which it ends. ``is_authority_new`` is whether its authority was
    made too.
    """

    names: list[str]
    left_out: list[str]
    ends_at: float
    is_authority_new: bool


def date_problem(context: ssl.SSLContext, certificate: Path) -> str | None:
    """Return what is wrong with the certificate's dates, as clients see it now; None if nothing.

    That is also an end that is near: a renewal by a program would have been done by then.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= _PARTIAL_CHAIN  # Trust it, whatever its issuer is.
    client.load_verify_locations(certificate)
    try:
        _, shown = _shake_hands(context, client)
    except ssl.SSLCertVerificationError as error:
        return _DATES.get(error.verify_code)
    except ssl.SSLError:
        return None  # Any other problem has nothing to do with dates.
    begin, end = (ssl.cert_time_to_seconds(str(shown[key])) for key in ("notBefore", "notAfter"))
    if time.time() < end - (end - begin) * _NEAR:
        return None
    day = time.strftime("%Y-%m-%d", time.localtime(end))
    return f"expires on {day}: browsers will warn then"


def handshake_seconds(context: ssl.SSLContext) -> float:
    """Return how much processor time one handshake takes on our side.

    Most of it is for the certificate's key: a long RSA key takes far more than others.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE  # It is our own.
    with suppress(ssl.SSLError):
        return _shake_hands(context, client)[0]
    return 0.0


def _shake_hands(
    context: ssl.SSLContext, client: ssl.SSLContext
) -> tuple[float, Mapping[str, object]]:
    """Do a handshake with a client. Raises SSLError.

    Returns the processor time of our side, and what the client has verified of the certificate.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, its = tls.Session(context), client.wrap_bio(incoming, outgoing)
    seconds = 0.0
    for _ in range(_MOST_HELLOS):
        with suppress(ssl.SSLWantReadError):
            its.do_handshake()
        begin = time.thread_time()
        incoming.write(ours.feed(outgoing.read()))
        seconds += time.thread_time() - begin
    its.do_handshake()
    return seconds, its.getpeercert() or {}


def make(
    certificate: Path,
    key: Path,
    hosts: Sequence[str],
    *,
    force: bool,
    signer: Files | None = None,
) -> Made:
    """Write a new key and its certificate for this machine's names and addresses, and ``hosts``.

    The certificate is signed by the authority ``signer``, which is made if it does not exist; if it
    is None, by its own key. Replaces files only with ``force``, and then all of them or none.
    Raises MakingError.
    """
    from subprocess import CalledProcessError  # The daemon does not need it.

    places = list(_places(hosts))
    try:
        _refuse(certificate, key, force=force)
        with ExitStack() as stack:
            # Each is made next to the file that it replaces: only then is that one step.
            staged = [_stage(path, stack) for path in (key, certificate)]
            new = (staged[0] / "new.key", staged[1] / "new.crt")
            pairs, by = [(new[0], key), (new[1], certificate)], signer
            if signer and not any(path.exists() for path in signer):
                by = Files.beside(_stage(signer.key, stack))
                _make_authority(by, places, hosts)
                pairs += zip(by, signer)
            made = _make(*new, places, by and Authority(by))
            _replace(pairs)
    except OSError as error:
        raise MakingError(_explain(error, key.parent)) from error
    except CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        why = said[-1] if said else f"exit status {error.returncode}"
        raise MakingError(f"openssl failed, and no file was changed: {why}") from error
    return made._replace(is_authority_new=by != signer)


def _make_authority(files: Files, places: list[str], hosts: Sequence[str]) -> None:
    """Write a new authority for these places, as far as they are private or given by the user."""
    names = [place[4:] for place in places if place.startswith("DNS:")]
    authority.make(files, names, filter(is_address, hosts))
    _write_through(*files)


def _refuse(certificate: Path, key: Path, *, force: bool) -> None:
    """Raise MakingError if no pair may be written there."""
    if os.path.realpath(certificate) == os.path.realpath(key):
        raise MakingError(
            f"{key}: tls_certificate and tls_key name the same file; give the key a file of its own"
        )
    there = []
    for path in (certificate, key):
        if not path.parent.is_dir():
            raise MakingError(f"{path}: the folder {path.parent} is missing; make it first")
        if path.is_symlink():
            raise MakingError(
                f"{path} is a symbolic link to {path.readlink()};"
                " remove the link, or name another file in the configuration"
            )
        if path.is_dir():
            raise MakingError(f"{path} is a directory; name a file in the configuration")
        if path.exists() and not path.is_file():
            raise MakingError(f"{path} is not a regular file; name another in the configuration")
        there += [str(path)] if path.exists() else []
    if there and not force:
        raise MakingError(f"{' and '.join(there)}: there already; --force makes a new pair")


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


def _stage(path: Path, stack: ExitStack) -> Path:
    """Return a temporary folder next to ``path``."""
    from tempfile import TemporaryDirectory  # The daemon does not need it.

    return Path(stack.enter_context(TemporaryDirectory(dir=path.parent, prefix=_TEMPORARY)))


def _places(hosts: Iterable[str]) -> Iterator[str]:
    """Yield every name and address that a phone may use for this machine, in openssl's form."""
    from doorbelld.net import mdns  # It starts programs, which the daemon does not need.

    short = socket.gethostname().partition(".")[0].lower()
    names = [short, f"{short}.local", mdns.local_name(), *sorted(own_names()), "localhost", *hosts]
    for name in dict.fromkeys(names):
        if is_address(name):
            yield f"IP:{name}"
        elif re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):  # No browser accepts a *.lan.
            yield f"DNS:{name}"
    for ip in dict.fromkeys(each.ip for each in addresses.own()):
        if not (ip.version == 6 and ip.is_link_local):  # No browser accepts these.
            yield f"IP:{ip}"


def _make(key: Path, certificate: Path, places: list[str], by: Authority | None) -> Made:
    """Write a new pair that is complete, on the disk and usable, or raise an error."""
    good = [place for place in places if by is None or by.permits(place)]
    if by is not None and not good:
        raise MakingError(
            f"{by.place.chain} may not sign for any name or address of this machine: move it and"
            f" {by.place.key} away, and make a new authority with --authority; then install the new"
            " one on the phones"
        )
    name = good[0].partition(":")[2][: authority.LONGEST_NAME]
    request = key.with_name("request.cnf")
    request.write_text(_REQUEST.format(name=name, places=", ".join(good)), encoding="ascii")
    new = ["-config", str(request), *authority.NEW_KEY, "-keyout", str(key)]
    ends_at = time.time() + DAYS * authority.DAY
    if by is None:
        days = ["-x509", "-days", str(DAYS)]
        authority.openssl("req", *days, *new, "-out", str(certificate))
    else:
        asked = request.with_suffix(".csr")
        authority.openssl("req", "-new", *new, "-out", str(asked))
        certificate.write_bytes(by.sign(asked, request, "own", DAYS))
        ends_at = min(ends_at, by.ends_at)
    try:
        tls.server_context(certificate, key)
    except tls.CertificateError as error:
        raise MakingError(
            f"{key.parent.parent}: openssl made a pair that cannot be used, so no file was changed;"
            f" the {error.of} {error}"
        ) from None
    key.chmod(0o600)
    certificate.chmod(0o644)
    give_to_the_service(key)
    _write_through(key, certificate)
    names = [place.partition(":")[2] for place in good]
    left_out = [place.partition(":")[2] for place in places if place not in good]
    return Made(names, left_out, ends_at, is_authority_new=False)


def _write_through(*paths: Path) -> None:
    """Wait until the files are on the disk."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _replace(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Move each new file over the old one: all of them, or none if one fails."""
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
    """Make ``copy`` a hard link to the file, or a copy of it if there are no hard links."""
    import shutil  # The daemon does not need it.

    try:
        os.link(path, copy)
    except OSError:
        shutil.copy2(path, copy)
        found = path.stat()
        os.chown(copy, found.st_uid, found.st_gid)

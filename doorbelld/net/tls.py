"""TLS: our certificate, the session of a connection, and which servers we trust.

OpenSSL gets no socket: the owner of the socket feeds the session what the client has sent, and
sends the bytes that the session returns. So sockets stay non-blocking, and the accept loop and
the broadcaster write to them in the same way, encrypted or not.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import ssl
from contextlib import suppress
from pathlib import Path

from doorbelld.system import files, secretfile, users

_log = logging.getLogger(__name__)

_HANDSHAKE = b"\x16"
"""The first byte of every TLS connection, and of no HTTP request."""

_MAX_HANDSHAKE = 16 * 1024
"""Bytes a client may send until its handshake is done. One takes 2 KiB; OpenSSL itself would
store 128 KiB for an unknown client."""

_MAX_ENCRYPTED = 64 * 1024
"""Bytes a client may send for one request, which is a third of that at most. TLS has messages
without content that cost work; a client could occupy the loop with an endless row of them."""

_CHUNK = 64 * 1024
"""Bytes that are encrypted at once: OpenSSL keeps a buffer of that size for every session."""

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: some other ciphers cost us far more than the client. TLS 1.3 has its own."""

_CURVE = "prime256v1"
"""The one group that every client has. By default OpenSSL 3 also accepts finite fields, up to
ffdhe8192, which cost us a hundred times the work, before the client has done any. Before 3.15
Python cannot set several groups. A browser that offers another one first needs one more round
trip. OpenSSL 1.1.1 has no finite fields in TLS 1.3 and keeps its own list, with X25519."""

_OTHER_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""OpenSSL's names for the key of another certificate; the last if the types differ."""

_DISTRUSTED = {
    9: "is not valid yet; check this machine's clock",
    10: "has expired; renew it, or check this machine's clock",
    62: "is for another host name; set that name instead",
    64: "is for another address; set the host name of the certificate instead",
}
"""By OpenSSL's X509_V_ERR_...; the others are all about trust."""

_UNKNOWN_AUTHORITY = (
    "is signed by an authority that this machine does not trust; copy that authority's certificate"
    " to /usr/local/share/ca-certificates/NAME.crt and run sudo update-ca-certificates"
)

_BLOCK = r"-----BEGIN (?P<label>%s)-----\n.+?\n-----END (?P=label)-----\n"
_KEY = re.compile((_BLOCK % r"(?:[A-Z]+ )?PRIVATE KEY").encode(), re.DOTALL)
_CERTIFICATE = re.compile((_BLOCK % r"(?:TRUSTED |X509 )?CERTIFICATE").encode(), re.DOTALL)


class CertificateError(Exception):
    """These files cannot be used for TLS. ``of`` is "certificate" or "key", the text says why."""

    def __init__(self, of: str, why: str) -> None:
        super().__init__(why)
        self.of = of


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context for sessions, from PEM files: the certificate with its chain, its key.

    Raises CertificateError if they cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Renegotiation has no use here, and would let a client cause endless work.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    if ssl.OPENSSL_VERSION_INFO >= (3,):
        context.set_ecdh_curve(_CURVE)
    _read("certificate", certificate)
    _read("key", key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except ssl.SSLError:
        raise CertificateError("certificate", "is no certificate in PEM form") from None
    try:
        # Without a password here OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason in _OTHER_KEY:
            raise CertificateError("key", "is not the key of this certificate") from None
        if error.reason in (None, "PEM lib", "PEM_LIB"):
            raise CertificateError("key", "is no key in PEM form without a password") from None
        why = error.reason.lower().replace("_", " ")
        raise CertificateError("certificate", f"cannot be used: {why}") from None
    return context


def trust_the_system(context: ssl.SSLContext) -> None:
    """Let a client's context trust the authorities that this machine trusts."""
    folder = ssl.get_default_verify_paths().capath
    # Of a folder, OpenSSL reads what a certificate needs, and of the file all: 2 MB and 20 ms.
    if folder and "SSL_CERT_FILE" not in os.environ and any(Path(folder).glob("*.0")):
        context.load_verify_locations(capath=folder)
    else:
        context.load_default_certs()


def explain_distrust(error: ssl.SSLCertVerificationError) -> str:
    """Return the end of a sentence that begins with the server: what is wrong, and what helps."""
    return f"has a certificate that {_DISTRUSTED.get(error.verify_code, _UNKNOWN_AUTHORITY)}"


def _read(of: str, path: Path) -> None:
    try:
        files.read(path)
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        if error.errno == errno.EACCES:
            why += f" for the user {users.current()}; man doorbelld.conf says how to copy it"
        raise CertificateError(of, why) from None


class KeptPair:
    """The last certificate and key that worked, in case the configured ones do not.

    A renewal may leave a key that only root can read, or only one of both files. A running daemon
    still has what it has read, but after a restart it could not serve the page at all.

    They are kept in one file below ``folder``, so that both always belong together. Without a
    folder nothing is kept. A pair is used only for the paths that it was read from. ``in_use`` is
    whether the daemon serves with it.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "tls" / "pair.pem" if folder else None
        self._has_warned = False
        self.in_use = False

    def keep(self, certificate: Path, key: Path) -> None:
        """Keep a pair that works. An error is logged, once."""
        self.in_use = False
        if self._path is None:
            return
        try:
            text = b"".join([_origin(certificate, key), *_blocks(certificate, key)])
            if not self._path.exists() or files.read(self._path) != text:
                self._write(self._path, text)
        except (OSError, CertificateError) as error:
            if not self._has_warned:
                self._has_warned = True
                why = error.strerror if isinstance(error, OSError) else error
                _log.warning("%s: cannot keep a copy of the TLS key there: %s", self._path, why)

    def context(self, certificate: Path, key: Path) -> ssl.SSLContext | None:
        """Return a TLS context with the pair kept for these paths; None if there is none."""
        if self._path is None:
            return None
        with suppress(OSError, CertificateError):
            if files.read(self._path).startswith(_origin(certificate, key)):
                context = server_context(self._path, self._path)
                self.in_use = True
                return context
        return None

    def forget(self) -> None:
        """Delete the copy of a key that is no longer configured."""
        self.in_use = False
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    @property
    def path(self) -> Path | None:
        """The file, which holds key and certificate."""
        return self._path

    def _write(self, path: Path, text: bytes) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # The files may have changed since they were checked.
        secretfile.write(path, text, check=lambda new: server_context(new, new))


def _origin(certificate: Path, key: Path) -> bytes:
    """Return the first line of the file: the hash of the paths that the pair was read from."""
    paths = f"{certificate}\0{key}".encode(errors="surrogateescape")
    return b"# doorbelld %s\n" % hashlib.sha256(paths).hexdigest().encode()


def _blocks(certificate: Path, key: Path) -> list[bytes]:
    """Return the PEM blocks that matter, whatever else is in the files: key, then certificates."""
    found = [
        [match[0] for match in pattern.finditer(files.read(path).replace(b"\r\n", b"\n") + b"\n")]
        for pattern, path in ((_KEY, key), (_CERTIFICATE, certificate))
    ]
    return [*found[0][:1], *found[1]]


class Session:
    """The TLS of one connection, on the server's side. Nothing here waits, or touches a socket.

    ``plain`` is decrypted data that was not taken yet. ``ended`` is whether nothing more can
    come: the client has closed the session, or does not speak TLS. ``ready`` is whether the
    handshake is done.
    """

    __slots__ = ("_fed", "_incoming", "_outgoing", "_tls", "ended", "plain", "ready")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.ready = False
        self._fed = 0
        self.plain = bytearray()
        self.ended = False

    @staticmethod
    def begins_with(first: bytes) -> bool:
        """Return whether a client that sends this first byte wants to speak TLS."""
        return first == _HANDSHAKE

    def feed(self, data: bytes, most: int = 0) -> bytes:
        """Take the client's bytes; return the bytes that have to be sent back.

        ``plain`` grows to ``most`` bytes or a few more; the rest is kept for the next call.
        """
        self._incoming.write(data)
        self._fed += len(data)
        try:
            if not self.ready:
                self._tls.do_handshake()
                self.ready = True
            while self.ready and len(self.plain) < most:
                some = self._tls.read(most)
                self.plain += some
                if not some:
                    self.ended = True
                    break
        except ssl.SSLWantReadError:
            self.ended = self._fed > (_MAX_ENCRYPTED if self.ready else _MAX_HANDSHAKE)
        except ssl.SSLError:  # It is not TLS, or it has ended.
            self.ended = True
        return self._outgoing.read()

    def take(self, size: int) -> bytes:
        """Take the first bytes of ``plain``: a request."""
        taken = bytes(self.plain[:size])
        del self.plain[:size]
        self._fed = 0
        return taken

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return the data encrypted. It must be sent completely, and in this order.

        Raises ssl.SSLError, which is an OSError, if the session has failed.
        """
        rest = memoryview(data)
        encrypted = []
        while rest:
            rest = rest[self._tls.write(rest[:_CHUNK]) :]
            encrypted.append(self._outgoing.read())
        return b"".join(encrypted)

    def close_notify(self) -> bytes:
        """Return the close_notify alert: nothing more will come."""
        if self.ready:
            with suppress(ssl.SSLError):  # It does not wait for the client's alert.
                self._tls.unwrap()
        return self._outgoing.read()

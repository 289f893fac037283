"""TLS: the server's certificate, and a connection's session, which turns bytes into bytes.

OpenSSL is given no socket: what the client sends is fed to the session by whoever reads the
socket, and what is to be sent comes back as bytes. So sockets stay non-blocking and are written
to in one way, encrypted or not, in the accept loop and in the broadcaster alike.
"""

from __future__ import annotations

import errno
import os
import pwd
import ssl
from contextlib import suppress
from pathlib import Path

from doorbelld.system import files

_HANDSHAKE = b"\x16"
"""The first byte of every TLS connection, and of no HTTP request."""

_MAX_HANDSHAKE = 16 * 1024
"""Bytes a client may send until its handshake is done. One takes 2 KiB; OpenSSL alone would
keep 128 KiB of a stranger's."""

_MAX_ENCRYPTED = 64 * 1024
"""Bytes a client may send for one request, which is a third of that at most. TLS has messages
that tell us nothing and cost work; who never ended with them would have the loop to itself."""

_CHUNK = 64 * 1024
"""Bytes that are encrypted in one go: OpenSSL keeps a buffer of that size for every session."""

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, where some others cost us far more than the client. TLS 1.3 has its own."""

_CURVE = "prime256v1"
"""The one group that every client knows. OpenSSL 3 also takes finite fields by default, up to
ffdhe8192, which costs us a hundred times the work, before the client has done any. Python cannot
name several groups before 3.15. A browser that first offers another one is asked again, which is
one more round trip. OpenSSL 1.1.1 knows no finite fields in TLS 1.3 and keeps its own list, with
X25519."""

_OTHER_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL calls a key of another certificate; the last if they are of different kinds."""


class CertificateError(Exception):
    """There can be no TLS with these files. ``of`` is "certificate" or "key", the text says why."""

    def __init__(self, of: str, why: str) -> None:
        super().__init__(why)
        self.of = of


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what sessions begin with: the certificate with its chain, and its key, as PEM.

    Raises CertificateError where they cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Renewing the handshake has no use here, and lets a client cause work without end.
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
        # Without a password of ours OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason in _OTHER_KEY:
            raise CertificateError("key", "is not the key of this certificate") from None
        if error.reason in (None, "PEM lib", "PEM_LIB"):
            raise CertificateError("key", "is no key in PEM form without a password") from None
        why = error.reason.lower().replace("_", " ")
        raise CertificateError("certificate", f"cannot be used: {why}") from None
    return context


def _read(of: str, path: Path) -> None:
    try:
        files.read(path)
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        if error.errno == errno.EACCES:
            why += f" for the user {_user()}; man doorbelld.conf says how to copy it"
        raise CertificateError(of, why) from None


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # It has no name.
        return str(os.geteuid())


class Session:
    """One connection's TLS, on the server's side. Nothing here waits, or touches a socket.

    ``plain`` is what the client has said so far and nobody has taken yet. ``ended`` tells that
    nothing more can come: the client has said so, or it does not speak TLS. ``ready`` tells that
    the handshake is done.
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
        """Tell whether a client whose first byte this is wants to speak TLS."""
        return first == _HANDSHAKE

    def feed(self, data: bytes, most: int = 0) -> bytes:
        """Take what the client has sent; return what has to be sent in turn.

        ``plain`` grows to ``most`` bytes or a few more; what is beyond is kept for the next time.
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
        except ssl.SSLError:  # no TLS, or the end
            self.ended = True
        return self._outgoing.read()

    def take(self, size: int) -> bytes:
        """Take the first bytes of what the client has said: a request of its."""
        taken = bytes(self.plain[:size])
        del self.plain[:size]
        self._fed = 0
        return taken

    def encrypt(self, data: bytes) -> bytes:
        """Return what says this to the client. It has to be sent, whole and in this order.

        Raises ssl.SSLError, which is an OSError, where the session has failed.
        """
        rest = memoryview(data)
        encrypted = []
        while rest:
            rest = rest[self._tls.write(rest[:_CHUNK]) :]
            encrypted.append(self._outgoing.read())
        return b"".join(encrypted)

    def close_notify(self) -> bytes:
        """Return what tells the client that nothing more will come."""
        if self.ready:
            with suppress(ssl.SSLError):  # It does not wait for the client's own.
                self._tls.unwrap()
        return self._outgoing.read()

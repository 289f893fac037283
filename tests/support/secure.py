"""Secure: a daemon with TLS only, and clients that trust only its certificate."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.daemon import GUARD, ROOT, Daemon

_DOORBELLD = (sys.executable, "-m", "doorbelld")
PARTIAL_CHAIN = 0x80000  # ssl.VERIFY_X509_PARTIAL_CHAIN since Python 3.10


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    certificate: Path
    key: Path

    def settings(self) -> dict[str, object]:
        """Return the settings by which the daemon uses them."""
        return {"access.tls_certificate": self.certificate, "access.tls_key": self.key}

    def der(self) -> bytes:
        """Return the certificate as clients get it."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text(encoding="ascii"))


def command(
    folder: Path, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``doorbelld make-certificate`` beside an empty configuration in ``folder``.

    ``path`` is where it finds programs.
    """
    configuration = folder / "doorbelld.conf"
    configuration.touch()
    return subprocess.run(
        [*_DOORBELLD, "--config", str(configuration), "make-certificate", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
        env={**os.environ, "PATH": path or os.environ["PATH"]},
    )


def make_pair(folder: Path) -> Pair:
    """Return a new certificate for this machine, made as a user makes it."""
    done = command(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return Pair(folder / "tls.crt", folder / "tls.key")


def make_signed_pair(folder: Path, *options: str) -> Pair:
    """Return the same, signed by an authority that is made beside it."""
    done = command(folder, "--authority", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return Pair(folder / "tls.crt", folder / "tls.key")


def root_of(folder: Path) -> Path:
    """Return a file with the root of the authority there, as PEM."""
    (*_, root) = (folder / "authority.crt").read_text(encoding="ascii").split("-----BEGIN")
    path = folder / "root.pem"
    path.write_text(f"-----BEGIN{root}", encoding="ascii")
    return path


def sign(folder: Path, *places: str, more: str = "extendedKeyUsage = serverAuth") -> Pair:
    """Return a certificate for these places, signed with the key of the authority there.

    The places are such as DNS:example.org. ``more`` are further lines of openssl's extensions.
    """
    asked, pair = folder / "any.csr", Pair(folder / "any.crt", folder / "any.key")
    lines = f"subjectAltName = {', '.join(places)}\n{more}\n"
    (folder / "any.cnf").write_text(lines, encoding="ascii")
    new = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=any"]
    openssl(
        "req", "-new", "-newkey", *new, "-keyout", str(pair.key), "-out", asked.name, folder=folder
    )
    by = ["-CA", "authority.crt", "-CAkey", "authority.key", "-set_serial", "7", "-days", "9"]
    openssl(
        "x509",
        "-req",
        "-in",
        asked.name,
        *by,
        "-extfile",
        "any.cnf",
        "-out",
        pair.certificate.name,
        folder=folder,
    )
    chain = (folder / "authority.crt").read_bytes()
    pair.certificate.write_bytes(pair.certificate.read_bytes() + chain)
    return pair


def server_context(pair: Pair) -> ssl.SSLContext:
    """Return a server's TLS context with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def client_context(pair: Pair) -> ssl.SSLContext:
    """Return a client's TLS context that trusts this certificate, for its names."""
    context = ssl.create_default_context(cafile=str(pair.certificate))
    context.verify_flags |= ssl.VerifyFlags(PARTIAL_CHAIN)
    return context


class SecureDaemon(Daemon):
    """A doorbelld with a certificate. Its clients use TLS and check the certificate."""

    scheme = "https"

    def __init__(self, folder: Path, pair: Pair) -> None:
        super().__init__(folder)
        self.pair = pair
        self.context = client_context(pair)

    def start(self, settings: Mapping[str, object] = {}, **options: Any) -> SecureDaemon:
        """Start it with the certificate."""
        super().start({**self.pair.settings(), **settings}, **options)
        return self

    def connect(
        self, timeout: float = GUARD, source: str = "127.0.0.1", buffer: int = 0
    ) -> ssl.SSLSocket:
        """Return a new connection over TLS, which the daemon has to close with close_notify."""
        sock = self.connect_plainly(timeout, source, buffer)
        try:
            return self.context.wrap_socket(
                sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False
            )
        except OSError:
            sock.close()
            raise

    def connect_plainly(
        self, timeout: float = GUARD, source: str = "127.0.0.1", buffer: int = 0
    ) -> socket.socket:
        """Return a new connection without TLS."""
        return super().connect(timeout, source, buffer)

    def request(
        self, path: str, method: str = "GET", headers: Mapping[str, str] = {}
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Return the answer to a request on a connection of its own, with its body."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=GUARD, context=self.context
        )
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


class RawClient:
    """A client with TLS separate from its socket, to send the bytes in any pieces."""

    def __init__(self, daemon: SecureDaemon) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = daemon.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname="127.0.0.1"
        )
        self.socket = daemon.connect_plainly()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shake_hands(self, step: int) -> None:
        """Do the handshake, ``step`` bytes at a time."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send(self._outgoing.read(), step)
                self._incoming.write(self.socket.recv(1 << 16))
            else:
                self.send(self._outgoing.read(), step)
                return

    def hello(self) -> bytes:
        """Return the ClientHello."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read()
        raise AssertionError("a handshake takes two")

    def encrypted(self, data: bytes) -> bytes:
        """Return what says this to the daemon."""
        self.tls.write(data)
        return self._outgoing.read()

    def send(self, data: bytes, step: int) -> None:
        """Send bytes, ``step`` at a time."""
        for start in range(0, len(data), step):
            self.socket.sendall(data[start : start + step])

    def receive(self, size: int) -> bytes:
        """Return exactly so many decrypted bytes from the daemon."""
        found = b""
        while len(found) < size:
            try:
                found += self.tls.read(size - len(found))
            except ssl.SSLWantReadError:
                data = self.socket.recv(1 << 16)
                assert data, "closed"
                self._incoming.write(data)
        return found

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def openssl(*arguments: str, folder: Path) -> None:
    """Run the ``openssl`` command."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_pair_of(folder: Path, start: str, end: str, *key: str) -> Pair:
    """Return a certificate good between two dates, such as 20200101000000Z.

    ``key`` are openssl's options for the kind of key, P-256 by default.
    """
    (folder / "ca.cnf").write_text(_AUTHORITY, encoding="ascii")
    (folder / "index.txt").touch()
    kind: Sequence[str] = key or ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    request = ["req", "-new", "-nodes", "-subj", "/CN=door", "-newkey", *kind]
    openssl(*request, "-keyout", "dated.key", "-out", "dated.csr", folder=folder)
    sign = ["ca", "-batch", "-notext", "-selfsign", "-config", "ca.cnf", "-keyfile", "dated.key"]
    dates = ["-startdate", start, "-enddate", end]
    openssl(*sign, *dates, "-in", "dated.csr", "-out", "dated.crt", folder=folder)
    return Pair(folder / "dated.crt", folder / "dated.key")


_AUTHORITY = """\
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""

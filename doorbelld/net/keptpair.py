"""KeptPair: the last certificate and key that worked, in case the configured ones do not.

A renewal may leave a key that only root can read, or only one of both files. A running daemon
still has what it has read, but after a restart it could not serve the page at all.
"""

from __future__ import annotations

import hashlib
import logging
import re
import ssl
from contextlib import suppress
from pathlib import Path

from doorbelld.net import tls
from doorbelld.net.tls import CertificateError
from doorbelld.system import files, secretfile

_log = logging.getLogger(__name__)

_BLOCK = r"-----BEGIN (?P<label>%s)-----\n.+?\n-----END (?P=label)-----\n"
_KEY = re.compile((_BLOCK % r"(?:[A-Z]+ )?PRIVATE KEY").encode(), re.DOTALL)
_CERTIFICATE = re.compile((_BLOCK % r"(?:TRUSTED |X509 )?CERTIFICATE").encode(), re.DOTALL)


class KeptPair:
    """Keeps the pair in one file below ``folder``, so that both always belong together.

    Without a folder nothing is kept. A pair is used only for the paths that it was read from.
    ``in_use`` is whether the daemon serves with it.
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
                context = tls.server_context(self._path, self._path)
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
        secretfile.write(path, text, check=lambda new: tls.server_context(new, new))


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

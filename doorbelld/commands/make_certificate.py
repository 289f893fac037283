"""``doorbelld make-certificate``: makes a certificate for HTTPS that this machine signs itself."""

from __future__ import annotations

import hashlib
import ssl
import sys
from argparse import Namespace
from pathlib import Path

from doorbelld.commands.base import CommandError, Load
from doorbelld.config.load import DEFAULT_PATH
from doorbelld.net import certificates

OPTIONS = {"--force": "replace the files that are there"}


def run(options: Namespace, load: Load) -> int:
    """Write certificate and key where the configuration says, or else beside it; report them."""
    section = load().access
    folder = (options.config or DEFAULT_PATH).absolute().parent
    certificate = section.tls_certificate or folder / "tls.crt"
    key = section.tls_key or folder / "tls.key"
    try:
        names = certificates.make(certificate, key, section.hosts, force=options.force)
    except certificates.MakingError as error:
        raise CommandError(str(error)) from error
    sys.stdout.write(_report(certificate, key, ", ".join(names)))
    return 0


def _report(certificate: Path, key: Path, names: str) -> str:
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))
    fingerprint = hashlib.sha256(der).digest().hex(":").upper()
    return (
        f"A certificate for {names}, valid for {certificates.DAYS} days.\n"
        "Its SHA-256 fingerprint, to compare with what the browser shows when it warns:\n"
        f"    {fingerprint}\n"
        "For HTTPS write into the configuration:\n"
        "    [access]\n"
        f"    tls_certificate = {certificate}\n"
        f"    tls_key = {key}\n"
        "Then, and after every new certificate: sudo systemctl reload doorbelld\n"
    )

"""``doorbelld make-certificate``: makes a certificate for HTTPS, signed here."""

from __future__ import annotations

import ssl
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from doorbelld.commands.base import CommandError, Load
from doorbelld.commands.local import certificate_urls
from doorbelld.config.load import DEFAULT_PATH
from doorbelld.config.schema import Config
from doorbelld.net import authority, certificates
from doorbelld.net.authority import Files, MakingError
from doorbelld.net.certificates import Made

OPTIONS = {
    "--authority": "sign it with an authority of this machine, which phones can trust",
    "--force": "replace the files that are there",
}


def run(options: Namespace, load: Load) -> int:
    """Write certificate and key where the configuration says, or else beside it; report them.

    An authority that exists beside the configuration signs the certificate in any case.
    """
    settings = load()
    section = settings.access
    folder = (options.config or DEFAULT_PATH).absolute().parent
    certificate = section.tls_certificate or folder / "tls.crt"
    key = section.tls_key or folder / "tls.key"
    files = Files.beside(folder)
    signer = files if options.authority or any(path.exists() for path in files) else None
    try:
        if signer is None:
            _keep_trust(certificate, files)
        made = certificates.make(
            certificate, key, section.hosts, force=options.force, signer=signer
        )
    except MakingError as error:
        raise CommandError(str(error)) from error
    about = _about_authority(files, settings, made) if signer else _about_itself(certificate, made)
    sys.stdout.write("\n".join([*about, *_what_next(certificate, key), ""]))
    return 0


def _keep_trust(certificate: Path, files: Files) -> None:
    """Raise MakingError if a self-signed certificate would replace one that phones trust."""
    if authority.root_in(certificate):
        raise MakingError(
            f"{certificate} was signed by an authority, and its files {files.chain} and {files.key}"
            " are missing: put them back, or make a new authority with --authority, and install it"
            " on the phones"
        )


def _about_itself(certificate: Path, made: Made) -> Iterator[str]:
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))
    yield f"A certificate for {', '.join(made.names)}, valid for {certificates.DAYS} days."
    yield "Its SHA-256 fingerprint, to compare with what the browser shows when it warns:"
    yield f"    {authority.fingerprint(der)}"


def _about_authority(files: Files, settings: Config, made: Made) -> Iterator[str]:
    yield f"A certificate for {', '.join(made.names)}, valid until {_day(made.ends_at)}."
    if made.left_out:
        yield f"Left out, because its authority may not sign for them: {', '.join(made.left_out)}."
    if made.is_authority_new:
        yield f"Its authority is new. Only root can read the authority's key, {files.key}."
        yield "Install it on each phone, after the reload below. On the phone open"
    else:
        yield "Its authority is the same as before, so phones that trust it need nothing."
        yield "On a new phone open"
    yield from (f"    {url}" for url in certificate_urls(settings, *settings.server.listen[0]))
    yield "and compare the SHA-256 fingerprint that the phone shows with this one:"
    yield f"    {authority.fingerprint(authority.root_in(files.chain) or b'')}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _what_next(certificate: Path, key: Path) -> Iterator[str]:
    yield "For HTTPS write into the configuration:"
    yield "    [access]"
    yield f"    tls_certificate = {certificate}"
    yield f"    tls_key = {key}"
    yield "Then, and after every new certificate: sudo systemctl reload doorbelld"

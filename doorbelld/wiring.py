"""Wiring: from the configuration to the arguments of the parts, and nothing else."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import fields
from functools import cache, partial
from pathlib import Path

from doorbelld.access.authenticator import Authenticator
from doorbelld.access.policy import Access
from doorbelld.camera.base import CameraSettings
from doorbelld.camera.factory import open_camera, time_to_start
from doorbelld.config import values
from doorbelld.config.load import ConfigError, without_password
from doorbelld.config.schema import (
    PASSWORD_FILE,
    RING_TOKEN_FILE,
    AccessSection,
    BellSection,
    CameraSection,
    MqttSection,
    NotifySection,
    ServerSection,
    VisitsSection,
)
from doorbelld.net import tls
from doorbelld.net.tls import CertificateError, KeptPair
from doorbelld.notify.notifier import Choice
from doorbelld.notify.target import Target
from doorbelld.server.limits import Limits
from doorbelld.stream.capture import CaptureSettings
from doorbelld.visits.doorbell import BellSettings, Doorbell
from doorbelld.visits.recording import Lengths

_CONTROLS = tuple(
    each.name for each in fields(CameraSection) if each.metadata["kind"] is values.CONTROL
)
"""Keys of [camera] that are passed to the camera as they are."""

_MB = 1_000_000

_log = logging.getLogger(__name__)


def camera_settings(section: CameraSection) -> CameraSettings:
    """Return what a camera needs to know of the configuration."""
    return CameraSettings(
        width=section.resolution.width,
        height=section.resolution.height,
        framerate=section.framerate,
        quality=section.quality,
        rotation=section.rotation,
        hflip=section.hflip,
        vflip=section.vflip,
        stall_timeout=section.stall_timeout,
        verify=section.verify,
        controls={
            name: value for name in _CONTROLS if (value := getattr(section, name)) != values.DEFAULT
        },
        zoom=section.zoom,
        tuning=section.tuning,
        framerate_dark=section.framerate_dark,
    )


def capture_settings(section: CameraSection) -> CaptureSettings:
    """Return what the capture thread needs to know of it."""
    return CaptureSettings(
        open_camera=partial(open_camera, section.source, camera_settings(section)),
        name=section.name,
        source=without_password(section.source),
        width=section.resolution.width,
        height=section.resolution.height,
        stall_timeout=section.stall_timeout,
        time_to_start=time_to_start(section.source, section.stall_timeout),
    )


def bell_settings(bell: BellSection, visits: VisitsSection) -> BellSettings:
    """Return what rings, and how visits are recorded."""
    return BellSettings(
        lengths=Lengths(
            before=visits.before,
            after=visits.after,
            longest=visits.longest,
            framerate=visits.framerate,
            again=bell.again,
        ),
        space=visits.space * _MB,
        days=visits.days,
        button=bell.button,
        key=bell.key,
        motion=visits.motion,
        ignore=visits.ignore,
    )


def notified(
    mqtt: MqttSection,
    notify: NotifySection,
    door: Doorbell,
    sign: Callable[[int], str],
    state_folder: Path | None,
) -> list[Choice]:
    """Return what is notified of a ring. ``sign`` returns a token that answers a visit.

    The module of a target is loaded only if it is configured.
    """
    found = []
    if mqtt.broker:
        found.append(Choice("mqtt", mqtt, partial(_mqtt, mqtt, door, state_folder), _load_mqtt))
    if notify.ntfy:
        ntfy = notify.ntfy, notify.token_file
        found.append(Choice("ntfy", ntfy, partial(_ntfy, *ntfy, sign), _load_push))
    if notify.webhook:
        webhook = notify.webhook, notify.key_file or notify.token_file
        found.append(Choice("webhook", webhook, partial(_webhook, *webhook), _load_push))
    return found


def _load_mqtt() -> None:
    from doorbelld.notify import broker, mqtt  # noqa: F401

    broker.load_library()


def _load_push() -> None:
    from doorbelld.notify import ntfy, webhook  # noqa: F401


def _mqtt(section: MqttSection, door: Doorbell, state_folder: Path | None) -> Target:
    from doorbelld.notify.mqtt import Mqtt, MqttSettings

    assert section.broker
    own = {each.name: getattr(section, each.name) for each in fields(section)}
    del own["broker"]
    return Mqtt(MqttSettings(**section.broker._asdict(), **own), door, state_folder)


def _ntfy(url: str, token_file: Path | None, sign: Callable[[int], str]) -> Target:
    from doorbelld.notify.ntfy import Ntfy, NtfySettings

    return Ntfy(NtfySettings(url, token_file), sign)


def _webhook(url: str, key_file: Path | None) -> Target:
    from doorbelld.notify.webhook import Webhook, WebhookSettings

    return Webhook(WebhookSettings(url, key_file))


def ring_token_path(section: BellSection, state_folder: Path | None) -> Path | None:
    """Return the file with the token for ringing: by default in the folder for state."""
    path = section.token_file
    if path == RING_TOKEN_FILE and state_folder is not None:
        return state_folder / path.name
    return path


def server_limits(section: ServerSection) -> Limits:
    """Return how many requests are answered at once, and how long a client may take."""
    return Limits(section.max_requests, section.header_timeout, section.stall_timeout)


def access_rules(section: AccessSection) -> Access:
    """Return who may watch."""
    return Access(
        networks=section.networks,
        trusted_proxies=section.trusted_proxies,
        hosts=section.hosts,
        embed=section.embed,
    )


@cache
def _credential() -> Path | None:
    """Return the password that systemd gave this process; looked for once, at the start.

    If it disappears later, neither another file nor no password may take its place.
    """
    given = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"), "password")
    return given if given.exists() else None


def password_path(section: AccessSection) -> Path | None:
    """Return the file that keeps the password: a credential of systemd's before any other."""
    return _credential() or section.password_file


def open_authenticator(section: AccessSection) -> Authenticator:
    """Return what knows the password. Raises ConfigError where its file cannot be used."""
    path = password_path(section)
    try:
        return Authenticator(path, is_required=path != PASSWORD_FILE)
    except ValueError as error:
        raise ConfigError([f"[access] password_file = {path}: {error}"]) from None


def tls_context(
    section: AccessSection, kept: KeptPair | None = None, *, at_start: bool = False
) -> ssl.SSLContext | None:
    """Return the TLS context of the configuration, None if it names no certificate.

    What works is kept, if it can be. Raises ConfigError where the certificate or its key cannot
    be used; ``at_start``, when the door would be dark, what was kept is used then. Wrong dates are
    only logged: a page that does not open is worse, and at boot the clock may be wrong.
    """
    kept = kept or KeptPair(None)
    certificate, key = section.tls_certificate, section.tls_key
    if certificate is None and key is None:
        kept.forget()
        return None
    if certificate is None or key is None:
        raise ConfigError(["[access] tls_certificate and tls_key: one is of no use alone"])
    try:
        context = tls.server_context(certificate, key)
    except CertificateError as error:
        path = certificate if error.of == "certificate" else key
        problem = f"[access] tls_{error.of} = {path}: {error}"
        before = kept.context(certificate, key) if at_start else None
        if before is None:
            raise ConfigError([problem]) from None
        _log.error(
            "%s; serving with the last pair that worked until a reload can use this one", problem
        )
        context, certificate = before, kept.path or certificate
    else:
        kept.keep(certificate, key)
    _warn_of(context, certificate, key)
    return context


def authority_root(section: AccessSection, kept: KeptPair) -> bytes | None:
    """Return the root of our own authority if the certificate in use is signed by it."""
    path = kept.path if kept.in_use else section.tls_certificate
    if path is None:
        return None
    from doorbelld.net import authority  # A daemon without TLS does not need it.

    return authority.root_in(path)


def _warn_of(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Log what is wrong with a pair that can be used all the same."""
    from doorbelld.net import certificates  # A daemon without TLS does not need it.

    wrong = certificates.date_problem(context, certificate)
    if wrong:
        _log.warning("[access] tls_certificate = %s: %s", certificate, wrong)
    seconds = certificates.handshake_seconds(context)
    if seconds > certificates.SLOW:
        _log.warning(
            "[access] tls_key = %s: each new connection takes %.0f ms of this processor;"
            " a P-256 key, as doorbelld make-certificate makes it, takes much less",
            key,
            seconds * 1000,
        )

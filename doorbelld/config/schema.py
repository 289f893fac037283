"""Schema: the sections of the configuration; every key with its kind, default and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doorbelld.config import values
from doorbelld.config.values import Broker, Kind, Listen, Resolution, Zone, Zoom, number

PASSWORD_FILE = Path("/etc/doorbelld/password")
"""May be missing; any other file that is configured must exist."""

_EMBED_KEY_FILE = Path("/etc/doorbelld/embed_key")

RING_TOKEN_FILE = Path("/var/lib/doorbelld/ring_token")
"""Where the service's StateDirectory= is; without it, it is in the folder that takes its place."""


def _key(default: Any, kind: Kind, meaning: str) -> Any:
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


def _control(meaning: str) -> Any:
    return _key(values.DEFAULT, values.CONTROL, meaning)


@dataclass(frozen=True)
class CameraSection:
    """``[camera]``: which camera, and what its picture is like."""

    source: str = _key(
        "auto", values.SOURCE, "Which camera to use: auto takes the first one found."
    )
    verify: bool = _key(
        True, values.YES_NO, "Checks the certificate of a camera with an https:// URL."
    )
    resolution: Resolution = _key(  # noqa: RUF009  # a NamedTuple never changes
        Resolution(640, 480),
        values.RESOLUTION,
        "Size of the picture in pixels; the camera uses the nearest size that it offers.",
    )
    framerate: float = _key(
        30.0, number(float, 0.1, 240, " of frames a second"), "Frames per second."
    )
    framerate_dark: float = _key(
        10.0,
        number(float, 0.1, 240, " of frames a second"),
        "How low the frame rate of a Raspberry Pi camera may fall in the dark, to see more.",
    )
    quality: int = _key(80, number(int, 1, 100), "JPEG quality, from 1 to 100.")
    rotation: int = _key(0, values.ROTATION, "Rotates the picture clockwise, in degrees.")
    hflip: bool = _key(False, values.YES_NO, "Mirrors the picture left to right.")
    vflip: bool = _key(False, values.YES_NO, "Mirrors the picture top to bottom.")
    stall_timeout: float = _key(
        5.0,
        values.PATIENCE,
        "Seconds without a picture before the camera is opened again.",
    )
    focus: str = _key(
        values.DEFAULT, values.CONTROL, "Focus: auto, or on a Raspberry Pi a distance in metres."
    )
    exposure: str = _control("Exposure time: auto, or a number.")
    gain: str = _key(
        values.DEFAULT, values.CONTROL, "Amplification of a dark picture: auto, or a number."
    )
    brightness: str = _control("Brightness of the picture.")
    contrast: str = _control("Contrast of the picture.")
    saturation: str = _control("Strength of the colours.")
    sharpness: str = _control("Sharpness of the picture.")
    white_balance: str = _key(
        values.DEFAULT,
        values.CONTROL,
        "Colour of the light: auto, a name such as daylight, or kelvins.",
    )
    metering: str = _key(
        values.DEFAULT,
        values.CONTROL,
        "Which part of the picture the exposure follows: centre, spot or matrix.",
    )
    power_line_frequency: str = _key(
        values.DEFAULT, values.CONTROL, "Against flicker of lamps: 50 Hz, 60 Hz, off or auto."
    )
    hdr: str = _key(
        values.DEFAULT,
        values.CONTROL,
        "Bright and dark parts in one picture, on cameras that can: on or off.",
    )
    zoom: Zoom = _key(  # noqa: RUF009  # a NamedTuple never changes
        Zoom(0, 0, 1, 1),
        values.ZOOM,
        "Shows a part of the picture of a Raspberry Pi camera: LEFT, TOP, WIDTH, HEIGHT.",
    )
    tuning: str | None = _key(
        None,
        values.TUNING,
        "A tuning file for a Raspberry Pi camera, such as imx219_noir.json for a NoIR camera.",
    )
    name: str = _key("Front door", values.NAME, "The camera's name on the page.")


@dataclass(frozen=True)
class ServerSection:
    """``[server]``: where the page is served, and to how many viewers."""

    listen: tuple[Listen, ...] = _key(
        (Listen("", 5000),),
        values.LISTEN,
        "Where to listen: HOST:PORT, or :PORT for all addresses; several are separated by commas.",
    )
    max_viewers: int = _key(
        100,
        number(int, 1, 100_000),
        "How many viewers may watch at once; others have to wait.",
    )
    max_requests: int = _key(
        32, number(int, 1, 1024), "How many threads answer requests; viewers do not need one."
    )
    header_timeout: float = _key(
        10.0,
        number(float, 0.1, 3600, " of seconds"),
        "Seconds that a client has to send its whole request.",
    )
    stall_timeout: float = _key(
        10.0, values.PATIENCE, "Seconds without progress before a viewer is disconnected."
    )


@dataclass(frozen=True)
class AccessSection:
    """``[access]``: who may watch."""

    networks: tuple[str, ...] = _key(
        ("lan",),
        values.NETWORKS,
        "Who may watch: lan, any, or networks such as 203.0.113.0/24, separated by commas.",
    )
    trusted_proxies: tuple[str, ...] = _key(
        (),
        values.PROXIES,
        "Addresses of the proxies whose X-Forwarded-For is trusted, separated by commas.",
    )
    hosts: tuple[str, ...] = _key(
        (),
        values.HOSTS,
        "More host names for the page, such as door.example.org or *.example.org.",
    )
    embed: tuple[str, ...] = _key(
        (),
        values.ORIGINS,
        "Web sites that may show the picture, such as https://dashboard.example.",
    )
    password_file: Path | None = _key(  # noqa: RUF009  # a Path never changes
        PASSWORD_FILE,
        values.PATH,
        "The password file; while it does not exist, no password is needed.",
    )
    embed_key_file: Path | None = _key(  # noqa: RUF009  # a Path never changes
        _EMBED_KEY_FILE,
        values.PATH,
        "The file with the key for embed URLs; while it does not exist, there are no embed URLs.",
    )
    tls_certificate: Path | None = _key(  # noqa: RUF009  # a Path never changes
        None,
        values.PATH,
        "The certificate for HTTPS, a PEM file; with it, nothing is served over plain HTTP.",
    )
    tls_key: Path | None = _key(  # noqa: RUF009  # a Path never changes
        None, values.PATH, "The certificate's key, a PEM file without a password."
    )
    hsts: bool = _key(False, values.YES_NO, "Tells browsers to use only HTTPS for a year.")


@dataclass(frozen=True)
class BellSection:
    """``[bell]``: what rings."""

    button: str | None = _key(
        "auto",
        values.BUTTON,
        "The button: auto takes every bell button, also one that is plugged in later.",
    )
    key: int = _key(
        256, values.KEY, "The key that is the bell, by its code or name, such as KEY_ENTER."
    )
    token_file: Path | None = _key(  # noqa: RUF009  # a Path never changes
        RING_TOKEN_FILE,
        values.PATH,
        "The file with the token for ringing over HTTP; it is made if it does not exist.",
    )
    again: float = _key(
        10.0,
        number(float, 0, 3600, " of seconds"),
        "Seconds after a ring in which further presses do not ring again.",
    )


@dataclass(frozen=True)
class VisitsSection:
    """``[visits]``: what is kept of each visit."""

    before: float = _key(
        5.0, number(float, 0, 60, " of seconds"), "Seconds that a film shows before the press."
    )
    after: float = _key(
        15.0, number(float, 1, 3600, " of seconds"), "Seconds that it goes on after the last press."
    )
    longest: float = _key(
        60.0, number(float, 1, 3600, " of seconds"), "Seconds after the first press that end it."
    )
    framerate: float = _key(
        10.0, number(float, 1, 60, " of frames a second"), "Frames per second of a film."
    )
    space: int = _key(
        1000, number(int, 1, 10_000_000, " of megabytes"), "Megabytes for all visits together."
    )
    days: float = _key(
        30.0, number(float, 0.01, 36500, " of days"), "Days after which a visit is deleted."
    )
    motion: bool = _key(False, values.YES_NO, "Records a visit when something moves, too.")
    ignore: tuple[Zone, ...] = _key(
        (),
        values.ZONES,
        "Where motion does not count: LEFT TOP WIDTH HEIGHT, several separated by commas.",
    )


@dataclass(frozen=True)
class NotifySection:
    """``[notify]``: which services notify a phone when the bell rings."""

    ntfy: str | None = _key(
        None,
        values.NTFY,
        "The URL of the ntfy topic that gets each ring, such as https://ntfy.sh/TOPIC.",
    )
    webhook: str | None = _key(
        None, values.WEBHOOK, "The URL that gets each ring as JSON, with the picture."
    )
    token_file: Path | None = _key(  # noqa: RUF009  # a Path never changes
        None, values.PATH, "The file with the access token for ntfy, which no other user may read."
    )
    key_file: Path | None = _key(  # noqa: RUF009  # a Path never changes
        None,
        values.PATH,
        "The file with the key that signs what the webhook gets; if none, token_file is used.",
    )
    address: str | None = _key(
        None,
        values.PAGE_URL,
        "The URL of the page that a notification opens; if none, the one in the LAN.",
    )


@dataclass(frozen=True)
class MqttSection:
    """``[mqtt]``: the broker that connects Home Assistant and other programs."""

    broker: Broker | None = _key(  # noqa: RUF009  # a NamedTuple never changes
        None, values.BROKER, "The MQTT broker: HOST, HOST:PORT, or mqtts://HOST for TLS."
    )
    user: str | None = _key(None, values.TEXT, "The user name for the broker.")
    password_file: Path | None = _key(  # noqa: RUF009  # a Path never changes
        None,
        values.PATH,
        "The file with the password for the broker, which no other user may read.",
    )
    topic: str | None = _key(
        None,
        values.TOPIC,
        "How all topics of this doorbell begin; if none, with doorbelld/ and an id of the machine.",
    )
    discovery: str | None = _key(
        "homeassistant",
        values.TOPIC,
        "The discovery prefix of Home Assistant; none: it does not find this doorbell by itself.",
    )
    button_topic: str | None = _key(
        None,
        values.TOPIC,
        "The topic of another device whose button rings, such as zigbee2mqtt/button.",
    )
    button_value: str | None = _key(
        None,
        values.TEXT,
        "What it sends then, as the message or a value in its JSON; if none, every action rings.",
    )


@dataclass(frozen=True)
class Config:
    """The effective configuration."""

    camera: CameraSection = field(default_factory=CameraSection)
    server: ServerSection = field(default_factory=ServerSection)
    access: AccessSection = field(default_factory=AccessSection)
    bell: BellSection = field(default_factory=BellSection)
    visits: VisitsSection = field(default_factory=VisitsSection)
    notify: NotifySection = field(default_factory=NotifySection)
    mqtt: MqttSection = field(default_factory=MqttSection)


SECTIONS: dict[str, Any] = {
    "camera": CameraSection,
    "server": ServerSection,
    "access": AccessSection,
    "bell": BellSection,
    "visits": VisitsSection,
    "notify": NotifySection,
    "mqtt": MqttSection,
}

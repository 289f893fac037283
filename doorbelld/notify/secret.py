"""Secret: a token, key or password in a file or a credential of systemd's; never in a message."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from doorbelld.system import files, users

NTFY_TOKEN = "ntfy_token"
WEBHOOK_KEY = "webhook_key"
MQTT_PASSWORD = "mqtt_password"
"""What the credentials are called in LoadCredential=, see systemd.exec(5)."""

_LONGEST = 4096
"""Bytes; a token of another program may be long, but no header takes more."""


class SecretError(ValueError):
    """A secret cannot be used: a sentence with its file and the remedy, without the secret."""


def read(path: Path | None, credential: str) -> str | None:
    """Return the secret in a credential that systemd has given, else that in a file.

    Returns None if neither is configured. It is read at each call, so a new secret is used without
    a reload. Raises SecretError.
    """
    given = _credential(credential)
    if given is not None:
        return _text(given, f"the credential {credential}")
    if path is None:
        return None
    try:
        return _text(path, str(path), is_private=True)
    except OSError as error:
        raise SecretError(_explain(error, path)) from None


def _credential(name: str) -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path and path.exists() else None


def _text(path: Path, name: str, *, is_private: bool = False) -> str:
    """Return the one line of a file; its ``name`` is for messages. Raises SecretError, OSError.

    systemd protects credentials itself; their modes show an access control list as rights of the
    group.
    """
    mode = path.stat().st_mode
    if is_private and stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError(f"{path} can be used by other users: sudo chmod 600 {path}")
    try:
        text = files.read(path).decode().strip("\r\n")
    except UnicodeDecodeError:
        raise SecretError(f"{name} is not UTF-8 text: write the secret into it again") from None
    if not text.strip():
        raise SecretError(f"{name} is empty: write the secret into it")
    # It becomes part of a header, where a line break would begin another one.
    if not text.isprintable() or len(text) > _LONGEST:
        raise SecretError(f"{name} has more than one line of text: it must hold the secret alone")
    return text


def _explain(error: OSError, path: Path) -> str:
    """Return what is wrong with a file, and what helps."""
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist: write the secret into it, with the mode 600"
    if isinstance(error, PermissionError):
        hidden = users.hidden_folder(str(path))
        if hidden:
            return f"{path} cannot be read: the service sees nothing in {hidden}; move the file"
        return f"{path} cannot be read: sudo chown {users.current()} {path}"
    return f"{path} cannot be read: {error.strerror}"

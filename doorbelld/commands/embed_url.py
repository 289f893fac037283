"""``doorbelld embed-url``: print URLs by which pages of other sites show the picture."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from doorbelld.access import embedding
from doorbelld.system import secretfile

_log = logging.getLogger(__name__)

_PICTURES = ("video_feed", "snapshot.jpg")


def embed_url(path: Path, password_id: bytes, page: str, *, renew: bool) -> int:
    """Print the URLs of the picture with a token that the key in ``path`` signs.

    ``password_id`` stands for the password, b"" for none; ``page`` is the URL of the page. A
    missing key is made, and with ``renew`` a new one. Returns 0, or 1 where it could not be done.
    """
    try:
        key = b"" if renew else embedding.read_key(path)
        if not key:
            text = embedding.new_key()
            secretfile.write(path, text.encode("ascii"))
            key = bytes.fromhex(text)
    except ValueError as error:
        _log.error("%s: %s", path, error)  # a sentence for a person
        return 1
    except OSError as error:
        _log.error("%s", secretfile.explain(error, path))  # as above
        return 1
    token = embedding.make_token(key, password_id).decode()
    lines = [f"{page}{name}?{embedding.PARAMETER}={token}" for name in _PICTURES]
    sys.stdout.write("\n".join(lines) + f"\n{_advice(password_id)}\n")
    return 0


def _advice(password_id: bytes) -> str:
    without = " without the password" if password_id else ""
    until = "the password is changed or until " if password_id else ""
    return (
        "Any page can show the picture by these addresses, with any name of this machine in them.\n"
        f"Keep them to yourself: they work{without} until {until}"
        "doorbelld embed-url --renew."
    )

"""Watching: whether a stream may go on, by the rules and the password there are now."""

from __future__ import annotations

from typing import NamedTuple

from doorbelld.access.authenticator import Authenticator
from doorbelld.access.embedding import Embedding
from doorbelld.access.policy import Access


class Watcher(NamedTuple):
    """A client that watches: its address, and how it was let in.

    ``secure`` says whether it watches over TLS. ``ticket`` stands for the embed URL that it has
    used (b"": none), ``password_id`` for the password that was in force then.
    """

    address: str
    secure: bool
    ticket: bytes
    password_id: bytes


class WatchRules(NamedTuple):
    """What decides whether a stream may go on; ``tls_only`` if nothing is served in plain text."""

    access: Access
    authenticator: Authenticator
    embedding: Embedding
    tls_only: bool

    def allow(self, watcher: Watcher) -> bool:
        """Return whether this client may go on watching.

        It is asked when a stream begins, when the configuration, the password, the key of embed
        URLs or a network changes, and after a restart.
        """
        password_id = self.authenticator.password_id
        if watcher.password_id != password_id:
            return False
        if watcher.ticket and watcher.ticket != self.embedding.current_ticket(password_id):
            return False
        try:
            is_near = self.access.admits(watcher.address)
        except ValueError:  # The previous process left it, and it is no address.
            return False
        return is_near and (watcher.secure or not self.tls_only)

"""Who may go on watching when a rule has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorbelld.access import embedding
from doorbelld.access.authenticator import Authenticator
from doorbelld.access.embedding import Embedding
from doorbelld.access.password import hashed
from doorbelld.access.policy import Access
from doorbelld.access.watching import Watcher, WatchRules
from doorbelld.system import secretfile

NEAR = "192.168.1.2"


@pytest.fixture
def rules(tmp_path: Path) -> WatchRules:
    password, key = tmp_path / "password", tmp_path / "key"
    secretfile.write(password, hashed("first-password").encode())
    secretfile.write(key, embedding.new_key().encode())
    return WatchRules(Access(own=list), Authenticator(password), Embedding(key), tls_only=False)


def watcher(
    rules: WatchRules, address: str = NEAR, *, secure: bool = False, with_ticket: bool = False
) -> Watcher:
    password_id = rules.authenticator.password_id
    ticket = rules.embedding.current_ticket(password_id) if with_ticket else b""
    return Watcher(address, secure, ticket, password_id)


@pytest.mark.parametrize("with_ticket", [False, True])
def test_client_that_was_let_in_may_go_on(rules: WatchRules, with_ticket: bool) -> None:
    assert rules.allow(watcher(rules, with_ticket=with_ticket))


@pytest.mark.parametrize("address", ["8.8.8.8", "not an address", ""])
def test_address_outside_the_networks_may_not(rules: WatchRules, address: str) -> None:
    assert not rules.allow(watcher(rules, address))


def test_plain_text_may_not_where_there_is_tls(rules: WatchRules) -> None:
    rules = rules._replace(tls_only=True)
    assert not rules.allow(watcher(rules))
    assert rules.allow(watcher(rules, secure=True))


@pytest.mark.parametrize("text", [hashed("other-password"), None])
def test_another_password_or_none_ends_it(rules: WatchRules, text: str | None) -> None:
    before = watcher(rules)
    path = rules.authenticator.path
    assert path is not None
    secretfile.write(path, text.encode()) if text else path.unlink()
    assert rules.authenticator.refresh()
    assert not rules.allow(before)
    assert rules.allow(watcher(rules))


def test_another_key_ends_what_an_embed_url_has_opened(rules: WatchRules) -> None:
    plain, embedded = watcher(rules), watcher(rules, with_ticket=True)
    assert rules.embedding.path is not None
    secretfile.write(rules.embedding.path, embedding.new_key().encode())
    assert rules.embedding.refresh()
    assert rules.allow(plain)
    assert not rules.allow(embedded)

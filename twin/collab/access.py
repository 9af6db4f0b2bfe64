"""Who may come in: tokens with a role, a name and an end, and the log of who did what about access.

Looking a token up touches no disk, and may happen on any thread; everything else belongs to the document's thread.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace

from twin.collab.journal import Journal
from twin.collab.roles import ROLES
from twin.core.clock import now_ns
from twin.core.errors import InputError

_SCHEMA = (
    """create table if not exists tokens (
    id integer primary key, hash text unique not null, role text not null, user text not null, label text not null,
    author text not null, created_ns integer not null, expires_ns integer not null, revoked_ns integer not null)""",
    """create table if not exists audit (
    id integer primary key, time_ns integer not null, actor text not null, action text not null, detail text not null)""",
)
AUDIT_KEPT = 10_000
MAX_TOKENS = 10_000
SIGN_IN = "sign-in"
"""Label of the tokens that signing in gives; those that have ended are forgotten at the next start."""
MAX_NAME = 40


@dataclass(frozen=True)
class Identity:
    """Whoever holds a token. ``user`` is the name given with it; empty: people name themselves. Times in ns, 0 for never."""

    key: str
    role: str
    user: str = ""
    label: str = ""
    author: str = ""
    created_ns: int = 0
    expires_ns: int = 0
    revoked_ns: int = 0

    @property
    def good(self) -> bool:
        """Neither revoked nor expired."""
        return not self.revoked_ns and not (self.expires_ns and self.expires_ns <= now_ns())


class Access:
    """The project's tokens.

    Args:
        journal: Where they are kept, as hashes. token: The project's own token, an admin's.
    """

    def __init__(self, journal: Journal, token: str) -> None:
        self._journal = journal
        for statement in _SCHEMA:
            journal.write(statement)
        self._own = _digest(token)
        self._admin = Identity("project", "admin")
        ended = "(revoked_ns > 0 or (expires_ns > 0 and expires_ns < ?))"
        journal.write(f"delete from tokens where label = ? and {ended}", (SIGN_IN, now_ns()))
        rows = journal.read("select hash, id, role, user, label, author, created_ns, expires_ns, revoked_ns from tokens")
        self._by_hash = {row[0]: Identity(str(row[1]), *row[2:]) for row in rows}
        self._by_key = {identity.key: identity for identity in (*self._by_hash.values(), self._admin)}

    def identify(self, token: str) -> Identity | None:
        """Any thread: who holds a token; None for one that is unknown, revoked or expired."""
        if not token:
            return None
        digest = _digest(token)
        identity = self._admin if hmac.compare_digest(digest, self._own) else self._by_hash.get(digest)
        return identity if identity is not None and identity.good else None

    def valid(self, key: str) -> bool:
        """Any thread: whether the holder may still be here."""
        identity = self._by_key.get(key)
        return identity is not None and identity.good

    def grant(self, role: str, *, author: str, user: str = "", label: str = "", expires_ns: int = 0) -> tuple[str, Identity]:
        """A new token.

        Raises:
            InputError: There is no such role, or too many tokens.
        """
        if role not in ROLES:
            raise InputError(f"no role {role!r}", attribute="role", allowed=ROLES)
        if len(self._by_key) > MAX_TOKENS:
            raise InputError(f"there are {MAX_TOKENS} tokens already")
        token = secrets.token_urlsafe(24)
        digest, now = _digest(token), now_ns()
        user = user.strip()[:MAX_NAME]
        columns = "hash, role, user, label, author, created_ns, expires_ns, revoked_ns"
        with self._journal.together():
            key = self._journal.write(
                f"insert into tokens ({columns}) values (?, ?, ?, ?, ?, ?, ?, 0)",
                (digest, role, user, label, author, now, expires_ns),
            )
            self._note(author, "sign-in" if label == SIGN_IN else "grant", f"{role} {user or label}".strip())
        identity = Identity(str(key), role, user, label, author, now, expires_ns)
        self._put(digest, identity)
        return token, identity

    def revoke(self, key: str, *, author: str) -> Identity:
        """Whoever holds the token is let in no more.

        Raises:
            InputError: There is no such token, or it is the project's own.
        """
        digest = next((d for d, identity in self._by_hash.items() if identity.key == key), None)
        if digest is None:
            raise InputError(f"there is no token {key!r}")
        identity = self._by_hash[digest]
        if not identity.revoked_ns:
            now = now_ns()
            with self._journal.together():
                self._journal.write("update tokens set revoked_ns = ? where id = ?", (now, int(key)))
                self._note(author, "revoke", f"{identity.role} {identity.user or identity.label}".strip())
            identity = replace(identity, revoked_ns=now)
            self._put(digest, identity)
        return identity

    def end(self, user: str, *, author: str, keep: int = 0) -> list[str]:
        """Take back what somebody signed in with, except the newest ``keep``; returns the keys. Invitations stay."""
        theirs = [i for i in self._by_hash.values() if i.user == user and i.label == SIGN_IN and i.good]
        gone = sorted(theirs, key=lambda i: -int(i.key))[keep:]
        for identity in gone:
            self.revoke(identity.key, author=author)
        return [identity.key for identity in gone]

    def _put(self, digest: str, identity: Identity) -> None:
        self._by_hash[digest] = identity
        self._by_key[identity.key] = identity

    def all(self) -> list[Identity]:
        """All tokens but the project's own, newest first."""
        return sorted(self._by_hash.values(), key=lambda identity: -int(identity.key))

    def audit(self, actor: str, action: str, detail: str = "") -> None:
        """Note something that an admin may want to look up."""
        with self._journal.together():
            self._note(actor, action, detail)

    def _note(self, actor: str, action: str, detail: str) -> None:
        values = (now_ns(), actor, action, detail[:500])
        last = self._journal.write("insert into audit (time_ns, actor, action, detail) values (?, ?, ?, ?)", values)
        self._journal.write("delete from audit where id <= ?", (last - AUDIT_KEPT,))

    def audit_log(self, limit: int = 500) -> list[dict[str, object]]:
        """Newest first."""
        rows = self._journal.read("select id, time_ns, actor, action, detail from audit order by id desc limit ?", (limit,))
        return [dict(zip(("id", "time_ns", "actor", "action", "detail"), row, strict=True)) for row in rows]


def _digest(token: str) -> str:
    """Tokens are long and random, so that a fast hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

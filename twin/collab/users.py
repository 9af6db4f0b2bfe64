"""People with a name and a password of their own. Signing in gives them a token like any other, with their name and role."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from twin.collab.access import MAX_NAME, SIGN_IN, Access, Identity
from twin.collab.journal import Journal
from twin.collab.roles import ROLES
from twin.core.clock import now_ns
from twin.core.errors import InputError

_SCHEMA = """create table if not exists users (
    name text primary key, role text not null, password text not null, author text not null, created_ns integer not null)"""
SIGN_IN_S = 30 * 24 * 3600
KEPT_SIGN_INS = 20
"""Of one person; the oldest end first."""
MIN_PASSWORD, MAX_PASSWORD = 8, 200
MAX_USERS = 5000
_N, _R, _P = 1 << 15, 8, 3
"""Cost of scrypt, as the OWASP Password Storage Cheat Sheet has it for 32 MiB."""


@dataclass(frozen=True)
class User:
    """Somebody who may sign in."""

    name: str
    role: str
    author: str
    created_ns: int


class Users:
    """The project's users; belongs to the document's thread, except ``matches``."""

    def __init__(self, journal: Journal, access: Access) -> None:
        self._journal, self._access = journal, access
        journal.write(_SCHEMA)

    def all(self) -> list[User]:
        """By name."""
        return [User(*row) for row in self._journal.read("select name, role, author, created_ns from users order by name")]

    def put(self, name: str, role: str, password: str, *, author: str) -> User:
        """A new user, or another role or password for one; whoever is signed in by that name is put out.

        Args:
            password: In clear; empty leaves the one there is.

        Raises:
            InputError: No such role, no name, or a password too short or missing.
        """
        if role not in ROLES:
            raise InputError(f"no role {role!r}", attribute="role", allowed=ROLES)
        if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME:
            raise InputError(f"{name!r} is not a name of 1 to {MAX_NAME} printable characters", attribute="name")
        kept = self.stored(name)
        if not password and not kept:
            raise InputError("a new user needs a password", attribute="password")
        if password and not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise InputError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters", attribute="password")
        if not kept and len(self.all()) >= MAX_USERS:
            raise InputError(f"there are {MAX_USERS} users already")
        with self._journal.together():
            self._journal.write(
                "insert into users values (?, ?, ?, ?, ?) "
                "on conflict (name) do update set role = excluded.role, password = excluded.password",
                (name, role, hashed(password) if password else kept, author, now_ns()),
            )
            self._access.audit(author, "user", f"{name}: {role}{', new password' if password else ''}")
            self._access.end(name, author=author)
        return next(user for user in self.all() if user.name == name)

    def delete(self, name: str, *, author: str) -> None:
        """The user is no more, and signed out.

        Raises:
            InputError: There is no such user.
        """
        if not self.stored(name):
            raise InputError(f"there is no user {name!r}", attribute="name")
        with self._journal.together():
            self._journal.write("delete from users where name = ?", (name,))
            self._access.audit(author, "user", f"{name}: no more")
            self._access.end(name, author=author)

    def stored(self, name: str) -> str:
        """What is kept of a user's password; empty if there is no such user."""
        rows = self._journal.read("select password from users where name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def sign_in(self, name: str, kept: str) -> tuple[str, Identity]:
        """A token for somebody whose password has been found right against ``kept``.

        Raises:
            InputError: The user or the password is another one by now.
        """
        rows = self._journal.read("select role from users where name = ? and password = ?", (name, kept))
        if not rows:
            raise InputError("the user has changed meanwhile", attribute="name")
        return self.enter(name, rows[0][0], author=name)

    def enter(self, name: str, role: str, *, author: str) -> tuple[str, Identity]:
        """A token for somebody who is known to be who they say."""
        self._access.end(name, author=author, keep=KEPT_SIGN_INS - 1)
        until = now_ns() + SIGN_IN_S * 1_000_000_000
        return self._access.grant(role, author=author, user=name, label=SIGN_IN, expires_ns=until)


def hashed(password: str) -> str:
    """What is kept of a password: salt and scrypt of it."""
    salt = secrets.token_bytes(16)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(_scrypt(password, salt)).decode()}"


_NOBODY = f"scrypt${base64.b64encode(bytes(16)).decode()}${base64.b64encode(bytes(32)).decode()}"


def matches(password: str, kept: str) -> bool:
    """Any thread, takes about a third of a second: whether a password is the one that ``kept`` comes from.

    An empty ``kept`` takes as long as any other, so that the time does not tell which names there are.
    """
    _, salt, digest = (kept or _NOBODY).split("$")
    right = hmac.compare_digest(_scrypt(password, base64.b64decode(salt)), base64.b64decode(digest))
    return right and bool(kept)


def _scrypt(password: str, salt: bytes) -> bytes:
    data = password.encode("utf-8", "surrogatepass")[: 4 * MAX_PASSWORD]
    return hashlib.scrypt(data, salt=salt, n=_N, r=_R, p=_P, maxmem=64 << 20, dklen=32)


def has_users(project: Path) -> bool:
    """Whether anybody can sign in to a project, read from beside whatever has it open."""
    file = project / "journal.db"
    if not file.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{file.resolve()}?mode=ro", uri=True)) as database:
            return database.execute("select count(*) from users").fetchone()[0] > 0
    except sqlite3.Error:
        return False  # a journal from before there were users

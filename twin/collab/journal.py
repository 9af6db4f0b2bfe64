"""The journal: every accepted operation on disk before anybody is told, in SQLite.

An operation that ``append`` has returned from survives the loss of the process and of power (WAL, synchronous FULL).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from twin.core.clock import now_ns
from twin.core.errors import InputError, WorkError
from twin.protocol.messages import Op

_SCHEMA = """
create table if not exists meta (key text primary key, value text not null);
create table if not exists ops (
    seq integer primary key, session text not null, opid integer not null, user text not null, label text not null,
    time_ns integer not null, kind text not null, target integer,
    txn blob not null, inverse blob not null, skipped blob not null);
create table if not exists refusals (
    session text not null, opid integer not null, code text not null, reason text not null, path text not null,
    primary key (session, opid));
create index if not exists ops_by_author on ops (session, opid);
create table if not exists sessions (id text primary key, user text not null, color text not null, created_ns integer not null);
create table if not exists checkpoints (seq integer primary key, text text not null, time_ns integer not null);
create table if not exists versions (
    id integer primary key, label text not null, author text not null, seq integer not null, text text not null,
    hash text not null, time_ns integer not null);
create table if not exists tokens (hash text primary key, role text not null, label text not null, created_ns integer not null);
"""
FORMAT = 1

_ops = msgspec.msgpack.Decoder(list[Op])
_strings = msgspec.msgpack.Decoder(list[str])


@dataclass
class Entry:
    """One accepted transaction. ``target`` is the seq that an undo or redo is about; ``inverse`` takes this entry back."""

    seq: int
    session: str
    opid: int
    user: str
    label: str
    time_ns: int
    kind: str
    target: int | None
    txn: list[Op]
    inverse: list[Op]
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Refusal:
    """A transaction that was refused, kept so that the same answer is given again."""

    code: str
    reason: str
    path: str


class Journal:
    """The project's journal; one process holds it.

    Args:
        project: The project folder, made if it is missing.

    Raises:
        InputError: Another process has the project, or the file is of a newer version.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        project.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(project / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise InputError("another process serves this project", file=project, attribute="--project") from error
        self._db = sqlite3.connect(project / "journal.db", check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_SCHEMA)
        found = self.meta("format")
        if found is not None and int(found) > FORMAT:
            self.close()
            raise InputError(f"the journal was written by a newer Twin (format {found})", file=project / "journal.db")
        self.set_meta("format", str(FORMAT))
        if self.meta("epoch") is None:
            self.set_meta("epoch", secrets.token_hex(8))

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    # ---- facts

    def meta(self, key: str) -> str | None:
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self._db.execute("insert into meta values (?, ?) on conflict (key) do update set value = excluded.value", (key, value))

    @property
    def epoch(self) -> str:
        """Id of the sequence: as long as it stays, a client may resume."""
        return self.meta("epoch") or ""

    def new_epoch(self) -> None:
        self.set_meta("epoch", secrets.token_hex(8))

    @property
    def seq(self) -> int:
        """Number of the last operation, 0 before the first."""
        return int(self._db.execute("select coalesce(max(seq), 0) from ops").fetchone()[0])

    # ---- operations

    def append(self, entry: Entry) -> None:
        """Write an operation; returns when it is on disk.

        Raises:
            WorkError: It could not be written (a full disk, say).
        """
        row = (
            entry.seq, entry.session, entry.opid, entry.user, entry.label, entry.time_ns, entry.kind, entry.target,
            msgspec.msgpack.encode(entry.txn), msgspec.msgpack.encode(entry.inverse), msgspec.msgpack.encode(entry.skipped),
        )  # fmt: skip
        try:
            self._db.execute("insert into ops values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise WorkError(f"the edit could not be written: {error}", file=self.project / "journal.db") from error

    def refuse(self, session: str, opid: int, refusal: Refusal) -> None:
        """Remember a refusal."""
        self._db.execute(
            "insert or ignore into refusals values (?, ?, ?, ?, ?)", (session, opid, refusal.code, refusal.reason, refusal.path)
        )

    def outcome(self, session: str, opid: int) -> Entry | Refusal | None:
        """What became of an operation that was sent before."""
        row = self._db.execute("select * from ops where session = ? and opid = ?", (session, opid)).fetchone()
        if row is not None:
            return _entry(row)
        row = self._db.execute(
            "select code, reason, path from refusals where session = ? and opid = ?", (session, opid)
        ).fetchone()
        return None if row is None else Refusal(*row)

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Operations with a number above ``after``, in order."""
        for row in self._db.execute("select * from ops where seq > ? order by seq", (after,)).fetchall():
            yield _entry(row)

    # ---- checkpoints and versions

    def checkpoint(self, seq: int, text: str) -> None:
        """Keep the edit layer as it is after ``seq``; the last three are kept."""
        self._db.execute("begin immediate")
        self._db.execute("insert or replace into checkpoints values (?, ?, ?)", (seq, text, now_ns()))
        self._db.execute("delete from checkpoints where seq not in (select seq from checkpoints order by seq desc limit 3)")
        self._db.execute("commit")

    def last_checkpoint(self) -> tuple[int, str]:
        """Number and text of the newest checkpoint; (0, "") when there is none."""
        row = self._db.execute("select seq, text from checkpoints order by seq desc limit 1").fetchone()
        return (0, "") if row is None else (int(row[0]), str(row[1]))

    def save_version(self, label: str, author: str, seq: int, text: str) -> int:
        """Keep a named, immutable version of the edit layer; returns its id."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        cursor = self._db.execute(
            "insert into versions (label, author, seq, text, hash, time_ns) values (?, ?, ?, ?, ?, ?)",
            (label, author, seq, text, digest, now_ns()),
        )
        return int(cursor.lastrowid or 0)

    def versions(self) -> list[dict[str, object]]:
        """All versions, newest first, without their text."""
        rows = self._db.execute("select id, label, author, seq, hash, time_ns from versions order by id desc").fetchall()
        return [dict(zip(("id", "label", "author", "seq", "hash", "time_ns"), row, strict=True)) for row in rows]

    # ---- sessions and tokens

    def session(self, id: str) -> tuple[str, str] | None:
        """User and colour of a session that was issued."""
        row = self._db.execute("select user, color from sessions where id = ?", (id,)).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def new_session(self, user: str, color: str) -> str:
        """Issue a session."""
        id = secrets.token_urlsafe(12)
        self._db.execute("insert into sessions values (?, ?, ?, ?)", (id, user, color, now_ns()))
        return id

    def rename_session(self, id: str, user: str) -> None:
        self._db.execute("update sessions set user = ? where id = ?", (user, id))

    def add_token(self, token: str, role: str, label: str) -> None:
        """Let ``token`` in with ``role``; only its hash is kept."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        self._db.execute("insert or replace into tokens values (?, ?, ?, ?)", (digest, role, label, now_ns()))

    def role_of(self, token: str) -> str | None:
        """Role of a token, None if it is not known."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        row = self._db.execute("select role from tokens where hash = ?", (digest,)).fetchone()
        return None if row is None else str(row[0])


def _entry(row: tuple[object, ...]) -> Entry:
    seq, session, opid, user, label, time_ns, kind, target, txn, inverse, skipped = row
    return Entry(
        seq, session, opid, user, label, time_ns, kind, target, _ops.decode(txn), _ops.decode(inverse), _strings.decode(skipped)  # type: ignore[arg-type]
    )  # fmt: skip

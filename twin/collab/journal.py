"""The journal: every accepted operation on disk before anybody is told, in SQLite.

An operation that ``append`` has returned from survives the loss of the process and of power (WAL, synchronous FULL).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from twin.core import log
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
create table if not exists sessions (
    id text primary key, user text not null, color text not null, owner text not null, created_ns integer not null);
create table if not exists checkpoints (seq integer primary key, text text not null, time_ns integer not null);
create table if not exists versions (
    id integer primary key, label text not null, author text not null, seq integer not null, text text not null,
    hash text not null, time_ns integer not null);
"""
FORMAT = 1
FOLD_EVERY = 500
REFUSALS_KEPT = 20_000
SESSIONS_KNOWN = 10_000
"""Of so many it is kept in mind what they sent last."""

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


def unreadable(project: Path, error: sqlite3.Error) -> InputError:
    """What to say, and what can be done, where a journal is damaged or cannot be written."""
    out = "put a backup in its place, or what `sqlite3 journal.db .recover` finds, or move it away to begin without edits"
    if isinstance(error, sqlite3.OperationalError):  # of the disk or the rights, not of what is in the file
        out = "is there room on the disk, and may it be written?"
    return InputError(f"the journal cannot be used: {error}; {out}", file=project / "journal.db")


class Journal:
    """The project's journal; one process holds it.

    Args:
        project: The project folder, made if it is missing.

    Attributes:
        epoch: Id of the sequence: as long as it stays, a client may resume.

    Raises:
        InputError: Another process has the project, or the file is of a newer version.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._together = self._closing = False
        self._newest: dict[str, int] = {}
        self._grown = threading.Event()
        self._folder: threading.Thread | None = None
        try:
            project.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(project / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", file=project, attribute="--project") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise InputError("another process serves this project", file=project, attribute="--project") from error
        self._db = sqlite3.connect(project / "journal.db", check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.execute("pragma wal_autocheckpoint = 0")  # _fold does it, beside the edits
            self._db.executescript(_SCHEMA)
            found = self.meta("format")
        except sqlite3.Error as error:
            self.close()
            raise unreadable(project, error) from error
        if found is not None and int(found) > FORMAT:
            self.close()
            raise InputError(f"the journal was written by a newer Twin (format {found})", file=project / "journal.db")
        self.set_meta("format", str(FORMAT))
        self._folder = threading.Thread(target=self._fold, name="twin-journal", daemon=True)
        self._folder.start()
        self.epoch = self.meta("epoch") or ""
        if not self.epoch:
            self.new_epoch()

    def close(self) -> None:
        """Let go of the project."""
        self._closing = True
        self._grown.set()
        if self._folder is not None:
            self._folder.join()
        self._db.close()
        os.close(self._lock)

    def _fold(self) -> None:
        """Thread: move what the write-ahead log holds into the database, so that no edit has to wait for that."""
        database = sqlite3.connect(self.project / "journal.db")
        try:
            while self._grown.wait() and not self._closing:
                self._grown.clear()
                database.execute("pragma wal_checkpoint(passive)").fetchall()
        except sqlite3.Error as error:
            # nothing is lost: the log only grows, and closing folds it
            log.get("journal").warning("the journal's log cannot be folded", error=str(error))
        finally:
            database.close()

    # ---- facts

    def meta(self, key: str) -> str | None:
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self.write("insert into meta values (?, ?) on conflict (key) do update set value = excluded.value", (key, value))

    def new_epoch(self) -> None:
        self.epoch = secrets.token_hex(8)
        self.set_meta("epoch", self.epoch)

    @property
    def seq(self) -> int:
        """Number of the last operation, 0 before the first."""
        return int(self._db.execute("select coalesce(max(seq), 0) from ops").fetchone()[0])

    def write(self, sql: str, values: Sequence[object] = ()) -> int:
        """One change, on disk when this returns; gives the id of the row.

        Raises:
            WorkError: It could not be written (a full disk, say).
        """
        try:
            return int(self._db.execute(sql, values).lastrowid or 0)
        except sqlite3.Error as error:
            raise WorkError(f"could not be written: {error}", file=self.project / "journal.db") from error

    def read(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows."""
        return self._db.execute(sql, values).fetchall()

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes inside reach the disk, or none, with one wait for the disk. May be nested: the outermost one counts.

        Raises:
            WorkError: They could not be written.
        """
        if self._together:
            yield
            return
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            self.roll_back()
            raise

    def begin(self) -> None:
        """What is written from here on reaches the disk with ``commit``, or not at all.

        Raises:
            WorkError: Nothing can be written.
        """
        self.write("begin immediate")
        self._together = True

    def commit(self) -> None:
        """Wait for the disk; on any thread, while no other writes.

        Raises:
            WorkError: It could not be written; ``roll_back`` has to follow.
        """
        self.write("commit")
        self._together = False

    def roll_back(self) -> None:
        """As it was before ``begin``."""
        self._together = False
        if self._db.in_transaction:
            self._db.execute("rollback")

    # ---- operations

    def append(self, entry: Entry) -> None:
        """Write an operation; returns when it is on disk.

        Raises:
            WorkError: It could not be written.
        """
        row = (
            entry.seq, entry.session, entry.opid, entry.user, entry.label, entry.time_ns, entry.kind, entry.target,
            msgspec.msgpack.encode(entry.txn), msgspec.msgpack.encode(entry.inverse), msgspec.msgpack.encode(entry.skipped),
        )  # fmt: skip
        self.write("insert into ops values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._came(entry.session, entry.opid)
        if entry.seq % FOLD_EVERY == 0:
            self._grown.set()

    def refuse(self, session: str, opid: int, refusal: Refusal) -> None:
        """Remember a refusal.

        Raises:
            WorkError: It could not be written.
        """
        values = (session, opid, refusal.code, refusal.reason, refusal.path)
        self.write("insert or ignore into refusals values (?, ?, ?, ?, ?)", values)
        self._came(session, opid)

    def outcome(self, session: str, opid: int) -> Entry | Refusal | None:
        """What became of an operation that was sent before."""
        if opid > self._newest_of(session):
            return None
        row = self._db.execute("select * from ops where session = ? and opid = ?", (session, opid)).fetchone()
        if row is not None:
            return _entry(row)
        row = self._db.execute(
            "select code, reason, path from refusals where session = ? and opid = ?", (session, opid)
        ).fetchone()
        return None if row is None else Refusal(*row)

    def _newest_of(self, session: str) -> int:
        """No operation of the session has a higher number than this, so that most need not be looked for."""
        newest = self._newest.get(session)
        if newest is None:
            if len(self._newest) >= SESSIONS_KNOWN:
                self._newest.clear()
            found = self._db.execute(
                "select max(opid) from (select max(opid) as opid from ops where session = ?"
                " union all select max(opid) from refusals where session = ?)",
                (session, session),
            ).fetchone()[0]
            newest = self._newest[session] = -(1 << 63) if found is None else int(found)
        return newest

    def _came(self, session: str, opid: int) -> None:
        if (newest := self._newest.get(session)) is not None:
            self._newest[session] = max(newest, opid)

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Operations with a number above ``after``, in order."""
        for row in self._db.execute("select * from ops where seq > ? order by seq", (after,)).fetchall():
            yield _entry(row)

    def mentions(self, path: str) -> bool:
        """Whether an operation was about the prim of this path, or one in it."""
        return bool(self.read("select 1 from ops where instr(txn, cast(? as blob)) limit 1", (path,)))

    def activity(self, before: int, limit: int) -> list[dict[str, object]]:
        """Operations with a number below ``before``, newest first, without what they did in detail."""
        columns = ("seq", "session", "user", "label", "time_ns", "kind", "target")
        rows = self.read(f"select {', '.join(columns)} from ops where seq < ? order by seq desc limit ?", (before, limit))
        return [dict(zip(columns, row, strict=True)) for row in rows]

    # ---- checkpoints and versions

    def checkpoint(self, seq: int, text: str) -> None:
        """Keep the edit layer as it is after ``seq``; the last three are kept.

        Raises:
            WorkError: It could not be written; the journal is as it was.
        """
        with self.together():
            self.write("insert or replace into checkpoints values (?, ?, ?)", (seq, text, now_ns()))
            self.write("delete from checkpoints where seq not in (select seq from checkpoints order by seq desc limit 3)")

    def forget_refusals(self) -> None:
        """Keep the newest only: the senders of others have long been answered.

        Raises:
            WorkError: It could not be written.
        """
        self.write("delete from refusals where rowid <= (select coalesce(max(rowid), 0) from refusals) - ?", (REFUSALS_KEPT,))

    def last_checkpoint(self) -> tuple[int, str]:
        """Number and text of the newest checkpoint; (0, "") when there is none."""
        row = self._db.execute("select seq, text from checkpoints order by seq desc limit 1").fetchone()
        return (0, "") if row is None else (int(row[0]), str(row[1]))

    def save_version(self, label: str, author: str, seq: int, text: str) -> int:
        """Keep a named, immutable version of the edit layer; returns its id."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self.write(
            "insert into versions (label, author, seq, text, hash, time_ns) values (?, ?, ?, ?, ?, ?)",
            (label, author, seq, text, digest, now_ns()),
        )

    def versions(self) -> list[dict[str, object]]:
        """All versions, newest first, without their text."""
        rows = self.read("select id, label, author, seq, hash, time_ns from versions order by id desc")
        return [dict(zip(("id", "label", "author", "seq", "hash", "time_ns"), row, strict=True)) for row in rows]

    def version(self, id: int) -> tuple[str, str]:
        """Label and text of a version.

        Raises:
            InputError: There is none of that number.
        """
        rows = self.read("select label, text from versions where id = ?", (id,))
        if not rows:
            raise InputError(f"there is no version {id}", allowed=[row[0] for row in self.read("select id from versions")])
        return str(rows[0][0]), str(rows[0][1])

    # ---- sessions

    def session(self, id: str, owner: str) -> tuple[str, str] | None:
        """User and colour of a session that was issued to ``owner``; a session's id is no secret, so both must fit."""
        rows = self.read("select user, color from sessions where id = ? and owner = ?", (id, owner))
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    def new_session(self, user: str, color: str, owner: str) -> str:
        """Issue a session."""
        id = secrets.token_urlsafe(12)
        self.write("insert into sessions values (?, ?, ?, ?, ?)", (id, user, color, owner, now_ns()))
        return id

    def session_count(self) -> int:
        return int(self.read("select count(*) from sessions")[0][0])

    def rename_session(self, id: str, user: str) -> None:
        self.write("update sessions set user = ? where id = ?", (user, id))


def _entry(row: tuple[object, ...]) -> Entry:
    seq, session, opid, user, label, time_ns, kind, target, txn, inverse, skipped = row
    return Entry(
        seq, session, opid, user, label, time_ns, kind, target, _ops.decode(txn), _ops.decode(inverse), _strings.decode(skipped)  # type: ignore[arg-type]
    )  # fmt: skip

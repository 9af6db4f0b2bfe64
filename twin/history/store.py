"""The file of the historian: SQLite with a write-ahead log, a tail table and sealed chunks.

A new row goes to the tail. When a signal has enough of them they are sealed: in one transaction they become a chunk and
leave the tail, so a crash at any moment finds each row in exactly one of the two.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twin.core.errors import InputError
from twin.core.samples import SignalKey
from twin.history.chunks import decode, encode
from twin.history.reader import FORMAT, ROW, Reader, rows_of
from twin.history.rows import Row

SEAL_ROWS = 4096

_SCHEMA = """
CREATE TABLE IF NOT EXISTS signal (
    id INTEGER PRIMARY KEY, prim TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL DEFAULT '', UNIQUE (prim, name)
);
CREATE TABLE IF NOT EXISTS tail (
    signal INTEGER NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL, value NOT NULL, quality INTEGER NOT NULL,
    receive INTEGER NOT NULL, source INTEGER NOT NULL, server INTEGER, origin TEXT NOT NULL,
    PRIMARY KEY (signal, time, kind, value, quality)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunk (
    id INTEGER PRIMARY KEY, signal INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    count INTEGER NOT NULL, received INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS chunk_by_time ON chunk (signal, first, last);
"""


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file; deleted history gives its space back
    connection.execute("PRAGMA journal_mode = WAL")
    # each commit reaches the disk: what flush() has acknowledged survives a loss of power too
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class Store:
    """One history file. Writing methods are for one thread; reading methods for any.

    Raises:
        InputError: The file is no history, or one of a newer format.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    """What a write may raise; nothing of it was written then."""

    def __init__(self, path: Path, *, seal_rows: int = SEAL_ROWS) -> None:
        self.path = path
        self._seal_rows = seal_rows
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._writer = _open(path)
            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
            if version > FORMAT:
                raise InputError(f"history of format {version}, this program reads up to {FORMAT}", file=path)
            self._writer.executescript(_SCHEMA)
            self._writer.execute(f"PRAGMA user_version = {FORMAT}")
        except sqlite3.DatabaseError as error:
            raise InputError(f"cannot be used as a history file: {error}", file=path) from error
        self.reader = Reader(_open(path))
        self._ids: dict[SignalKey, int] = {
            SignalKey(prim, name): number for number, prim, name in self._writer.execute("SELECT id, prim, name FROM signal")
        }
        self._sealed_until = dict(self._writer.execute("SELECT signal, max(last) FROM chunk GROUP BY signal"))
        self._tail_rows = dict(self._writer.execute("SELECT signal, count(*) FROM tail GROUP BY signal"))

    def close(self) -> None:
        self.reader.close()
        self._writer.close()

    # ---- writing

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")

    def write(self, rows: dict[SignalKey, list[Row]], units: dict[SignalKey, str]) -> int:
        """Append in one transaction; returns how many were there already.

        Raises:
            sqlite3.Error: Nothing of it was written.
        """
        known = dict(self._ids)
        tail_rows = dict(self._tail_rows)
        repeated = 0
        with self._transaction():
            for key in (key for key in (*rows, *units) if key not in known):
                cursor = self._writer.execute("INSERT INTO signal (prim, name) VALUES (?, ?)", (key.prim, key.name))
                known[key] = int(cursor.lastrowid or 0)
            for key, unit in units.items():
                self._writer.execute("UPDATE signal SET unit = ? WHERE id = ?", (unit, known[key]))
            for key, new in rows.items():
                signal = known[key]
                fresh = self._not_sealed(signal, new)
                before = self._writer.total_changes
                self._writer.executemany(
                    f"INSERT OR IGNORE INTO tail (signal, {ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [(signal, *row) for row in fresh],
                )
                added = self._writer.total_changes - before
                tail_rows[signal] = tail_rows.get(signal, 0) + added
                repeated += len(new) - added
        self._ids, self._tail_rows = known, tail_rows
        return repeated

    def _not_sealed(self, signal: int, rows: list[Row]) -> list[Row]:
        """``rows`` without those that a sealed chunk holds already; looks only where late rows can be."""
        sealed_until = self._sealed_until.get(signal)
        if sealed_until is None:
            return rows
        late = [r.time for r in rows if r.time <= sealed_until]
        if not late:
            return rows
        found = self._writer.execute(
            "SELECT data FROM chunk WHERE signal = ? AND first <= ? AND last >= ?", (signal, max(late), min(late))
        )
        there = {row.identity() for (data,) in found for row in decode(data)}
        return [r for r in rows if r.identity() not in there]

    def seal_full_tails(self) -> int:
        """Turn the tail of every signal that has enough rows into chunks; returns how many signals that were."""
        full = [signal for signal, count in self._tail_rows.items() if count >= self._seal_rows]
        for signal in full:
            with self._transaction():
                rows = rows_of(self._writer.execute(f"SELECT {ROW} FROM tail WHERE signal = ? ORDER BY time, receive", (signal,)))
                parts = [rows[begin : begin + self._seal_rows] for begin in range(0, len(rows), self._seal_rows)]
                self._writer.executemany(
                    "INSERT INTO chunk (signal, first, last, count, received, data) VALUES (?, ?, ?, ?, ?, ?)",
                    [(signal, p[0].time, p[-1].time, len(p), max(r.receive for r in p), encode(p)) for p in parts],
                )
                self._writer.execute("DELETE FROM tail WHERE signal = ?", (signal,))
            self._tail_rows[signal] = 0
            self._sealed_until[signal] = max(rows[-1].time, self._sealed_until.get(signal, rows[-1].time))
        return len(full)

    def expire(
        self, *, received_before: int | None = None, max_bytes: int | None = None, only: Iterable[SignalKey] | None = None
    ) -> int:
        """Delete what was received before a moment [ns UTC], of all signals or ``only`` of some, then the oldest of all until
        the file fits; returns how many samples."""
        removed = 0
        if received_before is not None:
            with self._transaction():
                if only is None:
                    removed += self._delete("received < ?", "receive < ?", received_before)
                for signal in [self._ids[key] for key in only or () if key in self._ids]:
                    mine = f"signal = {signal} AND "
                    removed += self._delete(f"{mine}received < ?", f"{mine}receive < ?", received_before)
        while max_bytes is not None and self.used_bytes() > max_bytes:
            oldest = self._writer.execute(
                "SELECT min(received) FROM (SELECT min(received) AS received FROM chunk UNION ALL SELECT min(receive) FROM tail)"
            ).fetchone()[0]
            if oldest is None:
                break
            # an eighth of the recorded span at a time, so that a full file is not trimmed row by row
            newest = self._writer.execute(
                "SELECT max(received) FROM (SELECT max(received) AS received FROM chunk UNION ALL SELECT max(receive) FROM tail)"
            ).fetchone()[0]
            with self._transaction():
                limit = oldest + max((newest - oldest) // 8, 1)
                removed += self._delete("received < ?", "receive < ?", limit)
        if removed:
            self._writer.executescript("PRAGMA incremental_vacuum")  # execute() would give back one page only
            self._tail_rows = dict(self._writer.execute("SELECT signal, count(*) FROM tail GROUP BY signal"))
            self._sealed_until = dict(self._writer.execute("SELECT signal, max(last) FROM chunk GROUP BY signal"))
        return removed

    def _delete(self, chunks: str, rows: str, limit: int) -> int:
        gone = self._writer.execute(f"SELECT coalesce(sum(count), 0) FROM chunk WHERE {chunks}", (limit,)).fetchone()[0]
        self._writer.execute(f"DELETE FROM chunk WHERE {chunks}", (limit,))
        return int(gone) + self._writer.execute(f"DELETE FROM tail WHERE {rows}", (limit,)).rowcount

    def used_bytes(self) -> int:
        """Pages in use, without those that are free to be used again [bytes]."""
        pages, free, size = (
            self._writer.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

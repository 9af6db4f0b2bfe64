"""The file of the historian: SQLite with a write-ahead log, a tail table and chunks (``twin.history.incoming``).

Rows and young chunks of a signal are merged and sealed in one transaction, so a crash at any moment finds each sample in
exactly one place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twin.core.errors import InputError
from twin.core.samples import SignalKey
from twin.history.chunks import block_of, decode, joined
from twin.history.incoming import SEAL_ROWS, SEAL_TOGETHER, Arrivals, Chunk, chunks_of, part_of_news
from twin.history.reader import FORMAT, ROW, Reader, rows_of
from twin.history.rows import Row

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
        self._remember()

    def _remember(self) -> None:
        db = self._writer
        self._chunked_until: dict[int, int] = dict(db.execute("SELECT signal, max(last) FROM chunk GROUP BY signal"))
        self._newest: dict[int, int] = dict(db.execute("SELECT signal, max(time) FROM tail GROUP BY signal"))
        for signal, last in self._chunked_until.items():
            self._newest[signal] = max(last, self._newest.get(signal, last))
        tails = "SELECT signal, count(*) AS n FROM tail GROUP BY signal"
        young = "SELECT signal, sum(count) FROM chunk WHERE count < ? GROUP BY signal"
        found = db.execute(f"SELECT signal, sum(n) FROM ({tails} UNION ALL {young}) GROUP BY signal", (self._seal_rows,))
        self._unsealed: dict[int, int] = dict(found)

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

    def write(self, arrivals: Arrivals, units: dict[SignalKey, str]) -> int:
        """Append in one transaction; returns how many were there already.

        Raises:
            sqlite3.Error: Nothing of it was written.
        """
        known, unsealed = dict(self._ids), dict(self._unsealed)
        newest, chunked_until = dict(self._newest), dict(self._chunked_until)
        added = 0
        with self._transaction():
            for key in (key for key in (*arrivals.keys(), *units) if key not in known):
                cursor = self._writer.execute("INSERT INTO signal (prim, name) VALUES (?, ?)", (key.prim, key.name))
                known[key] = int(cursor.lastrowid or 0)
            for key, unit in units.items():
                self._writer.execute("UPDATE signal SET unit = ? WHERE id = ?", (unit, known[key]))
            rows = {known[key]: new for key, new in arrivals.rows.items()}
            for key, block in arrivals.blocks.items():
                signal = known[key]
                news, doubtful = part_of_news(block, newest.get(signal))
                if doubtful:
                    rows[signal] = doubtful
                if len(news):
                    chunks = chunks_of(news, self._seal_rows)
                    self._insert(signal, chunks)
                    added += len(news)
                    unsealed[signal] = unsealed.get(signal, 0) + _young(chunks, self._seal_rows)
                    newest[signal] = chunked_until[signal] = chunks[-1].last
            for signal, new in rows.items():
                fresh = self._not_in_chunks(signal, new, self._chunked_until.get(signal))
                before = self._writer.total_changes
                self._writer.executemany(
                    f"INSERT OR IGNORE INTO tail (signal, {ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [(signal, *row) for row in fresh],
                )
                inserted = self._writer.total_changes - before
                unsealed[signal] = unsealed.get(signal, 0) + inserted
                added += inserted
                newest[signal] = max(newest.get(signal, -(2**63)), *(r.time for r in new))
        self._ids, self._unsealed, self._newest, self._chunked_until = known, unsealed, newest, chunked_until
        return len(arrivals) - added

    def _insert(self, signal: int, chunks: list[Chunk]) -> None:
        self._writer.executemany(
            "INSERT INTO chunk (signal, first, last, count, received, data) VALUES (?, ?, ?, ?, ?, ?)",
            [(signal, *c) for c in chunks],
        )

    def _not_in_chunks(self, signal: int, rows: list[Row], until: int | None) -> list[Row]:
        """``rows`` without those that a chunk holds already; looks only where late rows can be."""
        late = [r.time for r in rows if until is not None and r.time <= until]
        if not late:
            return rows
        found = self._writer.execute(
            "SELECT data FROM chunk WHERE signal = ? AND first <= ? AND last >= ?", (signal, max(late), min(late))
        )
        there = {row.identity() for (data,) in found for row in decode(data).rows()}
        return [r for r in rows if r.identity() not in there]

    def seal_full_tails(self) -> int:
        """Merge and seal what is unsealed of every signal that has enough of it; returns how many signals that were."""
        full = [signal for signal, count in self._unsealed.items() if count >= self._seal_rows]
        # signals that are recorded together are full together, and each commit waits for the disk
        for begin in range(0, len(full), SEAL_TOGETHER):
            with self._transaction():
                sealed = {signal: self._seal(signal) for signal in full[begin : begin + SEAL_TOGETHER]}
            for signal, chunks in sealed.items():
                self._unsealed[signal] = _young(chunks, self._seal_rows)
                self._chunked_until[signal] = max(chunks[-1].last, self._chunked_until.get(signal, chunks[-1].last))
        return len(full)

    def _seal(self, signal: int) -> list[Chunk]:
        """Put chunks in the place of rows and young chunks, inside a transaction."""
        rows = rows_of(self._writer.execute(f"SELECT {ROW} FROM tail WHERE signal = ?", (signal,)))
        young = self._writer.execute("SELECT data FROM chunk WHERE signal = ? AND count < ?", (signal, self._seal_rows))
        blocks = [*(decode(data) for (data,) in young), *([block_of(rows)] if rows else [])]
        chunks = chunks_of(joined(blocks), self._seal_rows)
        self._writer.execute("DELETE FROM tail WHERE signal = ?", (signal,))
        self._writer.execute("DELETE FROM chunk WHERE signal = ? AND count < ?", (signal, self._seal_rows))
        self._insert(signal, chunks)
        return chunks

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
            self._remember()
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


def _young(chunks: list[Chunk], seal_rows: int) -> int:
    return sum(c.count for c in chunks if c.count < seal_rows)

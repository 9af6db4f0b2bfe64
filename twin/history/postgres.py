"""The historian's store in PostgreSQL, for a plant that outgrows one file: the same tail and sealed chunks, in a schema.

Values of the tail are kept as msgpack, which tells true from 1 and 1 from 1.0 as the chunks do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from twin.core.errors import InputError
from twin.core.samples import SignalKey
from twin.history.chunks import block_of, decode, joined
from twin.history.incoming import SEAL_ROWS, SEAL_TOGETHER, Arrivals, Chunk, chunks_of, part_of_news
from twin.history.ranges import Ranges, newest_of
from twin.history.reader import FORMAT, SignalSummary
from twin.history.rows import Row

_COLUMNS = "time, kind, value, quality, receive, source, server, origin"
_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS twin_history;
SET search_path TO twin_history;
CREATE TABLE IF NOT EXISTS format (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS signal (
    id serial PRIMARY KEY, prim text NOT NULL, name text NOT NULL, unit text NOT NULL DEFAULT '', UNIQUE (prim, name)
);
CREATE TABLE IF NOT EXISTS tail (
    signal integer NOT NULL, time bigint NOT NULL, kind smallint NOT NULL, value bytea NOT NULL, quality bigint NOT NULL,
    receive bigint NOT NULL, source smallint NOT NULL, server bigint, origin text NOT NULL,
    PRIMARY KEY (signal, time, kind, value, quality)
);
CREATE TABLE IF NOT EXISTS chunk (
    id bigserial PRIMARY KEY, signal integer NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
    count integer NOT NULL, received bigint NOT NULL, data bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS chunk_by_time ON chunk (signal, first, last);
"""
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def _row(found: tuple[Any, ...]) -> Row:
    time, kind, value, *rest = found
    return Row(time, kind, _unpack(bytes(value)), *rest)


class PostgresReader(Ranges):
    """Queries on one connection; methods are for any thread. As ``twin.history.reader.Reader``."""

    def __init__(self, connection: Any) -> None:
        self._db = connection
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _snapshot(self) -> Iterator[Any]:
        """One consistent view, so that a row that is being sealed is seen once."""
        with self._lock, self._db.transaction():
            self._db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield self._db

    @staticmethod
    def _id(db: Any, key: SignalKey) -> int:
        found = db.execute("SELECT id FROM signal WHERE prim = %s AND name = %s", (key.prim, key.name)).fetchone()
        return int(found[0]) if found else -1

    def _between(self, key: SignalKey, t0_ns: int, t1_ns: int) -> tuple[list[bytes], list[Row]]:
        with self._snapshot() as db:
            span = (self._id(db, key), t1_ns, t0_ns)
            chunks = db.execute("SELECT data FROM chunk WHERE signal = %s AND first <= %s AND last >= %s", span).fetchall()
            tail = db.execute(f"SELECT {_COLUMNS} FROM tail WHERE signal = %s AND time <= %s AND time >= %s", span).fetchall()
        return [bytes(data) for (data,) in chunks], [_row(r) for r in tail]

    def read_latest(self, key: SignalKey, t_ns: int) -> Row | None:
        """The last row at or before ``t_ns``."""
        with self._snapshot() as db:
            signal = self._id(db, key)
            newest = "ORDER BY time DESC, receive DESC LIMIT 1"
            found = db.execute(f"SELECT {_COLUMNS} FROM tail WHERE signal = %s AND time <= %s {newest}", (signal, t_ns))
            latest = [_row(r) for r in found.fetchall()]
            best = latest[0] if latest else None
            chunks = db.execute(
                "SELECT last, data FROM chunk WHERE signal = %s AND first <= %s AND last >= %s ORDER BY last DESC",
                (signal, t_ns, best.time if best else -(2**63)),
            )
            return newest_of(((last, bytes(data)) for last, data in chunks), t_ns, best)

    def summaries(self) -> list[SignalSummary]:
        with self._snapshot() as db:
            found = db.execute(
                "SELECT prim, name, min(first), max(last), sum(count)::bigint FROM signal JOIN ("
                " SELECT signal, first, last, count FROM chunk"
                " UNION ALL SELECT signal, min(time), max(time), count(*) FROM tail GROUP BY signal"
                ") AS part ON part.signal = signal.id GROUP BY signal.id, prim, name ORDER BY prim, name"
            ).fetchall()
        return [SignalSummary(*row) for row in found]

    def units(self) -> dict[SignalKey, str]:
        with self._snapshot() as db:
            found = db.execute("SELECT prim, name, unit FROM signal WHERE unit <> ''").fetchall()
        return {SignalKey(prim, name): unit for prim, name, unit in found}

    def used_bytes(self) -> int:
        """Size of tail and chunks with their indices [bytes]."""
        with self._snapshot() as db:
            found = db.execute("SELECT pg_total_relation_size('tail') + pg_total_relation_size('chunk')").fetchone()
        return int(found[0])


class PostgresStore:
    """A schema ``twin_history`` in one database. Writing methods are for one thread; reading methods for any.

    A connection that is lost is made anew with the next write.

    Raises:
        InputError: The database cannot be used, or holds history of a newer format.
    """

    def __init__(self, address: str, *, seal_rows: int = SEAL_ROWS) -> None:
        try:
            import psycopg
        except ImportError as error:
            needed = "PostgreSQL needs the package psycopg: pip install 'twin[postgres]'"
            raise InputError(needed, attribute=_shown(address)) from error
        self.path = _shown(address)
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)
        self._address, self._seal_rows, self._psycopg = address, seal_rows, psycopg
        try:
            self._writer = self._open()
            with self._writer.transaction():
                self._writer.execute("SELECT pg_advisory_xact_lock(7401925)")  # two processes that begin at once
                self._writer.execute(_SCHEMA)
                version = self._writer.execute("SELECT max(version) FROM format").fetchone()[0]
                if version is None or version < FORMAT:  # from now on programs that read only older ones refuse it
                    self._writer.execute("INSERT INTO format VALUES (%s)", (FORMAT,))
                elif version > FORMAT:
                    raise InputError(f"history of format {version}, this program reads up to {FORMAT}", file=self.path)
            self.reader = PostgresReader(self._open())
            self._remember()
        except psycopg.Error as error:
            text = " ".join(str(error).split())
            raise InputError(f"cannot be used as a history: {text}", file=self.path) from error

    def _open(self) -> Any:
        options = "-c search_path=twin_history,public"
        return self._psycopg.connect(self._address, autocommit=True, application_name="twin history", options=options)

    def _remember(self) -> None:
        db = self._writer
        self._ids = {SignalKey(prim, name): i for i, prim, name in db.execute("SELECT id, prim, name FROM signal").fetchall()}
        self._chunked_until = dict(db.execute("SELECT signal, max(last) FROM chunk GROUP BY signal").fetchall())
        self._newest = dict(db.execute("SELECT signal, max(time) FROM tail GROUP BY signal").fetchall())
        for signal, last in self._chunked_until.items():
            self._newest[signal] = max(last, self._newest.get(signal, last))
        tails = "SELECT signal, count(*) AS n FROM tail GROUP BY signal"
        young = "SELECT signal, sum(count) FROM chunk WHERE count < %s GROUP BY signal"
        both = f"SELECT signal, sum(n)::bigint FROM ({tails} UNION ALL {young}) AS part GROUP BY signal"
        self._unsealed = dict(db.execute(both, (self._seal_rows,)).fetchall())

    def close(self) -> None:
        self.reader.close()
        self._writer.close()

    def _alive(self) -> Any:
        if self._writer.closed or self._writer.broken:
            self._writer = self._open()
            self._remember()
            self.reader.close()
            self.reader = PostgresReader(self._open())
        return self._writer

    # ---- writing

    def write(self, arrivals: Arrivals, units: dict[SignalKey, str]) -> int:
        """Append in one transaction; returns how many were there already."""
        db = self._alive()
        known, unsealed = dict(self._ids), dict(self._unsealed)
        newest, chunked_until = dict(self._newest), dict(self._chunked_until)
        added = 0
        with db.transaction():
            for key in (key for key in (*arrivals.keys(), *units) if key not in known):
                known[key] = db.execute(
                    "INSERT INTO signal (prim, name) VALUES (%s, %s) ON CONFLICT (prim, name) DO UPDATE SET prim = excluded.prim "
                    "RETURNING id",
                    (key.prim, key.name),
                ).fetchone()[0]
            for key, unit in units.items():
                db.execute("UPDATE signal SET unit = %s WHERE id = %s", (unit, known[key]))
            rows = {known[key]: new for key, new in arrivals.rows.items()}
            for key, block in arrivals.blocks.items():
                signal = known[key]
                news, doubtful = part_of_news(block, newest.get(signal))
                if doubtful:
                    rows[signal] = doubtful
                if len(news):
                    chunks = chunks_of(news, self._seal_rows)
                    self._insert(db, signal, chunks)
                    added += len(news)
                    unsealed[signal] = unsealed.get(signal, 0) + sum(c.count for c in chunks if c.count < self._seal_rows)
                    newest[signal] = chunked_until[signal] = chunks[-1].last
            for signal, count in self._insert_rows(db, rows):
                unsealed[signal] = unsealed.get(signal, 0) + count
                added += count
            for signal, new in rows.items():
                newest[signal] = max(newest.get(signal, -(2**63)), *(r.time for r in new))
        self._ids, self._unsealed, self._newest, self._chunked_until = known, unsealed, newest, chunked_until
        return len(arrivals) - added

    @staticmethod
    def _insert(db: Any, signal: int, chunks: list[Chunk]) -> None:
        db.cursor().executemany(
            "INSERT INTO chunk (signal, first, last, count, received, data) VALUES (%s, %s, %s, %s, %s, %s)",
            [(signal, *c) for c in chunks],
        )

    def _insert_rows(self, db: Any, rows: dict[int, list[Row]]) -> list[tuple[int, int]]:
        """Rows into the tail; returns (signal, how many were not there yet)."""
        fresh = {signal: self._not_in_chunks(db, signal, new) for signal, new in rows.items()}
        db.execute("CREATE TEMP TABLE IF NOT EXISTS incoming (LIKE twin_history.tail) ON COMMIT DELETE ROWS")
        with db.cursor().copy(f"COPY incoming (signal, {_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "int8", "int2", "bytea", "int8", "int8", "int2", "int8", "text"])
            for signal, new in fresh.items():
                for row in new:
                    copy.write_row((signal, row.time, row.kind, _pack(row.value), *row[3:]))
        added: list[tuple[int, int]] = db.execute(
            f"WITH added AS (INSERT INTO tail (signal, {_COLUMNS}) SELECT signal, {_COLUMNS} FROM incoming "
            "ON CONFLICT DO NOTHING RETURNING signal) SELECT signal, count(*) FROM added GROUP BY signal"
        ).fetchall()
        return added

    def _not_in_chunks(self, db: Any, signal: int, rows: list[Row]) -> list[Row]:
        """``rows`` without those that a chunk holds already; looks only where late rows can be."""
        until = self._chunked_until.get(signal)
        late = [r.time for r in rows if until is not None and r.time <= until]
        if not late:
            return rows
        span = (signal, max(late), min(late))
        found = db.execute("SELECT data FROM chunk WHERE signal = %s AND first <= %s AND last >= %s", span).fetchall()
        there = {row.identity() for (data,) in found for row in decode(bytes(data)).rows()}
        return [r for r in rows if r.identity() not in there]

    def seal_full_tails(self) -> int:
        """Merge and seal what is unsealed of every signal that has enough of it; returns how many signals that were."""
        db = self._alive()
        full = [signal for signal, count in self._unsealed.items() if count >= self._seal_rows]
        for begin in range(0, len(full), SEAL_TOGETHER):
            with db.transaction():
                sealed = {signal: self._seal(db, signal) for signal in full[begin : begin + SEAL_TOGETHER]}
            for signal, chunks in sealed.items():
                self._unsealed[signal] = sum(c.count for c in chunks if c.count < self._seal_rows)
                self._chunked_until[signal] = max(chunks[-1].last, self._chunked_until.get(signal, chunks[-1].last))
        return len(full)

    def _seal(self, db: Any, signal: int) -> list[Chunk]:
        """Put chunks in the place of rows and young chunks, inside a transaction."""
        rows = [_row(r) for r in db.execute(f"SELECT {_COLUMNS} FROM tail WHERE signal = %s", (signal,)).fetchall()]
        mine = (signal, self._seal_rows)
        young = db.execute("SELECT data FROM chunk WHERE signal = %s AND count < %s", mine).fetchall()
        blocks = [*(decode(bytes(data)) for (data,) in young), *([block_of(rows)] if rows else [])]
        chunks = chunks_of(joined(blocks), self._seal_rows)
        db.execute("DELETE FROM tail WHERE signal = %s", (signal,))
        db.execute("DELETE FROM chunk WHERE signal = %s AND count < %s", mine)
        self._insert(db, signal, chunks)
        return chunks

    def expire(
        self, *, received_before: int | None = None, max_bytes: int | None = None, only: Iterable[SignalKey] | None = None
    ) -> int:
        """As the file's: what was received before a moment, then the oldest until the size fits; returns how many samples."""
        db = self._alive()
        removed = 0
        signals = None if only is None else [self._ids[k] for k in only if k in self._ids]
        if received_before is not None:
            removed += self._delete(received_before, signals)
        while max_bytes is not None and self.reader.used_bytes() > max_bytes:
            both = "(SELECT received AS r FROM chunk UNION ALL SELECT receive FROM tail) AS all_of_it"
            oldest, newest = db.execute(f"SELECT min(r), max(r) FROM {both}").fetchone()
            if oldest is None:
                break
            removed += self._delete(oldest + max((newest - oldest) // 8, 1), None)
            db.execute("VACUUM FULL chunk")  # else the space is kept for later, and the size stays
            db.execute("VACUUM FULL tail")
        if removed:
            self._remember()
        return removed

    def _delete(self, limit: int, signals: list[int] | None) -> int:
        db = self._writer
        where, given = ("", ()) if signals is None else (" AND signal = ANY(%s)", (signals,))
        with db.transaction():
            gone = db.execute(f"SELECT coalesce(sum(count), 0)::bigint FROM chunk WHERE received < %s{where}", (limit, *given))
            chunks = int(gone.fetchone()[0])
            db.execute(f"DELETE FROM chunk WHERE received < %s{where}", (limit, *given))
            return chunks + int(db.execute(f"DELETE FROM tail WHERE receive < %s{where}", (limit, *given)).rowcount)


def _shown(address: str) -> str:
    """The address without its password."""
    head, at, tail = address.rpartition("@")
    scheme, slashes, login = head.partition("://")
    return f"{scheme}{slashes}{login.partition(':')[0]}{at}{tail}" if at else address

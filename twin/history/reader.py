"""The reading side of a history file: also of one that another process writes, or that nobody may write."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from twin.core.errors import InputError
from twin.core.samples import Sample, SignalKey
from twin.history.ranges import Ranges, newest_of
from twin.history.rows import Row, unpack

FORMAT = 2
ROW = "time, kind, value, quality, receive, source, server, origin"


class SignalSummary(NamedTuple):
    """What is recorded of a signal; times in ns UTC."""

    prim: str
    name: str
    first_ns: int
    last_ns: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here


class Reader(Ranges):
    """Queries on one connection; methods are for any thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """One consistent view, so that a row that is being sealed is seen once."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")

    def _between(self, key: SignalKey, t0_ns: int, t1_ns: int) -> tuple[list[bytes], list[Row]]:
        """Chunks that reach into a stretch, and the rows of the tail in it."""
        with self._snapshot() as db:
            span = (self._id(db, key), t1_ns, t0_ns)
            chunks = db.execute("SELECT data FROM chunk WHERE signal = ? AND first <= ? AND last >= ?", span).fetchall()
            tail = rows_of(db.execute(f"SELECT {ROW} FROM tail WHERE signal = ? AND time <= ? AND time >= ?", span))
        return [data for (data,) in chunks], tail

    def read_latest(self, key: SignalKey, t_ns: int) -> Row | None:
        """The last row at or before ``t_ns``."""
        with self._snapshot() as db:
            signal = self._id(db, key)
            latest = rows_of(
                db.execute(
                    f"SELECT {ROW} FROM tail WHERE signal = ? AND time <= ? ORDER BY time DESC, receive DESC LIMIT 1",
                    (signal, t_ns),
                )
            )
            best = latest[0] if latest else None
            # the blobs one by one: sorting them along would read every one
            reach = "SELECT id, last FROM chunk WHERE signal = ? AND first <= ? AND last >= ? ORDER BY last DESC"
            found = db.execute(reach, (signal, t_ns, best.time if best else -(2**63))).fetchall()
            blob = "SELECT data FROM chunk WHERE id = ?"
            return newest_of(((last, db.execute(blob, (number,)).fetchone()[0]) for number, last in found), t_ns, best)

    @staticmethod
    def _id(db: sqlite3.Connection, key: SignalKey) -> int:
        found = db.execute("SELECT id FROM signal WHERE prim = ? AND name = ?", (key.prim, key.name)).fetchone()
        return int(found[0]) if found else -1

    def summaries(self) -> list[SignalSummary]:
        with self._snapshot() as db:
            found = db.execute(
                "SELECT prim, name, min(first), max(last), sum(count) FROM signal JOIN ("
                " SELECT signal, first, last, count FROM chunk"
                " UNION ALL SELECT signal, min(time), max(time), count(*) FROM tail GROUP BY signal"
                ") AS part ON part.signal = signal.id GROUP BY signal.id ORDER BY prim, name"
            ).fetchall()
        return [SignalSummary(*row) for row in found]

    def used_bytes(self) -> int:
        """Pages in use, without those that are free to be used again [bytes]."""
        with self._snapshot() as db:
            pages, free, size = (db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "freelist_count", "page_size"))
        return int((pages - free) * size)

    def units(self) -> dict[SignalKey, str]:
        with self._snapshot() as db:
            found = db.execute("SELECT prim, name, unit FROM signal WHERE unit != ''").fetchall()
        return {SignalKey(prim, name): unit for prim, name, unit in found}


class Recording(Reader):
    """A history file, opened for reading only.

    Raises:
        InputError: There is none, or it is not one that this program reads.
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path)
        if not path.is_file():
            raise InputError("no such file", file=path)
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode=ro",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=10.0,
            )
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError as error:
            raise InputError(f"cannot be read as a history file: {error}", file=path) from error
        if not {"signal", "tail", "chunk"} <= tables:
            connection.close()
            raise InputError("is no history file", file=path)
        if version > FORMAT:
            connection.close()
            raise InputError(f"history of format {version}, this program reads up to {FORMAT}", file=path)
        super().__init__(connection)

    def latest_at(self, key: SignalKey, t_ns: int) -> Sample | None:
        """The last sample of ``key`` at or before ``t_ns`` [ns UTC], None where there is none."""
        row = self.read_latest(key, t_ns)
        return None if row is None else unpack(key, row)

    def signals(self) -> list[SignalSummary]:
        """(prim, name, first_ns, last_ns, count) of everything recorded."""
        return self.summaries()

    def samples(self, key: SignalKey, t0_ns: int, t1_ns: int) -> list[Sample]:
        """Whole samples with ``t0_ns <= time <= t1_ns`` [ns UTC], in order of time."""
        return [unpack(key, row) for row in self.read(key, t0_ns, t1_ns)]


def rows_of(found: Iterable[tuple[object, ...]]) -> list[Row]:
    return [Row(*columns) for columns in found]  # type: ignore[arg-type]

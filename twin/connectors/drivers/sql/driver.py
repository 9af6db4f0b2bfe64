"""Asks a database again and again, and delivers what is new."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from twin.connectors.base import (
    BAD_DECODING,
    BAD_NO_DATA,
    Fatal,
    Found,
    Plan,
    Probe,
    Reading,
    Retryable,
    Sink,
    Value,
    WriteRequest,
    WriteResult,
)
from twin.connectors.drivers.sql.backends import SINCE, Backend, Postgres, Sqlite
from twin.connectors.drivers.sql.config import SqlOptions, SqlSource
from twin.connectors.mapping import Point, ResolvedConnection
from twin.connectors.stamps import StampError, parse_time
from twin.core.clock import now_ns
from twin.core.samples import GOOD

T = TypeVar("T")
LOWEST: tuple[Any, ...] = (-(2**62), "-infinity", "")
"""Below every number, time and text."""
ALLOWED = ["sqlite://FILE", "postgresql://USER@HOST:5432/DATABASE"]


@dataclass
class _Query:
    """One query with the signals that read from its answers. ``since``: value of the cursor so far."""

    text: str
    cursor: str | None
    since: Any = None
    points: list[Point] = field(default_factory=list)


class SqlDriver:
    """One attempt at one database. Asking happens on a thread of its own, so a slow answer holds up nothing else."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._connection = connection
        self._options: SqlOptions = connection.options
        self._zone = ZoneInfo(self._options.timezone)
        scheme = urlsplit(connection.address).scheme
        if scheme not in ("sqlite", "postgresql"):
            raise Fatal("the address is not understood", attribute="address", allowed=ALLOWED)
        self._postgres = scheme == "postgresql"
        self._queries: dict[tuple[str, str | None, Any], _Query] = {}
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="twin-sql")
        self._backend: Backend | None = None

    # ---- the contract

    async def probe(self) -> Probe:
        async with self._open() as backend:
            tables = await self._do(backend.tables)
        return Probe(backend.version(), {"tables": [name for name, _ in tables]})

    async def browse(self, *, seconds: float) -> list[Found]:
        found = []
        async with self._open() as backend:
            for table, columns in await self._do(backend.tables):
                name = ".".join(f'"{part}"' for part in table.split("."))
                query = f"SELECT * FROM {name}"
                _, rows = await self._do(partial(backend.ask, f"{query} LIMIT 1", None, 1))
                for i, column in enumerate(columns):
                    value = rows[0][i] if rows else None
                    kind = "" if value is None else type(value).__name__
                    found.append(Found({"query": query, "column": column}, f"{table}/{column}", kind, str(value or "")[:60]))
        return found

    async def run(self, plan: Plan, sink: Sink) -> None:
        for point in plan.points:
            source: SqlSource = point.source
            if source.cursor is not None and not SINCE.search(source.query):
                raise Fatal("a query with a cursor names :since", attribute=str(point))
            key = source.query, source.cursor, source.begin
            query = self._queries.setdefault(key, _Query(source.query, source.cursor, source.begin))
            query.points.append(point)
        async with self._open() as backend:
            for query in self._queries.values():
                if query.cursor is not None and query.since is None:
                    await self._find_end(backend, query)
            sink.connected()
            loop = asyncio.get_running_loop()
            due = loop.time()
            while True:
                for query in self._queries.values():
                    await self._poll(backend, query, sink)
                due = max(due + self._options.poll, loop.time())
                await asyncio.sleep(due - loop.time())

    def subscribed(self) -> set[int]:
        return {p.index for q in self._queries.values() for p in q.points}

    async def subscribe(self, points: Sequence[Point]) -> None:
        """Every query is asked from the start."""

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        raise Fatal("a database is only read", attribute=str(requests[0].point))

    # ---- inside

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[Backend]:
        backend: Backend = await self._do(self._make)
        self._backend = backend
        try:
            yield backend
        finally:
            # the thread may sit in a query that nobody waits for any more
            self._backend = None
            with contextlib.suppress(Exception):
                backend.interrupt()
            self._asker.submit(backend.close)
            self._asker.shutdown(wait=False)

    def _make(self) -> Backend:
        if self._postgres:
            return Postgres(self._connection.address, self._options.password, self._options.timeout)
        return Sqlite(self._connection.folder / self._connection.address.removeprefix("sqlite://"), self._options.timeout)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._options.timeout):
                return await asyncio.get_running_loop().run_in_executor(self._asker, work)
        except TimeoutError:
            raise Retryable(f"no answer within {self._options.timeout:g} s") from None

    async def _find_end(self, backend: Backend, query: _Query) -> None:
        """Without a begin, what is there already is no news: the largest cursor is where we begin."""
        text = f'SELECT max("{query.cursor}") FROM ({query.text}) AS everything'
        for lowest in LOWEST:
            try:
                _, rows = await self._do(partial(backend.ask, text, lowest, 1))
            except (Retryable, Fatal) as error:
                reason = error  # a database that minds types refuses the lowest value of another one
                continue
            query.since = lowest if rows[0][0] is None else rows[0][0]
            return
        raise reason

    async def _poll(self, backend: Backend, query: _Query, sink: Sink) -> None:
        while True:
            since = query.since
            names, rows = await self._do(partial(backend.ask, query.text, since, self._options.rows))
            received = now_ns()
            self._advance(query, names, rows)
            # without a cursor the answer is the state of things, and is delivered also unchanged, as a sign of life
            sink.offer([r for row in rows for r in self._readings(query, names, row, received, sink)])
            if query.cursor is None or len(rows) < self._options.rows or query.since == since:
                return

    @staticmethod
    def _advance(query: _Query, names: list[str], rows: list[tuple[Any, ...]]) -> None:
        if query.cursor is None or not rows:
            return
        if query.cursor not in names:
            raise Fatal(f"the answer has no column {query.cursor!r}", attribute=query.text[:60], allowed=names)
        at = names.index(query.cursor)
        marks = [row[at] for row in rows if row[at] is not None]
        query.since = max(marks) if marks else query.since

    def _readings(self, query: _Query, names: list[str], row: tuple[Any, ...], received: int, sink: Sink) -> list[Reading]:
        record = dict(zip(names, row, strict=True))
        out = []
        for point in query.points:
            source: SqlSource = point.source
            missing = [c for c in (source.column, source.time, *source.where) if c is not None and c not in record]
            if missing:
                raise Fatal(f"the answer has no column {missing[0]!r}", attribute=str(point), allowed=names)
            if any(record[c] != wanted for c, wanted in source.where.items()):
                continue
            try:
                value = _plain(record[source.column])
                stamp = None if source.time is None else self._stamp(record[source.time])
            except (StampError, ValueError) as error:
                sink.reject(f"row {error}"[:80], str(point))
                out.append(Reading(point, None, BAD_DECODING, None, None, received))
                continue
            out.append(Reading(point, value, GOOD if value is not None else BAD_NO_DATA, stamp, None, received))
        return out

    def _stamp(self, value: Any) -> int:
        if isinstance(value, datetime):
            return parse_time(value.isoformat(), self._zone)
        return parse_time(_plain(value), self._zone)


def _plain(value: Any) -> Value:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    raise ValueError(f"holds a {type(value).__name__}")

"""SQLite and PostgreSQL, behind the little that polling needs of them. A backend is used by one thread at a time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from twin.connectors.base import Fatal, Retryable

Answer = tuple[list[str], list[tuple[Any, ...]]]
"""Names of the columns, and rows."""
SINCE = re.compile(r"(?<![:\w]):since\b")
_PERMANENT = ("28", "3D", "42")
"""Classes of PostgreSQL's error codes that a person has to resolve: login, no such database, syntax or access."""


class Backend(Protocol):
    def ask(self, query: str, since: Any, rows: int) -> Answer:
        """At most ``rows`` rows. Raises Retryable or Fatal."""
        ...

    def version(self) -> str: ...

    def tables(self) -> list[tuple[str, list[str]]]:
        """Names of tables and views, with their columns."""
        ...

    def interrupt(self) -> None:
        """From another thread: end what is asked at the moment."""
        ...

    def close(self) -> None: ...


class Sqlite:
    """A file, opened for reading only."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        if not path.is_file():
            raise Retryable(f"there is no file {path.name}")
        try:
            self._db = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=timeout_s, check_same_thread=False
            )
            self._db.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            raise Retryable(f"cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise Fatal(f"is no database: {error}") from error

    def ask(self, query: str, since: Any, rows: int) -> Answer:
        try:
            cursor = self._db.execute(query, {"since": since} if SINCE.search(query) else {})
            names = [d[0] for d in cursor.description or []]
            return names, cursor.fetchmany(rows)
        except sqlite3.OperationalError as error:
            # a table that is not there yet may come; a busy file becomes free
            if "syntax" in str(error):
                raise Fatal(f"the query is refused: {error}") from error
            raise Retryable(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise Retryable(str(error)) from error

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def tables(self) -> list[tuple[str, list[str]]]:
        names = [n for (n,) in self._db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")]
        return [(n, [c[1] for c in self._db.execute(f'PRAGMA table_info("{n}")')]) for n in names]

    def interrupt(self) -> None:
        self._db.interrupt()

    def close(self) -> None:
        self._db.close()


class Postgres:
    """A server, by psycopg, in a session that cannot write."""

    def __init__(self, address: str, password: str | None, timeout_s: float) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise Fatal("PostgreSQL needs the package psycopg: pip install 'twin[postgres]'") from error
        url = urlsplit(address)
        self._errors: Any = psycopg
        options = f"-c default_transaction_read_only=on -c statement_timeout={round(timeout_s * 1000)}"
        self._db = self._guarded(
            lambda: psycopg.connect(
                host=url.hostname,
                port=url.port or 5432,
                dbname=unquote(url.path.lstrip("/")) or None,
                user=unquote(url.username) if url.username else None,
                password=password or (unquote(url.password) if url.password else None),
                connect_timeout=max(2, round(timeout_s)),
                autocommit=True,
                application_name="twin",
                options=options,
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=2,
                tcp_user_timeout=max(round(timeout_s * 1000), 1000),
            )
        )

    def ask(self, query: str, since: Any, rows: int) -> Answer:
        # a per cent sign of the query's own must not be taken for a parameter
        has_since = SINCE.search(query) is not None
        text = SINCE.sub("%(since)s", query.replace("%", "%%")) if has_since else query

        def fetch() -> Answer:
            with self._db.cursor() as cursor:
                cursor.execute(text, {"since": since} if has_since else None)
                return [d.name for d in cursor.description or []], cursor.fetchmany(rows)

        return self._guarded(fetch)

    def version(self) -> str:
        return f"PostgreSQL {self._db.info.server_version // 10000}.{self._db.info.server_version % 10000}"

    def tables(self) -> list[tuple[str, list[str]]]:
        query = (
            "SELECT table_schema || '.' || table_name, string_agg(column_name, ',' ORDER BY ordinal_position) "
            "FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema') GROUP BY 1 ORDER BY 1"
        )
        return [(name, columns.split(",")) for name, columns in self.ask(query, None, 10_000)[1]]

    def interrupt(self) -> None:
        self._db.cancel_safe(timeout=1.0)

    def close(self) -> None:
        self._db.close()

    def _guarded(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except self._errors.Error as error:
            state = getattr(error, "sqlstate", None) or ""
            text = " ".join(str(error).split())
            # 42P01: a table that is not there yet may come. A failed login has no code in the client.
            permanent = (state[:2] in _PERMANENT and state != "42P01") or "authentication failed" in text
            raise (Fatal if permanent else Retryable)(text) from error

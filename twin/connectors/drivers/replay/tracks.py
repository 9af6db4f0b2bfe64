"""Reading recordings: each signal becomes a track of times, values and qualities."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from twin.connectors.base import BAD_DECODING, Fatal, Found, Value
from twin.connectors.drivers.replay.config import ReplaySource
from twin.connectors.stamps import StampError, parse_time
from twin.core.errors import InputError
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, SignalKey
from twin.history import Recording

EXPORTED = {"signal", "time", "value", "text", "kind", "quality"}
"""Columns by which a table is known as an export of history."""
TIME_COLUMNS = ("time_ns", "time", "timestamp", "ts")


@dataclass
class Track:
    """One signal of a recording, in order of time.

    Attributes:
        time_ns: int64 [n] ns UTC. value: [n]. quality: uint32 [n] OPC UA status codes. unreadable: Rows left out, since
        they have no time that could be read.
    """

    time_ns: np.ndarray
    value: list[Value]
    quality: np.ndarray
    unreadable: int = 0


class Tape(Protocol):
    """A recording that was opened."""

    def track(self, source: ReplaySource, begin_ns: int, end_ns: int) -> Track: ...

    def found(self) -> list[Found]: ...

    def close(self) -> None: ...


def open_tape(path: Path, zone: ZoneInfo) -> Tape:
    """Open by what the file is.

    Raises:
        Fatal: No such file, or not a recording.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for somebody who writes, and stopping for that
        raise Fatal("the recording is not a file", file=path)
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith(b"SQLite format 3"):
            return _HistoryTape(path)
        if head.startswith(b"PAR1"):
            return _TableTape(pa.parquet.read_table(path), path, zone)
        return _TableTape(pa.csv.read_csv(path), path, zone)
    except (OSError, pa.ArrowInvalid, InputError) as error:
        raise Fatal(f"the recording cannot be read: {error}", file=path) from error


class _HistoryTape:
    """A file of the historian."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._recording = Recording(path)

    def close(self) -> None:
        self._recording.close()

    def found(self) -> list[Found]:
        return [
            Found({"signal": f"{s.prim}:{s.name}"}, f"{s.prim}/{s.name}", "", f"{s.count}") for s in self._recording.summaries()
        ]

    def track(self, source: ReplaySource, begin_ns: int, end_ns: int) -> Track:
        if source.signal is None:
            raise Fatal("a history file has signals, no columns", file=self._path, attribute=str(source))
        key = SignalKey.parse(source.signal)
        known = [str(SignalKey(s.prim, s.name)) for s in self._recording.summaries()]
        if str(key) not in known:
            raise Fatal("no such signal in the recording", file=self._path, attribute=str(key), allowed=known[:20])
        columns = self._recording.read_columns(key, begin_ns, end_ns)
        return Track(columns.time_ns, columns.value, columns.quality)


class _TableTape:
    """A CSV or Parquet table, held in memory."""

    def __init__(self, table: pa.Table, path: Path, zone: ZoneInfo) -> None:
        self._table, self._path, self._zone = table, path, zone
        self._times = functools.lru_cache(maxsize=None)(self._read_times)

    def close(self) -> None:
        pass

    def found(self) -> list[Found]:
        table = self._table
        if set(table.column_names) >= EXPORTED:
            names = sorted(pc.unique(table["signal"].cast(pa.string())).to_pylist())
            return [Found({"signal": name}, name.replace(":", "/")) for name in names]
        return [
            Found({"column": name}, name, str(table.schema.field(name).type), str(table[name][0]) if len(table) else "")
            for name in table.column_names
            if name not in TIME_COLUMNS
        ]

    def track(self, source: ReplaySource, begin_ns: int, end_ns: int) -> Track:
        column, quality_column, where = source.column, source.quality, source.where
        if column is None:
            column, quality_column, where = "value", "quality", {"signal": str(source.signal)}
        times, readable = self._times(source.time)
        keep = readable & (times >= begin_ns) & (times <= end_ns)
        mine = np.ones(len(keep), bool)
        for name, wanted in where.items():
            mine &= np.array([str(v) == wanted for v in self._column(name).to_pylist()], bool)
        rows = np.flatnonzero(keep & mine)
        rows = rows[np.argsort(times[rows], kind="stable")]
        values: list[Any] = self._column(column).take(pa.array(rows)).to_pylist()
        if source.signal is not None:
            kinds, texts = (self._column(name).take(pa.array(rows)).to_pylist() for name in ("kind", "text"))
            values = [_restored(*row) for row in zip(kinds, values, texts, strict=True)]
        quality: np.ndarray = np.array([GOOD if v is not None else BAD_NO_COMMUNICATION for v in values], np.uint32)
        if quality_column is not None:
            try:
                quality = self._column(quality_column).take(pa.array(rows)).cast(pa.uint32()).to_numpy().astype(np.uint32)
            except (pa.ArrowInvalid, ValueError) as error:
                raise Fatal(f"qualities are not status codes: {error}", file=self._path, attribute=quality_column) from error
        for i, value in enumerate(values):
            if not isinstance(value, (int, float, str, bool, type(None))):
                values[i], quality[i] = None, BAD_DECODING
        return Track(times[rows], values, quality, int((~readable & mine).sum()))

    def _column(self, name: str) -> pa.ChunkedArray:
        if name not in self._table.column_names:
            raise Fatal("no such column in the recording", file=self._path, attribute=name, allowed=self._table.column_names)
        return self._table[name]

    def _read_times(self, name: str | None) -> tuple[np.ndarray, np.ndarray]:
        """[n] int64 ns UTC, and [n] bool: where it could be read."""
        name = name or next((n for n in TIME_COLUMNS if n in self._table.column_names), TIME_COLUMNS[0])
        column = self._column(name)
        if pa.types.is_timestamp(column.type):
            if column.type.tz is None:
                column = pc.assume_timezone(column, str(self._zone), ambiguous="earliest", nonexistent="earliest")
            column = column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
            return np.array(pc.fill_null(column, 0).to_numpy(), np.int64), np.array(column.is_valid().to_numpy(), bool)
        times = np.zeros(len(column), np.int64)
        readable = np.zeros(len(column), bool)
        for i, value in enumerate(column.to_pylist()):
            try:
                times[i] = parse_time(value, self._zone)
            except (StampError, OverflowError):
                continue  # counted by whoever asks for a track
            readable[i] = True
        return times, readable


def _restored(kind: str, number: float | None, text: str | None) -> Value:
    """What an exported row was."""
    if kind == "text":
        return text
    if kind == "int":
        return int(text) if text is not None else int(number or 0)
    return None if kind == "none" else bool(number) if kind == "bool" else number

"""Recorded samples as Parquet, for DuckDB, pandas and replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from twin.core.errors import InputError, WorkError
from twin.core.samples import Sample, SignalKey
from twin.history.reader import Recording
from twin.history.rows import BIG_INT, BOOL, FLOAT, INT, NAN, NULL, TEXT, pack_value

_STAMP = pa.timestamp("ns", "UTC")
SCHEMA = pa.schema(
    [
        ("signal", pa.dictionary(pa.int32(), pa.string())),
        ("time", _STAMP),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("kind", pa.dictionary(pa.int8(), pa.string())),
        ("quality", pa.uint32()),
        ("unit", pa.dictionary(pa.int32(), pa.string())),
        ("source_time", _STAMP),
        ("server_time", _STAMP),
        ("receive_time", _STAMP),
        ("origin", pa.dictionary(pa.int8(), pa.string())),
    ]
)
"""One row a sample. ``value`` holds numbers (true is 1), ``text`` text and whole numbers beyond 2^53, ``kind`` what it was."""
KINDS = {FLOAT: "float", NAN: "float", INT: "int", BIG_INT: "int", BOOL: "bool", TEXT: "text", NULL: "none"}
SLICE_ROWS = 200_000
_EXACT = 2**53


def export_parquet(
    recording: Recording, path: Path | str, *, signals: Sequence[SignalKey] | None = None, begin_ns: int = 0, end_ns: int = 2**62
) -> int:
    """Write the samples of ``signals`` (None: all) between two moments [ns UTC] to ``path``; returns how many.

    Raises:
        InputError: A signal that is not recorded.
        WorkError: The file cannot be written.
    """
    parts = tables(recording, signals=signals, begin_ns=begin_ns, end_ns=end_ns)
    count = 0
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with pa.parquet.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            for table in parts:
                writer.write_table(table)
                count += len(table)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise WorkError(f"cannot be written: {error}", file=path) from error
    return count


def tables(recording: Recording, *, signals: Sequence[SignalKey] | None, begin_ns: int, end_ns: int) -> Iterator[pa.Table]:
    """Samples as tables of ``SCHEMA``, one signal after another.

    Raises:
        InputError: A signal that is not recorded.
    """
    recorded = {SignalKey(s.prim, s.name): s for s in recording.summaries()}
    for key in signals or ():
        if key not in recorded:
            raise InputError("not recorded", attribute=str(key), allowed=[str(k) for k in list(recorded)[:20]])
    units = recording.units()
    keys = list(recorded) if signals is None else list(signals)
    return (_table(key, units.get(key, ""), part) for key in keys for part in _slices(recording, key, begin_ns, end_ns))


def _slices(recording: Recording, key: SignalKey, begin_ns: int, end_ns: int) -> Iterator[list[Sample]]:
    """Stretches of time with about ``SLICE_ROWS`` samples each, so that memory stays flat."""
    summary = next(s for s in recording.summaries() if (s.prim, s.name) == (key.prim, key.name))
    begin, end = max(begin_ns, summary.first_ns), min(end_ns, summary.last_ns)
    step = max((summary.last_ns - summary.first_ns) * SLICE_ROWS // max(summary.count, 1), 1)
    while begin <= end:
        part = recording.samples(key, begin, min(begin + step - 1, end))
        if part:
            yield part
        begin += step


def _table(key: SignalKey, unit: str, samples: list[Sample]) -> pa.Table:
    kinds, numbers, texts = [], [], []
    for sample in samples:
        kind, stored = pack_value(sample.value)
        as_text = kind in (TEXT, BIG_INT) or (kind == INT and abs(int(stored)) > _EXACT)
        kinds.append(KINDS[kind])
        texts.append(str(stored) if as_text else None)
        numbers.append(None if as_text or kind == NULL else float("nan") if kind == NAN else float(stored))
    columns: dict[str, Any] = {
        "signal": [str(key)] * len(samples),
        "time": [s.time for s in samples],
        "value": numbers,
        "text": texts,
        "kind": kinds,
        "quality": [s.quality for s in samples],
        "unit": [unit] * len(samples),
        "source_time": [s.source_time for s in samples],
        "server_time": [s.server_time for s in samples],
        "receive_time": [s.receive_time for s in samples],
        "origin": [s.origin for s in samples],
    }
    return pa.table([pa.array(columns[f.name], f.type) for f in SCHEMA], schema=SCHEMA)

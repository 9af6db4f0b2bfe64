"""A stored sample as a row of plain database values, and back."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from twin.core.samples import Sample, SignalKey

Value = float | int | bool | str | None

FLOAT, INT, BOOL, TEXT, NULL, NAN, BIG_INT = range(7)
"""Kinds of value. SQLite's own types cannot tell true from 1, and store NaN as NULL."""

ORIGINS = ("plant", "emulated", "simulated", "replay")


class Row(NamedTuple):
    """One sample of one signal; times in ns UTC."""

    time: int
    kind: int
    value: float | int | str
    quality: int
    receive: int
    source: int
    """1 where ``time`` is the source's, 0 where it is the receive time."""
    server: int | None
    origin: str

    def identity(self) -> tuple[int, int, float | int | str, int]:
        """Two rows that agree in this are the same observation, delivered twice."""
        return (self.time, self.kind, self.value, self.quality)


def pack_value(value: Value) -> tuple[int, float | int | str]:
    """Kind and what is stored for ``value``."""
    if value is None:
        return NULL, 0
    if isinstance(value, bool):
        return BOOL, int(value)
    if isinstance(value, int):
        return (INT, value) if -(2**63) <= value < 2**63 else (BIG_INT, str(value))
    if isinstance(value, float):
        return (NAN, 0) if math.isnan(value) else (FLOAT, float(value))
    return TEXT, str(value)


def unpack_value(kind: int, stored: Any) -> Value:
    if kind == FLOAT:
        return float(stored)
    if kind == INT:
        return int(stored)
    if kind == BOOL:
        return bool(stored)
    if kind == TEXT:
        return str(stored)
    if kind == NAN:
        return math.nan
    return int(stored) if kind == BIG_INT else None


def values_of(kind: np.ndarray, stored: np.ndarray) -> list[Value]:
    """Recorded values, from kinds and what is stored, float64 or object, all [n]."""
    if stored.dtype != object and (kind == FLOAT).all():
        floats: list[Value] = stored.tolist()
        return floats
    return [v if k == FLOAT else unpack_value(k, v) for k, v in zip(kind.tolist(), stored.tolist(), strict=True)]


def pack(sample: Sample) -> Row:
    kind, value = pack_value(sample.value)
    return Row(
        sample.time,
        kind,
        value,
        sample.quality,
        sample.receive_time,
        int(sample.source_time is not None),
        sample.server_time,
        sample.origin,
    )


def unpack(key: SignalKey, row: Row) -> Sample:
    value = unpack_value(row.kind, row.value)
    return Sample(key, value, row.quality, row.time if row.source else None, row.server, row.receive, row.origin)

"""What a range query answers, and how many points of it a chart needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from twin.core.samples import BAD
from twin.history.rows import NAN, NULL, TEXT, Value, values_of

FEWEST_POINTS = 8


@dataclass
class Columns:
    """Samples of one signal in order of time.

    Attributes:
        time_ns: int64 [n] ns UTC.
        kind: uint8 [n] what the values are (``twin.history.rows``).
        stored: [n] float64, or object where a value does not fit: values as rows hold them.
        quality: uint32 [n] OPC UA status codes.
    """

    time_ns: np.ndarray
    kind: np.ndarray
    stored: np.ndarray
    quality: np.ndarray

    def __len__(self) -> int:
        return len(self.time_ns)

    @cached_property
    def value(self) -> list[Value]:
        """[n] float, int, bool, str or None, as recorded."""
        return values_of(self.kind, self.stored)

    def numeric(self) -> np.ndarray:
        """float64 [n]; NaN where the value is no number."""
        none = (self.kind == TEXT) | (self.kind == NULL) | (self.kind == NAN)
        if self.stored.dtype != object:
            return np.where(none, math.nan, self.stored)
        return np.array([math.nan if n else float(v) for n, v in zip(none.tolist(), self.stored, strict=True)], np.float64)

    def take(self, which: np.ndarray) -> Columns:
        """Those samples, in that order."""
        return Columns(self.time_ns[which], self.kind[which], self.stored[which], self.quality[which])


def joined(parts: Sequence[Columns]) -> Columns:
    """Samples of stretches of time that follow one another."""
    if len(parts) == 1:
        return parts[0]
    names = ("time_ns", "kind", "stored", "quality")
    return Columns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def downsample(columns: Columns, points: int) -> Columns:
    """At most 1.5 x ``points`` of the samples that draw the same chart.

    Usable numbers are thinned by M4 (first, last, lowest and highest of each stretch). Samples that are bad or have no
    number keep the first and last of each stretch with value None, so that a gap stays a gap. Signals of text keep the
    samples at which the text changed.
    """
    points = max(points - points % 4, FEWEST_POINTS)
    if len(columns) <= points:
        return _visible_gaps(columns)
    bad = (columns.kind == NULL) | (columns.kind == NAN) | ((columns.quality & BAD) != 0)
    text = (columns.kind == TEXT) & ~bad
    usable = np.flatnonzero(~bad & ~text)
    kept = [_ends_of_buckets(columns.time_ns, np.flatnonzero(bad), points // 4)]
    if text.any():
        changed = _changes(columns.stored, np.flatnonzero(text))
        kept.append(changed if len(changed) <= points else _ends_of_buckets(columns.time_ns, changed, points // 2))
    if len(usable) > points:
        kept.append(usable[_m4(columns.time_ns[usable], columns.take(usable).numeric(), points)])
    else:
        kept.append(usable)
    return _visible_gaps(columns.take(np.unique(np.concatenate(kept))))


def _m4(time_ns: np.ndarray, values: np.ndarray, points: int) -> np.ndarray:
    from tsdownsample import M4Downsampler

    return np.unique(M4Downsampler().downsample(time_ns, values, n_out=points)).astype(np.int64)


def _changes(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    of_text = values[index]
    keep = np.flatnonzero(np.append(True, of_text[1:] != of_text[:-1]))
    return index[np.union1d(keep, [len(index) - 1])]


def _ends_of_buckets(time_ns: np.ndarray, index: np.ndarray, buckets: int) -> np.ndarray:
    """First and last of ``index`` in each of ``buckets`` equal stretches of time."""
    if len(index) <= 2 * buckets:
        return index
    edges = np.linspace(float(time_ns[0]), float(time_ns[-1]), buckets + 1)[1:-1]
    bucket = np.searchsorted(edges, time_ns[index].astype(np.float64), side="right")
    first = np.flatnonzero(np.diff(bucket, prepend=-1))
    last = np.append(first[1:] - 1, len(index) - 1)
    return index[np.union1d(first, last)]


def _visible_gaps(columns: Columns) -> Columns:
    gap = (columns.kind == NAN) | ((columns.quality & BAD) != 0)
    return Columns(columns.time_ns, np.where(gap, np.uint8(NULL), columns.kind), columns.stored, columns.quality)

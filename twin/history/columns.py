"""What a range query answers, and how many points of it a chart needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twin.core.samples import BAD, is_bad
from twin.history.rows import Value

FEWEST_POINTS = 4


@dataclass
class Columns:
    """Samples of one signal in order of time.

    Attributes:
        time_ns: int64 [n] ns UTC.
        value: [n] float, int, bool, str or None, as recorded.
        quality: uint32 [n] OPC UA status codes.
    """

    time_ns: np.ndarray
    value: list[Value]
    quality: np.ndarray

    def __len__(self) -> int:
        return len(self.value)

    def numeric(self) -> np.ndarray:
        """float64 [n]; NaN where the value is no number."""
        return np.array([math.nan if v is None or isinstance(v, str) else v for v in self.value], np.float64)


def downsample(columns: Columns, points: int) -> Columns:
    """At most 1.5 x ``points`` of the samples that draw the same chart.

    Usable numbers are thinned by M4 (first, last, lowest and highest of each stretch). Samples that are bad or have no
    number keep the first and last of each stretch with value None, so that a gap stays a gap. Signals of text keep the
    samples at which the text changed.
    """
    points = max(points - points % 4, FEWEST_POINTS)
    if len(columns) <= points:
        return _visible_gaps(columns, np.arange(len(columns)))
    bad = np.array([v is None or v != v for v in columns.value], bool) | ((columns.quality & BAD) != 0)
    text = np.array([isinstance(v, str) for v in columns.value], bool) & ~bad
    usable = np.flatnonzero(~bad & ~text)
    kept = [_ends_of_buckets(columns.time_ns, np.flatnonzero(bad), points // 4)]
    if text.any():
        changed = _changes(columns.value, np.flatnonzero(text))
        kept.append(changed if len(changed) <= points else _ends_of_buckets(columns.time_ns, changed, points // 2))
    if len(usable) > points:
        kept.append(usable[_m4(columns.time_ns[usable], columns.numeric()[usable], points)])
    else:
        kept.append(usable)
    return _visible_gaps(columns, np.unique(np.concatenate(kept)))


def _m4(time_ns: np.ndarray, values: np.ndarray, points: int) -> np.ndarray:
    from tsdownsample import M4Downsampler

    return np.unique(M4Downsampler().downsample(time_ns, values, n_out=points)).astype(np.int64)


def _changes(values: list[Value], index: np.ndarray) -> np.ndarray:
    keep = [i for n, i in enumerate(index) if n == 0 or values[i] != values[index[n - 1]]]
    return np.array(sorted({*keep, int(index[-1])}), np.int64)


def _ends_of_buckets(time_ns: np.ndarray, index: np.ndarray, buckets: int) -> np.ndarray:
    """First and last of ``index`` in each of ``buckets`` equal stretches of time."""
    if len(index) <= 2 * buckets:
        return index
    edges = np.linspace(float(time_ns[0]), float(time_ns[-1]), buckets + 1)[1:-1]
    bucket = np.searchsorted(edges, time_ns[index].astype(np.float64), side="right")
    first = np.flatnonzero(np.diff(bucket, prepend=-1))
    last = np.append(first[1:] - 1, len(index) - 1)
    return index[np.union1d(first, last)]


def _visible_gaps(columns: Columns, index: np.ndarray) -> Columns:
    quality = columns.quality[index]
    values = [columns.value[i] for i in index]
    values = [None if is_bad(int(q)) or v != v else v for v, q in zip(values, quality, strict=True)]
    return Columns(columns.time_ns[index], values, quality)

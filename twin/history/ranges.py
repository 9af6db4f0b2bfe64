"""A stretch of a signal put together from chunks and rows that are in none yet, whatever store they lie in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from twin.core.samples import SignalKey
from twin.history.chunks import block_of, decode, decode_chart
from twin.history.columns import Columns
from twin.history.rows import Row


def order(row: Row) -> tuple[int, int]:
    return row.time, row.receive


def newest_of(chunks: Iterable[tuple[int, bytes]], t_ns: int, best: Row | None) -> Row | None:
    """The last row at or before ``t_ns`` among ``best`` and ``chunks``: (newest time, blob), newest first.

    Late rows may sit in any chunk that reaches past the best found so far.
    """
    for last, data in chunks:
        if best is not None and last < best.time:
            break
        block = decode(data)
        before = np.flatnonzero(block.time <= t_ns)
        if len(before):
            row = block.take(before[np.lexsort((block.receive[before], block.time[before]))[-1:]]).rows()[0]
            best = row if best is None else max(best, row, key=order)
    return best


class Ranges(ABC):
    """``read`` and ``read_columns`` of a store that can say what lies between two moments."""

    @abstractmethod
    def _between(self, key: SignalKey, t0_ns: int, t1_ns: int) -> tuple[list[bytes], list[Row]]:
        """Chunks that may hold something of the stretch, and the rows outside chunks in it."""

    def read(self, key: SignalKey, t0_ns: int, t1_ns: int) -> list[Row]:
        """Rows with ``t0_ns <= time <= t1_ns`` in order of time, then of arrival."""
        chunks, rows = self._between(key, t0_ns, t1_ns)
        rows += [r for data in chunks for r in decode(data).rows() if t0_ns <= r.time <= t1_ns]
        rows.sort(key=order)
        return rows

    def read_columns(self, key: SignalKey, t0_ns: int, t1_ns: int) -> Columns:
        """As read(), only what a chart needs, and without a Python object for each row."""
        chunks, rows = self._between(key, t0_ns, t1_ns)
        charts = [*map(decode_chart, chunks), block_of(rows)]
        names = ("time", "receive", "kind", "stored", "quality")
        time, receive, kind, stored, quality = (np.concatenate([getattr(c, n) for c in charts]) for n in names)
        inside = np.flatnonzero((time >= t0_ns) & (time <= t1_ns))
        if (np.diff(time[inside]) <= 0).any():
            inside = inside[np.lexsort((receive[inside], time[inside]))]
        return Columns(time[inside], kind[inside], stored[inside], quality[inside])

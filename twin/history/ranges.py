"""A stretch of a signal put together from sealed chunks and rows that are not sealed yet, whatever store they lie in."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from twin.core.samples import SignalKey
from twin.history.chunks import block_of, decode, decode_block
from twin.history.columns import Columns
from twin.history.rows import Row


def order(row: Row) -> tuple[int, int]:
    return row.time, row.receive


class Ranges(ABC):
    """``read`` and ``read_columns`` of a store that can say what lies between two moments."""

    @abstractmethod
    def _between(self, key: SignalKey, t0_ns: int, t1_ns: int) -> tuple[list[bytes], list[Row]]:
        """Chunks that may hold something of the stretch, and the unsealed rows in it."""

    def read(self, key: SignalKey, t0_ns: int, t1_ns: int) -> list[Row]:
        """Rows with ``t0_ns <= time <= t1_ns`` in order of time, then of arrival."""
        chunks, rows = self._between(key, t0_ns, t1_ns)
        rows += [r for data in chunks for r in decode(data) if t0_ns <= r.time <= t1_ns]
        rows.sort(key=order)
        return rows

    def read_columns(self, key: SignalKey, t0_ns: int, t1_ns: int) -> Columns:
        """As read(), only what a chart needs, and without a Python object for each row."""
        chunks, rows = self._between(key, t0_ns, t1_ns)
        blocks = [*map(decode_block, chunks), block_of(rows)]
        time, receive, quality = (np.concatenate([getattr(b, c) for b in blocks]) for c in ("time", "receive", "quality"))
        parts = [values for values in (b.values() for b in blocks) if len(values)]
        value = np.concatenate(parts) if parts else np.zeros(0)
        by_time = np.lexsort((receive, time))
        inside = by_time[(time[by_time] >= t0_ns) & (time[by_time] <= t1_ns)]
        return Columns(time[inside], value[inside].tolist(), quality[inside])

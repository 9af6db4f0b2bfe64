"""From what came in to what is stored: rows for signals with few new samples, chunks for those with many.

Both stores work alike. A new sample of a slow signal becomes a row of the tail. Many of one signal become a *young* chunk,
uncompressed, or sealed ones at once where they are enough. When rows and young chunks of a signal are enough together, they
are merged and sealed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from twin.core.samples import Sample, SampleBlock, SignalKey
from twin.history.chunks import SEALED, YOUNG, Block, block_of, encode, joined
from twin.history.rows import FLOAT, INT, NAN, Row, pack

SEAL_ROWS = 4096
"""Samples of a signal that make a sealed chunk."""
SEAL_TOGETHER = 64
"""Signals that are sealed in one transaction."""
BLOCK_ROWS = 64
"""Fewer new samples of a signal become rows: a chunk has a cost of its own."""
_LIMIT = 2**63
_NO_SERVER = np.int64(-_LIMIT)


class Chunk(NamedTuple):
    """A chunk as a store keeps it; times in ns UTC, ``received`` the latest receipt."""

    first: int
    last: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    received: int
    data: bytes


@dataclass
class Arrivals:
    """New samples by signal, each in one of the two: few as rows, many as a block."""

    rows: dict[SignalKey, list[Row]]
    blocks: dict[SignalKey, Block]
    unusable: Counter[SignalKey] = field(default_factory=Counter)
    """Samples with a stamp that 64 bits cannot count: left out."""

    def keys(self) -> list[SignalKey]:
        return [*dict.fromkeys((*self.rows, *self.blocks))]

    def __len__(self) -> int:
        return sum(map(len, self.rows.values())) + sum(map(len, self.blocks.values()))


def sort_out(samples: list[Sample], blocks: list[SampleBlock]) -> Arrivals:
    """Everything that waits, by signal."""
    arrivals = Arrivals({}, {})
    rows: dict[SignalKey, list[Row]] = {}
    for sample in samples:
        row = pack(sample)
        if -_LIMIT <= row.time < _LIMIT and -_LIMIT <= row.receive < _LIMIT and -_LIMIT <= (row.server or 0) < _LIMIT:
            rows.setdefault(sample.key, []).append(row)
        else:
            arrivals.unusable[sample.key] += 1
    parts: dict[SignalKey, list[Block]] = {}
    for block in blocks:
        for key, part in _by_signal(block):
            parts.setdefault(key, []).append(part)
    for key in dict.fromkeys((*rows, *parts)):
        few, many = rows.get(key, []), parts.get(key, [])
        if len(few) + sum(map(len, many)) < BLOCK_ROWS:
            arrivals.rows[key] = few + [r for part in many for r in part.rows()]
        else:
            arrivals.blocks[key] = joined([*many, block_of(few)] if few else many)
    return arrivals


def _by_signal(block: SampleBlock) -> list[tuple[SignalKey, Block]]:
    whole = _columns(block)
    if len(block.keys) == 1:
        return [(block.keys[0], whole)]
    signal = block.signal.astype(np.int16) if len(block.keys) < 2**15 else block.signal  # numpy sorts these by radix
    by_signal = np.argsort(signal, kind="stable")
    ordered = whole.take(by_signal)
    ends = np.cumsum(np.bincount(block.signal, minlength=len(block.keys)))
    begins = np.append(0, ends[:-1])
    return [(block.keys[i], ordered.take(slice(begins[i], ends[i]))) for i in np.flatnonzero(ends > begins).tolist()]


def _columns(block: SampleBlock) -> Block:
    n = len(block)
    value = np.asarray(block.value, np.float64)
    kind = np.full(n, FLOAT, np.uint8) if block.whole is None else np.where(block.whole, np.uint8(INT), np.uint8(FLOAT))
    if (none := np.isnan(value)).any():
        kind, value = np.where(none, np.uint8(NAN), kind), np.where(none, 0.0, value)
    receive = np.asarray(block.receive_time, np.int64)
    has_source = block.source_time is not None
    return Block(
        np.asarray(block.source_time, np.int64) if has_source else receive,
        receive,
        kind,
        value,
        np.asarray(block.quality, np.uint32),
        np.full(n, has_source, np.uint8),
        np.full(n, _NO_SERVER),
        np.zeros(n, np.uint8),
        (block.origin,),
    )


def part_of_news(block: Block, newest: int | None) -> tuple[Block, list[Row]]:
    """What of ``block`` (in order of time) cannot have been recorded before, and the rest as rows.

    The rest is not newer than ``newest`` [ns UTC], or several samples of one moment: they may be repetitions.
    """
    same = np.diff(block.time) == 0
    doubtful = np.zeros(len(block), bool)
    if same.any():
        doubtful[1:] |= same
        doubtful[:-1] |= same
    if newest is not None:
        doubtful |= block.time <= newest
    if not doubtful.any():
        return block, []
    return block.take(~doubtful), block.take(doubtful).rows()


def chunks_of(block: Block, seal_rows: int) -> list[Chunk]:
    """``block``, in order of time, as sealed chunks; what remains as a young one."""
    chunks = []
    for begin in range(0, len(block), seal_rows):
        part = block.take(slice(begin, begin + seal_rows))
        level = SEALED if len(part) == seal_rows else YOUNG
        blob = encode(part, level)
        chunks.append(Chunk(int(part.time[0]), int(part.time[-1]), len(part), int(part.receive.max()), blob))
    return chunks

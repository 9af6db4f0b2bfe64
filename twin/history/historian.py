"""The historian: samples from any thread, written in groups by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import WorkError
from twin.core.samples import Sample, SampleBlock, SignalKey
from twin.history.columns import Columns, downsample
from twin.history.incoming import SEAL_ROWS, sort_out
from twin.history.reader import SignalSummary
from twin.history.rows import unpack
from twin.history.store import Store

if TYPE_CHECKING:
    from twin.history.postgres import PostgresStore

QUEUE_SAMPLES = 200_000
GROUP_S = 0.1
"""Shortest time between two commits, so that a slow signal does not cost one commit a sample [s]."""
CALLER_WAITS_S = 0.05
"""Longest time that append() waits for room [s]."""
RETRY_S = 2.0
EXPIRE_S = 60.0


@dataclass
class HistoryLosses:
    """What did not reach the file, and what was in it already.

    Attributes:
        overflow: Samples dropped because the queue was full, by signal.
        repeated: Samples that had been recorded before (delivered twice); nothing is lost.
        expired: Samples deleted by retention.
        error: Why nothing can be written at the moment; empty when all is well.
        unusable: Samples left out because 64 bits cannot count their stamps, by signal.
    """

    overflow: dict[SignalKey, int] = field(default_factory=dict)
    repeated: int = 0
    expired: int = 0
    error: str = ""
    unusable: dict[SignalKey, int] = field(default_factory=dict)


def _open(path: Path | str, seal_rows: int) -> Store | PostgresStore:
    if str(path).startswith(("postgresql://", "postgres://")):
        from twin.history.postgres import PostgresStore

        return PostgresStore(str(path), seal_rows=seal_rows)
    return Store(Path(path), seal_rows=seal_rows)


class Historian:
    """Records samples in one file and answers questions about them.

    Samples are keyed by their source time, else by their receive time, may arrive late and in any order, and count once
    however often they are delivered. Readers see what has been committed, at most ``GROUP_S`` after append(); flush()
    commits at once. A full disk stops recording, which losses() and the log say, and not the caller.

    Args:
        path: The history file, made where absent, or ``postgresql://...`` (with the extra ``postgres``).
        max_age_s: Samples received longer ago are deleted [s].
        keep: Ages [s] for classes of signals, by a pattern of ``PRIM:NAME`` with ``*``; the first that fits counts, and
            ``max_age_s`` for those that fit none.
        max_bytes: Oldest samples are deleted so that the file stays below this [bytes].
        queue_samples: How many samples may wait for the writer.
        seal_rows: Samples of one signal that make a compressed chunk.

    Raises:
        InputError: The file cannot be used.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_age_s: float | None = None,
        max_bytes: int | None = None,
        keep: Mapping[str, float] | None = None,
        queue_samples: int = QUEUE_SAMPLES,
        seal_rows: int = SEAL_ROWS,
    ) -> None:
        self._store = _open(path, seal_rows)
        self._max_age_s, self._max_bytes, self._keep = max_age_s, max_bytes, dict(keep or {})
        self._capacity = queue_samples
        self._changed = threading.Condition()
        self._waiting: list[Sample] = []
        self._blocks: list[SampleBlock] = []
        self._blocked = 0  # samples in them
        self._units: dict[SignalKey, str] = {}
        self._accepted = self._committed = 0
        self._flush_wanted = self._closing = False
        self._overflow: Counter[SignalKey] = Counter()
        self._unusable: Counter[SignalKey] = Counter()
        self._repeated = self._expired = self._written = 0
        self._error = ""
        self._log = log.get("history")
        self._thread = threading.Thread(target=self._write_loop, name="twin-history", daemon=True)
        self._thread.start()

    # ---- any thread

    def append(self, samples: list[Sample]) -> int:
        """Take ``samples`` for writing; returns how many found room, the others are counted in losses()."""
        with self._changed:
            room = self._room_for(len(samples))
            self._waiting.extend(samples if len(samples) <= room else samples[:room])
            self._accept(min(len(samples), room))
            if len(samples) > room:
                self._count_lost(s.key for s in samples[room:])
        return min(len(samples), room)

    def append_block(self, block: SampleBlock) -> int:
        """As append(), for numbers that are columns already: no Python object is made for a sample on the way to the disk."""
        with self._changed:
            room = self._room_for(len(block))
            if room > 0:
                self._blocks.append(block if len(block) <= room else block[:room])
                self._blocked += min(len(block), room)
            self._accept(min(len(block), room))
            if len(block) > room:
                self._count_lost(block.keys[i] for i in block.signal[room:].tolist())
        return min(len(block), room)

    def _room_for(self, count: int) -> int:
        """Samples that may be added, after a short wait where there is little room for ``count``."""
        if self._queued() + count > self._capacity and not self._closing:
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._queued() + count <= self._capacity, CALLER_WAITS_S)
        return 0 if self._closing else max(self._capacity - self._queued(), 0)

    def _queued(self) -> int:
        return len(self._waiting) + self._blocked

    def _accept(self, count: int) -> None:
        before = self._queued() - count
        self._accepted += count
        # the writer is waiting for the first one, or for so many; waking it up for each would cost more than the rest
        if before == 0 or before < self._capacity // 2 <= before + count:
            self._changed.notify_all()

    def _count_lost(self, keys: Iterable[SignalKey]) -> None:
        lost = Counter(keys)
        if not self._overflow:
            reason = "history is closed" if self._closing else "history cannot keep up"
            self._log.error(f"{reason}, samples are lost", first=str(next(iter(lost))))
        self._overflow.update(lost)

    def declare(self, key: SignalKey, unit: str) -> None:
        """Remember the UCUM ``unit`` that values of ``key`` are recorded in."""
        with self._changed:
            self._units[key] = unit
            self._accepted += 1
            self._changed.notify_all()

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until all that was appended before is committed to disk.

        Raises:
            WorkError: It could not be written in time.
        """
        with self._changed:
            wanted = self._accepted
            self._flush_wanted = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._committed >= wanted, timeout_s):
                reason = self._error or f"still writing after {timeout_s:g} s"
                raise WorkError(f"history is not written: {reason}", file=self._store.path)

    def losses(self) -> HistoryLosses:
        with self._changed:
            return HistoryLosses(dict(self._overflow), self._repeated, self._expired, self._error, dict(self._unusable))

    def written(self) -> int:
        """Samples that this process has committed."""
        with self._changed:
            return self._written

    def used_bytes(self) -> int:
        """Size of the file without what is free to be used again, as of the last commit [bytes]."""
        return self._store.reader.used_bytes()

    def latest_at(self, key: SignalKey, t_ns: int) -> Sample | None:
        """The last sample of ``key`` at or before ``t_ns`` [ns UTC], None where there is none."""
        row = self._store.reader.read_latest(key, t_ns)
        return None if row is None else unpack(key, row)

    def range(self, key: SignalKey, t0_ns: int, t1_ns: int, points: int | None = None) -> Columns:
        """Samples of ``key`` with ``t0_ns <= time <= t1_ns`` [ns UTC], thinned for a chart ``points`` wide where given."""
        columns = self._store.reader.read_columns(key, t0_ns, t1_ns)
        return columns if points is None else downsample(columns, points)

    def samples(self, key: SignalKey, t0_ns: int, t1_ns: int) -> list[Sample]:
        """As range(), whole samples with all their times and their origin: what a replay needs."""
        return [unpack(key, row) for row in self._store.reader.read(key, t0_ns, t1_ns)]

    def signals(self) -> list[SignalSummary]:
        """(prim, name, first_ns, last_ns, count) of everything recorded."""
        return self._store.reader.summaries()

    def units(self) -> dict[SignalKey, str]:
        """UCUM units by signal, as far as declared."""
        return self._store.reader.units()

    def close(self) -> None:
        """Write what is waiting and close the file. A second call does nothing.

        Raises:
            WorkError: Not everything could be written.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join(30.0)
        if self._thread.is_alive():
            raise WorkError("the history file does not take what is waiting", file=self._store.path)
        self._store.close()
        if self._queued():
            raise WorkError(f"{self._queued()} samples are not written: {self._error}", file=self._store.path)

    # ---- writer thread

    def _write_loop(self) -> None:
        next_expiry = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(self._something_to_do, max(next_expiry - time.monotonic(), 0.0))
                self._changed.wait_for(lambda: self._closing or self._flush_wanted or self._half_full(), GROUP_S)
                samples, blocks, units = self._waiting, self._blocks, self._units
                self._waiting, self._blocks, self._blocked, self._units = [], [], 0, {}
                self._flush_wanted = False
                upto, closing = self._accepted, self._closing
            written = self._write(samples, blocks, units, upto)
            if written and time.monotonic() >= next_expiry:
                next_expiry = time.monotonic() + EXPIRE_S
                self._expire()
            if closing:
                with self._changed:
                    if not self._queued() or not written:
                        return
            elif not written:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, RETRY_S)

    def _something_to_do(self) -> bool:
        return bool(self._queued() or self._units or self._closing or self._flush_wanted)

    def _half_full(self) -> bool:
        return self._queued() >= self._capacity // 2

    def _write(self, samples: list[Sample], blocks: list[SampleBlock], units: dict[SignalKey, str], upto: int) -> bool:
        """Commit all that was accepted up to ``upto``; on failure it waits again for the next try."""
        arrivals = sort_out(samples, blocks)
        if arrivals.unusable:
            self._log.error("samples with impossible stamps are left out", first=str(next(iter(arrivals.unusable))))
            with self._changed:
                self._unusable.update(arrivals.unusable)
        count = len(arrivals)
        try:
            repeated = self._store.write(arrivals, units) if count or units else 0
            error = ""
        except self._store.errors as failure:
            repeated = 0
            error = str(failure)
        with self._changed:
            if error:
                if not self._error:
                    self._log.error("history has stopped recording", file=str(self._store.path), reason=error)
                self._waiting[:0] = samples
                self._blocks[:0] = blocks
                self._blocked += sum(map(len, blocks))
                self._units = units | self._units
            else:
                if self._error:
                    self._log.info("history records again", file=str(self._store.path))
                self._committed = upto
                self._repeated += repeated
                self._written += count - repeated
            self._error = error
            self._changed.notify_all()
        return not error and self._tidy(self._store.seal_full_tails)

    def _expire(self) -> None:
        if self._max_age_s is None and self._max_bytes is None and not self._keep:
            return
        removed = 0

        def expire() -> None:
            nonlocal removed
            for age_s, keys in self._classes():
                removed += self._store.expire(received_before=now_ns() - int(age_s * 1e9), only=keys)
            removed += self._store.expire(max_bytes=self._max_bytes)

        if self._tidy(expire) and removed:
            with self._changed:
                self._expired += removed
            self._log.info("old history deleted", samples=removed)

    def _classes(self) -> list[tuple[float, list[SignalKey] | None]]:
        """Ages, and the signals that they hold for; None: all."""
        if not self._keep:
            return [] if self._max_age_s is None else [(self._max_age_s, None)]
        found: dict[float, list[SignalKey]] = {}
        for summary in self._store.reader.summaries():
            key = SignalKey(summary.prim, summary.name)
            age = next((a for pattern, a in self._keep.items() if fnmatchcase(str(key), pattern)), self._max_age_s)
            if age is not None:
                found.setdefault(age, []).append(key)
        return list(found.items())

    def _tidy(self, work: Callable[[], object]) -> bool:
        """Run ``work`` that may find the disk full; the samples stay where they are then."""
        try:
            work()
        except self._store.errors as failure:
            with self._changed:
                first, self._error = not self._error, str(failure)
            if first:
                self._log.error("history has stopped recording", file=str(self._store.path), reason=str(failure))
            return False
        return True

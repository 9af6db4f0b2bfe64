"""The historian alone: how fast it writes, how much room it needs, how soon it answers."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from bench.live.rows import T0, row
from twin.core.samples import GOOD, Sample, SampleBlock, SignalKey
from twin.history import Historian, Recording, export_parquet

SIGNALS = 50
SAMPLES = 2_000_000
"""50 signals at 10 Hz for an hour."""
STEP = 10**8
GROUP = 50_000
"""Samples between two commits."""
ONE_BY_ONE = 200_000
YEAR_SIGNALS = 1000
YEAR_GROUP = 200_000
YEAR_STEP = 600 * 10**9
"""A value every ten minutes [ns]."""
DAYS = 366
QUERIES = 200


def run(folder: Path) -> list[dict[str, Any]]:
    return [*_writing(folder), *_one_by_one(folder), *_year(folder), *_minutes(folder)]


def measured(signals: int, moments: np.ndarray, step: int, rng: np.random.Generator) -> SampleBlock:
    """A slow swing with the noise and the resolution of a real sensor; received 1 to 4 ms later, for each another delay."""
    n, s = np.repeat(moments, signals), np.tile(np.arange(signals, dtype=np.int32), len(moments))
    value = np.round(20.0 + s % 50 + 5.0 * np.sin(n / 500.0 + s) + rng.normal(0.0, 0.05, len(n)), 1)
    keys = [SignalKey(f"/World/Line/M{i}", "temperature") for i in range(signals)]
    time = T0 + n * step
    return SampleBlock(keys, s, value, np.full(len(n), GOOD, np.uint32), time, time + rng.integers(10**6, 4 * 10**6, len(n)))


def _write(history: Historian, signals: int, moments: int, step: int, group: int = GROUP) -> tuple[float, float]:
    """Processor time and wall time of writing, each group committed to disk [s]."""
    rng = np.random.default_rng(1)
    taken = wall = 0.0
    each = group // signals
    for first in range(0, moments, each):
        block = measured(signals, np.arange(first, min(first + each, moments)), step, rng)
        begin, at = time.process_time(), time.monotonic()
        history.append_block(block)
        history.flush(600.0)
        taken, wall = taken + time.process_time() - begin, wall + time.monotonic() - at
    return taken, wall


def _room(path: Path) -> tuple[int, float]:
    """Samples in sealed chunks, and bytes of each."""
    with closing(sqlite3.connect(path)) as file:
        sealed, size = file.execute("SELECT sum(count), sum(length(data)) FROM chunk WHERE count >= 4096").fetchone()
    return int(sealed), size / sealed


def _writing(folder: Path) -> list[dict[str, Any]]:
    path = folder / "big.db"
    history = Historian(path)
    moments = SAMPLES // SIGNALS
    taken, wall = _write(history, SIGNALS, moments, STEP)
    lost = sum(history.losses().overflow.values())
    keys = [SignalKey(f"/World/Line/M{i}", "temperature") for i in range(SIGNALS)]
    end, rng = T0 + moments * STEP, random.Random(1)
    queries = [(rng.choice(keys), rng.randrange(T0, end)) for _ in range(QUERIES)]
    latest = _median_ms([lambda k=k, t=t: history.latest_at(k, t) for k, t in queries])  # type: ignore[misc]
    minute = _median_ms([lambda k=k, t=t: history.range(k, t, t + 60 * 10**9, 500) for k, t in queries])  # type: ignore[misc]
    everything = _median_ms([lambda k=k: history.range(k, T0, end, 1000) for k in keys[:20]])  # type: ignore[misc]
    history.close()
    sealed, room = _room(path)
    recording = Recording(path)
    begin = time.process_time()
    exported = export_parquet(recording, folder / "big.parquet")
    exporting = time.process_time() - begin
    recording.close()
    note = f"columns of {SIGNALS} signals, {SAMPLES / 1e6:g} M samples, committed every {GROUP:,}; {lost} lost"
    return [
        row("history written, columns, a core-second", SAMPLES / taken, "1/s", note),
        row("history written, columns, wall time", SAMPLES / wall, "1/s", note),
        row("history, room in sealed chunks", room, "B/sample", f"{sealed:,} samples; resolution 0.1, noise 0.05, delays 1-4 ms"),
        row("history, room of the whole file", path.stat().st_size / SAMPLES, "B/sample", "with what is not sealed yet"),
        row("history, latest_at", latest, "ms", "median of 200, any signal at any time"),
        row("history, a minute for a chart", minute, "ms", "median of 200, 500 points"),
        row("history, everything of a signal for a chart", everything, "ms", f"{moments:,} samples to 1,000 points"),
        row("parquet export", exported / exporting, "1/s", f"{(folder / 'big.parquet').stat().st_size / exported:.1f} B/sample"),
    ]


def _one_by_one(folder: Path) -> list[dict[str, Any]]:
    history, taken = Historian(folder / "objects.db"), 0.0
    rng = np.random.default_rng(1)
    for first in range(0, ONE_BY_ONE // SIGNALS, 400):
        samples: list[Sample] = measured(SIGNALS, np.arange(first, first + 400), STEP, rng).samples()
        begin = time.process_time()
        history.append(samples)
        history.flush()
        taken += time.process_time() - begin
    history.close()
    return [
        row("history written, an object a sample", ONE_BY_ONE / taken, "1/s", "50 signals, committed every 20,000; a core-second")
    ]


def _year(folder: Path) -> list[dict[str, Any]]:
    """A year of many signals."""
    path, moments = folder / "year.db", DAYS * 86400 * 10**9 // YEAR_STEP
    history = Historian(path)
    taken, _ = _write(history, YEAR_SIGNALS, moments, YEAR_STEP, YEAR_GROUP)
    rng = random.Random(2)
    keys = [SignalKey(f"/World/Line/M{i}", "temperature") for i in range(YEAR_SIGNALS)]
    end = T0 + moments * YEAR_STEP
    queries = [(rng.choice(keys), rng.randrange(T0, end)) for _ in range(QUERIES)]
    latest = _median_ms([lambda k=k, t=t: history.latest_at(k, t) for k, t in queries])  # type: ignore[misc]
    year = _median_ms([lambda k=k: history.range(k, T0, end, 2000) for k, _ in queries[:50]])  # type: ignore[misc]
    begin = time.process_time()
    history.signals()
    listed = time.process_time() - begin
    history.close()
    count = moments * YEAR_SIGNALS
    note = f"year of {YEAR_SIGNALS:,} signals, a value every 10 min"
    return [
        row(f"{note}: written", count / taken, "1/s", f"{count / 1e6:.1f} M samples, a core-second"),
        row(f"{note}: room of the whole file", path.stat().st_size / count, "B/sample"),
        row(f"{note}: a signal for a chart", year, "ms", f"{moments:,} samples to 2,000 points, median of 50"),
        row(f"{note}: latest_at", latest, "ms", "median of 200"),
        row(f"{note}: all signals listed", listed * 1e3, "ms"),
    ]


def _minutes(folder: Path) -> list[dict[str, Any]]:
    """One signal with a value a minute over a year: what a chart of it costs."""
    history, minutes = Historian(folder / "minutes.db"), DAYS * 1440
    _write(history, 1, minutes, 60 * 10**9)
    key, end = SignalKey("/World/Line/M0", "temperature"), T0 + minutes * 60 * 10**9
    year = _median_ms([lambda: history.range(key, T0, end, 2000)] * 5)
    history.close()
    return [row("history, a year of minutes for a chart", year, "ms", f"{minutes:,} samples to 2,000 points, processor time")]


def _median_ms(calls: list[Callable[[], object]]) -> float:
    taken = []
    for call in calls:
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return sorted(taken)[len(taken) // 2] * 1e3

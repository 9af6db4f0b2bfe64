"""From a driver's readings to samples: units, deadband, staleness, gaps. One for each connection, all on one thread."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from twin.connectors.base import BAD_DECODING, BAD_WAITING_FOR_INITIAL_DATA, Reading, Recorder, Series, Value
from twin.connectors.mapping import Point
from twin.core import log
from twin.core.clock import now_ns
from twin.core.samples import (
    BAD_NO_COMMUNICATION,
    GOOD,
    UNCERTAIN_LAST_USABLE,
    Sample,
    SampleBlock,
    SignalKey,
    is_bad,
    is_good,
)

NAMED_LOSSES = 1000
"""So many places are counted by name; further ones together."""
OTHERS = "other places"
_EXACT = 2**53
"""Larger integers are no float64."""
CLOCK_PATIENCE_S = 10.0
"""When nothing but old stamps has come for so long, the source's clock was set back and they are the news [s]."""


class StateBoard:
    """The newest sample of each signal since the last look; older ones are conflated away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[SignalKey, Sample] = {}

    def put(self, sample: Sample) -> None:
        with self._lock:
            self._newest[sample.key] = sample

    def drain(self) -> dict[SignalKey, Sample]:
        with self._lock:
            newest, self._newest = self._newest, {}
        return newest


@dataclass
class _Tracked:
    """What is remembered of a signal.

    ``heard``: monotonic [s]. ``gap``: stamp [ns] of the last sample that told of silence. ``newest``: newest source time [ns]
    on this connection, heard at ``newest_heard``.
    """

    point: Point
    heard: float
    value: Value = None
    quality: int = BAD_WAITING_FOR_INITIAL_DATA
    raw: Value = None
    reading: Reading | None = None
    delivered: Value = None
    ever: bool = False
    stale: bool = False
    gap: int | None = None
    newest: int | None = None
    newest_heard: float = 0.0

    def is_late(self, reading: Reading) -> bool:
        """Whether an older value comes after a newer one, as from a buffer; not so once a clock was set back."""
        now = time.monotonic()
        stamp = reading.source_time
        if stamp is None:
            return False
        if self.newest is not None and stamp < self.newest and now - self.newest_heard < CLOCK_PATIENCE_S:
            return True
        self.newest, self.newest_heard = stamp, now
        return False


@dataclass(frozen=True)
class SignalView:
    """One signal as ``dry-run`` shows it; ``age_s`` is the time since it was last heard of."""

    key: SignalKey
    source: str
    raw: Value
    raw_unit: str
    value: Value
    unit: str
    quality: int
    source_time: int | None
    age_s: float | None
    stale: bool
    connection: str = ""
    writable: bool = False


class Intake:
    """The sink of one connection.

    Every sample that is made goes to the recorder (lossless) and to the board (newest wins).
    """

    def __init__(
        self, connection: str, origin: str, points: Iterable[Point], board: StateBoard, recorder: Recorder | None
    ) -> None:
        self._connection, self._origin = connection, origin
        self._board, self._recorder = board, recorder
        self._points = tuple(points)
        self._log = log.get("connectors")
        self._tracked: dict[SignalKey, _Tracked] = {}
        self._silent = False
        self._rate_mark = (time.monotonic(), 0)
        self._names: dict[SignalKey, SignalKey] = {}
        """Signals whose prims have been renamed: key by what the mapping calls them."""
        self.losses: Counter[tuple[str, str]] = Counter()
        """(reason, where) -> how many."""
        self.received = 0
        self.late = 0
        """Samples that came after a newer one of their signal: in history, and not the state."""
        self.connected_once = False
        self.rate = 0.0
        for point in self._points:
            if not point.is_template:
                self._track(point, point.target)

    # ---- the sink

    def connected(self) -> None:
        self.connected_once = True
        self._silent = False
        now = time.monotonic()
        for tracked in self._tracked.values():
            tracked.heard = now
            tracked.stale = False
            tracked.newest = None

    def offer(self, batch: Iterable[Reading]) -> None:
        samples: list[Sample] = []
        late: list[Sample] = []
        for reading in batch:
            self.received += 1
            accepted, is_late = self._accept(reading)
            (late if is_late else samples).extend(accepted)
        self._deliver(samples)
        if late:
            self.late += len(late)
            if self._recorder is not None:
                self._recorder.append(late)

    def offer_series(self, series: Series) -> None:
        if not self._take_series(series):
            self.offer(series.readings())

    def reject(self, reason: str, where: str, count: int = 1) -> None:
        place = (reason, where)
        if place not in self.losses:
            if len(self.losses) >= NAMED_LOSSES:
                place = (reason, OTHERS)
            self._log.warning("values are lost", connection=self._connection, reason=reason, where=where)
        self.losses[place] += count

    # ---- the supervisor

    def moved(self, now: Callable[[str], str]) -> None:
        """Prims have other paths now: their signals are delivered there from now on."""
        first = {key: origin for origin, key in self._names.items()}
        tracked = {}
        for key, each in self._tracked.items():
            new = key.moved(now)
            if new != key:
                self._names[first.get(key, key)] = new
                if self._recorder is not None and each.point.unit:
                    self._recorder.declare(new, each.point.unit)
            tracked[new] = each
        self._tracked = tracked

    def silence(self) -> None:
        """The connection is gone: every signal gets one sample that says so."""
        if self._silent:
            return
        self._silent = True
        now = now_ns()
        samples = []
        for key, tracked in self._tracked.items():
            tracked.quality, tracked.stale, tracked.gap = BAD_NO_COMMUNICATION, False, now
            samples.append(Sample(key, None, BAD_NO_COMMUNICATION, None, None, now, self._origin))
        self._deliver(samples)

    def tick(self) -> None:
        """Mark what has been silent for too long, and measure the rate."""
        now, stamp = time.monotonic(), now_ns()
        begin, count = self._rate_mark
        if now - begin >= 1.0:
            self.rate = (self.received - count) / (now - begin)
            self._rate_mark = (now, self.received)
        if self._silent or not self.connected_once:
            return
        samples = []
        for key, tracked in self._tracked.items():
            limit = tracked.point.stale_s
            if limit is None or tracked.stale or now - tracked.heard <= limit:
                continue
            tracked.stale, tracked.gap = True, stamp
            if tracked.ever and not is_bad(tracked.quality):
                tracked.quality = UNCERTAIN_LAST_USABLE
                samples.append(Sample(key, tracked.value, UNCERTAIN_LAST_USABLE, None, None, stamp, self._origin))
            elif not tracked.ever:
                samples.append(Sample(key, None, BAD_WAITING_FOR_INITIAL_DATA, None, None, stamp, self._origin))
        self._deliver(samples)

    def good(self) -> int:
        """Signals whose newest value is good and fresh."""
        return sum(is_good(t.quality) and not t.stale for t in list(self._tracked.values()))

    def stale(self) -> int:
        return sum(t.stale for t in list(self._tracked.values()))

    def signals(self) -> int:
        return len(self._tracked)

    def lag(self) -> float | None:
        """How long the newest values took from their source to here, by both clocks, the longest [s]; None: no time is told."""
        if self._origin == "replay":
            return None
        newest = [t.reading for t in list(self._tracked.values()) if t.reading is not None and not t.stale]
        lags = [(r.receive_time - r.source_time) / 1e9 for r in newest if r.source_time is not None]
        return round(max(lags), 3) if lags else None

    def targets(self) -> set[SignalKey]:
        return set(self._tracked)

    def point_of(self, key: SignalKey) -> Point | None:
        tracked = self._tracked.get(key)
        return None if tracked is None else tracked.point

    def view(self) -> list[SignalView]:
        """All signals, for a person to look at."""
        now = time.monotonic()
        return [
            SignalView(
                key,
                str(t.point.source),
                t.raw,
                t.point.raw_unit,
                t.value,
                t.point.unit,
                t.quality,
                None if t.reading is None else t.reading.source_time,
                now - t.heard if t.ever else None,
                t.stale,
                self._connection,
                t.point.write is not None,
            )
            for key, t in list(self._tracked.items())
        ]

    # ---- inside

    def _track(self, point: Point, key: SignalKey) -> _Tracked:
        if self._recorder is not None and point.unit:
            self._recorder.declare(key, point.unit)
        tracked = self._tracked[key] = _Tracked(point, time.monotonic())
        return tracked

    def _key(self, point: Point, captures: tuple[str, ...]) -> SignalKey:
        key = point.key(captures)
        return self._names.get(key, key) if self._names else key

    def _accept(self, reading: Reading) -> tuple[list[Sample], bool]:
        """The samples of a reading, and whether they are late."""
        point = reading.point
        key = self._key(point, reading.captures)
        tracked = self._tracked.get(key) or self._track(point, key)
        late = reading.historical
        if not late:
            tracked.heard, tracked.ever, tracked.stale = time.monotonic(), True, False
            late = tracked.is_late(reading)
        if not late:
            tracked.raw, tracked.reading = reading.value, reading
        value, quality = reading.value, reading.quality
        if value is not None and point.numeric:
            number = _number(value)
            if number is None:
                self.reject("not a number", str(point))
                value, quality = None, BAD_DECODING
            elif not point.convert.is_identity:
                value = point.convert.to(number)
            else:
                value = number
        if late:
            times = reading.source_time, reading.server_time, reading.receive_time
            return [Sample(key, value, quality, *times, self._origin)], True
        if self._within_deadband(tracked, value, quality):
            return [], False
        tracked.value, tracked.quality, tracked.delivered = value, quality, value
        sample = Sample(key, value, quality, reading.source_time, reading.server_time, reading.receive_time, self._origin)
        samples = [sample]
        if tracked.gap is not None:
            if sample.time <= tracked.gap and not is_bad(quality):
                # A server tells an unchanged value with its old stamp. History is in order of that stamp, so without a
                # second sample at the time of receipt the gap would seem to go on.
                samples.append(Sample(key, value, quality, None, reading.server_time, reading.receive_time, self._origin))
            tracked.gap = None
        return samples, False

    def _take_series(self, series: Series) -> bool:
        """Deliver a series as columns; False where its values have to be looked at one by one."""
        point, n = series.point, len(series.values)
        key = self._key(point, series.captures)
        tracked = self._tracked.get(key) or self._track(point, key)
        if not n or point.deadband > 0.0 or tracked.gap is not None:
            return False
        try:
            value = np.array(series.values, np.float64)
        except OverflowError:
            return False
        if not np.isfinite(value).all() or (np.abs(value) >= _EXACT).any():
            return False
        times = series.source_time
        if times is not None:
            if (np.diff(times) < 0).any() or (tracked.newest is not None and times[0] < tracked.newest):
                return False
            tracked.newest, tracked.newest_heard = int(times[-1]), time.monotonic()
        whole = None
        if not point.convert.is_identity:
            value = value * point.convert.scale + point.convert.offset
        elif int in (kinds := set(map(type, series.values))):
            whole = np.full(n, True) if len(kinds) == 1 else np.array([type(v) is int for v in series.values])
        self.received += n
        last = value[-1].item() if whole is None or not whole[-1] else int(value[-1])
        stamp = None if times is None else int(times[-1])
        tracked.heard, tracked.ever, tracked.stale = time.monotonic(), True, False
        tracked.raw = series.values[-1]
        tracked.reading = Reading(point, tracked.raw, GOOD, stamp, None, series.receive_time, series.captures)
        tracked.value, tracked.quality, tracked.delivered = last, GOOD, last
        self._board.put(Sample(key, last, GOOD, stamp, None, series.receive_time, self._origin))
        if self._recorder is not None:
            block = SampleBlock.of(key, value, times, series.receive_time, whole=whole, origin=self._origin)
            self._recorder.append_block(block)
        return True

    @staticmethod
    def _within_deadband(tracked: _Tracked, value: Value, quality: int) -> bool:
        limit = tracked.point.deadband
        if limit <= 0.0 or quality != tracked.quality or tracked.gap is not None:
            return False
        old = tracked.delivered
        return isinstance(value, (int, float)) and isinstance(old, (int, float)) and abs(value - old) < limit

    def _deliver(self, samples: list[Sample]) -> None:
        if not samples:
            return
        for sample in samples:
            self._board.put(sample)
        if self._recorder is not None:
            self._recorder.append(samples)


def _number(value: Value) -> float | int | None:
    """A finite number, also from text; None where it is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool):
        return int(value)
    if value is None or not math.isfinite(value):
        return None
    return value

"""Where plant and simulation disagree: for each signal that has both values, the residual, how unusual it is, and an alarm.

The score is the modified z-score of ``twin.live.residual``, learned from the last ``MEMORY`` residuals, one a second. What has
been learned outlives the process (``twin.live.learned``).

Counters (role ``count``) of plant and simulation began at different moments, and begin anew: with a shift, a reset, a restart.
Their residual is compared from where it stood before one of them did, so that beginning anew is no disagreement.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from twin.core.samples import Sample, SignalKey, is_bad
from twin.live.residual import MAD_TO_SIGMA, THRESHOLD

MEMORY = 600
FEWEST = 30
"""No score before so many residuals."""
EVERY_NS = 1_000_000_000
HOLD_S = 10.0
"""How long a residual must be unusual to be an alarm [s]."""
WHOLE_SIGMA = 1.0 / math.sqrt(12.0)
"""Standard deviation of a rounding error when the step is 1."""


@dataclass
class Disagreement:
    """One signal. Times in ns UTC; ``score`` is None while nothing is known; ``alarm_since_ns`` is 0 without an alarm.

    ``mean`` and ``rms`` of the residuals that are remembered [unit of the signal].
    """

    key: SignalKey
    plant: float
    simulated: float
    residual: float
    mean: float
    rms: float
    score: float | None
    alarm_since_ns: int


@dataclass(frozen=True)
class PastAlarm:
    """A stretch in which a signal disagreed; ``end_ns`` is 0 while it lasts; ``worst`` is the largest score."""

    key: SignalKey
    begin_ns: int
    end_ns: int
    worst: float


@dataclass(frozen=True)
class Learned:
    """What has been learned of one signal.

    Attributes:
        residuals: [at most ``MEMORY``] the newest ones, oldest first [``unit``].
        whole: Only whole numbers have been seen. alarm_since: Begin of the alarm that lasts [ns UTC], 0 without one.
        worst: Largest score in that alarm.
    """

    key: SignalKey
    unit: str
    residuals: np.ndarray
    whole: bool
    alarm_since: int
    worst: float


@dataclass
class _Pair:
    plant: float = math.nan
    plant_bad: bool = False
    simulated: float = math.nan
    unit: str = ""
    counts: bool = False
    anew: bool = False
    """A counter began anew since the last residual."""
    residuals: deque[float] = field(default_factory=lambda: deque(maxlen=MEMORY))
    next_ns: int = 0
    score: float | None = None
    unusual_since: int = 0
    alarm_since: int = 0
    told: bool = False
    worst: float = 0.0
    whole: bool = True


class Residuals:
    """Pairs of values; written by the owner thread, read by any."""

    def __init__(self, *, hold_s: float = HOLD_S, threshold: float = THRESHOLD) -> None:
        self._hold_ns, self._threshold = round(hold_s * 1e9), threshold
        self._lock = threading.Lock()
        self._pairs: dict[SignalKey, _Pair] = {}
        self.tell: Callable[[PastAlarm], None] = lambda alarm: None
        """Told of an alarm when it begins and when it has ended, and, of one that was recalled, that it lasts."""

    def learned(self) -> list[Learned]:
        """What has been learned of each signal that has both values."""
        with self._lock:
            pairs = [(key, pair) for key, pair in self._pairs.items() if pair.residuals]
        found = []
        for key, p in pairs:  # the lock is not held for long: the twin waits for it
            with self._lock:
                found.append(Learned(key, p.unit, np.array(p.residuals), p.whole, p.alarm_since, p.worst))
        return found

    def recall(self, learned: Iterable[Learned]) -> None:
        """Go on from what was learned before, however long ago: what is usual changes with the residuals that come."""
        with self._lock:
            for one in learned:
                since = one.alarm_since
                pair = _Pair(unit=one.unit, whole=one.whole, unusual_since=since, alarm_since=since, worst=one.worst, anew=True)
                pair.residuals.extend(one.residuals.tolist())
                self._pairs[one.key] = pair

    def moved(self, new: Mapping[SignalKey, SignalKey]) -> None:
        """Signals have other keys now: what was learned of them counts on."""
        with self._lock:
            pairs = {key: self._pairs.pop(key) for key in new if key in self._pairs}
            self._pairs |= {new[key]: pair for key, pair in pairs.items()}

    def plant(self, sample: Sample) -> None:
        """A value of the plant."""
        number = _number(sample.value)
        with self._lock:
            pair = self._pairs.setdefault(sample.key, _Pair())
            pair.plant_bad = number is None or is_bad(sample.quality)
            if number is not None:
                pair.anew |= number < pair.plant
                pair.plant = number

    def simulated(
        self, key: SignalKey, value: float | int | bool | str, now_ns: int, *, unit: str = "", counts: bool = False
    ) -> None:
        """What the simulation has at the same time. ``counts``: It is a counter. In another ``unit`` all is learned anew."""
        number = _number(value)
        if number is None:
            return
        with self._lock:
            pair = self._pairs.setdefault(key, _Pair())
            pair.anew |= number < pair.simulated
            pair.simulated, pair.counts = number, counts
            if unit != pair.unit:
                pair.unit, pair.score, pair.unusual_since, pair.worst, pair.whole = unit, None, 0, 0.0, True
                pair.residuals.clear()
            if pair.plant_bad or math.isnan(pair.plant) or now_ns < pair.next_ns:
                return
            pair.next_ns = now_ns + EVERY_NS
            pair.whole = pair.whole and pair.plant.is_integer() and number.is_integer()
            self._judge(key, pair, pair.plant - number, now_ns)

    def _judge(self, key: SignalKey, pair: _Pair, residual: float, now_ns: int) -> None:
        """Against what was there before: a residual does not judge itself."""
        if pair.counts and pair.anew and pair.residuals:
            jump = residual - pair.residuals[-1]
            pair.residuals = deque((r + jump for r in pair.residuals), maxlen=MEMORY)
        pair.anew = False
        if len(pair.residuals) >= FEWEST:
            known = np.array(pair.residuals)
            median = float(np.median(known))
            sigma = MAD_TO_SIGMA * float(np.median(np.abs(known - median)))
            # where it has hardly ever moved, the resolution of the values is all that can be believed: the deviation of what is
            # rounded to whole numbers (counts, states), a thousandth of anything else
            sigma = max(sigma, WHOLE_SIGMA if pair.whole else 1e-3 * max(abs(pair.plant), abs(median), 1e-6))
            pair.score = abs(residual - median) / sigma
        unusual = pair.score is not None and pair.score > self._threshold
        if not unusual:
            if pair.alarm_since:
                self.tell(PastAlarm(key, pair.alarm_since, now_ns, pair.worst))
            pair.unusual_since = pair.alarm_since = 0
            pair.told, pair.worst = False, 0.0
            pair.residuals.append(residual)
            return
        pair.worst = max(pair.worst, pair.score or 0.0)
        pair.unusual_since = pair.unusual_since or now_ns
        if now_ns - pair.unusual_since >= self._hold_ns and not pair.told:
            pair.alarm_since, pair.told = pair.unusual_since, True
            self.tell(PastAlarm(key, pair.alarm_since, 0, pair.worst))
        # what is unusual is learned too, or a change of operation would be an alarm for ever
        pair.residuals.append(residual)

    def rows(self) -> list[Disagreement]:
        """Signals with both values, the least usual first."""
        with self._lock:
            pairs = [(k, p) for k, p in self._pairs.items() if not (math.isnan(p.plant) or math.isnan(p.simulated))]
            rows = []
            for key, p in pairs:
                known = np.array(p.residuals or [p.plant - p.simulated])
                rms = float(np.sqrt(np.mean(known**2)))
                row = (p.plant, p.simulated, p.plant - p.simulated, float(known.mean()), rms, p.score, p.alarm_since)
                rows.append(Disagreement(key, *row))
        return sorted(rows, key=lambda r: (-(r.score if r.score is not None else -1.0), str(r.key)))


def _number(value: object) -> float | None:
    if isinstance(value, (bool, int, float)) and math.isfinite(value):
        return float(value)
    return None

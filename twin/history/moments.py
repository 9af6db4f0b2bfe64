"""Questions about moments: what held at one, what differs between two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from twin.core.samples import Sample, SignalKey
from twin.history.reader import SignalSummary


class Latest(Protocol):
    """What is asked of a history."""

    def latest_at(self, key: SignalKey, t_ns: int) -> Sample | None: ...

    def signals(self) -> list[SignalSummary]: ...


@dataclass(frozen=True)
class Change:
    """One signal at two moments; None where nothing had been recorded yet. ``difference`` of numbers, else None."""

    key: SignalKey
    before: Sample | None
    after: Sample | None
    difference: float | None


def state_at(history: Latest, t_ns: int) -> dict[SignalKey, Sample]:
    """The last sample of every signal at or before ``t_ns`` [ns UTC]."""
    keys = [SignalKey(s.prim, s.name) for s in history.signals() if s.first_ns <= t_ns]
    found = ((key, history.latest_at(key, t_ns)) for key in keys)
    return {key: sample for key, sample in found if sample is not None}


def diff(history: Latest, t0_ns: int, t1_ns: int) -> list[Change]:
    """Signals whose value or quality at ``t1_ns`` is another than at ``t0_ns`` [ns UTC], by name."""
    before, after = state_at(history, t0_ns), state_at(history, t1_ns)
    changes = []
    for key in sorted(before.keys() | after.keys(), key=str):
        a, b = before.get(key), after.get(key)
        if a is not None and b is not None and _same(a.value, b.value) and a.quality == b.quality:
            continue
        changes.append(Change(key, a, b, _difference(a, b)))
    return changes


def _same(a: object, b: object) -> bool:
    both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return both_nan or (a == b and type(a) is type(b))


def _difference(a: Sample | None, b: Sample | None) -> float | None:
    if a is None or b is None or isinstance(a.value, (bool, str)) or isinstance(b.value, (bool, str)):
        return None
    return None if a.value is None or b.value is None else b.value - a.value

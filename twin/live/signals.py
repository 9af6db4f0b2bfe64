"""Newest value of every signal: from a plant where one is connected, else from the simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twin.core.clock import now_ns
from twin.core.samples import GOOD, Sample, SignalKey
from twin.live.disagreement import Residuals
from twin.model.factory import FactoryModel
from twin.protocol.messages import SignalBatch, SignalValue


class SignalBoard:
    """State of all signals, and what changed since the last look.

    A signal that a connection has ever written belongs to it: the simulation no longer writes it.
    """

    def __init__(self) -> None:
        self._latest: dict[SignalKey, Sample] = {}
        self._driven: set[SignalKey] = set()
        self._changed: set[SignalKey] = set()
        self.residuals = Residuals()

    @property
    def latest(self) -> dict[SignalKey, Sample]:
        return self._latest

    def driven(self, key: SignalKey) -> bool:
        """True if a connection writes it."""
        return key in self._driven

    def moved(self, now: Callable[[str], str]) -> None:
        """Prims have other paths now: what their signals said last is theirs still, and whoever wrote them goes on."""
        new = {key: moved for key in self._latest if (moved := key.moved(now)) != key}
        samples = {key: self._latest.pop(key) for key in new}
        driven = self._driven & new.keys()
        self._latest |= {new[key]: replace(sample, key=new[key]) for key, sample in samples.items()}
        self._driven = self._driven - driven | {new[key] for key in driven}
        self._changed = self._changed - new.keys() | set(new.values())
        self.residuals.moved(new)

    def from_plant(self, samples: dict[SignalKey, Sample]) -> None:
        for key, sample in samples.items():
            self._driven.add(key)
            self._latest[key] = sample
            self._changed.add(key)
            self.residuals.plant(sample)

    def from_simulation(self, model: FactoryModel, values: dict[int, float | int | bool]) -> list[Sample]:
        """Take simulated values; returns the samples of those that changed, for recording."""
        now = now_ns()
        changed = []
        for index, value in values.items():
            signal = model.signals[index]
            key = SignalKey(signal.prim, signal.name)
            if key in self._driven:
                self.residuals.simulated(key, value, now, unit=signal.unit, counts=signal.role == "count")
                continue
            before = self._latest.get(key)
            if before is not None and before.value == value:
                continue
            sample = Sample(key, value, GOOD, now, None, now, "simulated")
            self._latest[key] = sample
            self._changed.add(key)
            changed.append(sample)
        return changed

    def batch(self, *, everything: bool = False) -> SignalBatch | None:
        """What changed since the last call (or all), None when nothing did."""
        keys = set(self._latest) if everything else self._changed
        if not keys:
            return None
        values = [_wire(self._latest[key]) for key in sorted(keys, key=str)]
        if not everything:
            self._changed = set()
        return SignalBatch(values)


def _wire(sample: Sample) -> SignalValue:
    return SignalValue(sample.key.prim, sample.key.name, sample.value, sample.quality, sample.time, sample.origin)

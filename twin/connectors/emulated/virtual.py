"""A plant made of a scene's signals: simulated values where the simulation has them, else a seeded wandering; with faults."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Mapping, Sequence

from twin.connectors.emulated.faults import Faults
from twin.core.clock import now_ns
from twin.core.samples import GOOD, Sample, SignalKey
from twin.model.factory import Signal

RETURN_S = 60.0
"""Time constant with which a wandering value returns to what the stage authors [s]."""
SPREAD = 0.01
"""Standard deviation of the wandering, as a share of the authored value."""
TELL_S = 1.0
"""A signal that does not change is told anew so often [s]."""


class VirtualPlant:
    """``state`` gives the newest emulated sample of each signal; for one caller at a time or many.

    Args:
        simulated: The simulation's newest samples. seed: Of what wanders.
    """

    def __init__(
        self, signals: Sequence[Signal], simulated: Callable[[], Mapping[SignalKey, Sample]], faults: Faults, *, seed: int = 1
    ) -> None:
        self._signals = {SignalKey(s.prim, s.name): s for s in signals}
        self._simulated, self._faults = simulated, faults
        self._random = random.Random(seed)
        self._offset = dict.fromkeys(self._signals, 0.0)
        self._raw: dict[SignalKey, Sample] = {}
        self._told: dict[SignalKey, Sample] = {}
        self._begin = self._last = now_ns()
        self._lock = threading.Lock()

    def state(self) -> dict[SignalKey, Sample]:
        with self._lock:
            return self._advance(now_ns())

    def _advance(self, now: int) -> dict[SignalKey, Sample]:
        dt, self._last = (now - self._last) / 1e9, now
        known = dict(self._simulated())
        for key, signal in self._signals.items():
            there = known.get(key)
            value = there.value if there is not None else self._wander(key, signal, dt)
            if value is None:
                continue
            before = self._raw.get(key)
            age = (now - before.receive_time) / 1e9 if before is not None else math.inf
            if before is not None and before.value == value and age < TELL_S:
                continue
            stamp = there.time if there is not None and age < TELL_S else now
            raw = self._raw[key] = Sample(key, value, GOOD, stamp, None, now, "emulated")
            self._told[key] = self._faults.apply(raw, (now - self._begin) / 1e9)
        return dict(self._told)

    def _wander(self, key: SignalKey, signal: Signal, dt: float) -> float | int | bool | str | None:
        """An Ornstein-Uhlenbeck process about a measurement's authored value; the others stand still."""
        value = signal.value
        if isinstance(value, (bool, str)) or value is None or signal.role != "measurement":
            return value
        sigma = SPREAD * max(abs(float(value)), 1.0)
        noise = self._random.gauss(0.0, sigma * math.sqrt(2.0 * min(dt, RETURN_S) / RETURN_S))
        self._offset[key] += -self._offset[key] * min(dt / RETURN_S, 1.0) + noise
        return round(float(value) + self._offset[key], 4)


def mapping_text(
    signals: Sequence[Signal], kind: str, address: str, source: Callable[[SignalKey], str], *, numbers: bool = False
) -> str:
    """A mapping file by which a twin reads the emulated plant, and calls it so. ``numbers``: what is none is a bad value."""
    lines = [
        "schema: twin.mapping/1",
        f'connections: [{{name: emulated-{kind}, driver: {kind}, address: "{address}", origin: emulated}}]',
        "signals:",
    ]
    for signal in signals:
        key = SignalKey(signal.prim, signal.name)
        name = signal.unit or ("1" if numbers else "")
        unit = f', unit: "{name}"' if name else ""
        target = f'target: {{prim: "{signal.prim}", signal: {signal.name}}}'
        lines.append(f"  - {{connection: emulated-{kind}, source: {source(key)}, {target}{unit}, interval: 2 s}}")
    return "\n".join(lines) + "\n"


def opcua_mapping(signals: Sequence[Signal], endpoint: str) -> str:
    """The mapping file of ``signals`` as twin.connectors.serve_opcua names them."""
    return mapping_text(signals, "opcua", endpoint, lambda k: f'{{node: "nsu=urn:twin:signals;s={k}"}}')

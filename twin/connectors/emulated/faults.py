"""Faults that are injected into emulated signals: what a twin must notice.

Written ``PRIM:NAME=KIND[@BEGIN][+DURATION][*SIZE]``, durations as ``30``, ``30s``, ``5min``: ``/World/Oven:t=drift@60+120*5``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from twin.core.clock import parse_duration
from twin.core.errors import InputError
from twin.core.samples import BAD_NO_COMMUNICATION, Sample, SignalKey

KINDS = {
    "stuck": "the value stays what it was when the fault began",
    "spike": "SIZE is added to every tenth value",
    "drift": "grows to SIZE over the duration",
    "offline": "no value, bad quality",
    "skew": "the source's clock is SIZE seconds off",
}
_SPEC = re.compile(r"^(?P<signal>/.+:[^=]+)=(?P<kind>[a-z]+)(?:@(?P<begin>[^+*]+))?(?:\+(?P<last>[^*]+))?(?:\*(?P<size>.+))?$")
SPIKE_EVERY = 10


@dataclass(frozen=True)
class Fault:
    """``begin_s`` after the start, for ``last_s`` (inf: to the end); ``size`` in the signal's unit, of a skew in seconds."""

    key: SignalKey
    kind: str
    begin_s: float = 0.0
    last_s: float = float("inf")
    size: float = 0.0

    def active(self, at_s: float) -> bool:
        return self.begin_s <= at_s < self.begin_s + self.last_s


def parse_fault(text: str) -> Fault:
    """A fault as it is written.

    Raises:
        InputError: It is none.
    """
    found = _SPEC.match(text)
    if found is None or found["kind"] not in KINDS:
        allowed = [f"PRIM:NAME={kind}[@BEGIN][+DURATION][*SIZE]" for kind in KINDS]
        raise InputError(f"{text!r} is no fault", attribute="--fault", allowed=allowed)
    try:
        size = float(found["size"]) if found["size"] else 0.0
    except ValueError:
        raise InputError(f"{found['size']!r} is no size", attribute="--fault") from None
    if found["kind"] in ("spike", "drift", "skew") and size == 0.0:
        raise InputError(f"a {found['kind']} needs a size: {text}*SIZE", attribute="--fault")
    begin = parse_duration(found["begin"], attribute="--fault") if found["begin"] else 0.0
    last = parse_duration(found["last"], attribute="--fault") if found["last"] else float("inf")
    if found["kind"] == "drift" and last == float("inf"):
        raise InputError("a drift needs a duration over which it grows", attribute="--fault")
    return Fault(SignalKey.parse(found["signal"]), found["kind"], begin, last, size)


class Faults:
    """Applies faults to samples, in the order in which they come. ``told`` counts what each one changed."""

    def __init__(self, faults: list[Fault]) -> None:
        self._by_key: dict[SignalKey, list[Fault]] = {}
        for fault in faults:
            self._by_key.setdefault(fault.key, []).append(fault)
        self._held: dict[Fault, Sample] = {}
        self._seen: dict[Fault, int] = {}
        self.told: dict[Fault, int] = dict.fromkeys(faults, 0)

    def keys(self) -> set[SignalKey]:
        return set(self._by_key)

    def apply(self, sample: Sample, at_s: float) -> Sample:
        """What is told instead of ``sample``, ``at_s`` seconds after the start."""
        for fault in self._by_key.get(sample.key, ()):
            if not fault.active(at_s):
                self._held.pop(fault, None)
                continue
            before = sample
            sample = self._one(fault, sample, at_s)
            self.told[fault] += sample != before
        return sample

    def _one(self, fault: Fault, sample: Sample, at_s: float) -> Sample:
        value = sample.value
        if fault.kind == "offline":
            return replace(sample, value=None, quality=BAD_NO_COMMUNICATION)
        if fault.kind == "stuck":
            return replace(sample, value=self._held.setdefault(fault, sample).value)
        if fault.kind == "skew":
            return replace(sample, source_time=sample.time + round(fault.size * 1e9))
        if isinstance(value, (bool, str)) or value is None:
            return sample
        if fault.kind == "drift":
            return replace(sample, value=value + fault.size * (at_s - fault.begin_s) / fault.last_s)
        self._seen[fault] = self._seen.get(fault, -1) + 1
        return replace(sample, value=value + fault.size) if self._seen[fault] % SPIKE_EVERY == 0 else sample

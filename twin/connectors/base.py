"""What a driver is: how it is told what to deliver, where it delivers to, and how it fails.

A driver serves one connection for one attempt: the supervisor makes a fresh one each time. It fails with ``Retryable``
or ``Fatal`` and nothing else; reconnecting, back-off, staleness and recording are not its business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from twin.connectors.mapping import Point, ResolvedConnection
from twin.core.errors import WorkError
from twin.core.samples import GOOD, Sample, SampleBlock, SignalKey

BAD_DECODING = 0x80070000
"""The payload could not be understood."""
BAD_NO_DATA = 0x809B0000
"""OPC UA status: the source says that it has no value, as NULL, UNAVAILABLE and is_null do."""
BAD_WAITING_FOR_INITIAL_DATA = 0x80320000
"""Connected, and nothing has ever come."""

Value = float | int | bool | str | None


class Retryable(WorkError):
    """The connection failed in a way that may pass: the supervisor tries again."""


class Fatal(WorkError):
    """The connection cannot work until a person changes something: the supervisor stops trying."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a driver delivers: one value as the protocol carried it, times in ns UTC.

    ``captures`` are the topic levels that wildcards matched, for targets with placeholders. ``historical``: the other side says
    that it is from before an interruption, so that it is recorded and never the state.
    """

    point: Point
    value: Value
    quality: int
    source_time: int | None
    server_time: int | None
    receive_time: int
    captures: tuple[str, ...] = ()
    historical: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Many good numbers of one signal that came together, in their order; ``source_time`` is int64 [n] ns UTC."""

    point: Point
    values: list[float | int]
    source_time: np.ndarray | None
    receive_time: int
    captures: tuple[str, ...] = ()

    def readings(self) -> list[Reading]:
        """The same, one by one."""
        times = [None] * len(self.values) if self.source_time is None else self.source_time.tolist()
        return [
            Reading(self.point, value, GOOD, time, None, self.receive_time, self.captures)
            for value, time in zip(self.values, times, strict=True)
        ]


class Sink(Protocol):
    """Where a driver delivers. No method waits and none raises."""

    def connected(self) -> None:
        """The connection stands and what was planned is subscribed."""

    def offer(self, batch: Iterable[Reading]) -> None:
        """Deliver readings in the order in which they came."""

    def offer_series(self, series: Series) -> None:
        """As offer(), for many values of a signal at once: at high rates an object a value costs too much."""

    def reject(self, reason: str, where: str, count: int = 1) -> None:
        """Count something that came and could not be delivered: ``where`` names its source."""


@dataclass(frozen=True)
class Plan:
    """What one connection is to deliver."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Found:
    """One thing that browse() found: ``source`` as a mapping would write it, ``sample`` its value now, as text.

    ``unit`` is UCUM, empty where the other side does not tell.
    """

    source: dict[str, Any]
    label: str
    type: str = ""
    sample: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Probe:
    """What probe() learned of the other side."""

    peer: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WriteRequest:
    """A raw value for the source of ``point``."""

    point: Point
    value: float | int | bool | str


@dataclass(frozen=True)
class WriteResult:
    """``quality`` of the write; ``read_back``: raw value read afterwards, None where the protocol cannot."""

    point: Point
    quality: int
    read_back: Value = None


class Driver(Protocol):
    """One connection, one attempt. All methods are cancelled by the supervisor when they take too long."""

    def __init__(self, connection: ResolvedConnection) -> None: ...

    async def probe(self) -> Probe:
        """Connect, ask who is there, leave."""
        ...

    async def browse(self, *, seconds: float) -> list[Found]:
        """Connect and list what could be mapped; ``seconds`` bounds listening where a protocol can only listen."""
        ...

    async def run(self, plan: Plan, sink: Sink) -> None:
        """Connect, subscribe, deliver; returns or raises when the connection is over, and cleans up when cancelled."""
        ...

    def subscribed(self) -> set[int]:
        """``Point.index`` of what is subscribed at this moment, while run() runs."""
        ...

    async def subscribe(self, points: Sequence[Point]) -> None:
        """Subscribe what is missing, while run() runs. A point that the other side refuses stays unsubscribed."""
        ...

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        """Write while run() runs, and read back where the protocol can."""
        ...


@runtime_checkable
class Receiver(Protocol):
    """A driver that is handed payloads by whoever receives them."""

    def push(self, channel: str, payload: bytes, secret: str | None) -> int:
        """Deliver one payload while run() runs; returns how many values were good. Raises Rejected."""
        ...


class Recorder(Protocol):
    """What the connectors need of the historian."""

    def append(self, samples: list[Sample]) -> Any: ...

    def append_block(self, block: SampleBlock) -> Any: ...

    def declare(self, key: SignalKey, unit: str) -> None: ...

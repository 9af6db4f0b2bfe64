"""Samples: one value of one signal at one time, with its quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

GOOD = 0x00000000
UNCERTAIN = 0x40000000
BAD = 0x80000000
BAD_NO_COMMUNICATION = 0x80310000
BAD_CONFIGURATION = 0x80890000
BAD_OUT_OF_RANGE = 0x803C0000
UNCERTAIN_LAST_USABLE = 0x40900000
"""OPC UA status codes (OPC 10000-4), the one vocabulary of quality in Twin."""


def is_good(quality: int) -> bool:
    return quality & 0xC0000000 == 0


def is_bad(quality: int) -> bool:
    return quality & 0x80000000 != 0


@dataclass(frozen=True, slots=True)
class SignalKey:
    """A signal of the factory: ``prim`` path and signal instance ``name``."""

    prim: str
    name: str

    def __str__(self) -> str:
        return f"{self.prim}:{self.name}"

    def moved(self, now: Callable[[str], str]) -> SignalKey:
        """The same signal where prims have other paths; ``now`` gives them."""
        return SignalKey(now(self.prim), self.name)

    @classmethod
    def parse(cls, text: str) -> SignalKey:
        prim, _, name = text.rpartition(":")
        return cls(prim, name)


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation.

    Attributes:
        key: Which signal.
        value: float, int, bool, str, or None where quality is bad and there is no value.
        quality: OPC UA status code, uint32.
        source_time: [ns UTC] when the device says it measured; None where the protocol carries none.
        server_time: [ns UTC] when the broker or server stamped it; None where there is none.
        receive_time: [ns UTC] when this process received it.
        origin: ``plant``, ``emulated``, ``simulated`` or ``replay``.
    """

    key: SignalKey
    value: float | int | bool | str | None
    quality: int
    source_time: int | None
    server_time: int | None
    receive_time: int
    origin: str = "plant"

    @property
    def time(self) -> int:
        """The time history is keyed by: source time, else receive time [ns UTC]."""
        return self.receive_time if self.source_time is None else self.source_time


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Numbers of one or many signals as columns, for rates at which an object a sample costs too much.

    Attributes:
        keys: The signals that occur.
        signal: [n] integer, which of ``keys``.
        value: [n] float64.
        whole: [n] bool, where the number was an integer; None: nowhere. Such values are below 2**53.
        quality: [n] uint32, OPC UA status codes.
        source_time: [n] int64, ns UTC; None where the protocol carries none.
        receive_time: [n] int64, ns UTC.
        origin: As of a Sample.
    """

    keys: Sequence[SignalKey]
    signal: np.ndarray
    value: np.ndarray
    quality: np.ndarray
    source_time: np.ndarray | None
    receive_time: np.ndarray
    whole: np.ndarray | None = None
    origin: str = "plant"

    @classmethod
    def of(
        cls,
        key: SignalKey,
        value: np.ndarray,
        source_time: np.ndarray | None,
        receive_time: int,
        *,
        whole: np.ndarray | None = None,
        quality: int = GOOD,
        origin: str = "plant",
    ) -> SampleBlock:
        """Values of one signal that came together, all of the same quality."""
        n = len(value)
        return cls(
            (key,),
            np.zeros(n, np.int32),
            value,
            np.full(n, quality, np.uint32),
            source_time,
            np.full(n, receive_time, np.int64),
            whole,
            origin,
        )

    def samples(self) -> list[Sample]:
        """The same as objects, in their order."""
        whole = [False] * len(self) if self.whole is None else self.whole.tolist()
        sources = [None] * len(self) if self.source_time is None else self.source_time.tolist()
        columns = (self.signal.tolist(), self.value.tolist(), whole, self.quality.tolist(), sources, self.receive_time.tolist())
        return [
            Sample(self.keys[i], int(value) if is_whole else value, quality, source, None, received, self.origin)
            for i, value, is_whole, quality, source, received in zip(*columns, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, part: slice) -> SampleBlock:
        return SampleBlock(
            self.keys,
            self.signal[part],
            self.value[part],
            self.quality[part],
            None if self.source_time is None else self.source_time[part],
            self.receive_time[part],
            None if self.whole is None else self.whole[part],
            self.origin,
        )

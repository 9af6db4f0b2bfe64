"""Samples: one value of one signal at one time, with its quality."""

from __future__ import annotations

from dataclasses import dataclass

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

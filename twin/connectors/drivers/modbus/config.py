"""What a mapping says about a Modbus connection and about a signal on it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twin.connectors.mapping import Seconds, Strict

WIDTH = {"int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4, "bool": 1}
"""Registers that a value of each type takes; a string says its own ``length``."""


class ModbusOptions(Strict):
    """Options of a connection.

    Attributes:
        poll: How often a signal without an ``interval`` is read. timeout: Longest wait for one answer.
        gap: Unused registers that may be read along to make two requests one. block: Most registers of a request.
        retry: Longest pause before a silent unit is asked again.
    """

    poll: Seconds = 1.0
    timeout: Seconds = 1.0
    gap: int = Field(8, ge=0, le=100)
    block: int = Field(120, ge=1, le=125)
    retry: Seconds = 30.0


class ModbusSource(Strict):
    """A signal's source.

    Attributes:
        unit: Unit identifier (slave address). table: ``holding`` (4x), ``input`` (3x), ``coil`` (0x), ``discrete`` (1x).
        address: As in the protocol, from 0: register 40001 is holding 0.
        type: How registers make a value; coils and discrete inputs are always bool.
        words: Which register of several comes first, ``big``: the most significant. bytes: The same inside a register.
        bit: This bit of a register, 0 the least significant. length: Registers of a string.
    """

    unit: int = Field(1, ge=0, le=255)
    table: Literal["holding", "input", "coil", "discrete"] = "holding"
    address: int = Field(ge=0, le=65535)
    type: Literal["int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64", "bool", "string"] = "uint16"
    words: Literal["big", "little"] = "big"
    bytes: Literal["big", "little"] = "big"
    bit: int | None = Field(None, ge=0, le=15)
    length: int = Field(0, ge=0, le=125)

    @model_validator(mode="after")
    def _fits(self) -> ModbusSource:
        if self.is_bits and (self.bit is not None or self.type not in ("uint16", "bool")):
            raise ValueError("coils and discrete inputs are single bits: no type, no bit")
        if (self.type == "string") != (self.length > 0):
            raise ValueError("a string, and only a string, has a length in registers")
        if self.bit is not None and self.type not in ("uint16", "bool"):
            raise ValueError("a bit is taken from one register: leave type away")
        if self.address + self.width > 65536:
            raise ValueError("reaches beyond the last register")
        return self

    @property
    def is_bits(self) -> bool:
        return self.table in ("coil", "discrete")

    @property
    def width(self) -> int:
        """Registers, or bits, that it takes."""
        return 1 if self.is_bits else self.length or WIDTH[self.type]

    def __str__(self) -> str:
        bit = "" if self.bit is None else f".{self.bit}"
        return f"unit {self.unit} {self.table} {self.address}{bit}"

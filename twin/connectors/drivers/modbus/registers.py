"""Registers to values and back, and which registers are read together."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from twin.connectors.base import Value
from twin.connectors.drivers.modbus.config import ModbusSource
from twin.connectors.mapping import Point

_FORMAT = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "float32": ">f",
    "int64": ">q",
    "uint64": ">Q",
    "float64": ">d",
}
MOST_BITS = 1900
"""Bits of a request; the protocol permits 2000."""


@dataclass(frozen=True)
class Block:
    """One request: ``count`` registers or bits of ``table`` from ``address``, for ``points``."""

    table: str
    address: int
    count: int
    points: tuple[Point, ...]


def plan_blocks(points: Sequence[Point], *, gap: int, most: int) -> list[Block]:
    """The fewest requests that read ``points`` of one unit, with at most ``gap`` unused registers between two of them."""
    blocks: list[Block] = []
    for point in sorted(points, key=lambda p: (p.source.table, p.source.address)):
        source = point.source
        end = source.address + source.width
        limit = MOST_BITS if source.is_bits else most
        last = blocks[-1] if blocks else None
        if last is not None and last.table == source.table:
            last_end = last.address + last.count
            joined_end = max(end, last_end)
            if source.address <= last_end + gap and joined_end - last.address <= max(limit, source.width):
                blocks[-1] = Block(last.table, last.address, joined_end - last.address, (*last.points, point))
                continue
        blocks.append(Block(source.table, source.address, source.width, (point,)))
    return blocks


def decode(source: ModbusSource, words: Sequence[int]) -> Value:
    """The value in ``words``, the registers of ``source`` alone.

    Raises:
        ValueError: Bytes that are no text.
    """
    if source.bit is not None:
        word = words[0] if source.bytes == "big" else _swapped(words[0])
        return bool(word >> source.bit & 1)
    if source.type == "bool":
        return words[0] != 0
    data = _to_bytes(source, words)
    if source.type == "string":
        return data.split(b"\0", 1)[0].decode("utf-8").rstrip()
    value: float | int = struct.unpack(_FORMAT[source.type], data)[0]
    return value


def encode(source: ModbusSource, value: Value) -> list[int]:
    """Registers that hold ``value``.

    Raises:
        ValueError: It does not fit the type.
    """
    try:
        if source.type == "string":
            data = str(value).encode("utf-8")
            if len(data) > 2 * source.length:
                raise ValueError(f"{len(data)} bytes do not fit {source.length} registers")
            data = data.ljust(2 * source.length, b"\0")
        elif source.type == "bool":
            data = struct.pack(">H", bool(value))
        else:
            number = float(value) if source.type.startswith("float") else round(float(value or 0))  # type: ignore[arg-type]
            if isinstance(value, int) and not source.type.startswith("float"):
                number = value  # whole, so that 64 bits keep their last digits
            data = struct.pack(_FORMAT[source.type], number)
    except (struct.error, TypeError, OverflowError) as error:
        raise ValueError(f"{value!r} is no {source.type}: {error}") from error
    words = [int.from_bytes(data[i : i + 2], source.bytes) for i in range(0, len(data), 2)]
    return words[::-1] if source.words == "little" and source.type != "string" else words


def _to_bytes(source: ModbusSource, words: Sequence[int]) -> bytes:
    ordered = reversed(words) if source.words == "little" and source.type != "string" else words
    return b"".join(word.to_bytes(2, source.bytes) for word in ordered)


def _swapped(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8

"""The payload of Sparkplug B: protocol buffers, read and written by hand, because it is one small message.

Field numbers are those of the Sparkplug specification 3.0, section 6.4 (Eclipse Foundation).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from twin.connectors.base import Value

INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME, TEXT, UUID = range(1, 16)
SIGNED_BITS = {INT8: 8, INT16: 16, INT32: 32, INT64: 64}
UNSIGNED_BITS = {UINT8: 8, UINT16: 16, UINT32: 32, UINT64: 64, DATETIME: 64}
TEXTS = (STRING, TEXT, UUID)
_NAMES = "Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float Double Boolean String DateTime Text UUID"
TYPE_NAMES = dict(enumerate(_NAMES.split(), 1))
COMPRESSED = "SPBV1.0_COMPRESSED"
MOST_BYTES = 16_000_000
"""A compressed payload that grows beyond this is refused."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_INT, _LONG = 10, 11


class WireError(ValueError):
    """Bytes that are no Sparkplug payload; the message is a short reason."""


@dataclass
class Metric:
    """One metric. ``timestamp`` [ms UTC]; ``quality``: the property of that name (192 is good), None where it is not given.

    ``readable`` is false for a data set, template or bytes, which have no scalar value. ``field``: where on the wire the
    value was; implementations disagree on it for UInt32, so a command uses the one that the birth used.
    """

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int = 0
    is_null: bool = False
    is_historical: bool = False
    value: Value = None
    quality: int | None = None
    readable: bool = True
    field: int = 0


@dataclass
class Payload:
    """One message. ``seq`` 0 to 255, None in a death."""

    timestamp: int | None = None
    seq: int | None = None
    metrics: list[Metric] = field(default_factory=list)


def decode(data: bytes) -> Payload:
    """Read a payload, a compressed one too.

    Raises:
        WireError: Not a payload.
    """
    payload, uuid, body = _payload(data)
    if uuid == COMPRESSED:
        payload, _, _ = _payload(_inflated(body))
    return payload


def encode(payload: Payload) -> bytes:
    """Write a payload: what a host application or an edge node sends."""
    out = bytearray()
    if payload.timestamp is not None:
        out += _key(1, _VARINT) + _varint(payload.timestamp)
    for metric in payload.metrics:
        body = _metric_bytes(metric)
        out += _key(2, _BYTES) + _varint(len(body)) + body
    if payload.seq is not None:
        out += _key(3, _VARINT) + _varint(payload.seq)
    return bytes(out)


# ---- reading


def _payload(data: bytes) -> tuple[Payload, str, bytes]:
    payload, uuid, body = Payload(), "", b""
    for number, kind, value in _fields(data):
        if number == 1 and kind == _VARINT:
            payload.timestamp = int(value)
        elif number == 2 and kind == _BYTES:
            payload.metrics.append(_metric(bytes(value)))  # type: ignore[arg-type]
        elif number == 3 and kind == _VARINT:
            payload.seq = int(value)
        elif number == 4 and kind == _BYTES:
            uuid = _text(value)
        elif number == 5 and kind == _BYTES:
            body = bytes(value)  # type: ignore[arg-type]
    return payload, uuid, body


def _metric(data: bytes) -> Metric:
    metric = Metric()
    stored: tuple[int, int, int | bytes] | None = None
    for number, kind, value in _fields(data):
        if number == 1 and kind == _BYTES:
            metric.name = _text(value)
        elif kind == _VARINT and number in (2, 3, 4, 5, 7):
            if number == 2:
                metric.alias = int(value)
            elif number == 3:
                metric.timestamp = int(value)
            elif number == 4:
                metric.datatype = int(value)
            elif number == 5:
                metric.is_historical = bool(value)
            else:
                metric.is_null = bool(value)
        elif number == 9 and kind == _BYTES:
            metric.quality = _quality(bytes(value))  # type: ignore[arg-type]
        elif 10 <= number <= 19:
            stored = (number, kind, value)
    if stored is not None and not metric.is_null:
        metric.field = stored[0]
        metric.value, metric.readable = _value(*stored)
        if metric.datatype and metric.readable:
            metric.value = retyped(metric.value, metric.datatype)
    return metric


def _value(number: int, kind: int, value: int | bytes) -> tuple[Value, bool]:
    """The value that a field holds, before its data type is looked at."""
    if number in (10, 11) and kind == _VARINT:
        return int(value), True
    if number == 12 and kind == _FIXED32:
        return struct.unpack("<f", value)[0], True  # type: ignore[arg-type]
    if number == 13 and kind == _FIXED64:
        return struct.unpack("<d", value)[0], True  # type: ignore[arg-type]
    if number == 14 and kind == _VARINT:
        return bool(value), True
    if number == 15 and kind == _BYTES:
        return _text(value), True
    return None, False


def retyped(value: Value, datatype: int) -> Value:
    """``value`` as its data type means it: signed numbers travel as unsigned ones."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if datatype in SIGNED_BITS:
        bits = SIGNED_BITS[datatype]
        value &= (1 << bits) - 1
        return value - (1 << bits) if value >> (bits - 1) else value
    if datatype in UNSIGNED_BITS:
        return value & ((1 << UNSIGNED_BITS[datatype]) - 1)
    return bool(value) if datatype == BOOLEAN else value


def _quality(data: bytes) -> int | None:
    """The property ``Quality`` of a property set."""
    names: list[str] = []
    values: list[bytes] = []
    for number, kind, value in _fields(data):
        if kind == _BYTES and number == 1:
            names.append(_text(value))
        elif kind == _BYTES and number == 2:
            values.append(bytes(value))  # type: ignore[arg-type]
    for name, value_bytes in zip(names, values, strict=False):
        if name.lower() == "quality":
            for number, kind, value in _fields(value_bytes):
                if number in (3, 4) and kind == _VARINT:
                    return int(value)
    return None


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, value): an int for a varint, else bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield number, kind, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise WireError("is not protocol buffers")
        if at + size > end or number == 0:
            raise WireError("is cut off")
        yield number, kind, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise WireError("is not protocol buffers")


def _text(value: int | bytes) -> str:
    try:
        return bytes(value).decode("utf-8")  # type: ignore[arg-type]
    except UnicodeDecodeError:
        raise WireError("has text that is not UTF-8") from None


def _inflated(body: bytes) -> bytes:
    """GZIP or DEFLATE, told apart by the header."""
    inflating = zlib.decompressobj(47)
    try:
        data = inflating.decompress(body, MOST_BYTES)
    except zlib.error:
        raise WireError("cannot be decompressed") from None
    if inflating.unconsumed_tail or not inflating.eof:
        raise WireError("is too large or cut off")
    return data


# ---- writing


def _metric_bytes(metric: Metric) -> bytes:
    out = bytearray()
    if metric.name:
        text = metric.name.encode()
        out += _key(1, _BYTES) + _varint(len(text)) + text
    if metric.alias is not None:
        out += _key(2, _VARINT) + _varint(metric.alias)
    if metric.timestamp is not None:
        out += _key(3, _VARINT) + _varint(metric.timestamp)
    out += _key(4, _VARINT) + _varint(metric.datatype)
    if metric.is_historical:
        out += _key(5, _VARINT) + _varint(1)
    if metric.quality is not None:
        body = _quality_bytes(metric.quality)
        out += _key(9, _BYTES) + _varint(len(body)) + body
    if metric.is_null:
        return bytes(out + _key(7, _VARINT) + _varint(1))
    return bytes(out) + _value_bytes(metric.datatype, metric.value, metric.field)


def _quality_bytes(quality: int) -> bytes:
    """A property set with the one property ``Quality``, an Int32."""
    name = b"Quality"
    value = _key(1, _VARINT) + _varint(INT32) + _key(3, _VARINT) + _varint(quality)
    return _key(1, _BYTES) + _varint(len(name)) + name + _key(2, _BYTES) + _varint(len(value)) + value


def _value_bytes(datatype: int, value: Value, field_number: int) -> bytes:
    """Raises ValueError where ``value`` does not fit ``datatype``."""
    if datatype in TEXTS:
        text = str(value).encode()
        return _key(15, _BYTES) + _varint(len(text)) + text
    if value is None or isinstance(value, str):
        raise ValueError(f"{value!r} is no {TYPE_NAMES.get(datatype, datatype)}")
    if datatype == BOOLEAN:
        return _key(14, _VARINT) + _varint(int(bool(value)))
    try:
        if datatype == FLOAT:
            return _key(12, _FIXED32) + struct.pack("<f", value)
        if datatype == DOUBLE:
            return _key(13, _FIXED64) + struct.pack("<d", value)
        number = value if isinstance(value, int) else round(value)
    except OverflowError as error:
        raise ValueError(str(error)) from error
    bits = SIGNED_BITS.get(datatype) or UNSIGNED_BITS.get(datatype)
    if bits is None:
        raise ValueError(f"type {datatype} is not written")
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if datatype in SIGNED_BITS else (0, (1 << bits) - 1)
    if not low <= number <= high:
        raise ValueError(f"{number} does not fit {TYPE_NAMES[datatype]}")
    number_field = field_number if field_number in (_INT, _LONG) else _LONG if bits == 64 else _INT
    return _key(number_field, _VARINT) + _varint(number & ((1 << (64 if number_field == _LONG and bits == 64 else 32)) - 1))


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)

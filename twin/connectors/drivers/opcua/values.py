"""OPC UA data values as plain values, times and status codes."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any

from asyncua import ua

from twin.connectors.base import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OVERFLOW_BITS = 0x0480
"""Info type "data value" with its overflow bit: the server's queue was full and it has dropped values (OPC 10000-4)."""
STATUS_MASK = 0xFFFF0000


class NotScalar(ValueError):
    """An array or a structure; the message names its type."""


def plain(variant: ua.Variant | None) -> Value:
    """The value of a variant.

    Raises:
        NotScalar: It is an array, a structure or an unknown type.
    """
    value: Any = None if variant is None else variant.Value
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return int(value.value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, ua.LocalizedText):
        return value.Text or ""
    raise NotScalar(type(value).__name__)


def time_ns(moment: datetime | None) -> int | None:
    """[ns UTC]; the protocol's times are UTC, whether they say so or not. None where there is none.

    Servers write the protocol's first (1601) and last (9999) moment where they have no time.
    """
    if moment is None or not 1970 <= moment.year < 2200:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    span = aware - _EPOCH
    return (span.days * 86_400 + span.seconds) * 10**9 + span.microseconds * 1000


def status(value: ua.DataValue) -> int:
    """Status code, uint32, without the info bits."""
    code = value.StatusCode
    return 0 if code is None else int(code.value) & STATUS_MASK


def overflowed(value: ua.DataValue) -> bool:
    code = value.StatusCode
    return code is not None and int(code.value) & OVERFLOW_BITS == OVERFLOW_BITS

"""Time stamps as devices write them: ISO 8601 or a number since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from pydantic import AfterValidator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FURTHEST = 2**63
_FRACTION = re.compile(r"[.,](\d+)")


class StampError(ValueError):
    """Not a time; the message is a short reason."""


def parse_time(value: Any, zone: tzinfo) -> int:
    """[ns UTC] from ISO 8601 (``zone`` where it names none) or seconds, ms, us or ns since 1970, told apart by size.

    Raises:
        StampError: Neither.
    """
    if isinstance(value, str):
        fraction = _FRACTION.search(value)
        text = value if fraction is None else value[: fraction.start()] + value[fraction.end() :]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise StampError(f"time {value[:40]!r} is not ISO 8601") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        digits = "0" if fraction is None else fraction[1][:9].ljust(9, "0")
        return _within((moment - _EPOCH) // _MICROSECOND * 1000 + int(digits), value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise StampError(f"time is {type(value).__name__}")
    size = abs(value)
    factor = _factor(size)
    if not size < _FURTHEST:  # written so that NaN is outside
        raise StampError(f"time {value!r:.40} is no date")
    if isinstance(value, int):
        return _within(value * factor, value)
    # a float of seconds has no more than microseconds to give; rounded there, it is what the sender meant
    return _within(round(value * (factor // 1000)) * 1000 if factor >= 1000 else int(value), value)


def _within(ns: int, told: object) -> int:
    """``ns``, if it is one of the years 1677 to 2262, which 64 bits can count."""
    if not -_FURTHEST <= ns < _FURTHEST:
        raise StampError(f"time {told!r:.40} is too far away")
    return ns


def _factor(size: float) -> int:
    """ns in the unit of a stamp of that size."""
    return 10**9 if size < 1e11 else 10**6 if size < 1e14 else 10**3 if size < 1e17 else 1


def parse_times(values: list[Any], zone: tzinfo) -> np.ndarray:
    """As parse_time(), of many: int64 [n] ns UTC.

    Raises:
        StampError: One of them is no time.
    """
    if values and set(map(type, values)) == {int}:
        low, high = min(values), max(values)
        if low > 0 and (factor := _factor(low)) == _factor(high) and high * factor < 2**63:
            return np.array(values, np.int64) * factor
    return np.array([parse_time(v, zone) for v in values], np.int64)


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is not a time zone like UTC or Europe/Berlin") from None
    return name


ZoneName = Annotated[str, AfterValidator(_timezone)]
"""A time zone by its name, for stamps that name none."""

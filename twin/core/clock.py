"""Wall clock in nanoseconds UTC, and durations as people write them."""

from __future__ import annotations

import re
import time

from twin.core.errors import InputError

_UNITS_S = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([a-z]*)\s*$")


def now_ns() -> int:
    """Wall clock [ns since 1970, UTC]."""
    return time.time_ns()


def parse_duration(value: object, *, attribute: str | None = None) -> float:
    """A duration in seconds from ``90``, ``"90"``, ``"90 s"``, ``"10 min"``, ``"8 h"``, ``"2 d"``.

    Raises:
        InputError: Not a duration, negative, or an unknown unit.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = _DURATION.match(str(value))
        if match is None or (match[2] and match[2] not in _UNITS_S):
            raise InputError(f"{value!r} is not a duration", attribute=attribute, allowed=["seconds", "10 min", "8 h", "2 d"])
        seconds = float(match[1]) * _UNITS_S[match[2] or "s"]
    if not 0.0 <= seconds < 1e12:
        raise InputError(f"{value!r} is not a finite duration >= 0", attribute=attribute)
    return seconds

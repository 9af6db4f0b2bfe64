"""UCUM units, compiled once to a scale and an offset."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Any

from twin.core.errors import MappingError

_ANNOTATION = re.compile(r"\{[^{}]*\}")
_EXAMPLES = ("Cel", "[degF]", "1/min", "m/s", "bar", "g", "%", "1")


@dataclass(frozen=True)
class Conversion:
    """``to(x) = x * scale + offset``."""

    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_identity(self) -> bool:
        return self.scale == 1.0 and self.offset == 0.0

    def to(self, value: float) -> float:
        return value * self.scale + self.offset

    def back(self, value: float) -> float:
        return (value - self.offset) / self.scale

    def then(self, other: Conversion) -> Conversion:
        """This conversion followed by ``other``."""
        return Conversion(self.scale * other.scale, self.offset * other.scale + other.offset)


@functools.cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


@functools.cache
def _unit(code: str) -> Any:
    import pint
    from lark.exceptions import LarkError

    bare = _ANNOTATION.sub("", code) if _ANNOTATION.sub("", code) not in ("", "/") else "1"
    bare = re.sub(r"^/", "1/", bare)
    if re.search(r"[./]$|^\.", bare):
        raise MappingError(f"{code!r} is not a UCUM unit", allowed=_EXAMPLES)
    try:
        return _registry().from_ucum(bare).units
    except (LarkError, pint.PintError, AttributeError, ValueError) as error:
        raise MappingError(f"{code!r} is not a UCUM unit", allowed=_EXAMPLES) from error


@functools.cache
def compile_unit(raw: str, unit: str) -> Conversion:
    """The conversion of numbers in ``raw`` to numbers in ``unit``, both UCUM codes.

    Raises:
        MappingError: Not a unit, two units of different dimension, or a scale that is not linear (decibel, pH).
    """
    import pint

    if raw == unit:
        _unit(raw)
        return Conversion()
    registry = _registry()
    begin, end = _unit(raw), _unit(unit)
    if begin.dimensionality != end.dimensionality:
        raise MappingError(f"{raw!r} cannot be converted to {unit!r}: they measure different things")
    try:
        zero, one, two = (float(registry.Quantity(x, begin).to(end).magnitude) for x in (0.0, 1.0, 2.0))
    except (pint.PintError, ValueError, ZeroDivisionError) as error:
        raise MappingError(f"{raw!r} cannot be converted to {unit!r}: {error}") from error
    if not math.isclose(two - one, one - zero, rel_tol=1e-9):
        raise MappingError(f"{raw!r} to {unit!r} is not a straight line, so it cannot be compiled to a scale and an offset")
    # far points, because the difference of two offset temperatures next to each other loses digits
    return Conversion(one if zero == 0.0 else (float(registry.Quantity(1e6, begin).to(end).magnitude) - zero) / 1e6, zero)


def same_dimension(a: str, b: str) -> bool:
    """True if numbers in ``a`` can be converted to ``b``."""
    return bool(_unit(a).dimensionality == _unit(b).dimensionality)

"""Plain values (as in JSON or MessagePack) to USD values and back, without silent loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pxr import Gf, Sdf

_INT_RANGES = {
    "int": (-(2**31), 2**31 - 1),
    "uint": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "uchar": (0, 255),
}
_FLOAT_LIMITS = {"half": 65504.0, "float": 3.4028234663852886e38, "double": math.inf, "timecode": math.inf}
_TEXT = {"string", "token"}
_COMPONENT = {"h": "half", "f": "float", "d": "double", "i": "int"}


class CastError(ValueError):
    """A value that cannot become the wanted type. ``code`` is ``type``, or ``lossy`` where something would be lost."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def type_named(name: str) -> Sdf.ValueTypeName:
    """The Sdf type called ``name``, such as ``double3`` or ``token[]``.

    Raises:
        CastError: There is none.
    """
    found = Sdf.ValueTypeNames.Find(name) if isinstance(name, str) else None
    if not found:
        raise CastError("type", f"{name!r} is not an Sdf type")
    return found


def to_usd(type_name: Sdf.ValueTypeName, value: Any, *, infinite: bool = False) -> Any:
    """A plain value as the USD value of a type.

    Quaternions are w, x, y, z; matrices 16 (9, 4) numbers row by row, or nested rows.

    Args:
        infinite: Infinity is allowed (where the schema's own default is infinite).

    Raises:
        CastError: Wrong shape or kind, not a number, infinite, or a cast that would lose something.
    """
    if not type_name.isArray:
        return _scalar(type_name, value, infinite)
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise CastError("type", f"{type_name} needs a list, not {value!r}")
    element = type_name.scalarType
    return type_name.type.pythonClass([_scalar(element, v, infinite) for v in value])


def _scalar(type_name: Sdf.ValueTypeName, value: Any, infinite: bool) -> Any:
    name = str(type_name)
    if name == "bool":
        if not isinstance(value, bool):
            raise CastError("type", f"bool needs true or false, not {value!r}")
        return value
    if name in _TEXT:
        return _text(name, value)
    if name == "asset":
        return Sdf.AssetPath(_text(name, value))
    if name in _INT_RANGES or name in _FLOAT_LIMITS:
        return _number(name, value, infinite)
    sample = type_name.defaultValue
    if sample is None or not type(sample).__module__.startswith("pxr.Gf"):
        raise CastError("type", f"values of type {name} cannot be set")
    component = _COMPONENT[type(sample).__name__[-1]]
    flat = _flatten(value)
    if isinstance(sample, (Gf.Quath, Gf.Quatf, Gf.Quatd)):
        w, *xyz = _components(name, flat, 4, component, infinite)
        return type(sample)(w, *xyz)
    if isinstance(sample, (Gf.Matrix2d, Gf.Matrix3d, Gf.Matrix4d)):
        size = sample.dimension[0]
        return type(sample)(*_components(name, flat, size * size, component, infinite))
    return type(sample)(*_components(name, flat, sample.dimension, component, infinite))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise CastError("type", f"{name} needs text, not {value!r}")
    if "\0" in value:
        raise CastError("type", f"{name} must not hold a zero byte")
    return value


def _number(name: str, value: Any, infinite: bool) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CastError("type", f"{name} needs a number, not {value!r}")
    if isinstance(value, float) and math.isnan(value):
        raise CastError("lossy", "NaN is not a value")
    if name in _INT_RANGES:
        low, high = _INT_RANGES[name]
        if isinstance(value, float) and not value.is_integer():
            raise CastError("lossy", f"{value!r} is not a whole number, and {name} would cut it off")
        if not low <= value <= high:
            raise CastError("lossy", f"{value!r} does not fit into {name} ({low}..{high})")
        return int(value)
    if isinstance(value, float) and math.isinf(value):
        if not infinite:
            raise CastError("lossy", "infinity is not allowed here")
        return value
    if isinstance(value, int) and (abs(value) > 2**1023 or int(float(value)) != value):
        raise CastError("lossy", f"{value} cannot be held exactly by {name}")
    if abs(value) > _FLOAT_LIMITS[name]:
        raise CastError("lossy", f"{value!r} does not fit into {name}")
    return float(value)


def _flatten(value: Any) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise CastError("type", f"needs a list of numbers, not {value!r}")
    out: list[Any] = []
    for v in value:
        out += list(v) if isinstance(v, Sequence) and not isinstance(v, (str, bytes)) else [v]
    return out


def _components(name: str, flat: list[Any], count: int, component: str, infinite: bool) -> list[Any]:
    if len(flat) != count:
        raise CastError("type", f"{name} needs {count} numbers, not {len(flat)}")
    return [_number(component, v, infinite) for v in flat]


def plain(value: Any) -> Any:
    """A USD value as plain data, such that ``to_usd`` gives it back exactly."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Gf.Quath, Gf.Quatf, Gf.Quatd)):
        return [value.GetReal(), *value.GetImaginary()]
    if isinstance(value, (Gf.Matrix2d, Gf.Matrix3d, Gf.Matrix4d)):
        return [component for row in value for component in row]
    if isinstance(value, Sdf.AssetPath):
        return value.path
    if isinstance(value, Sdf.TimeCode):
        return value.GetValue()
    if isinstance(value, dict):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, (Sdf.Path, Sdf.ValueBlock)):
        return str(value)
    if hasattr(value, "__len__"):
        return [plain(value[i]) for i in range(len(value))]
    return str(value)


def holds_infinity(value: Any) -> bool:
    """Whether a USD value has an infinite component."""
    data = plain(value)
    flat = data if isinstance(data, list) else [data]
    return any(isinstance(v, float) and math.isinf(v) for v in flat)

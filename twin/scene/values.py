"""Authored values that do not have the type their schema gives them: found before anything computes with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pxr import Sdf, Usd

from twin.core.errors import SceneError
from twin.core.findings import Finding

_CHECKED = ("twin:", "physics:")
_NUMBER_TYPES = {"bool", "int", "uint", "int64", "uint64", "half", "float", "double", "uchar"}
_TEXT_TYPES = {"string", "token"}


def _family(type_name: Sdf.ValueTypeName) -> str:
    scalar = str(type_name.scalarType)
    base = "number" if scalar in _NUMBER_TYPES else "text" if scalar in _TEXT_TYPES else str(type_name.scalarType.type)
    return f"list of {base}s" if type_name.isArray else base


def mistyped(stage: Usd.Stage) -> Iterator[Finding]:
    """An error for each property of Twin or UsdPhysics whose authored type cannot stand for the schema's."""
    for prim in stage.Traverse(Usd.TraverseInstanceProxies()):
        definition = prim.GetPrimDefinition()
        for name in prim.GetAuthoredPropertyNames():
            if not name.startswith(_CHECKED) or definition.GetSpecType(name) != Sdf.SpecTypeAttribute:
                continue
            wanted = prim.GetAttribute(name).GetTypeName()
            for spec in prim.GetAttribute(name).GetPropertyStack(Usd.TimeCode.EarliestTime()):
                given = spec.typeName if isinstance(spec, Sdf.AttributeSpec) else None
                if given is None or _family(given) != _family(wanted):
                    text = f"it is authored as {given or 'a relationship'} in {spec.layer.identifier}; it must be {wanted}"
                    yield Finding("error", f"{prim.GetPath()}.{name}", "wrong-type", text)


def demand_types(stage: Usd.Stage) -> None:
    """Raises SceneError at the first property of the wrong type."""
    for finding in mistyped(stage):
        prim, _, attribute = finding.path.partition(".")
        raise SceneError(finding.message, file=stage.GetRootLayer().identifier, prim=prim, attribute=attribute)


def vector(prim: Usd.Prim, name: str) -> np.ndarray:
    """A vector attribute [3] that USD has no schema for here; zeros where it is not authored.

    Raises:
        SceneError: It is not three finite numbers.
    """
    value = prim.GetAttribute(name).Get()
    return np.zeros(3) if value is None else _finite(prim, name, value, (3,))


def number(prim: Usd.Prim, name: str) -> float | None:
    """A numeric attribute; None where it is not authored.

    Raises:
        SceneError: It is not a finite number.
    """
    value = prim.GetAttribute(name).Get()
    return None if value is None else float(_finite(prim, name, value, ()))


def _finite(prim: Usd.Prim, name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        result = np.array(value, float)
    except (TypeError, ValueError) as error:
        raise SceneError(f"{value!r} is not a number or vector", prim=prim.GetPath(), attribute=name) from error
    if result.shape != shape or not np.isfinite(result).all():
        raise SceneError(
            f"{value!r} is not {'a finite number' if shape == () else f'{shape[0]} finite numbers'}",
            prim=prim.GetPath(),
            attribute=name,
        )
    return result

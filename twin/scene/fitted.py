"""Distributions written as a scenario layer: opinions over the prims of a stage, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pxr import Sdf

from twin.core.errors import WorkError

_TYPES = {"distribution": Sdf.ValueTypeNames.Token, "k": Sdf.ValueTypeNames.Int, "values": Sdf.ValueTypeNames.DoubleArray}


def write_fits(path: Path, stations: Mapping[str, Mapping[str, Mapping[str, Any]]], *, comment: str) -> None:
    """Write ``twin:station:<name>:<parameter>`` of each station.

    Args:
        stations: prim path -> name (``cycleTime``) -> parameter -> value.

    Raises:
        WorkError: The layer cannot be written.
    """
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.comment = comment
    for prim, names in stations.items():
        spec = Sdf.CreatePrimInLayer(layer, prim)
        for name, parameters in names.items():
            for parameter, value in parameters.items():
                kind = _TYPES.get(parameter, Sdf.ValueTypeNames.Double)
                attribute = Sdf.AttributeSpec(spec, f"twin:station:{name}:{parameter}", kind)
                attribute.default = value
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(layer.ExportToString(), encoding="utf-8")
    except OSError as error:
        raise WorkError(f"cannot be written: {error}", file=path) from error

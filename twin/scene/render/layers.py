"""What a stage is composed of, for people: its layers, strongest first, and the files that it refers to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pxr import Sdf, Usd

from twin.scene.render.detail import layer_name

MOST_VARIANTS = 500


def stage_layers(stage: Usd.Stage, asset_root: Path, edit_layer: Sdf.Layer | None = None) -> list[dict[str, Any]]:
    """Layers that say something about the stage.

    Returns:
        ``{"name", "path", "role", "prims", "doc"}`` each: ``role`` is edits, root, sublayer or reference; ``path`` is relative
        to the asset root, empty for the edits, which are in the project; ``prims`` counts the prims a layer speaks of.
    """
    own = [layer for layer in stage.GetLayerStack(False) if layer != edit_layer]
    rest = [layer for layer in stage.GetUsedLayers() if layer not in own and not layer.anonymous and layer != edit_layer]
    rows = [] if edit_layer is None else [_row(edit_layer, "edits", asset_root)]
    rows += [_row(layer, "root" if layer == stage.GetRootLayer() else "sublayer", asset_root) for layer in own]
    rows += [_row(layer, "reference", asset_root) for layer in sorted(rest, key=lambda layer: layer.GetDisplayName())]
    return rows


def _row(layer: Sdf.Layer, role: str, asset_root: Path) -> dict[str, Any]:
    prims = 0

    def count(path: Sdf.Path) -> None:
        nonlocal prims
        prims += path.IsPrimPath()

    layer.Traverse(Sdf.Path.absoluteRootPath, count)
    real = Path(layer.realPath) if layer.realPath else None
    path = (
        ""
        if role == "edits" or real is None
        else str(real.relative_to(asset_root) if real.is_relative_to(asset_root) else real.name)
    )
    return {"name": layer_name(layer), "path": path, "role": role, "prims": prims, "doc": layer.documentation}


def stage_variants(stage: Usd.Stage) -> list[dict[str, Any]]:
    """Every variant set of the stage: ``{"path", "set", "selection", "choices"}``, at most ``MOST_VARIANTS``."""
    rows: list[dict[str, Any]] = []
    for prim in stage.Traverse():
        if not prim.HasVariantSets():
            continue
        sets = prim.GetVariantSets()
        for name in sets.GetNames():
            if len(rows) >= MOST_VARIANTS:
                return rows
            one = sets.GetVariantSet(name)
            rows.append(
                {
                    "path": str(prim.GetPath()),
                    "set": name,
                    "selection": one.GetVariantSelection(),
                    "choices": list(one.GetVariantNames()),
                }
            )
    return rows

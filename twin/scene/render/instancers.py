"""``PointInstancer`` as one surface: every instance in place, simpler where there are many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pxr import Usd, UsdGeom

from twin.core.findings import Findings
from twin.scene.frames import array
from twin.scene.render.surface import Surface, merged, simplified

TIME = Usd.TimeCode.EarliestTime()
MOST_TRIANGLES = 400_000
"""Of all instances together; prototypes are simplified until it holds."""
LEAST_TRIANGLES = 12
"""A prototype gets no simpler than this; where it is still too much, instances are left out and a finding says so."""

Drawn = Callable[[Usd.Prim], tuple[Surface, list[int]] | None]
"""The surface of a gprim in its own frame, and its materials in the scene's list."""


def instanced(instancer: UsdGeom.PointInstancer, drawn: Drawn, findings: Findings) -> tuple[Surface, list[int]] | None:
    """Everything that an instancer draws, in its own frame; None where that is nothing.

    Args:
        drawn: Gives the surface of a gprim. findings: Gets what is shown simplified or left out.
    """
    prim = instancer.GetPrim()
    paths = instancer.GetPrototypesRel().GetForwardedTargets()
    chosen = np.array(instancer.GetProtoIndicesAttr().Get(TIME) or [], np.int64)
    matrices = instancer.ComputeInstanceTransformsAtTime(TIME, TIME, UsdGeom.PointInstancer.IncludeProtoXform,
                                                         UsdGeom.PointInstancer.IgnoreMask)  # fmt: skip
    mask = instancer.ComputeMaskAtTime(TIME)
    if len(matrices) != len(chosen) or len(chosen) == 0:
        return None
    shown = np.array(mask, bool) if mask else np.ones(len(chosen), bool)
    materials: list[int] = []
    prototypes = [_prototype(prim.GetStage().GetPrimAtPath(path), drawn, materials) for path in paths]
    counts = np.bincount(chosen[shown & (chosen >= 0) & (chosen < len(paths))], minlength=len(paths))
    total = sum(int(n) * len(p) for n, p in zip(counts, prototypes, strict=True) if p is not None)
    if total > MOST_TRIANGLES:
        share = MOST_TRIANGLES / total
        prototypes = [p and simplified(p, max(LEAST_TRIANGLES, int(share * len(p)))) for p in prototypes]
        findings.info(prim.GetPath(), "instances-simplified", f"{int(counts.sum()):,} instances are shown with simplified shapes")
    parts, left = [], 1.5 * MOST_TRIANGLES  # simplifying meets its aim only roughly
    skipped = 0
    for i in np.flatnonzero(shown).tolist():
        part = prototypes[chosen[i]] if 0 <= chosen[i] < len(prototypes) else None
        if part is None:
            continue
        if left < len(part):
            skipped += 1
            continue
        left -= len(part)
        parts.append(part.moved(array(matrices[i])))
    if skipped:
        findings.warning(prim.GetPath(), "instances-left-out", f"{skipped:,} of {int(counts.sum()):,} instances are not shown")
    return (merged(parts), materials) if parts else None


def _prototype(root: Usd.Prim, drawn: Drawn, materials: list[int]) -> Surface | None:
    """What a prototype draws, in the frame of its root; ``materials`` grows by its own."""
    if not root:
        return None
    cache = UsdGeom.XformCache(TIME)
    back = np.linalg.inv(array(cache.GetLocalToWorldTransform(root)))
    parts = []
    walk = iter(Usd.PrimRange(root, Usd.TraverseInstanceProxies(Usd.PrimIsActive & Usd.PrimIsLoaded & Usd.PrimIsDefined)))
    for part in walk:
        imageable = UsdGeom.Imageable(part)
        if imageable and imageable.GetVisibilityAttr().Get(TIME) == UsdGeom.Tokens.invisible:
            walk.PruneChildren()
            continue
        if not part.IsA(UsdGeom.Gprim) or imageable.ComputePurpose() in (UsdGeom.Tokens.guide, UsdGeom.Tokens.proxy):
            continue
        found = drawn(part)
        if found is None:
            continue
        surface, own = found
        places = np.array([len(materials) + k for k in range(len(own))], np.int64)
        materials += own
        moved = surface.moved(array(cache.GetLocalToWorldTransform(part)) @ back)
        parts.append(Surface(moved.position, moved.normal, moved.triangles, places[moved.material], moved.uv, moved.color))
    return merged(parts) if parts else None

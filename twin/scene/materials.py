"""Contact materials, and which collider has which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pxr import Usd, UsdPhysics, UsdShade

from twin.model.rigid import Combine, Material
from twin.scene.stage import applied_schemas
from twin.scene.values import number

_COMBINE = {"average": Combine.AVERAGE, "min": Combine.MIN, "multiply": Combine.MULTIPLY, "max": Combine.MAX}


def bound_material(prim: Usd.Prim) -> Usd.Prim | None:
    """The material prim that governs contact of a collider, or None.

    Read by relationship name, nearest prim first: OpenUSD's own physics examples bind materials without applying
    ``MaterialBindingAPI``, and USD's resolver then finds nothing.
    """
    return bound_prim(
        prim, ("material:binding:physics", "material:binding"), lambda p: "PhysicsMaterialAPI" in applied_schemas(p)
    )


def bound_prim(prim: Usd.Prim, names: Sequence[str], accept: Callable[[Usd.Prim], bool]) -> Usd.Prim | None:
    """The target of the binding that governs a prim.

    Args:
        names: Binding relationships, the most special one first. accept: Which targets count.
    """
    for name in names:
        found: Usd.Prim | None = None
        above = prim
        while above and not above.IsPseudoRoot():
            rel = above.GetRelationship(name)
            for target in rel.GetTargets() if rel else []:
                candidate = prim.GetStage().GetPrimAtPath(target)
                stronger = rel.GetMetadata("bindMaterialAs") == UsdShade.Tokens.strongerThanDescendants
                if candidate and accept(candidate) and (found is None or stronger):
                    found = candidate
            above = above.GetParent()
        if found is not None:
            return found
    return None


@dataclass
class MaterialTable:
    """Contact materials by use; row 0 is the default."""

    rows: list[Material] = field(default_factory=lambda: [Material()])
    _index: dict[str, int] = field(default_factory=dict)

    def of(self, prim: Usd.Prim) -> tuple[int, float]:
        """Row and density (stage units, 0: none) of a collider's material."""
        material = bound_material(prim)
        if material is None:
            return 0, 0.0
        path = str(material.GetPath())
        if path not in self._index:
            self._index[path] = len(self.rows)
            self.rows.append(_read(material))
        # Read by name: the density of OpenUSD's own examples is a double where the schema has a float.
        return self._index[path], number(material, "physics:density") or 0.0


def _read(prim: Usd.Prim) -> Material:
    api = UsdPhysics.MaterialAPI(prim)

    def mode(which: str) -> Combine:
        token = prim.GetAttribute(f"physxMaterial:{which}CombineMode").Get() or "average"
        return _COMBINE.get(str(token), Combine.AVERAGE)

    return Material(
        path=str(prim.GetPath()),
        static_friction=float(api.GetStaticFrictionAttr().Get() or 0.0),
        dynamic_friction=float(api.GetDynamicFrictionAttr().Get() or 0.0),
        restitution=float(api.GetRestitutionAttr().Get() or 0.0),
        friction_combine=mode("friction"),
        restitution_combine=mode("restitution"),
    )

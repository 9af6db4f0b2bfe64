"""Goods: the prims that sources and stations name as what they make. They are not part of the world."""

from __future__ import annotations

import numpy as np
from pxr import Sdf, Usd, UsdGeom, UsdPhysics

from twin.model.rigid import Body, Prototype, Shape, ShapeKind
from twin.scene.bounds import shape_corners
from twin.scene.frames import array, rigid, split
from twin.scene.rigid import World, read_body, read_shape, weigh
from twin.scene.stage import applied_schemas

NAMING = {"TwinSourceAPI": "twin:source:items", "TwinStationAPI": "twin:station:output"}


def prototype_paths(stage: Usd.Stage) -> list[Sdf.Path]:
    """Prims that sources and stations name as items or output, in stage order, each once."""
    found: dict[Sdf.Path, None] = {}
    for prim in stage.Traverse(Usd.TraverseInstanceProxies()):
        for api, name in NAMING.items():
            if prim.HasAPI(api):
                for target in prim.GetRelationship(name).GetTargets():
                    if stage.GetPrimAtPath(target):
                        found[target] = None
    return list(found)


def subtree(prim: Usd.Prim) -> list[Usd.Prim]:
    """A prim and all below it, abstract and instanced prims included, inactive ones not."""
    predicate = Usd.TraverseInstanceProxies(Usd.PrimIsActive & Usd.PrimIsLoaded)
    return list(Usd.PrimRange(prim, predicate))


def item_type(prim: Usd.Prim) -> str:
    """Type token of a prototype: authored, else the prim's name."""
    authored = prim.GetAttribute("twin:item:type").Get() if prim.HasAPI("TwinItemAPI") else None
    return str(authored or prim.GetName())


def add_prototypes(world: World, paths: list[Sdf.Path]) -> None:
    """Append a ``Prototype`` for each path."""
    for path in paths:
        world.rigid.prototypes.append(_read(world, world.stage.GetPrimAtPath(path)))


def _read(world: World, prim: Usd.Prim) -> Prototype:
    prims = subtree(prim)
    carrier = next((p for p in prims if "PhysicsRigidBodyAPI" in applied_schemas(p)), prim)
    frame = split(array(world.cache.GetLocalToWorldTransform(prim)))
    back = np.linalg.inv(rigid(frame))
    body = (
        read_body(world, carrier)
        if carrier != prim or carrier.HasAPI(UsdPhysics.RigidBodyAPI)
        else Body(path=str(prim.GetPath()))
    )
    body.path = str(prim.GetPath())
    # Where it stands on the stage has no meaning: it is set down where a source makes it.
    body.position, body.rotation = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
    parts: list[tuple[Shape, Usd.Prim, float]] = []
    for part in prims:
        enabled = part.GetAttribute("physics:collisionEnabled").Get()
        if "PhysicsCollisionAPI" not in applied_schemas(part) or enabled is False:
            continue
        local = array(world.cache.GetLocalToWorldTransform(part)) @ back
        read = read_shape(world, part, local, moving=True)
        if read is not None:
            read[0].body = 0
            parts.append((read[0], part, read[1]))
    low, high, drawn = _bound(world, prims, back, [shape for shape, _, _ in parts])
    if not any(not shape.trigger for shape, _, _ in parts):
        if drawn:
            text = "goods without a collider are simulated as the box around them"
            world.findings.warning(prim.GetPath(), "prototype-no-collider", text)
        else:
            text = "goods with neither a collider nor anything drawn are 0.1 m cubes"
            world.findings.warning(prim.GetPath(), "prototype-empty", text)
        parts.append((_box(prim, low, high), prim, 0.0))
    weigh(world, body, carrier, frame.scale, parts)
    return Prototype(
        path=str(prim.GetPath()),
        type=item_type(prim),
        body=body,
        shapes=[shape for shape, _, _ in parts],
        half_extents=(high - low) / 2.0,
        bound_center=(high + low) / 2.0,
    )


def _box(prim: Usd.Prim, low: np.ndarray, high: np.ndarray) -> Shape:
    half = np.maximum((high - low) / 2.0, 1e-3)
    return Shape(path=str(prim.GetPath()), kind=ShapeKind.BOX, body=0, position=(high + low) / 2.0, size=half)


def _bound(world: World, prims: list[Usd.Prim], back: np.ndarray, shapes: list[Shape]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Bound [3], [3] m in the body's frame: of its shapes, else of what is drawn; False where there is neither: a cube."""
    corners = [shape_corners(s, world.rigid.meshes) for s in shapes if not s.trigger]
    if not corners:
        cache = UsdGeom.BBoxCache(
            Usd.TimeCode.EarliestTime(), [UsdGeom.Tokens.default_, UsdGeom.Tokens.render, UsdGeom.Tokens.proxy]
        )
        for prim in prims:
            if prim.IsA(UsdGeom.Boundable):
                box = cache.ComputeUntransformedBound(prim).ComputeAlignedBox()
                if not box.IsEmpty():
                    points = np.array([box.GetCorner(i) for i in range(8)])
                    local = array(world.cache.GetLocalToWorldTransform(prim)) @ back
                    corners.append((points @ local[:3, :3] + local[3, :3]) * world.unit)
    if not corners:
        return np.full(3, -0.05), np.full(3, 0.05), False
    points = np.vstack(corners)
    return points.min(axis=0), points.max(axis=0), True

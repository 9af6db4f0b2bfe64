"""UsdPhysics to ``RigidModel``: bodies, colliders, filters, gravity; goods' prototypes kept apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pxr import Sdf, Usd, UsdGeom, UsdPhysics

from twin.core.findings import Findings
from twin.model.rigid import Body, BodyKind, RigidModel, Shape
from twin.scene.belts import Belt, Drives, still, velocity_of
from twin.scene.colliders import ColliderReader
from twin.scene.filters import CollisionFilters
from twin.scene.frames import array, rigid, split
from twin.scene.joints import JointReader, joined_pairs
from twin.scene.mass import fill_mass
from twin.scene.materials import MaterialTable
from twin.scene.stage import applied_schemas, meters_per_unit
from twin.scene.values import demand_types, number

TIME = Usd.TimeCode.EarliestTime()
_KNOWN_PHYSX = {"linearDamping", "angularDamping", "disableGravity"}
_OBJECT = UsdPhysics.ObjectType
_SHAPES = tuple(v for v in _OBJECT.names.values() if str(v).endswith("Shape"))


@dataclass
class World:
    """A stage's rigid world and what reading it shared.

    Attributes:
        belts: What each conveyor drives, by prim path.
        reader, materials: Tables that prototypes go on to use.
    """

    stage: Usd.Stage
    rigid: RigidModel
    cache: UsdGeom.XformCache
    unit: float
    kilograms: float
    reader: ColliderReader
    materials: MaterialTable
    findings: Findings
    belts: dict[str, Belt] = field(default_factory=dict)


def load_world(stage: Usd.Stage, findings: Findings, *, exclude: list[Sdf.Path]) -> World:
    """Read all of a stage's physics but what lies at or below ``exclude``.

    Raises:
        SceneError: metersPerUnit is not positive, or an attribute has a type that cannot be used.
    """
    demand_types(stage)
    unit, kilograms = meters_per_unit(stage), UsdPhysics.GetStageKilogramsPerUnit(stage)
    reader, materials = ColliderReader(unit, findings), MaterialTable()
    model = RigidModel(meshes=reader.meshes, materials=materials.rows)
    model.up_axis = 1 if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.y else 2
    world = World(stage, model, UsdGeom.XformCache(TIME), unit, kilograms, reader, materials, findings)
    objects = UsdPhysics.UsdPhysicsLoadStageFromPrimRange(stage, ["/"], [str(p) for p in exclude])
    _gravity(world, objects.get(_OBJECT.Scene))
    _bodies_and_shapes(world, objects, set(exclude))
    return world


def _gravity(world: World, scenes: Any) -> None:
    up = np.eye(3)[world.rigid.up_axis]
    world.rigid.gravity = -9.81 * up
    if not scenes:
        return
    paths = list(scenes[0])
    for other in paths[1:]:
        world.findings.warning(other, "not-simulated", f"only the first physics scene, {paths[0]}, is simulated")
    prim = world.stage.GetPrimAtPath(paths[0])
    scene = UsdPhysics.Scene(prim)
    direction = np.array(scene.GetGravityDirectionAttr().Get() or (0, 0, 0), float)
    length = np.linalg.norm(direction)
    magnitude = float(scene.GetGravityMagnitudeAttr().Get())
    # -inf stands for earth's gravity, whatever the unit of length.
    strength = 9.81 if magnitude < 0.0 else magnitude * world.unit
    world.rigid.gravity = strength * (direction / length if length > 0.0 else -up)
    rate = next((v for v in (number(prim, f"{p}:timeStepsPerSecond") for p in ("physxScene", "newton")) if v), None)
    if rate:
        world.rigid.steps_per_second = float(rate)


def read_body(world: World, prim: Usd.Prim) -> Body:
    """A body's pose, velocity and switches; mass comes later, from its shapes."""
    frame = split(array(world.cache.GetLocalToWorldTransform(prim)))
    api = UsdPhysics.RigidBodyAPI(prim)
    linear, angular = velocity_of(prim, world.cache, world.unit)
    ignored = [
        name.split(":")[1]
        for name in prim.GetAuthoredPropertyNames()
        if name.startswith("physxRigidBody:") and name.split(":")[1] not in _KNOWN_PHYSX
    ]
    if ignored:
        world.findings.info(prim.GetPath(), "not-simulated", f"not simulated: physxRigidBody {', '.join(ignored)}")
    if UsdGeom.Xformable(prim).TransformMightBeTimeVarying():
        world.findings.warning(
            prim.GetPath(), "not-simulated", "time samples on a body's transform are not played; it starts at the first"
        )
    return Body(
        path=str(prim.GetPath()),
        kind=BodyKind.KINEMATIC if api.GetKinematicEnabledAttr().Get() else BodyKind.DYNAMIC,
        position=frame.position * world.unit,
        rotation=frame.quaternion,
        linear_velocity=linear,
        angular_velocity=angular,
        linear_damping=float(_first(prim, "linearDamping") or 0.0),
        angular_damping=float(_first(prim, "angularDamping") or 0.0),
        disable_gravity=bool(_first(prim, "disableGravity")),
        starts_asleep=bool(api.GetStartsAsleepAttr().Get()),
    )


def _first(prim: Usd.Prim, name: str) -> float | None:
    values = (number(prim, f"{prefix}:{name}") for prefix in ("physxRigidBody", "newton"))
    return next((v for v in values if v is not None), None)


@dataclass
class _Parts:
    """Bodies under construction: prim, rigid world matrix and scale of each, and what it is made of."""

    prims: list[Usd.Prim] = field(default_factory=list)
    to_world: list[np.ndarray] = field(default_factory=list)
    scales: list[np.ndarray] = field(default_factory=list)
    shapes: list[list[tuple[Shape, Usd.Prim, float]]] = field(default_factory=list)


def _bodies_and_shapes(world: World, objects: dict[Any, Any], exclude: set[Sdf.Path]) -> None:
    model = world.rigid
    filters = CollisionFilters(objects.get(_OBJECT.CollisionGroup))
    index: dict[str, int] = {}
    parts = _Parts()
    belts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for path, desc in zip(*objects.get(_OBJECT.RigidBody, ([], [])), strict=True):
        filters.exclude(path, desc.filteredCollisions)
        if not desc.rigidBodyEnabled:
            continue
        prim = world.stage.GetPrimAtPath(path)
        frame = split(array(world.cache.GetLocalToWorldTransform(prim)))
        body = read_body(world, prim)
        if body.kind == BodyKind.KINEMATIC and (body.linear_velocity.any() or body.angular_velocity.any()):
            belts[len(model.bodies)] = (body.linear_velocity, body.angular_velocity)
            still(body)
        index[str(path)] = len(model.bodies)
        model.bodies.append(body)
        parts.prims.append(prim)
        parts.to_world.append(rigid(frame))
        parts.scales.append(frame.scale)
        parts.shapes.append([])
    prims: list[Usd.Prim] = []
    found = [(path, desc) for kind in _SHAPES for path, desc in zip(*objects.get(kind, ([], [])), strict=True)]
    _shapeless(world, {path for path, _ in found}, exclude)
    for path, desc in sorted(found, key=lambda pair: pair[0]):
        filters.exclude(path, desc.filteredCollisions)
        if not desc.collisionEnabled:
            continue
        prim = world.stage.GetPrimAtPath(path)
        owner = index.get(str(desc.rigidBody), -1)
        local = array(world.cache.GetLocalToWorldTransform(prim))
        if owner >= 0:
            local = local @ np.linalg.inv(parts.to_world[owner])
        kinematic = owner >= 0 and model.bodies[owner].kind == BodyKind.KINEMATIC
        shape = read_shape(world, prim, local, moving=owner >= 0, kinematic=kinematic)
        if shape is None:
            continue
        shape[0].body = owner
        shape[0].group = filters.group(desc.collisionGroups)
        model.shapes.append(shape[0])
        prims.append(prim)
        if owner >= 0:
            parts.shapes[owner].append((shape[0], prim, shape[1]))
    for body, prim, scale, made_of in zip(model.bodies, parts.prims, parts.scales, parts.shapes, strict=True):
        weigh(world, body, prim, scale, made_of)
    model.joints = JointReader(world.stage, world.cache, world.unit, world.kilograms, index, world.findings).read(objects)
    for a, b in joined_pairs(objects):
        filters.exclude(a, [b])
    model.group_filter = filters.group_pairs()
    model.filtered_pairs = filters.shape_pairs(model)
    drives = Drives(world.stage, model, prims, world.cache, world.unit, world.findings)
    drives.apply_physx()
    drives.apply_kinematic(belts)
    world.belts = drives.apply_conveyors(exclude)


def _shapeless(world: World, found: set[Sdf.Path], exclude: set[Sdf.Path]) -> None:
    """Findings for prims that are marked as colliders and have no geometry of their own, which USD passes over."""
    walk = iter(Usd.PrimRange(world.stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()))
    for prim in walk:
        if prim.GetPath() in exclude:
            walk.PruneChildren()
        elif prim.GetPath() not in found and prim.HasAPI(UsdPhysics.CollisionAPI) and not prim.IsA(UsdGeom.Gprim):
            text = "PhysicsCollisionAPI needs a prim with geometry; put it on the shapes below"
            world.findings.warning(prim.GetPath(), "not-simulated", text)


def read_shape(
    world: World, prim: Usd.Prim, local: np.ndarray, *, moving: bool, kinematic: bool = False
) -> tuple[Shape, float] | None:
    """A collider as a shape with its material, and its material's density (stage units, 0: none)."""
    shape = world.reader.read(prim, local, moving=moving, kinematic=kinematic)
    if shape is None:
        return None
    shape.trigger = "PhysxTriggerAPI" in applied_schemas(prim)
    shape.material, density = world.materials.of(prim)
    return shape, density


def weigh(world: World, body: Body, prim: Usd.Prim, scale: np.ndarray, parts: list[tuple[Shape, Usd.Prim, float]]) -> None:
    """Give a body its mass from its prim and its parts."""
    fill_mass(
        body,
        prim,
        parts,
        meshes=world.rigid.meshes,
        unit=world.unit,
        kilograms=world.kilograms,
        scale=scale,
        findings=world.findings,
    )

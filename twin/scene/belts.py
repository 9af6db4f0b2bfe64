"""Moving surfaces: PhysX surface velocities, kinematic bodies with a velocity, splines, and conveyors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pxr import Sdf, Usd, UsdGeom

from twin.core.findings import Findings
from twin.model.rigid import Body, RigidModel, Shape
from twin.scene.curves import length_of, polyline
from twin.scene.frames import array, rotation_of, split
from twin.scene.stage import applied_schemas
from twin.scene.values import number, vector


@dataclass
class Belt:
    """What a conveyor drives: shape indices, and the length that its path or geometry gives [m] (0: none)."""

    shapes: list[int] = field(default_factory=list)
    length: float = 0.0


@dataclass
class Drives:
    """Writes surface velocities into the shapes of ``rigid``.

    Attributes:
        cache: World matrices of the stage. unit: Metres per stage unit.
        prims: Prim of each shape, parallel to ``rigid.shapes``.
    """

    stage: Usd.Stage
    rigid: RigidModel
    prims: list[Usd.Prim]
    cache: UsdGeom.XformCache
    unit: float
    findings: Findings

    def apply_physx(self) -> None:
        """Surface velocities that are authored on colliders, their ancestors or their bodies."""
        for shape, prim in zip(self.rigid.shapes, self.prims, strict=True):
            stop = self.rigid.bodies[shape.body].path if shape.body >= 0 else "/"
            carrier: Usd.Prim | None = prim
            while carrier and not carrier.IsPseudoRoot():
                names = applied_schemas(carrier)
                if "PhysxSurfaceVelocityAPI" in names and _on(carrier, "physxSurfaceVelocity:surfaceVelocityEnabled"):
                    self._surface_velocity(shape, carrier)
                if any(n.startswith("PhysxSplinesSurfaceVelocityAPI") for n in names) and _on(
                    carrier, "physxSplinesSurfaceVelocity:surfaceVelocityEnabled"
                ):
                    self._spline(shape, carrier)
                if str(carrier.GetPath()) == stop or "PhysxSurfaceVelocityAPI" in names:
                    break
                carrier = carrier.GetParent()

    def _surface_velocity(self, shape: Shape, carrier: Usd.Prim) -> None:
        linear = vector(carrier, "physxSurfaceVelocity:surfaceVelocity")
        angular = np.radians(vector(carrier, "physxSurfaceVelocity:surfaceAngularVelocity"))
        if not (linear.any() or angular.any()):
            return
        shape.surface_drive = 1.0
        shape.surface_world = not _on(carrier, "physxSurfaceVelocity:surfaceVelocityLocalSpace")
        if shape.surface_world:
            shape.surface_linear, shape.surface_angular = linear * self.unit, angular
            return
        matrix = array(self.cache.GetLocalToWorldTransform(carrier))
        frame = split(matrix)
        back = self._shape_rotation(shape).T
        # The whole matrix, scale included: that is what PhysX does with a velocity in local space.
        shape.surface_linear = linear @ matrix[:3, :3] @ back * self.unit
        shape.surface_angular = angular @ frame.rotation @ back
        if linear.any() and np.abs(frame.scale - 1.0).max() > 1e-3:
            speed = np.linalg.norm(shape.surface_linear)
            self.findings.warning(
                f"{carrier.GetPath()}.physxSurfaceVelocity:surfaceVelocity",
                "surface-velocity-scaled",
                f"a surface velocity in local space is multiplied by the prim's scale: this surface runs at {speed:.4g} m/s",
            )

    def _spline(self, shape: Shape, carrier: Usd.Prim) -> None:
        rel = carrier.GetRelationship("physxSplinesSurfaceVelocity:surfaceVelocityCurve")
        speed = number(carrier, "physxSplinesSurfaceVelocity:surfaceVelocityMagnitude")
        index = self._path(rel, carrier)
        if index >= 0:
            shape.surface_path, shape.surface_drive = index, (speed or 0.0) * self.unit

    def _path(self, rel: Usd.Relationship, owner: Usd.Prim) -> int:
        targets = rel.GetTargets() if rel else []
        if not targets:
            return -1
        prim = self.stage.GetPrimAtPath(targets[0])
        line = polyline(prim, array(self.cache.GetLocalToWorldTransform(prim)), self.unit) if prim else None
        if line is None:
            self.findings.error(
                f"{owner.GetPath()}.{rel.GetName()}", "bad-path", f"{targets[0]} is not a BasisCurves with two points"
            )
            return -1
        self.rigid.paths.append(line)
        return len(self.rigid.paths) - 1

    def apply_kinematic(self, velocities: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
        """A kinematic body with an authored velocity is a belt: it stays, its surface moves.

        Args:
            velocities: Linear [3] m/s of the prim's origin and angular [3] rad/s in the world, by body index.
        """
        for shape in self.rigid.shapes:
            if shape.body not in velocities or shape.surface_drive:
                continue
            linear, angular = velocities[shape.body]
            body = self.rigid.bodies[shape.body]
            arm = np.asarray(shape.position) @ rotation_of(np.asarray(body.rotation))
            back = self._shape_rotation(shape).T
            shape.surface_linear = (linear + np.cross(angular, arm)) @ back
            shape.surface_angular = angular @ back
            shape.surface_drive = 1.0

    def apply_conveyors(self, skip: set[Sdf.Path]) -> dict[str, Belt]:
        """Drive the belts of every ``TwinConveyorAPI`` prim; by prim path. ``skip``: roots that are not part of the world."""
        belts: dict[str, Belt] = {}
        walk = iter(Usd.PrimRange(self.stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()))
        for prim in walk:
            if prim.GetPath() in skip:
                walk.PruneChildren()
            elif prim.HasAPI("TwinConveyorAPI"):
                belts[str(prim.GetPath())] = Belt()
        for index, owner in enumerate(self._owners(belts)):
            if owner:
                belts[owner].shapes.append(index)
        for path, belt in belts.items():
            self._conveyor(self.stage.GetPrimAtPath(path), belt)
        return belts

    def _owners(self, belts: dict[str, Belt]) -> list[str]:
        """Path of the conveyor that drives each shape; empty for none."""
        named: dict[str, str] = {}
        for path in belts:
            rel = self.stage.GetPrimAtPath(path).GetRelationship("twin:conveyor:belt")
            for target in rel.GetTargets():
                named[str(target)] = path
        choosy = set(named.values())
        flagged = [bool(p.GetAttribute("twin:belt").Get()) for p in self.prims]
        nearest: list[str] = []
        for shape, prim in zip(self.rigid.shapes, self.prims, strict=True):
            owner = next((str(p) for p in _upwards(prim) if str(p) in belts), "")
            by_name = next((named[str(p)] for p in _upwards(prim) if str(p) in named), "")
            nearest.append(by_name or ("" if owner in choosy or shape.trigger else owner))
        with_flags = {owner for owner, flag in zip(nearest, flagged, strict=True) if flag}
        return [
            "" if owner in with_flags and owner not in choosy and not flag else owner
            for owner, flag in zip(nearest, flagged, strict=True)
        ]

    def _conveyor(self, prim: Usd.Prim, belt: Belt) -> None:
        speed = float(prim.GetAttribute("twin:conveyor:speed").Get() or 0.0) * self.unit
        path = self._path(prim.GetRelationship("twin:conveyor:path"), prim)
        if path >= 0:
            belt.length = length_of(self.rigid.paths[path])
        direction = split(array(self.cache.GetLocalToWorldTransform(prim))).rotation[0]
        for index in belt.shapes:
            shape = self.rigid.shapes[index]
            if shape.surface_drive:
                self.findings.warning(
                    shape.path, "two-drives", f"its surface velocity is replaced by the conveyor {prim.GetPath()}"
                )
            shape.surface_world, shape.surface_angular = False, np.zeros(3)
            shape.surface_drive, shape.surface_path = speed, path
            shape.surface_linear = np.zeros(3) if path >= 0 else direction @ self._shape_rotation(shape).T

    def _shape_rotation(self, shape: Shape) -> np.ndarray:
        """Row-vector rotation [3,3] of a shape in the world."""
        rotation = rotation_of(np.asarray(shape.rotation))
        return rotation if shape.body < 0 else rotation @ rotation_of(np.asarray(self.rigid.bodies[shape.body].rotation))


def velocity_of(prim: Usd.Prim, cache: UsdGeom.XformCache, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Authored linear [3] m/s and angular [3] rad/s velocity of a body in the world.

    UsdPhysics has them in the space that the prim's transform is written in: its parent's.
    """
    parent = array(cache.GetParentToWorldTransform(prim))
    linear = vector(prim, "physics:velocity") @ parent[:3, :3] * unit
    return linear, np.radians(vector(prim, "physics:angularVelocity")) @ split(parent).rotation


def still(body: Body) -> None:
    """Take a body's own motion away (its surface has it)."""
    body.linear_velocity, body.angular_velocity = np.zeros(3), np.zeros(3)


def _upwards(prim: Usd.Prim) -> list[Sdf.Path]:
    return list(reversed(prim.GetPath().GetPrefixes()))


def _on(prim: Usd.Prim, name: str) -> bool:
    value = prim.GetAttribute(name).Get()
    return True if value is None else bool(value)

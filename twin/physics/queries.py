"""Asking a world with shapes: what a shape overlaps, and what it meets first when it is moved along a line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.core.errors import InputError
from twin.core.findings import Findings
from twin.model.rigid import Body, Shape, ShapeKind
from twin.physics.colliders import Collider, moving_colliders
from twin.physics.distance import Solid, apart, moved, polytope, solid
from twin.physics.geometry import rotate, rotation_matrix

if TYPE_CHECKING:
    from twin.physics.world import World

REACHED_M = 1e-6
"""A shape that is moved has met what is nearer than this [m]."""
_ROUNDS = 64


@dataclass(frozen=True)
class SweepHit:
    """What a moved shape met first.

    Attributes:
        distance: Way until then [m]. point: [3] m. normal: [3] towards the moved shape. body: slot, -1 fixed. shape: index into
            ``RigidModel.shapes``, -1 goods.
    """

    distance: float
    point: np.ndarray
    normal: np.ndarray
    body: int
    shape: int


def placed(world: World, w: int, *, triggers: bool = False) -> Iterator[tuple[int, Collider, np.ndarray, np.ndarray]]:
    """Every collider of world ``w``: slot (-1 fixed), collider, position [3] m, matrix [3,3]."""
    u, first = world._uploaded, len(world.model.bodies)
    alive, prototype = world.alive.numpy()[w], world.prototype.numpy()[w]
    slots = [(-1, np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]), range(u.begin[-1], len(u.colliders)))]
    for i in np.flatnonzero(alive[: world.slots]):
        kind = int(i) if i < first else first + int(prototype[i])
        position, q = world.position.numpy()[w, i].astype(float), world.rotation.numpy()[w, i].astype(float)
        slots.append((int(i), position, q, range(u.begin[kind], u.begin[kind + 1])))
    for slot, position, q, colliders in slots:
        for c in colliders:
            collider = u.colliders[c]
            if triggers or not collider.shape.trigger:
                turn = rotation_matrix(q) @ rotation_matrix(np.asarray(collider.rotation, float))
                yield slot, collider, position + rotate(q, np.asarray(collider.position, float)), turn


def _solids(world: World, shape: Shape) -> list[tuple[Solid, Collider]]:
    """The convex pieces of the shape that asks."""
    if shape.kind in (ShapeKind.PLANE, ShapeKind.MESH, ShapeKind.HEIGHT_FIELD):
        allowed = [k.name for k in (ShapeKind.BOX, ShapeKind.SPHERE, ShapeKind.CAPSULE, ShapeKind.CYLINDER, ShapeKind.HULL)]
        raise InputError(f"a {shape.kind.name} cannot be asked with", attribute="kind", allowed=allowed)
    pose = np.concatenate([np.asarray(shape.position, float), np.asarray(shape.rotation, float), np.asarray(shape.size, float)])
    if not np.isfinite(pose).all():
        raise InputError(f"pose and size of a shape must be finite, are {pose.tolist()}", attribute="shape")
    colliders = moving_colliders(shape, Body(shape.path), world.model, -1, Findings())
    return [(solid(c, np.asarray(c.position, float), rotation_matrix(np.asarray(c.rotation, float))), c) for c in colliders]


def _faces(collider: Collider, position: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Triangles [T,3,3] of a mesh or a height field, world [m]."""
    if collider.mesh is not None:
        return collider.mesh.vertices.astype(float)[collider.mesh.triangles]
    assert collider.field is not None
    corners = collider.field.corners() @ turn.T + position
    a, b, c, d = corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]
    across = (collider.field.split == 1)[..., None, None]
    first = np.where(across, np.stack([a, b, d], axis=2), np.stack([a, b, c], axis=2))
    second = np.where(across, np.stack([b, c, d], axis=2), np.stack([a, c, d], axis=2))
    return np.concatenate([first, second]).reshape(-1, 3, 3)


def _targets(collider: Collider, position: np.ndarray, turn: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> list[Solid]:
    """What of a collider may reach into a bound, as convex pieces; not for planes."""
    if collider.mesh is None and collider.field is None:
        half = collider.size if collider.kind == ShapeKind.SPHERE else np.abs(turn) @ collider.size
        near = (position - half <= upper).all() and (position + half >= lower).all()
        return [solid(collider, position, turn)] if near else []
    faces = _faces(collider, position, turn)
    near_by = (faces.min(axis=1) <= upper).all(axis=1) & (faces.max(axis=1) >= lower).all(axis=1)
    return [polytope(face) for face in faces[near_by]]


def _above(body: Solid, position: np.ndarray, turn: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """As ``apart``, over a plane, which is solid below."""
    n = turn[:, 2]
    lowest = body.support(-n) - n * body.round
    height = float((lowest - position) @ n)
    return height, n, lowest - n * height


def _bound(body: Solid) -> tuple[np.ndarray, np.ndarray]:
    low = np.array([body.support(-e)[k] for k, e in enumerate(np.eye(3))]) - body.round
    high = np.array([body.support(e)[k] for k, e in enumerate(np.eye(3))]) + body.round
    return low, high


def overlaps(world: World, shape: Shape, w: int = 0, *, triggers: bool = False) -> list[tuple[int, int]]:
    """Who overlaps a convex shape at its pose in the world: (slot or -1, index into ``RigidModel.shapes`` or -1 for goods).

    Raises:
        InputError: A shape that is not convex, or a number that is not finite.
    """
    found: list[tuple[int, int]] = []
    solids = [body for body, _ in _solids(world, shape)]
    for slot, collider, position, turn in placed(world, w, triggers=triggers):
        for body in solids:
            if collider.kind == ShapeKind.PLANE:
                inside = _above(body, position, turn)[0] <= 0.0
            else:
                inside = any(apart(body, t)[0] <= 0.0 for t in _targets(collider, position, turn, *_bound(body)))
            if inside:
                found.append((slot, collider.source))
                break
    return found


def sweep(
    world: World, shape: Shape, direction: np.ndarray, reach: float, w: int = 0, *, triggers: bool = False
) -> SweepHit | None:
    """The first collider that a convex shape meets when it is moved from its pose along ``direction`` [3] by up to ``reach`` [m].

    By conservative advancement (B. Mirtich, Impulse-based Dynamic Simulation, 1996, section 2.3.2). What it overlaps at the
    start is met at once.

    Raises:
        InputError: A shape that is not convex, a number that is not finite, or a direction of no length.
    """
    direction = np.asarray(direction, float)
    length = float(np.linalg.norm(direction))
    if not (np.isfinite(length) and length > 0.0 and np.isfinite(reach) and reach >= 0.0):
        raise InputError(f"a sweep needs a direction and a finite reach, has {direction} and {reach}", attribute="sweep")
    direction = direction / length
    best: SweepHit | None = None
    for body, _ in _solids(world, shape):
        low, high = _bound(body)
        low, high = np.minimum(low, low + reach * direction), np.maximum(high, high + reach * direction)
        for slot, collider, position, turn in placed(world, w, triggers=triggers):
            plane = collider.kind == ShapeKind.PLANE
            for target in [None] if plane else _targets(collider, position, turn, low, high):
                limit = reach if best is None else best.distance
                way = 0.0
                for _ in range(_ROUNDS):
                    here = moved(body, way * direction)
                    gap, n, point = _above(here, position, turn) if target is None else apart(here, target)
                    if gap <= REACHED_M:
                        if best is None or way < best.distance:
                            best = SweepHit(way, point, n, slot, collider.source)
                        break
                    closing = float(-direction @ n)
                    if closing <= 1e-12:
                        break
                    way += gap / closing
                    if way > limit:
                        break
    return best

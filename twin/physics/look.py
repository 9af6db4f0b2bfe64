"""Looking into a world: contacts, islands, what is inside trigger volumes, energy, rays. All copies, nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.core.errors import InputError
from twin.model.rigid import BodyKind
from twin.physics.geometry import rotation_matrix
from twin.physics.kernels.data import POINTS
from twin.physics.queries import placed
from twin.physics.rays import cast

if TYPE_CHECKING:
    from twin.physics.world import World


@dataclass(frozen=True)
class ContactReport:
    """Contact points of one world after a step [P,...].

    Attributes:
        body, partner: Slots that touch; partner -1 is fixed. shape: index into ``RigidModel.shapes`` of the partner's collider,
            -1 for goods.
        point: [P,3] m. normal: [P,3] towards ``body``. separation: [P] m, below 0 where they overlap.
        impulse: [P] N s along the normal in the last substep. friction: [P,3] N s on ``body``.
    """

    body: np.ndarray
    partner: np.ndarray
    shape: np.ndarray
    point: np.ndarray
    normal: np.ndarray
    separation: np.ndarray
    impulse: np.ndarray
    friction: np.ndarray


@dataclass(frozen=True)
class RayHit:
    """What a ray met first.

    Attributes:
        distance: m. point: [3] m. normal: [3] outward. body: slot, -1 fixed. shape: index into ``RigidModel.shapes``, -1 goods.
    """

    distance: float
    point: np.ndarray
    normal: np.ndarray
    body: int
    shape: int


def contact_report(world: World, w: int = 0) -> ContactReport:
    """Contact points of world ``w``; bodies that sleep keep those they fell asleep with."""
    contacts = world._contacts[0]
    used = np.arange(POINTS) < contacts.count.numpy()[w][:, None]
    points = contacts.point.numpy().reshape(world.worlds, -1, POINTS)[w][used]
    body = np.nonzero(used)[0].astype(np.int32)
    position, rotation = world.position.numpy()[w][body], world.rotation.numpy()[w][body]
    u, s = rotation[:, :3], rotation[:, 3:]
    anchor = points["anchor"]
    at = position + anchor + 2.0 * np.cross(u, np.cross(u, anchor) + s * anchor)
    sources = np.array([c.source for c in world._uploaded.colliders] or [-1], np.int32)
    return ContactReport(
        body=body,
        partner=np.where(points["partner"] >= 0, points["partner"], -1),
        shape=sources[points["collider"]],
        point=at,
        normal=points["normal"].copy(),
        separation=points["separation"].copy(),
        impulse=points["normal_impulse"].copy(),
        friction=points["tangent_impulse"].copy(),
    )


def islands(world: World, w: int = 0) -> np.ndarray:
    """Island of each slot [M]: the lowest slot in it; -1 for what does not react (dead, held, kinematic)."""
    kinds = world._uploaded.kinds
    first = len(world.model.bodies)
    moves = np.ones(world.slots, bool)
    moves[:first] = [k.kind == BodyKind.DYNAMIC for k in kinds[:first]]
    free = (world.alive.numpy()[w] != 0) & (world.held.numpy()[w] == 0)
    return np.where(moves & free[: world.slots], world._work.root.numpy()[w, : world.slots], -1)


def inside_triggers(world: World, w: int = 0) -> list[tuple[int, int]]:
    """(shape, slot) of every body that is in a trigger volume, as of the last step; shapes index ``RigidModel.shapes``."""
    sensed = np.where(world.alive.numpy()[w] != 0, world._work.sensed.numpy()[w], 0)
    return [(s, int(i)) for k, s in enumerate(world._uploaded.sensors) for i in np.flatnonzero(sensed & (1 << k))]


def energy(world: World, w: int = 0) -> float:
    """Kinetic and potential energy of what moves freely in world ``w`` [J], heights counted from the origin."""
    kinds, first = world._uploaded.kinds, len(world.model.bodies)
    kind = np.arange(world.slots)
    kind[first:] = first + world.prototype.numpy()[w, first : world.slots]
    if not kinds:
        return 0.0
    free = islands(world, w) >= 0
    mass = np.array([k.mass for k in kinds], float)[kind]
    moments = np.array([k.inertia for k in kinds], float)[kind]
    axes = np.array([rotation_matrix(np.asarray(k.inertia_rotation, float)) for k in kinds])[kind]
    weight = np.array([0.0 if k.disable_gravity else 1.0 for k in kinds])[kind]
    q = world.rotation.numpy()[w, : world.slots].astype(float)
    o = world.angular_velocity.numpy()[w, : world.slots].astype(float)
    u, s = -q[:, :3], q[:, 3:]
    o = o + 2.0 * np.cross(u, np.cross(u, o) + s * o)
    o = np.einsum("nij,ni->nj", axes, o)
    v, x = world.linear_velocity.numpy()[w, : world.slots].astype(float), world.position.numpy()[w, : world.slots].astype(float)
    each = 0.5 * mass * (v * v).sum(axis=1) + 0.5 * (moments * o * o).sum(axis=1)
    each -= mass * weight * (x @ world.gravity.numpy()[w].astype(float))
    return float(each[free].sum())


def cast_ray(
    world: World, origin: np.ndarray, direction: np.ndarray, *, reach: float = np.inf, w: int = 0, triggers: bool = False
) -> RayHit | None:
    """The first collider that a ray from ``origin`` [3] m along ``direction`` [3] meets within ``reach`` [m].

    Raises:
        InputError: A number that is not finite, or a direction of no length.
    """
    origin, direction = np.asarray(origin, float), np.asarray(direction, float)
    length = float(np.linalg.norm(direction))
    if not (np.isfinite(origin).all() and np.isfinite(length) and length > 0.0):
        raise InputError(f"a ray needs a finite origin and a direction, has {origin} and {direction}", attribute="ray")
    direction = direction / length
    best = RayHit(reach, origin, direction, -1, -1)
    found = False
    for slot, collider, place, turn in placed(world, w, triggers=triggers):
        way, normal = cast(collider, place, turn, origin, direction)
        if way < best.distance or (way == best.distance and np.isfinite(way) and not found):
            best, found = RayHit(way, origin + way * direction, normal, slot, collider.source), True
    return best if found else None


def bodies_in(world: World, lower: np.ndarray, upper: np.ndarray, w: int = 0) -> np.ndarray:
    """Slots whose bounds in the last step, with what they swept, reach into the box from ``lower`` to ``upper`` [3] m."""
    m = world.slots
    low = world._work.lower.numpy().reshape(world.worlds, -1, 3)[w, :m]
    high = world._work.upper.numpy().reshape(world.worlds, -1, 3)[w, :m]
    alive = world.alive.numpy()[w, :m] != 0
    return np.flatnonzero(alive & (low <= upper).all(axis=1) & (high >= lower).all(axis=1))

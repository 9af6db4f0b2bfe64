"""What a picture of the physics shows: contact points with their normals, bodies with their islands, who sleeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from twin.physics.look import contact_report, islands

if TYPE_CHECKING:
    from twin.physics.world import World

MOST = 5_000
"""Contact points, and bodies, of one picture."""


def _kind_bounds(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half extents [K,3] m of the colliders of each kind of body, about its centre of mass."""
    u = world._uploaded
    center, half = np.zeros((len(u.kinds), 3)), np.full((len(u.kinds), 3), 0.05)
    for kind in range(len(u.kinds)):
        bounds = [c.bounds() for c in u.colliders[u.begin[kind] : u.begin[kind + 1]] if not c.shape.trigger]
        if bounds:
            low, high = np.min([b[0] for b in bounds], axis=0), np.max([b[1] for b in bounds], axis=0)
            center[kind], half[kind] = (low + high) / 2.0, (high - low) / 2.0
    return center, half


def overlay(world: World, w: int = 0, most: int = MOST) -> dict[str, Any]:
    """The last step of world ``w`` in plain lists of numbers, row after row; reading it changes nothing.

    Returns:
        ``contacts``: ``point`` [P*3] m, ``normal`` [P*3] towards the body that owns the point, ``impulse`` [P] N s of the last
        substep. ``bodies`` that forces move: ``position`` [B*3] m and ``rotation`` [B*4] xyzw of the centre of its bound,
        ``half`` [B*3] m, ``island`` [B] (the lowest slot in it), ``asleep`` [B] 0 or 1. ``left_out``: points and bodies beyond
        ``most`` of each.
    """
    report = contact_report(world, w)
    island = islands(world, w)
    slots = np.flatnonzero(island >= 0)
    left_out = max(len(report.body) - most, 0) + max(len(slots) - most, 0)
    slots = slots[:most]
    center, half = _kind_bounds(world)
    first = len(world.model.bodies)
    kind = np.where(slots < first, slots, first + world.prototype.numpy()[w, slots])
    rotation = world.rotation.numpy()[w, slots].astype(float)
    u, s = rotation[:, :3], rotation[:, 3:]
    middle = center[kind]
    position = world.position.numpy()[w, slots] + middle + 2.0 * np.cross(u, np.cross(u, middle) + s * middle)

    def plain(values: np.ndarray, digits: int) -> list[float]:
        return [float(x) for x in np.round(values.astype(float).reshape(-1), digits)]

    return {
        "contacts": {
            "point": plain(report.point[:most], 4),
            "normal": plain(report.normal[:most], 4),
            "impulse": plain(report.impulse[:most], 5),
        },
        "bodies": {
            "position": plain(position, 4),
            "rotation": plain(rotation, 5),
            "half": plain(half[kind], 4),
            "island": island[slots].tolist(),
            "asleep": world.asleep[w, slots].astype(int).tolist(),
        },
        "left_out": left_out,
    }

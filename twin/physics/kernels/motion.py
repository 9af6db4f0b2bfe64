"""How bodies turn, and when their state is no state any more."""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import Bodies, Work

FASTEST = wp.constant(1.0e6)
"""Speeds above this are the same as none that is finite: what they touch would be lost too [m/s, rad/s]."""
FARTHEST = wp.constant(1.0e12)
"""[m]"""


@wp.func
def sound(b: Bodies, w: int, i: int) -> bool:
    """Whether a body is somewhere, turned somehow, and moves at some speed."""
    p = wp.length(b.position[w, i])
    q = wp.length(b.rotation[w, i])
    v = wp.length(b.linear_velocity[w, i]) + wp.length(b.angular_velocity[w, i])
    # written so that what is not a number fails
    return p < FARTHEST and v < FASTEST and q > 0.5 and q < 2.0


@wp.func
def drop(b: Bodies, k: Work, w: int, i: int):
    """Take a body off the world, where it was last seen, and count it."""
    b.alive[w, i] = 0
    b.position[w, i] = k.start_position[w, i]
    b.rotation[w, i] = wp.quat(0.0, 0.0, 0.0, 1.0)
    b.linear_velocity[w, i] = wp.vec3(0.0, 0.0, 0.0)
    b.angular_velocity[w, i] = wp.vec3(0.0, 0.0, 0.0)
    b.generation[w, i] = b.generation[w, i] + 1
    k.invalid[w, i] = k.invalid[w, i] + 1


@wp.func
def turned(q: wp.quat, o: wp.vec3, h: float) -> wp.quat:
    """The rotation after turning with angular velocity ``o`` for ``h`` (exact for a constant one)."""
    angle = wp.length(o) * h
    if angle < 1.0e-9:
        return q
    return wp.normalize(wp.quat_from_axis_angle(wp.normalize(o), angle) * q)

"""Belts and turntables: how fast the surface of a collider moves, beside its material."""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import RigidTables


@wp.func
def along_path(t: RigidTables, path: int, p: wp.vec3) -> wp.vec3:
    """Velocity at ``p`` of a belt that runs along the curve at 1 m/s: the inside of a bend is slower, as in a belt that turns
    about the bend's centre."""
    best = float(1.0e30)
    at = int(-1)
    offset = wp.vec3(0.0, 0.0, 0.0)
    first = t.path_begin[path]
    last = t.path_begin[path + 1] - 1
    for j in range(first, last):
        a = t.path_point[j]
        e = t.path_point[j + 1] - a
        s = wp.clamp(wp.dot(p - a, e) / wp.max(wp.length_sq(e), 1.0e-12), 0.0, 1.0)
        d = wp.length_sq(a + e * s - p)
        if d < best - 1.0e-9:
            best = d
            at = j
            offset = p - a - e * s
    if at < 0:
        return wp.vec3(0.0, 0.0, 0.0)
    e = t.path_point[at + 1] - t.path_point[at]
    before = e
    after = e
    if at > first:
        before = t.path_point[at] - t.path_point[at - 1]
    if at + 1 < last:
        after = t.path_point[at + 2] - t.path_point[at + 1]
    span = wp.length(e) + 0.5 * (wp.length(before) + wp.length(after))
    if at == first or at + 1 == last:
        span = 0.5 * (wp.length(before) + wp.length(after))
        if last - first > 1:
            span = wp.length(e) * 0.5 + 0.5 * wp.where(at == first, wp.length(after), wp.length(before))
    curvature = (wp.normalize(after) - wp.normalize(before)) / wp.max(span, 1.0e-9)
    factor = wp.clamp(1.0 - wp.dot(curvature, offset), 0.0, 3.0)
    return wp.normalize(e) * factor


@wp.func
def belt_of(t: RigidTables, c: int, p: wp.vec3, q: wp.quat, drive: float):
    """How the surface of collider ``c`` at the pose (p, q) runs at a drive: [m/s], [rad/s], and what it turns about [m]."""
    linear = t.collider[c].surface_linear
    angular = t.collider[c].surface_angular
    if t.collider[c].surface_world == 0:
        linear = wp.quat_rotate(q, linear)
        angular = wp.quat_rotate(q, angular)
    return linear * drive, angular * drive, p + wp.quat_rotate(q, t.collider[c].surface_center)

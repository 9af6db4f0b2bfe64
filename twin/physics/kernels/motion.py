"""How bodies turn."""

from __future__ import annotations

import warp as wp


@wp.func
def turned(q: wp.quat, o: wp.vec3, h: float) -> wp.quat:
    """The rotation after turning with angular velocity ``o`` for ``h`` (exact for a constant one)."""
    angle = wp.length(o) * h
    if angle < 1.0e-9:
        return q
    return wp.normalize(wp.quat_from_axis_angle(wp.normalize(o), angle) * q)

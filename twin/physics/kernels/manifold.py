"""Contact points between convex shapes of any kind: a direction, the two faces that look at each other, one clipped by the other.

Writes to ``Scratch.found*`` of the owning body like ``narrow``, with the same conventions.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.convex import Convex, direction, feature, flat_normal, gap, moved, reach, way_out
from twin.physics.kernels.data import BOX, CAPSULE, CYLINDER, HULL, RigidTables, Scratch
from twin.physics.kernels.narrow import FULL, SEAM_M, add, beyond_seam, clip, closest_on_triangle, reduce, sphere_point

ALIGNED = wp.constant(0.9995)
"""Cosine of the angle between a contact's direction and a face up to which the face carries (1.8 degrees)."""
AHEAD_M = wp.constant(0.002)
"""Shapes that are farther apart than this at the end of a step do not meet in it [m]."""
PARALLEL = wp.constant(0.05)
"""Sine of the angle up to which two lines touch along their length."""


@wp.func
def add_apart(k: Scratch, row: int, found: int, p: wp.vec3, n: wp.vec3, s: float) -> int:
    """Add a point unless there is one within a millimetre."""
    for j in range(found):
        if wp.length_sq(k.found[row, j] - p) < 1.0e-6:
            return found
    return add(k, row, found, p, n, s)


@wp.func
def line_line(k: Scratch, row: int, n: wp.vec3, margin: float) -> int:
    """The line in polygon 0 (of A) along the one in polygon 2 (of B), where they are parallel: the ends of what they share."""
    a0 = k.polygon[row, 0, 0]
    b0 = k.polygon[row, 2, 0]
    ea = k.polygon[row, 0, 1] - a0
    eb = k.polygon[row, 2, 1] - b0
    length = wp.length(ea)
    other = wp.length(eb)
    if length < 1.0e-6 or other < 1.0e-6:
        return 0
    ea = ea / length
    if wp.length(wp.cross(ea, eb)) > PARALLEL * other:
        return 0
    x0 = wp.dot(b0 - a0, ea)
    x1 = wp.dot(b0 + eb - a0, ea)
    low = wp.max(wp.min(x0, x1), 0.0)
    high = wp.min(wp.max(x0, x1), length)
    found = int(0)
    if high - low > 1.0e-3:
        for j in range(2):
            x = wp.where(j == 0, low, high)
            pa = a0 + ea * x
            pb = b0 + eb * ((x - x0) / (x1 - x0))
            s = wp.dot(pa - pb, n)
            if s < margin:
                found = add(k, row, found, (pa + pb) * 0.5, n, s)
    return found


@wp.func
def face_clip(
    k: Scratch, row: int, face: int, sides: int, source: int, count: int, n: wp.vec3, sign: float, margin: float
) -> int:
    """Polygon ``source`` cut to the polygon ``face`` whose normal is ``n``; contact normals are ``sign`` times it."""
    origin = k.polygon[row, face, 0]
    u = wp.normalize(k.polygon[row, face, 1] - origin)
    v = wp.cross(n, u)
    for j in range(count):
        x = k.polygon[row, source, j] - origin
        k.polygon[row, source, j] = wp.vec3(wp.dot(x, u), wp.dot(x, v), wp.dot(x, n))
    target = int(1)
    for j in range(sides):
        a = k.polygon[row, face, j] - origin
        b = k.polygon[row, face, (j + 1) % sides] - origin
        px = wp.dot(a, u)
        py = wp.dot(a, v)
        ex = wp.dot(b - a, u)
        ey = wp.dot(b - a, v)
        count = clip(k, row, source, target, count, ey, -ex, ey * px - ex * py)
        swapped = source
        source = target
        target = swapped
    found = int(0)
    for j in range(count):
        x = k.polygon[row, source, j]
        if x[2] < margin:
            p = origin + u * x[0] + v * x[1] + n * (0.5 * x[2])
            found = add_apart(k, row, found, p, n * sign, x[2])
    return reduce(k, row, 0, found)


@wp.func
def slack(c: Convex) -> float:
    """How much closer than its core a shape may be [m]."""
    if c.kind == HULL:
        return c.bevel * wp.length(c.half)
    return c.round + 2.0 * c.bevel


@wp.func
def convex_convex(t: RigidTables, k: Scratch, row: int, a: Convex, b: Convex, step: wp.vec3, margin: float) -> int:
    """Shape A against shape B. ``step`` is how far A moves relative to B in this step [m]; at the seam between level boxes the
    way it is heading decides, as in ``box_box``."""
    seams = int(0)
    seam = wp.vec3(0.0, 0.0, 0.0)
    if b.kind == BOX and (a.kind == HULL or a.kind == CYLINDER):
        best = float(-1.0e30)
        for j in range(3):
            axis = flat_normal(t, b, 2 * j, a.p)
            if wp.dot(a.p - b.p, axis) < 0.0:
                axis = -axis
            s = gap(t, a, b, axis)
            if s > margin:
                return 0
            if s > -SEAM_M:
                seams += 1
                ahead = beyond_seam(s, wp.dot(step, axis))
                if ahead > best:
                    best = ahead
                    seam = axis
    n, middle, state = direction(t, a, b, margin + slack(a) + slack(b))
    if state < 0:
        return 0
    if state == 0:
        n = way_out(t, a, b)
    elif seams < 2:
        least = wp.min(wp.min(a.half[0], wp.min(a.half[1], a.half[2])), wp.min(b.half[0], wp.min(b.half[1], b.half[2])))
        if gap(t, a, b, n) > 0.0 and wp.length(step) < 0.5 * least:
            # apart now: what counts is the direction in which they meet, not the one in which they are near. An edge that
            # glides towards the next roller would be thrown up by a plane that is not there when it arrives.
            m, there, met = direction(t, moved(a, step), b, slack(a) + slack(b) + AHEAD_M)
            if met < 0:
                return 0
            if met > 0:
                n = m
                middle = there - step
    if seams > 1:
        n = seam
    s = gap(t, a, b, n)
    if s > margin:
        return 0
    if seams > 1 and s < 0.0 and s + wp.dot(step, n) > 0.0:
        return 0  # it is leaving by itself
    of_a = int(0)
    of_b = int(0)
    normal_a = wp.vec3(0.0, 0.0, 0.0)
    normal_b = wp.vec3(0.0, 0.0, 0.0)
    for attempt in range(2):
        of_b, normal_b = feature(t, k, row, 2, b, n)
        of_a, normal_a = feature(t, k, row, 0, a, -n)
        if attempt == 1 or s >= 0.0:
            break
        # where less than the bevels overlap the cores meet at a corner: the face that separates more is the true direction
        better = n
        found_better = bool(False)
        best = s + 1.0e-5
        for side in range(2):
            x = normal_b
            if side == 1:
                x = -normal_a
            if wp.length_sq(x) > 0.5:
                y = gap(t, a, b, x)
                if y > best:
                    best = y + 1.0e-4
                    s = y
                    better = x
                    found_better = True
        if not found_better:
            break
        n = better
    found = int(0)
    face = int(-1)
    if of_b > 2 and wp.dot(n, normal_b) >= ALIGNED and wp.dot(n, normal_b) > -wp.dot(n, normal_a) - 1.0e-3:
        face = 2
    elif of_a > 2 and -wp.dot(n, normal_a) >= ALIGNED:
        face = 0
    if face >= 0:
        normal = normal_b
        sides = of_b
        count = of_a
        sign = float(1.0)
        if face == 0:
            normal = normal_a
            sides = of_a
            count = of_b
            sign = -1.0
        found = face_clip(k, row, face, sides, 2 - face, count, normal, sign, margin)
    elif of_a == 2 and of_b == 2:
        found = line_line(k, row, n, margin)
    if found > 0 or seams > 1:
        return found
    if state == 0:
        middle = (reach(t, a, -n) + reach(t, b, n)) * 0.5
    # the point half-way between the cores, moved along the normal to half-way between the true surfaces
    height = wp.dot(reach(t, a, -n) + reach(t, b, n), n) * 0.5
    return add(k, row, 0, middle + n * (height - wp.dot(middle, n)), n, s)


@wp.func
def convex_plane(t: RigidTables, k: Scratch, row: int, a: Convex, pb: wp.vec3, n: wp.vec3, margin: float) -> int:
    """A capsule, cylinder or hull against the half space below the plane through ``pb`` with normal ``n``."""
    if wp.dot(a.p - pb, n) - wp.length(a.half) > margin:
        return 0
    found = int(0)
    if a.kind == HULL:
        for j in range(a.first, a.last):
            p = a.p + wp.quat_rotate(a.q, t.hull_vertex[j])
            s = wp.dot(p - pb, n)
            if s < margin:
                if found == FULL:
                    found = reduce(k, row, 0, found)
                found = add(k, row, found, p - n * (0.5 * s), n, s)
        return reduce(k, row, 0, found)
    count, _normal = feature(t, k, row, 0, a, -n)
    for j in range(count):
        p = k.polygon[row, 0, j]
        s = wp.dot(p - pb, n)
        if s < margin:
            found = add(k, row, found, p - n * (0.5 * s), n, s)
    return reduce(k, row, 0, found)


@wp.func
def convex_triangle(
    t: RigidTables,
    k: Scratch,
    row: int,
    found: int,
    a: Convex,
    v0: wp.vec3,
    v1: wp.vec3,
    v2: wp.vec3,
    margin: float,
    deepest: float,
) -> int:
    """A shape against the front of a triangle, along the triangle's normal only: no phantom walls at inner edges of a mesh.
    The round ends of a capsule also touch its edges and corners."""
    n = wp.cross(v1 - v0, v2 - v0)
    area = wp.length(n)
    if area < 1.0e-12:
        return found
    n = n / area
    if a.kind == CAPSULE:
        for j in range(2):
            end = a.p + wp.quat_rotate(a.q, wp.vec3(0.0, 0.0, wp.where(j == 0, a.half[2] - a.round, a.round - a.half[2])))
            if wp.dot(end - v0, n) > 0.0:
                found = sphere_point(k, row, found, end, a.round, closest_on_triangle(end, v0, v1, v2), n, margin)
    s = wp.dot(reach(t, a, -n) - v0, n)
    if wp.dot(a.p - v0, n) < 0.0 or s > margin or s < -deepest:
        return found
    count, _normal = feature(t, k, row, 0, a, -n)
    u = wp.normalize(v1 - v0)
    v = wp.cross(n, u)
    for j in range(count):
        x = k.polygon[row, 0, j] - v0
        k.polygon[row, 0, j] = wp.vec3(wp.dot(x, u), wp.dot(x, v), wp.dot(x, n))
    b = wp.vec2(wp.dot(v1 - v0, u), 0.0)
    c = wp.vec2(wp.dot(v2 - v0, u), wp.dot(v2 - v0, v))
    # counter-clockwise edges 0-1, 1-2, 2-0: inside is left of each
    for j in range(3):
        start = wp.vec2(0.0, 0.0)
        edge = b
        if j == 1:
            start = b
            edge = c - b
        elif j == 2:
            start = c
            edge = -c
        count = clip(k, row, j % 2, 1 - j % 2, count, edge[1], -edge[0], edge[1] * start[0] - edge[0] * start[1])
    for j in range(count):
        p = k.polygon[row, 1, j]
        if p[2] < margin:
            if found >= FULL - 8:
                found = reduce(k, row, 0, found)
            found = add_apart(k, row, found, v0 + u * p[0] + v * p[1] + n * (0.5 * p[2]), n, p[2])
    return found

"""Convex shapes of any kind: support points, distance between two of them (GJK), and the face each turns to the other.

A shape is a core (point, segment, box, cylinder or polytope) with a radius swept round it. For the *direction* of a contact the
sharp cores are taken a few millimetres smaller, so that touching shapes are still apart and the distance algorithm, which
knows nothing of overlap, stays exact there; the depth is then measured on the true shapes. (E. Gilbert, D. Johnson, S. Keerthi,
IEEE J. Robotics and Automation 4(2), 1988; the shrunken core as in G. van den Bergen, Collision Detection in Interactive 3D
Environments, section 4.)
"""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import BOX, CAPSULE, CYLINDER, HULL, RIM, RigidTables, Scratch

ROUNDS = wp.constant(24)
"""Iterations of the distance search; polytopes need about five."""
ROUNDING = wp.constant(4.0e-7)
"""Rounding of a support point, relative to the size of the shapes."""
STANDING = wp.constant(0.95)
"""Cosine of the tilt up to which a cylinder stands on its face rather than on its rim."""
TWO_PI = wp.constant(6.283185307179586)

Simplex = wp.types.matrix(shape=(4, 3), dtype=wp.float32)


@wp.struct
class Convex:
    """One convex collider in the world."""

    kind: int
    p: wp.vec3  # [m]
    q: wp.quat
    half: wp.vec3  # [m] bound; radius and half height of cylinders, half height of a capsule's straight part in z
    round: float  # [m] radius swept round the core
    bevel: float  # [m] how much smaller the core is taken while looking for the direction
    first: int  # vertices and faces of a hull
    last: int
    face_first: int
    face_last: int


@wp.func
def convex_of(t: RigidTables, c: int, p: wp.vec3, q: wp.quat) -> Convex:
    """Collider ``c`` at a pose."""
    out = Convex()
    out.kind = t.collider[c].shape
    out.p = p
    out.q = q
    out.half = t.collider[c].size
    out.round = t.collider[c].round
    out.bevel = t.collider[c].bevel
    hull = t.collider[c].hull
    if hull >= 0:
        out.first = t.hull_begin[hull]
        out.last = t.hull_begin[hull + 1]
        out.face_first = t.face_begin[hull]
        out.face_last = t.face_begin[hull + 1]
    return out


@wp.func
def moved(c: Convex, way: wp.vec3) -> Convex:
    """The same shape, ``way`` [m] further."""
    out = Convex()
    out.kind = c.kind
    out.p = c.p + way
    out.q = c.q
    out.half = c.half
    out.round = c.round
    out.bevel = c.bevel
    out.first = c.first
    out.last = c.last
    out.face_first = c.face_first
    out.face_last = c.face_last
    return out


@wp.func
def core_point(t: RigidTables, c: Convex, way: wp.vec3, bevel: float) -> wp.vec3:
    """The point of the core farthest along ``way`` [m], world; a hull's bevel is a factor on its vertices."""
    d = wp.quat_rotate_inv(c.q, way)
    x = wp.vec3(0.0, 0.0, 0.0)
    if c.kind == BOX:
        x = wp.vec3(
            wp.where(d[0] < 0.0, bevel - c.half[0], c.half[0] - bevel),
            wp.where(d[1] < 0.0, bevel - c.half[1], c.half[1] - bevel),
            wp.where(d[2] < 0.0, bevel - c.half[2], c.half[2] - bevel),
        )
    elif c.kind == HULL:
        best = float(-1.0e30)
        for j in range(c.first, c.last):
            s = wp.dot(t.hull_vertex[j], d)
            if s > best:
                best = s
                x = t.hull_vertex[j]
        x = x * (1.0 - bevel)
    elif c.kind == CYLINDER:
        across = wp.sqrt(d[0] * d[0] + d[1] * d[1])
        scale = float(0.0)
        if across > 1.0e-9:
            scale = (c.half[0] - bevel) / across
        x = wp.vec3(d[0] * scale, d[1] * scale, wp.where(d[2] < 0.0, bevel - c.half[2], c.half[2] - bevel))
    elif c.kind == CAPSULE:
        x = wp.vec3(0.0, 0.0, wp.where(d[2] < 0.0, c.round - c.half[2], c.half[2] - c.round))
    return c.p + wp.quat_rotate(c.q, x)


@wp.func
def reach(t: RigidTables, c: Convex, way: wp.vec3) -> wp.vec3:
    """The point of the true shape farthest along the unit vector ``way`` [m], world."""
    return core_point(t, c, way, 0.0) + way * c.round


@wp.func
def triangle_weights(a: wp.vec3, b: wp.vec3, c: wp.vec3) -> wp.vec3:
    """Barycentric weights of the triangle's point closest to the origin (C. Ericson, Real-Time Collision Detection, 5.1.5)."""
    ab = b - a
    ac = c - a
    d1 = -wp.dot(ab, a)
    d2 = -wp.dot(ac, a)
    if d1 <= 0.0 and d2 <= 0.0:
        return wp.vec3(1.0, 0.0, 0.0)
    d3 = -wp.dot(ab, b)
    d4 = -wp.dot(ac, b)
    if d3 >= 0.0 and d4 <= d3:
        return wp.vec3(0.0, 1.0, 0.0)
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        s = d1 / wp.max(d1 - d3, 1.0e-30)
        return wp.vec3(1.0 - s, s, 0.0)
    d5 = -wp.dot(ab, c)
    d6 = -wp.dot(ac, c)
    if d6 >= 0.0 and d5 <= d6:
        return wp.vec3(0.0, 0.0, 1.0)
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        s = d2 / wp.max(d2 - d6, 1.0e-30)
        return wp.vec3(1.0 - s, 0.0, s)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and (d4 - d3) >= 0.0 and (d5 - d6) >= 0.0:
        s = (d4 - d3) / wp.max((d4 - d3) + (d5 - d6), 1.0e-30)
        return wp.vec3(0.0, 1.0 - s, s)
    s = 1.0 / wp.max(va + vb + vc, 1.0e-30)
    return wp.vec3(va * s, vb * s, vc * s)


@wp.func
def simplex_weights(m: Simplex, n: int) -> wp.vec4:
    """Weights of the simplex point closest to the origin; all below zero when a tetrahedron holds the origin."""
    if n == 1:
        return wp.vec4(1.0, 0.0, 0.0, 0.0)
    if n == 2:
        e = m[1] - m[0]
        s = wp.clamp(-wp.dot(m[0], e) / wp.max(wp.length_sq(e), 1.0e-30), 0.0, 1.0)
        return wp.vec4(1.0 - s, s, 0.0, 0.0)
    if n == 3:
        x = triangle_weights(m[0], m[1], m[2])
        return wp.vec4(x[0], x[1], x[2], 0.0)
    out = wp.vec4(-1.0, -1.0, -1.0, -1.0)
    best = float(1.0e30)
    for f in range(4):
        i0 = (f + 1) % 4
        i1 = (f + 2) % 4
        i2 = (f + 3) % 4
        normal = wp.cross(m[i1] - m[i0], m[i2] - m[i0])
        if wp.dot(m[f] - m[i0], normal) * wp.dot(-m[i0], normal) <= 0.0:
            x = triangle_weights(m[i0], m[i1], m[i2])
            distance = wp.length_sq(m[i0] * x[0] + m[i1] * x[1] + m[i2] * x[2])
            if distance < best:
                best = distance
                out = wp.vec4(0.0, 0.0, 0.0, 0.0)
                out[i0] = x[0]
                out[i1] = x[1]
                out[i2] = x[2]
    return out


@wp.func
def direction(t: RigidTables, a: Convex, b: Convex, limit: float):
    """From B to A: the unit vector of least distance between the cores, a point half-way, and whether they are apart.

    1 apart, 0 they overlap (the vector is then undefined), -1 apart by more than ``limit`` [m].
    """
    v = a.p - b.p
    if wp.length_sq(v) < 1.0e-10:
        v = wp.vec3(0.0, 0.0, 1.0)
    points = Simplex()
    owners = Simplex()
    n = int(0)
    state = int(1)
    size = wp.length(a.half) + wp.length(b.half) + wp.length(v)
    witness = wp.vec3(0.0, 0.0, 0.0)
    for _ in range(ROUNDS):
        pa = core_point(t, a, -v, a.bevel)
        w = pa - core_point(t, b, v, b.bevel)
        vv = wp.length_sq(v)
        vw = wp.dot(v, w)
        if vw > 0.0 and vw * vw > limit * limit * vv:
            state = -1
            break
        if n > 0:
            if vv - vw <= 1.0e-5 * vv + ROUNDING * size * wp.sqrt(vv):
                break
        points[n] = w
        owners[n] = pa
        n += 1
        x = simplex_weights(points, n)
        if x[0] < 0.0:
            state = 0
            break
        kept = int(0)
        nearest = wp.vec3(0.0, 0.0, 0.0)
        witness = wp.vec3(0.0, 0.0, 0.0)
        for j in range(n):
            if x[j] > 0.0:
                nearest = nearest + points[j] * x[j]
                witness = witness + owners[j] * x[j]
                points[kept] = points[j]
                owners[kept] = owners[j]
                kept += 1
        n = kept
        before = vv
        v = nearest
        if n == 3:
            # on a face the direction is its normal: far more exact than the point, which a long thin triangle blurs
            normal = wp.cross(points[1] - points[0], points[2] - points[0])
            area = wp.length_sq(normal)
            if area > 0.0:
                v = normal * (wp.dot(normal, points[0]) / area)
        if wp.length_sq(v) < 1.0e-12:
            state = 0
            break
        if n == 4 or (wp.length_sq(v) >= before and n > 1):
            break
    normal = wp.vec3(0.0, 0.0, 1.0)
    if wp.length_sq(v) > 1.0e-12:
        normal = wp.normalize(v)
    return normal, witness - v * 0.5, state


@wp.func
def gap(t: RigidTables, a: Convex, b: Convex, n: wp.vec3) -> float:
    """Distance between two shapes along ``n`` from B to A [m]; negative where they overlap."""
    return wp.dot(reach(t, a, -n) - reach(t, b, n), n)


@wp.func
def flat_normal(t: RigidTables, c: Convex, j: int, other: wp.vec3) -> wp.vec3:
    """Way ``j`` out of a shape: its faces, or for round ones straight out towards the point ``other``."""
    if c.kind == HULL:
        return wp.quat_rotate(c.q, t.face_normal[c.face_first + j])
    x = wp.vec3(0.0, 0.0, 0.0)
    if c.kind == BOX:
        x[j // 2] = wp.where(j % 2 == 0, 1.0, -1.0)
    elif c.kind == CYLINDER and j < 2:
        x[2] = wp.where(j == 0, 1.0, -1.0)
    else:
        x = wp.quat_rotate_inv(c.q, other - c.p)
        if j == 2:
            x[2] = 0.0
        x = wp.where(wp.length_sq(x) < 1.0e-12, wp.vec3(1.0, 0.0, 0.0), wp.normalize(x))
    return wp.quat_rotate(c.q, x)


@wp.func
def flats(c: Convex) -> int:
    if c.kind == HULL:
        return c.face_last - c.face_first
    return wp.where(c.kind == BOX, 6, 3)


@wp.func
def way_out(t: RigidTables, a: Convex, b: Convex) -> wp.vec3:
    """For shapes deep in each other: the face that is nearest to let them go, as a direction from B to A."""
    best = float(-1.0e30)
    n = wp.vec3(0.0, 0.0, 1.0)
    of_b = flats(b)
    for j in range(of_b + flats(a)):
        x = wp.vec3(0.0, 0.0, 0.0)
        if j < of_b:
            x = flat_normal(t, b, j, a.p)
        else:
            x = -flat_normal(t, a, j - of_b, b.p)
        s = gap(t, a, b, x)
        if s > best + 1.0e-4:
            best = s
            n = x
    return n


@wp.func
def feature(t: RigidTables, k: Scratch, row: int, slot: int, c: Convex, way: wp.vec3):
    """The part of a shape that looks along ``way``, into polygon ``slot`` (world, counter-clockwise seen from outside).

    Returns its number of points (1 point, 2 line, more: face), and the face's normal, zero where there is no face.
    """
    d = wp.quat_rotate_inv(c.q, way)
    if c.kind == BOX:
        face = int(0)
        if wp.abs(d[1]) > wp.abs(d[face]):
            face = 1
        if wp.abs(d[2]) > wp.abs(d[face]):
            face = 2
        s = wp.where(d[face] < 0.0, -1.0, 1.0)
        for j in range(4):
            x = wp.vec3(0.0, 0.0, 0.0)
            x[face] = s * c.half[face]
            x[(face + 1) % 3] = s * wp.where(j == 0 or j == 3, -1.0, 1.0) * c.half[(face + 1) % 3]
            x[(face + 2) % 3] = wp.where(j < 2, -1.0, 1.0) * c.half[(face + 2) % 3]
            k.polygon[row, slot, j] = c.p + wp.quat_rotate(c.q, x)
        normal = wp.vec3(0.0, 0.0, 0.0)
        normal[face] = s
        return 4, wp.quat_rotate(c.q, normal)
    if c.kind == HULL:
        face = c.face_first
        best = float(-1.0e30)
        for j in range(c.face_first, c.face_last):
            s = wp.dot(t.face_normal[j], d)
            if s > best:
                best = s
                face = j
        begin = t.loop_begin[face]
        count = t.loop_begin[face + 1] - begin
        for j in range(count):
            k.polygon[row, slot, j] = c.p + wp.quat_rotate(c.q, t.hull_vertex[t.loop[begin + j]])
        return count, wp.quat_rotate(c.q, t.face_normal[face])
    if c.kind == CYLINDER:
        up = wp.where(d[2] < 0.0, -1.0, 1.0)
        if wp.abs(d[2]) > STANDING:
            for j in range(RIM):
                angle = up * TWO_PI * float(j) / float(RIM)
                x = wp.vec3(c.half[0] * wp.cos(angle), c.half[0] * wp.sin(angle), up * c.half[2])
                k.polygon[row, slot, j] = c.p + wp.quat_rotate(c.q, x)
            return RIM, wp.quat_rotate(c.q, wp.vec3(0.0, 0.0, up))
        x = wp.normalize(wp.vec3(d[0], d[1], 0.0)) * c.half[0]
        for j in range(2):
            x[2] = wp.where(j == 0, c.half[2], -c.half[2])
            k.polygon[row, slot, j] = c.p + wp.quat_rotate(c.q, x)
        return 2, wp.vec3(0.0, 0.0, 0.0)
    if c.kind == CAPSULE:
        for j in range(2):
            x = wp.vec3(0.0, 0.0, wp.where(j == 0, c.half[2] - c.round, c.round - c.half[2])) + d * c.round
            k.polygon[row, slot, j] = c.p + wp.quat_rotate(c.q, x)
        return 2, wp.vec3(0.0, 0.0, 0.0)
    k.polygon[row, slot, 0] = c.p + way * c.round
    return 1, wp.vec3(0.0, 0.0, 0.0)

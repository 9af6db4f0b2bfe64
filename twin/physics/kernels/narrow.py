"""Narrow phase: contact points between two colliders.

Each function writes points of one manifold to ``Scratch.found*`` of the owning body and returns how many. A point lies half-way
between the two surfaces; its normal points towards collider A (the owner's); separation is negative where they overlap.
Boxes: separating axes, then the incident face is clipped against the reference face (D. Gregorius, "Robust Contact Creation
for Physics Simulations", GDC 2015).
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import SCRATCH, Scratch

FULL = wp.constant(SCRATCH)
SEAM_M = wp.constant(0.004)
"""Two boxes that overlap less than this on two axes meet corner to corner: where they are heading decides [m]."""
REACHED_M = wp.constant(1.0e-4)
"""What comes nearer by less than this in a step is not being reached: that is the sway of a body at rest [m]."""
EDGE_BIAS_M = wp.constant(0.002)
"""An edge must separate by this much more than the best face [m]: faces make steadier manifolds."""
INSIDE_M = wp.constant(0.006)
"""How far inside a face the corners must lie that need no other axis looked at [m]."""
FLAT_COSINE = wp.constant(0.99)
LEVEL_M = wp.constant(0.002)
"""Points this much less deep than the deepest still carry their share [m]."""
SAME_NORMAL = wp.constant(0.97)


@wp.func
def axis_of(q: wp.quat, k: int) -> wp.vec3:
    """Axis ``k`` of a frame, in the world."""
    if k == 0:
        return wp.quat_rotate(q, wp.vec3(1.0, 0.0, 0.0))
    if k == 1:
        return wp.quat_rotate(q, wp.vec3(0.0, 1.0, 0.0))
    return wp.quat_rotate(q, wp.vec3(0.0, 0.0, 1.0))


@wp.func
def extent(q: wp.quat, half: wp.vec3, n: wp.vec3) -> float:
    """Half the width of a box along ``n``."""
    m = wp.quat_rotate_inv(q, n)
    return wp.abs(m[0]) * half[0] + wp.abs(m[1]) * half[1] + wp.abs(m[2]) * half[2]


@wp.func
def add(k: Scratch, row: int, n: int, point: wp.vec3, normal: wp.vec3, separation: float) -> int:
    if n >= FULL:
        return n
    k.found[row, n] = point
    k.found_normal[row, n] = normal
    k.found_depth[row, n] = separation
    return n + 1


@wp.func
def swap(k: Scratch, row: int, a: int, b: int):
    p = k.found[row, a]
    n = k.found_normal[row, a]
    d = k.found_depth[row, a]
    k.found[row, a] = k.found[row, b]
    k.found_normal[row, a] = k.found_normal[row, b]
    k.found_depth[row, a] = k.found_depth[row, b]
    k.found[row, b] = p
    k.found_normal[row, b] = n
    k.found_depth[row, b] = d


@wp.func
def reduce(k: Scratch, row: int, begin: int, end: int) -> int:
    """Of the points [begin, end) keep four: the deepest, the farthest from it, and the two that span most area, chosen among
    those that are nearly as deep; where these are fewer than four, the deepest of the others beside them."""
    if end - begin <= 4:
        return end
    best = begin
    for j in range(begin + 1, end):
        if k.found_depth[row, j] < k.found_depth[row, best] - 1.0e-5:
            best = j
    swap(k, row, begin, best)
    level = k.found_depth[row, begin] + LEVEL_M
    near = begin + 1
    for j in range(begin + 1, end):
        if k.found_depth[row, j] < level:
            swap(k, row, near, j)
            near += 1
    if near - begin <= 4:
        for m in range(near, begin + 4):
            best = m
            for j in range(m + 1, end):
                if k.found_depth[row, j] < k.found_depth[row, best] - 1.0e-5:
                    best = j
            swap(k, row, m, best)
        return begin + 4
    end = near
    p0 = k.found[row, begin]
    n = k.found_normal[row, begin]
    best = begin + 1
    far = float(-1.0)
    for j in range(begin + 1, end):
        d = wp.length_sq(k.found[row, j] - p0)
        if d > far:
            far = d
            best = j
    swap(k, row, begin + 1, best)
    along = k.found[row, begin + 1] - p0
    side = wp.cross(n, along)
    high = float(-1.0e30)
    best = begin + 2
    for j in range(begin + 2, end):
        d = wp.dot(k.found[row, j] - p0, side)
        if d > high:
            high = d
            best = j
    swap(k, row, begin + 2, best)
    low = float(1.0e30)
    best = begin + 3
    for j in range(begin + 3, end):
        d = wp.dot(k.found[row, j] - p0, side)
        if d < low:
            low = d
            best = j
    swap(k, row, begin + 3, best)
    return begin + 4


@wp.func
def clip(k: Scratch, row: int, source: int, target: int, count: int, a: float, b: float, c: float) -> int:
    """Cut polygon ``source`` (x, y, height) by the half plane a x + b y <= c into polygon ``target``; returns its size."""
    out = int(0)
    if count == 0:
        return 0
    previous = k.polygon[row, source, count - 1]
    d0 = a * previous[0] + b * previous[1] - c
    for j in range(count):
        p = k.polygon[row, source, j]
        d = a * p[0] + b * p[1] - c
        if (d0 <= 0.0) != (d <= 0.0):
            s = d0 / (d0 - d)
            if out < FULL:
                k.polygon[row, target, out] = previous + (p - previous) * s
                out += 1
        if d <= 0.0:
            if out < FULL:
                k.polygon[row, target, out] = p
                out += 1
        previous = p
        d0 = d
    return out


@wp.func
def beyond_seam(s: float, way: float) -> float:
    """How far apart two boxes are along an axis after a step of ``way``; a wall that is being reached must win clearly over the
    ground that is lain on, or the overlap of a body at rest makes an edge of every seam."""
    return s + way - wp.where(way < -REACHED_M, SEAM_M * 0.5, 0.0)


@wp.func
def incident_face(
    k: Scratch, row: int, p: wp.vec3, q: wp.quat, half: wp.vec3, origin: wp.vec3, u: wp.vec3, v: wp.vec3, n: wp.vec3
):
    """The face of a box that looks most against ``n``, as polygon 0 in the frame (origin; u, v, n)."""
    m = wp.quat_rotate_inv(q, n)
    face = int(0)
    if wp.abs(m[1]) > wp.abs(m[face]):
        face = 1
    if wp.abs(m[2]) > wp.abs(m[face]):
        face = 2
    s = wp.where(m[face] > 0.0, -1.0, 1.0)
    e = axis_of(q, (face + 1) % 3) * half[(face + 1) % 3]
    f = axis_of(q, (face + 2) % 3) * half[(face + 2) % 3]
    center = p + axis_of(q, face) * (s * half[face]) - origin
    for j in range(4):
        x = wp.where(j == 0 or j == 3, -1.0, 1.0)
        y = wp.where(j < 2, -1.0, 1.0)
        c = center + e * x + f * y
        k.polygon[row, 0, j] = wp.vec3(wp.dot(c, u), wp.dot(c, v), wp.dot(c, n))


@wp.func
def box_box(
    k: Scratch,
    row: int,
    pa: wp.vec3,
    qa: wp.quat,
    ha: wp.vec3,
    pb: wp.vec3,
    qb: wp.quat,
    hb: wp.vec3,
    step: wp.vec3,
    margin: float,
) -> int:
    """Box A against box B. ``step`` is how far A moves relative to B in this step [m]: at a seam (two boxes level with each
    other, say a carton crossing from belt to belt) the axis on which they will still be apart is taken, not a phantom wall."""
    d = pa - pb
    best = int(-1)
    value = float(-1.0e30)
    seam = int(-1)
    seam_value = float(-1.0e30)
    seams = int(0)
    for a in range(6):
        q = qb
        if a >= 3:
            q = qa
        axis = axis_of(q, a % 3)
        distance = wp.dot(d, axis)
        s = float(0.0)
        if a < 3:
            s = wp.abs(distance) - hb[a] - extent(qa, ha, axis)
        else:
            s = wp.abs(distance) - ha[a - 3] - extent(qb, hb, axis) - 1.0e-4
        if s > margin:
            return 0
        if s > value:
            value = s
            best = a
        if s > -SEAM_M:
            seams += 1
            ahead = beyond_seam(s, wp.dot(step, axis) * wp.sign(distance))
            if ahead > seam_value:
                seam_value = ahead
                seam = a
    if seams > 1:
        best = seam
        q = qb
        if best >= 3:
            q = qa
        axis = axis_of(q, best % 3)
        if best < 3:
            value = wp.abs(wp.dot(d, axis)) - hb[best] - extent(qa, ha, axis)
        else:
            value = wp.abs(wp.dot(d, axis)) - ha[best - 3] - extent(qb, hb, axis)
        if value < 0.0 and value + wp.dot(step, axis) * wp.sign(wp.dot(d, axis)) > 0.0:
            return 0  # it is leaving by itself
    edge = int(-1)
    edge_value = value + EDGE_BIAS_M
    edge_normal = wp.vec3(0.0, 0.0, 0.0)
    for e in range(9):
        axis = wp.cross(axis_of(qa, e // 3), axis_of(qb, e % 3))
        length = wp.length(axis)
        if length > 1.0e-2:
            axis = axis / length
            distance = wp.dot(d, axis)
            s = wp.abs(distance) - extent(qa, ha, axis) - extent(qb, hb, axis)
            if s > margin:
                return 0
            if s > edge_value and seams < 2:
                edge_value = s
                edge = e
                edge_normal = axis * wp.where(distance < 0.0, -1.0, 1.0)
    if edge >= 0:
        # closest points of the two supporting edges
        ua = axis_of(qa, edge // 3)
        ub = axis_of(qb, edge % 3)
        ca = pa
        cb = pb
        for j in range(3):
            if j != edge // 3:
                x = axis_of(qa, j)
                ca = ca - x * (ha[j] * wp.where(wp.dot(x, edge_normal) > 0.0, 1.0, -1.0))
            if j != edge % 3:
                y = axis_of(qb, j)
                cb = cb + y * (hb[j] * wp.where(wp.dot(y, edge_normal) > 0.0, 1.0, -1.0))
        r = ca - cb
        ab = wp.dot(ua, ub)
        denominator = wp.max(1.0 - ab * ab, 1.0e-6)
        sa = (ab * wp.dot(ub, r) - wp.dot(ua, r)) / denominator
        sb = (wp.dot(ub, r) - ab * wp.dot(ua, r)) / denominator
        sa = wp.clamp(sa, -ha[edge // 3], ha[edge // 3])
        sb = wp.clamp(sb, -hb[edge % 3], hb[edge % 3])
        return add(k, row, 0, (ca + ua * sa + cb + ub * sb) * 0.5, edge_normal, edge_value)
    # reference frame
    pr = pb
    qr = qb
    hr = hb
    po = pa
    qo = qa
    ho = ha
    f = best
    if best >= 3:
        pr = pa
        qr = qa
        hr = ha
        po = pb
        qo = qb
        ho = hb
        f = best - 3
    n = axis_of(qr, f)
    if wp.dot(po - pr, n) < 0.0:
        n = -n
    u = axis_of(qr, (f + 1) % 3)
    v = axis_of(qr, (f + 2) % 3)
    origin = pr + n * hr[f]
    hu = hr[(f + 1) % 3]
    hv = hr[(f + 2) % 3]
    incident_face(k, row, po, qo, ho, origin, u, v, n)
    count = int(4)
    for j in range(4):
        across = float(1 - 2 * (j % 2))
        along_u = wp.where(j < 2, 1.0, 0.0)
        count = clip(k, row, j % 2, 1 - j % 2, count, across * along_u, across * (1.0 - along_u), wp.where(j < 2, hu, hv))
    normal = wp.where(best < 3, n, -n)
    found = int(0)
    for j in range(count):
        c = k.polygon[row, 0, j]
        if c[2] < margin:
            found = add(k, row, found, origin + u * c[0] + v * c[1] + n * (0.5 * c[2]), normal, c[2])
    return reduce(k, row, 0, found)


@wp.func
def box_on_face(
    k: Scratch,
    row: int,
    pa: wp.vec3,
    qa: wp.quat,
    ha: wp.vec3,
    pb: wp.vec3,
    qb: wp.quat,
    hb: wp.vec3,
    side: float,
    margin: float,
) -> int:
    """Box A where it lies on a face of B, all four corners well inside it: what ``box_box`` finds, without its other axes.

    No other axis separates more there: the deepest corner is deeper below any tilted plane that B lies behind, as long as the
    overlap is smaller than its distance from the edges of the face. ``side`` is -1 where the owner is B.

    Returns:
        Points found, 0 where a face of B separates the boxes, -1 where all axes must be looked at.
    """
    d = wp.quat_rotate_inv(qb, pa - pb)
    f = int(0)
    best = wp.abs(d[0]) - hb[0]
    for j in range(1, 3):
        if wp.abs(d[j]) - hb[j] > best:
            best = wp.abs(d[j]) - hb[j]
            f = j
    m = wp.quat_to_matrix(wp.quat_inverse(qb) * qa)
    if best - (wp.abs(m[f, 0]) * ha[0] + wp.abs(m[f, 1]) * ha[1] + wp.abs(m[f, 2]) * ha[2]) > margin:
        return 0
    face = int(0)
    if wp.abs(m[f, 1]) > wp.abs(m[f, face]):
        face = 1
    if wp.abs(m[f, 2]) > wp.abs(m[f, face]):
        face = 2
    up = wp.where(d[f] < 0.0, -1.0, 1.0)
    lean = m[f, face] * up
    if wp.abs(lean) < FLAT_COSINE:
        return -1
    e1 = (face + 1) % 3
    e2 = (face + 2) % 3
    x1 = wp.vec3(m[0, e1], m[1, e1], m[2, e1]) * ha[e1]
    x2 = wp.vec3(m[0, e2], m[1, e2], m[2, e2]) * ha[e2]
    middle = d - wp.vec3(m[0, face], m[1, face], m[2, face]) * (ha[face] * wp.where(lean > 0.0, 1.0, -1.0))
    f1 = (f + 1) % 3
    f2 = (f + 2) % 3
    spread1 = wp.abs(x1[f1]) + wp.abs(x2[f1])
    spread2 = wp.abs(x1[f2]) + wp.abs(x2[f2])
    if wp.abs(middle[f1]) + spread1 > hb[f1] - INSIDE_M or wp.abs(middle[f2]) + spread2 > hb[f2] - INSIDE_M:
        return -1
    if middle[f] * up - wp.abs(x1[f]) - wp.abs(x2[f]) - hb[f] < -INSIDE_M:
        return -1
    n = axis_of(qb, f) * up
    found = int(0)
    for j in range(4):
        corner = middle + x1 * wp.where(j == 0 or j == 3, -1.0, 1.0) + x2 * wp.where(j < 2, -1.0, 1.0)
        s = corner[f] * up - hb[f]
        if s < margin:
            found = add(k, row, found, pb + wp.quat_rotate(qb, corner) - n * (0.5 * s), n * side, s)
    return found


@wp.func
def box_plane(k: Scratch, row: int, pa: wp.vec3, qa: wp.quat, ha: wp.vec3, pb: wp.vec3, n: wp.vec3, margin: float) -> int:
    """Box against the half space below the plane through ``pb`` with normal ``n``."""
    if wp.dot(pa - pb, n) - extent(qa, ha, n) > margin:
        return 0
    found = int(0)
    for j in range(8):
        x = wp.where((j & 1) == 0, -ha[0], ha[0])
        y = wp.where((j & 2) == 0, -ha[1], ha[1])
        z = wp.where((j & 4) == 0, -ha[2], ha[2])
        p = pa + wp.quat_rotate(qa, wp.vec3(x, y, z))
        s = wp.dot(p - pb, n)
        if s < margin:
            found = add(k, row, found, p - n * (0.5 * s), n, s)
    return reduce(k, row, 0, found)


@wp.func
def sphere_point(k: Scratch, row: int, found: int, center: wp.vec3, radius: float, q: wp.vec3, n: wp.vec3, margin: float) -> int:
    """Sphere against the surface point ``q``; ``n`` is the way out where the centre lies on the point."""
    way = center - q
    distance = wp.length(way)
    normal = n
    if distance > 1.0e-7:
        normal = way / distance
    s = distance - radius
    if s > margin:
        return found
    for j in range(found):
        if wp.length_sq(k.found[row, j] - (q + normal * (0.5 * s))) < 1.0e-6:
            return found
    return add(k, row, found, q + normal * (0.5 * s), normal, s)


@wp.func
def sphere_box(k: Scratch, row: int, center: wp.vec3, radius: float, pb: wp.vec3, qb: wp.quat, hb: wp.vec3, margin: float) -> int:
    local = wp.quat_rotate_inv(qb, center - pb)
    c = wp.vec3(wp.clamp(local[0], -hb[0], hb[0]), wp.clamp(local[1], -hb[1], hb[1]), wp.clamp(local[2], -hb[2], hb[2]))
    if wp.length_sq(local - c) > 1.0e-12:
        return sphere_point(k, row, 0, center, radius, pb + wp.quat_rotate(qb, c), wp.vec3(0.0, 0.0, 1.0), margin)
    # the centre is inside: out through the nearest face
    axis = int(0)
    depth = hb[0] - wp.abs(local[0])
    for j in range(1, 3):
        if hb[j] - wp.abs(local[j]) < depth:
            depth = hb[j] - wp.abs(local[j])
            axis = j
    n = axis_of(qb, axis) * wp.where(local[axis] < 0.0, -1.0, 1.0)
    return add(k, row, 0, center + n * (0.5 * (depth - radius)), n, -depth - radius)


@wp.func
def closest_on_triangle(p: wp.vec3, a: wp.vec3, b: wp.vec3, c: wp.vec3) -> wp.vec3:
    """Closest point of a triangle (C. Ericson, Real-Time Collision Detection, section 5.1.5)."""
    ab = b - a
    ac = c - a
    ap = p - a
    d1 = wp.dot(ab, ap)
    d2 = wp.dot(ac, ap)
    if d1 <= 0.0 and d2 <= 0.0:
        return a
    bp = p - b
    d3 = wp.dot(ab, bp)
    d4 = wp.dot(ac, bp)
    if d3 >= 0.0 and d4 <= d3:
        return b
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        return a + ab * (d1 / (d1 - d3))
    cp = p - c
    d5 = wp.dot(ab, cp)
    d6 = wp.dot(ac, cp)
    if d6 >= 0.0 and d5 <= d6:
        return c
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        return a + ac * (d2 / (d2 - d6))
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and (d4 - d3) >= 0.0 and (d5 - d6) >= 0.0:
        return b + (c - b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)))
    s = 1.0 / (va + vb + vc)
    return a + ab * (vb * s) + ac * (vc * s)


@wp.func
def gather_normals(k: Scratch, row: int, begin: int, end: int) -> int:
    """Bring the points that share the normal of the first one to the front; returns where the others begin."""
    n = k.found_normal[row, begin]
    same = begin + 1
    for j in range(begin + 1, end):
        if wp.dot(k.found_normal[row, j], n) > SAME_NORMAL:
            swap(k, row, same, j)
            same += 1
    return same

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
    k: Scratch, row: int, p: wp.vec3, m: wp.mat33, half: wp.vec3, origin: wp.vec3, u: wp.vec3, v: wp.vec3, n: wp.vec3
):
    """The face of a box that looks most against ``n``, as polygon 0 in the frame (origin; u, v, n)."""
    toward = wp.transpose(m) * n
    face = int(0)
    if wp.abs(toward[1]) > wp.abs(toward[face]):
        face = 1
    if wp.abs(toward[2]) > wp.abs(toward[face]):
        face = 2
    s = wp.where(toward[face] > 0.0, -1.0, 1.0)
    e = column(m, (face + 1) % 3) * half[(face + 1) % 3]
    f = column(m, (face + 2) % 3) * half[(face + 2) % 3]
    center = p + column(m, face) * (s * half[face]) - origin
    for j in range(4):
        x = wp.where(j == 0 or j == 3, -1.0, 1.0)
        y = wp.where(j < 2, -1.0, 1.0)
        c = center + e * x + f * y
        k.polygon[row, 0, j] = wp.vec3(wp.dot(c, u), wp.dot(c, v), wp.dot(c, n))


@wp.func
def column(m: wp.mat33, k: int) -> wp.vec3:
    return wp.vec3(m[0, k], m[1, k], m[2, k])


@wp.func
def spread(m: wp.mat33, k: int, half: wp.vec3) -> float:
    """Half the width of a box along axis ``k`` of another one, of which row ``k`` of ``m`` is the box's axes' share."""
    return wp.abs(m[k, 0]) * half[0] + wp.abs(m[k, 1]) * half[1] + wp.abs(m[k, 2]) * half[2]


@wp.func
def box_box(
    k: Scratch,
    row: int,
    pa: wp.vec3,
    ma: wp.mat33,
    ha: wp.vec3,
    pb: wp.vec3,
    mb: wp.mat33,
    hb: wp.vec3,
    of_b: wp.mat33,
    step: wp.vec3,
    margin: float,
) -> int:
    """Box A against box B, whose axes in the world are the columns of ``ma`` and ``mb``; ``of_b``: those of A in the frame of B.
    ``step`` is how far A moves relative to B in this step [m]: at a seam (two boxes level with each other, say a carton
    crossing from belt to belt) the axis on which they will still be apart is taken, not a phantom wall."""
    of_a = wp.transpose(of_b)  # [i, j]: axis i of A along axis j of B
    da = wp.transpose(ma) * (pa - pb)
    db = wp.transpose(mb) * (pa - pb)
    sa = wp.transpose(ma) * step
    sb = wp.transpose(mb) * step
    best = int(-1)
    value = float(-1.0e30)
    seam = int(-1)
    seam_value = float(-1.0e30)
    seams = int(0)
    for a in range(6):
        distance = float(0.0)
        way = float(0.0)
        s = float(0.0)
        if a < 3:
            distance = db[a]
            way = sb[a]
            s = wp.abs(distance) - hb[a] - spread(of_b, a, ha)
        else:
            distance = da[a - 3]
            way = sa[a - 3]
            s = wp.abs(distance) - ha[a - 3] - spread(of_a, a - 3, hb) - 1.0e-4
        if s > margin:
            return 0
        if s > value:
            value = s
            best = a
        if s > -SEAM_M:
            seams += 1
            ahead = beyond_seam(s, way * wp.sign(distance))
            if ahead > seam_value:
                seam_value = ahead
                seam = a
    if seams > 1:
        best = seam
        distance = float(0.0)
        way = float(0.0)
        if best < 3:
            distance = db[best]
            way = sb[best]
            value = wp.abs(distance) - hb[best] - spread(of_b, best, ha)
        else:
            distance = da[best - 3]
            way = sa[best - 3]
            value = wp.abs(distance) - ha[best - 3] - spread(of_a, best - 3, hb)
        if value < 0.0 and value + way * wp.sign(distance) > 0.0:
            return 0  # it is leaving by itself
    edge = int(-1)
    edge_value = value + EDGE_BIAS_M
    edge_sign = float(0.0)
    for i in range(3):
        for j in range(3):
            # the cross product of axis i of A and axis j of B, in the frame of A and in that of B
            i1 = (i + 1) % 3
            i2 = (i + 2) % 3
            j1 = (j + 1) % 3
            j2 = (j + 2) % 3
            x1 = of_a[i2, j]
            x2 = of_a[i1, j]
            y1 = of_a[i, j2]
            y2 = of_a[i, j1]
            length = wp.sqrt(x1 * x1 + x2 * x2)
            if length > 1.0e-2:
                distance = (da[i2] * x2 - da[i1] * x1) / length
                reach = ha[i1] * wp.abs(x1) + ha[i2] * wp.abs(x2) + hb[j1] * wp.abs(y1) + hb[j2] * wp.abs(y2)
                s = wp.abs(distance) - reach / length
                if s > margin:
                    return 0
                if s > edge_value and seams < 2:
                    edge_value = s
                    edge = 3 * i + j
                    edge_sign = wp.where(distance < 0.0, -1.0, 1.0)
    if edge >= 0:
        # closest points of the two supporting edges
        ua = column(ma, edge // 3)
        ub = column(mb, edge % 3)
        edge_normal = wp.normalize(wp.cross(ua, ub)) * edge_sign
        ca = pa
        cb = pb
        for j in range(3):
            if j != edge // 3:
                x = column(ma, j)
                ca = ca - x * (ha[j] * wp.where(wp.dot(x, edge_normal) > 0.0, 1.0, -1.0))
            if j != edge % 3:
                y = column(mb, j)
                cb = cb + y * (hb[j] * wp.where(wp.dot(y, edge_normal) > 0.0, 1.0, -1.0))
        r = ca - cb
        ab = wp.dot(ua, ub)
        denominator = wp.max(1.0 - ab * ab, 1.0e-6)
        along_a = (ab * wp.dot(ub, r) - wp.dot(ua, r)) / denominator
        along_b = (wp.dot(ub, r) - ab * wp.dot(ua, r)) / denominator
        along_a = wp.clamp(along_a, -ha[edge // 3], ha[edge // 3])
        along_b = wp.clamp(along_b, -hb[edge % 3], hb[edge % 3])
        return add(k, row, 0, (ca + ua * along_a + cb + ub * along_b) * 0.5, edge_normal, edge_value)
    # reference frame
    pr = pb
    mr = mb
    hr = hb
    po = pa
    mo = ma
    ho = ha
    f = best
    if best >= 3:
        pr = pa
        mr = ma
        hr = ha
        po = pb
        mo = mb
        ho = hb
        f = best - 3
    n = column(mr, f)
    if wp.dot(po - pr, n) < 0.0:
        n = -n
    u = column(mr, (f + 1) % 3)
    v = column(mr, (f + 2) % 3)
    origin = pr + n * hr[f]
    hu = hr[(f + 1) % 3]
    hv = hr[(f + 2) % 3]
    incident_face(k, row, po, mo, ho, origin, u, v, n)
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
    ha: wp.vec3,
    pb: wp.vec3,
    mb: wp.mat33,
    hb: wp.vec3,
    m: wp.mat33,
    side: float,
    margin: float,
) -> int:
    """Box A where it lies on a face of B, all four corners well inside it: what ``box_box`` finds, without its other axes.

    No other axis separates more there: the deepest corner is deeper below any tilted plane that B lies behind, as long as the
    overlap is smaller than its distance from the edges of the face. ``m`` are the axes of A in the frame of B, ``mb`` those of B
    in the world; ``side`` is -1 where the owner is B.

    Returns:
        Points found, 0 where a face of B separates the boxes, -1 where all axes must be looked at.
    """
    d = wp.transpose(mb) * (pa - pb)
    f = int(0)
    best = wp.abs(d[0]) - hb[0]
    for j in range(1, 3):
        if wp.abs(d[j]) - hb[j] > best:
            best = wp.abs(d[j]) - hb[j]
            f = j
    if best - spread(m, f, ha) > margin:
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
    n = column(mb, f) * up
    found = int(0)
    for j in range(4):
        corner = middle + x1 * wp.where(j == 0 or j == 3, -1.0, 1.0) + x2 * wp.where(j < 2, -1.0, 1.0)
        s = corner[f] * up - hb[f]
        if s < margin:
            found = add(k, row, found, pb + mb * corner - n * (0.5 * s), n * side, s)
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

"""Collision: bounds, near bodies, contact points with what the last step knew about them."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.convex import convex_of
from twin.physics.kernels.data import (
    BOX,
    FIELD,
    MAX_CANDIDATES,
    MAX_POINTS,
    MESH,
    PLANE,
    SPHERE,
    Bodies,
    Contacts,
    Naps,
    RigidTables,
    Scratch,
    Work,
    first_point,
    kind_of,
    reacts,
)
from twin.physics.kernels.fields import Cells, cells_below, field_triangle
from twin.physics.kernels.manifold import convex_convex, convex_plane, convex_triangle
from twin.physics.kernels.motion import drop, sound
from twin.physics.kernels.narrow import (
    box_box,
    box_on_face,
    box_plane,
    closest_on_triangle,
    gather_normals,
    reduce,
    sphere_box,
    sphere_point,
)
from twin.physics.kernels.surface import along_path, belt_of

MARGIN_M = wp.constant(0.01)
"""Contacts are made this much before surfaces touch, plus what the bodies move in a step [m]."""
MATCH_M2 = wp.constant(0.0004)
"""A point within 2 cm of one of the last step, in the owner's frame, is the same point [m2]."""
DEEP_M = wp.constant(0.05)
NEAR_M = wp.constant(0.004)
"""Bodies that stay farther apart than this in a step are not tied to each other by a contact [m]."""
ASIDE_M = wp.constant(0.001)
"""A sleeper is left asleep while what passes stays this far away [m]."""


@wp.func
def notice(t: RigidTables, b: Bodies, z: Naps, w: int, i: int):
    """See whether somebody did something to a body since the last step, or whether it moves by itself."""
    code = b.generation[w, i] * 4 + wp.where(b.alive[w, i] != 0, 2, 0) + wp.where(b.held[w, i] != 0, 1, 0)
    stir = int(0)
    if code != z.seen[w, i]:
        stir = 1
    if z.nap[w, i] != 0 or not reacts(t, b, w, i):
        if wp.length_sq(b.position[w, i] - z.seen_position[w, i]) > 0.0:
            stir = 1
        if wp.length_sq(b.linear_velocity[w, i]) + wp.length_sq(b.angular_velocity[w, i]) > 0.0:
            if b.alive[w, i] != 0:
                stir = 1
    z.stir[w, i] = stir
    z.seen[w, i] = code
    z.seen_position[w, i] = b.position[w, i]


@wp.func
def bound(t: RigidTables, b: Bodies, k: Work, w: int, i: int, slots: int, dt: float):
    """Axis-aligned bound of the body and of what it sweeps in the next step. A body that has no sound state is dropped first,
    before anything touches it."""
    if b.alive[w, i] != 0:
        if not sound(b, w, i):
            drop(b, k, w, i)
    p = b.position[w, i]
    half = wp.vec3(0.0, 0.0, 0.0)
    if b.alive[w, i] != 0:
        kind = kind_of(t, b, w, i)
        lower = p
        upper = p
        for c in range(t.body[kind].first, t.body[kind].last):
            q = b.rotation[w, i] * t.collider[c].rotation
            center = p + wp.quat_rotate(b.rotation[w, i], t.collider[c].position)
            e = t.collider[c].size
            if t.collider[c].shape != SPHERE:
                x = wp.quat_rotate(q, wp.vec3(e[0], 0.0, 0.0))
                y = wp.quat_rotate(q, wp.vec3(0.0, e[1], 0.0))
                z = wp.quat_rotate(q, wp.vec3(0.0, 0.0, e[2]))
                e = wp.vec3(
                    wp.abs(x[0]) + wp.abs(y[0]) + wp.abs(z[0]),
                    wp.abs(x[1]) + wp.abs(y[1]) + wp.abs(z[1]),
                    wp.abs(x[2]) + wp.abs(y[2]) + wp.abs(z[2]),
                )
            lower = wp.min(lower, center - e)
            upper = wp.max(upper, center + e)
        sweep = b.linear_velocity[w, i] * dt
        reach = MARGIN_M + wp.length(b.angular_velocity[w, i]) * t.body[kind].radius * dt
        half = wp.vec3(reach, reach, reach)
        k.lower[w * slots + i] = wp.min(lower, lower + sweep) - half
        k.upper[w * slots + i] = wp.max(upper, upper + sweep) + half
    else:
        k.lower[w * slots + i] = p
        k.upper[w * slots + i] = p


@wp.func
def insert(k: Work, x: Scratch, w: int, i: int, row: int, count: int, value: int) -> int:
    """Keep the candidates in ascending order: what follows must not depend on how the tree was built."""
    if count >= MAX_CANDIDATES:
        k.overflow[w, i] = k.overflow[w, i] + 1
        return count
    j = count
    while j > 0:
        if x.candidate[row, j - 1] <= value:
            break
        x.candidate[row, j] = x.candidate[row, j - 1]
        j -= 1
    x.candidate[row, j] = value
    return count + 1


@wp.func
def ignores(t: RigidTables, a: int, b: int) -> bool:
    """Whether colliders ``a`` and ``b`` are filtered."""
    if t.groups > 1:
        if t.group_ignores[t.collider[a].group, t.collider[b].group] != 0:
            return True
    x = wp.min(t.collider[a].source, t.collider[b].source)
    y = wp.max(t.collider[a].source, t.collider[b].source)
    low = int(0)
    high = t.pair_count
    while low < high:
        middle = (low + high) // 2
        if t.pairs[middle, 0] < x or (t.pairs[middle, 0] == x and t.pairs[middle, 1] < y):
            low = middle + 1
        else:
            high = middle
    if low < t.pair_count:
        return t.pairs[low, 0] == x and t.pairs[low, 1] == y
    return False


@wp.func
def combine(mode: int, x: float, y: float) -> float:
    if mode == 0:
        return 0.5 * (x + y)
    if mode == 1:
        return wp.min(x, y)
    if mode == 2:
        return x * y
    return wp.max(x, y)


@wp.func(inline=True)
def touch(
    t: RigidTables,
    k: Scratch,
    row: int,
    a: int,
    pa: wp.vec3,
    qa: wp.quat,
    c: int,
    pb: wp.vec3,
    qb: wp.quat,
    step: wp.vec3,
    margin: float,
) -> int:
    """Points between collider ``a`` of body ``i`` and collider ``c``, normals towards ``a``."""
    sa = t.collider[a].shape
    sb = t.collider[c].shape
    ha = t.collider[a].size
    hb = t.collider[c].size
    if sb == PLANE:
        n = wp.quat_rotate(qb, wp.vec3(0.0, 0.0, 1.0))
        if sa == SPHERE:
            return sphere_point(k, row, 0, pa, ha[0], pa - n * wp.max(wp.dot(pa - pb, n), 1.0e-6), n, margin)
        if sa == BOX:
            return box_plane(k, row, pa, qa, ha, pb, n, margin)
        return convex_plane(t, k, row, convex_of(t, a, pa, qa), pb, n, margin)
    if sb == MESH or sb == FIELD:
        x = wp.quat_rotate(qa, wp.vec3(ha[0] + margin, 0.0, 0.0))
        y = wp.quat_rotate(qa, wp.vec3(0.0, ha[1] + margin, 0.0))
        z = wp.quat_rotate(qa, wp.vec3(0.0, 0.0, ha[2] + margin))
        r = wp.vec3(
            wp.abs(x[0]) + wp.abs(y[0]) + wp.abs(z[0]),
            wp.abs(x[1]) + wp.abs(y[1]) + wp.abs(z[1]),
            wp.abs(x[2]) + wp.abs(y[2]) + wp.abs(z[2]),
        )
        found = int(0)
        convex = convex_of(t, a, pa, qa)
        query = wp.mesh_query_aabb(t.collider[c].mesh, pa - r, pa + r)
        face = int(0)
        cells = Cells()
        if sb == FIELD:
            cells = cells_below(t, t.collider[c].field, pb, qb, pa, r)
        more = bool(True)
        while more:
            v0 = wp.vec3(0.0, 0.0, 0.0)
            v1 = v0
            v2 = v0
            if sb == FIELD:
                more = cells.at < cells.count
                if more:
                    v0, v1, v2 = field_triangle(t, t.collider[c].field, pb, qb, cells)
                    cells.at += 1
            else:
                more = wp.mesh_query_aabb_next(query, face)
                if more:
                    v0 = wp.mesh_get_point(t.collider[c].mesh, face * 3)
                    v1 = wp.mesh_get_point(t.collider[c].mesh, face * 3 + 1)
                    v2 = wp.mesh_get_point(t.collider[c].mesh, face * 3 + 2)
            if more:
                if sa == SPHERE:
                    q = closest_on_triangle(pa, v0, v1, v2)
                    found = sphere_point(k, row, found, pa, ha[0], q, wp.normalize(wp.cross(v1 - v0, v2 - v0)), margin)
                else:
                    found = convex_triangle(t, k, row, found, convex, v0, v1, v2, margin, DEEP_M + wp.length(step))
        return found
    if sa == SPHERE and sb == SPHERE:
        way = pa - pb
        distance = wp.length(way)
        n = wp.vec3(0.0, 0.0, 1.0)
        if distance > 1.0e-7:
            n = way / distance
        return sphere_point(k, row, 0, pa, ha[0], pb + n * wp.min(hb[0], wp.max(distance - 1.0e-6, 0.0)), n, margin)
    if sa == SPHERE and sb == BOX:
        return sphere_box(k, row, pa, ha[0], pb, qb, hb, margin)
    if sa == BOX and sb == SPHERE:
        found = sphere_box(k, row, pb, hb[0], pa, qa, ha, margin)
        for j in range(found):
            k.found_normal[row, j] = -k.found_normal[row, j]
        return found
    if sa == BOX and sb == BOX:
        found = int(-1)
        ma = wp.quat_to_matrix(qa)
        mb = wp.quat_to_matrix(qb)
        of_b = wp.transpose(mb) * ma
        if hb[0] + hb[1] + hb[2] >= ha[0] + ha[1] + ha[2]:
            found = box_on_face(k, row, pa, ha, pb, mb, hb, of_b, 1.0, margin)
        else:
            found = box_on_face(k, row, pb, hb, pa, ma, ha, wp.transpose(of_b), -1.0, margin)
        if found >= 0:
            return found
        return box_box(k, row, pa, ma, ha, pb, mb, hb, of_b, step, margin)
    return convex_convex(t, k, row, convex_of(t, a, pa, qa), convex_of(t, c, pb, qb), step, margin)


@wp.func(inline=True)
def keep(
    t: RigidTables,
    b: Bodies,
    k: Work,
    x: Scratch,
    old: Contacts,
    fresh: Contacts,
    w: int,
    i: int,
    row: int,
    found: int,
    a: int,
    qa: wp.quat,
    pa: wp.vec3,
    c: int,
    pb: wp.vec3,
    qb: wp.quat,
    other: int,
    step: wp.vec3,
    near: float,
):
    """Store the points found, with friction, surface velocity and the impulses of the same points in the last step.

    ``other`` is the partner body, or -1 for a fixed collider. Points with bodies that the ``step`` leaves ``near`` [m] apart
    are left out: they would make islands of what does not touch, and wake sleepers.
    """
    mode = wp.max(t.collider[a].friction_combine, t.collider[c].friction_combine)
    static = combine(mode, t.collider[a].static_friction, t.collider[c].static_friction) * b.friction_scale[w]
    dynamic = combine(mode, t.collider[a].dynamic_friction, t.collider[c].dynamic_friction) * b.friction_scale[w]
    mode = wp.max(t.collider[a].restitution_combine, t.collider[c].restitution_combine)
    restitution = combine(mode, t.collider[a].restitution, t.collider[c].restitution) * b.restitution_scale[w]
    key = -2 - c
    generation = int(0)
    partner_body = int(-1)
    if other >= 0:
        key = other
        generation = b.generation[w, other]
        if reacts(t, b, w, other):
            partner_body = other
    # surfaces: the partner's and the owner's, each turning about its centre or running along its curve
    drive_a = float(0.0)
    drive_b = float(0.0)
    if t.collider[a].source >= 0:
        drive_a = b.surface_drive[w, t.collider[a].source] * b.belt_scale[w]
    if t.collider[c].source >= 0:
        drive_b = b.surface_drive[w, t.collider[c].source] * b.belt_scale[w]
    linear = wp.vec3(0.0, 0.0, 0.0)
    angular = wp.vec3(0.0, 0.0, 0.0)
    center = wp.vec3(0.0, 0.0, 0.0)
    own_linear = wp.vec3(0.0, 0.0, 0.0)
    own_angular = wp.vec3(0.0, 0.0, 0.0)
    own_center = wp.vec3(0.0, 0.0, 0.0)
    if drive_b != 0.0:
        linear, angular, center = belt_of(t, c, pb, qb, drive_b)
    if drive_a != 0.0:
        own_linear, own_angular, own_center = belt_of(t, a, pa, qa, drive_a)
    position = b.position[w, i]
    turn = b.rotation[w, i]
    at = first_point(fresh, w, i)
    n = fresh.count[w, i]
    known = int(0)
    if old.owner_generation[w, i] == b.generation[w, i]:
        known = old.count[w, i]
    for j in range(found):
        p = x.found[row, j]
        normal = x.found_normal[row, j]
        depth = x.found_depth[row, j]
        wanted = bool(True)
        if partner_body >= 0:
            if depth > near + wp.max(-wp.dot(step, normal), 0.0):
                wanted = False
        if wanted and n >= MAX_POINTS:
            k.overflow[w, i] = k.overflow[w, i] + 1
            wanted = False
        if wanted:
            anchor = wp.quat_rotate_inv(turn, p - position)
            fresh.point[at + n].partner = key
            fresh.point[at + n].partner_body = partner_body
            fresh.point[at + n].partner_generation = generation
            fresh.point[at + n].collider = c
            fresh.point[at + n].normal = normal
            fresh.point[at + n].anchor = anchor
            velocity = wp.vec3(0.0, 0.0, 0.0)
            if partner_body >= 0:
                fresh.point[at + n].partner_anchor = wp.quat_rotate_inv(b.rotation[w, other], p - b.position[w, other])
                k.links[w, i] = k.links[w, i] + 1
            else:
                fresh.point[at + n].partner_anchor = p
                if other >= 0:
                    velocity = b.linear_velocity[w, other] + wp.cross(b.angular_velocity[w, other], p - b.position[w, other])
            fresh.point[at + n].partner_velocity = velocity
            fresh.point[at + n].separation = depth
            surface = wp.vec3(0.0, 0.0, 0.0)
            if drive_b != 0.0:
                surface = linear + wp.cross(angular, p - center)
                if t.collider[c].surface_path >= 0:
                    surface = along_path(t, t.collider[c].surface_path, p) * drive_b
            if drive_a != 0.0:
                own = own_linear + wp.cross(own_angular, p - own_center)
                if t.collider[a].surface_path >= 0:
                    own = along_path(t, t.collider[a].surface_path, p) * drive_a
                surface = surface - own
            fresh.point[at + n].surface = surface
            fresh.point[at + n].static_friction = static
            fresh.point[at + n].dynamic_friction = dynamic
            fresh.point[at + n].restitution = restitution
            normal_impulse = float(0.0)
            tangent_impulse = wp.vec3(0.0, 0.0, 0.0)
            nearest = MATCH_M2
            for m in range(known):
                if old.point[at + m].partner == key:
                    distance = wp.length_sq(old.point[at + m].anchor - anchor)
                    if distance < nearest:
                        if old.point[at + m].partner_generation == generation:
                            if wp.dot(old.point[at + m].normal, normal) > 0.9:
                                nearest = distance
                                normal_impulse = old.point[at + m].normal_impulse
                                tangent_impulse = old.point[at + m].tangent_impulse
            fresh.point[at + n].normal_impulse = normal_impulse
            fresh.point[at + n].tangent_impulse = tangent_impulse
            k.penetration[w, i] = wp.max(k.penetration[w, i], -depth)
            n += 1
    fresh.count[w, i] = n


@wp.func(inline=True)
def against(
    t: RigidTables,
    b: Bodies,
    k: Work,
    x: Scratch,
    old: Contacts,
    fresh: Contacts,
    w: int,
    i: int,
    row: int,
    c: int,
    pb: wp.vec3,
    qb: wp.quat,
    other: int,
    asleep: bool,
    share: int,
    dt: float,
):
    """Body ``i`` against one collider ``c`` with pose (pb, qb), of body ``other`` or fixed."""
    kind = kind_of(t, b, w, i)
    p = b.position[w, i]
    q = b.rotation[w, i]
    step = b.linear_velocity[w, i] * dt
    speed = wp.length(b.angular_velocity[w, i]) * t.body[kind].radius
    if other >= 0:
        step = step - b.linear_velocity[w, other] * dt
        speed = speed + wp.length(b.angular_velocity[w, other]) * t.body[kind_of(t, b, w, other)].radius
    margin = MARGIN_M + wp.length(step) + speed * dt
    near = wp.where(asleep, ASIDE_M, NEAR_M) + speed * dt
    for a in range(t.body[kind].first, t.body[kind].last):
        ignored = bool(False)
        if t.collider[a].sensor >= 0:
            ignored = True  # the other body looks whether it is in there
        elif t.groups > 1 or t.pair_count > 0:
            ignored = ignores(t, a, c)
        if not ignored:
            pa = p + wp.quat_rotate(q, t.collider[a].position)
            qa = q * t.collider[a].rotation
            found = touch(t, x, row, a, pa, qa, c, pb, qb, step, margin)
            if t.collider[c].sensor >= 0:
                for j in range(found):
                    if x.found_depth[row, j] <= 0.0:
                        k.sensed[w, i] = k.sensed[w, i] | (1 << t.collider[c].sensor)
                found = 0
            if found > 0:
                if t.collider[c].shape >= MESH and t.collider[a].shape != SPHERE:
                    # one manifold for each of the directions that the faces under the shape look to
                    begin = int(0)
                    kept = int(0)
                    for _ in range(3):
                        if begin < found:
                            same = gather_normals(x, row, begin, found)
                            end = reduce(x, row, begin, same)
                            for j in range(begin, end):
                                x.found[row, kept] = x.found[row, j]
                                x.found_normal[row, kept] = x.found_normal[row, j]
                                x.found_depth[row, kept] = x.found_depth[row, j]
                                kept += 1
                            begin = same
                    found = kept
                found = wp.min(found, share)
                keep(t, b, k, x, old, fresh, w, i, row, found, a, qa, pa, c, pb, qb, other, step, near)


@wp.func
def owns(t: RigidTables, b: Bodies, z: Naps, w: int, i: int, j: int) -> bool:
    """Whether contact points between two bodies belong to ``i``, which reacts."""
    return j > i or z.nap[w, j] != 0 or not reacts(t, b, w, j)


@wp.func(inline=True)
def collide_body(
    t: RigidTables,
    b: Bodies,
    k: Work,
    x: Scratch,
    old: Contacts,
    fresh: Contacts,
    z: Naps,
    bvh: wp.uint64,
    w: int,
    i: int,
    row: int,
    slots: int,
    dt: float,
):
    """All contact points that body ``i`` owns: with fixed colliders, with bodies that do not react or sleep, and with later
    bodies. A sleeper keeps those that it fell asleep with."""
    lower = k.lower[w * slots + i]
    upper = k.upper[w * slots + i]
    hit = int(0)
    if z.nap[w, i] != 0 and z.stir[w, i] == 0:
        if z.rest[w, i] == -1:
            count = old.count[w, i]
            fresh.count[w, i] = count
            fresh.owner_generation[w, i] = old.owner_generation[w, i]
            at = first_point(fresh, w, i)
            for n in range(count):
                fresh.point[at + n] = old.point[at + n]
            z.rest[w, i] = -2
        return
    fresh.count[w, i] = 0
    k.links[w, i] = 0
    k.sensed[w, i] = 0
    k.penetration[w, i] = 0.0
    fresh.owner_generation[w, i] = b.generation[w, i]
    if not reacts(t, b, w, i):
        if z.stir[w, i] != 0 and b.alive[w, i] != 0:
            # it moves by itself: what sleeps in its way is stirred
            query = wp.bvh_query_aabb(bvh, lower, upper, wp.bvh_get_group_root(bvh, w))
            while wp.bvh_query_next(query, hit):
                if z.nap[w, hit - w * slots] != 0:
                    z.stir[w, hit - w * slots] = 1
        return
    # fixed colliders as -2 - collider, bodies as they are: one list, so that the narrow phase is compiled in one place
    count = int(0)
    senses = t.body[kind_of(t, b, w, i)].senses
    for n in range(t.plane_count):
        count = insert(k, x, w, i, row, count, -2 - t.planes[n])
    if t.fixed_count > 0:
        query = wp.bvh_query_aabb(t.fixed_bvh, lower, upper)
        while wp.bvh_query_next(query, hit):
            count = insert(k, x, w, i, row, count, -2 - t.fixed[hit])
    query = wp.bvh_query_aabb(bvh, lower, upper, wp.bvh_get_group_root(bvh, w))
    while wp.bvh_query_next(query, hit):
        j = hit - w * slots
        if j != i:
            if b.alive[w, j] != 0:
                if owns(t, b, z, w, i, j) or t.body[kind_of(t, b, w, j)].senses != 0:
                    count = insert(k, x, w, i, row, count, j)
                if senses != 0 and z.nap[w, j] != 0:
                    z.stir[w, j] = 1  # a trigger volume that comes by: a sleeper looks whether it is in there
    # what lies on many slats or rollers has points on all of them rather than four on each of the first
    share = int(MAX_POINTS)
    if 4 * count > MAX_POINTS:
        share = wp.max(MAX_POINTS // count, 1)
    for n in range(count):
        j = x.candidate[row, n]
        begin = -2 - j
        end = begin + 1
        p = wp.vec3(0.0, 0.0, 0.0)
        q = wp.quat(0.0, 0.0, 0.0, 1.0)
        other = int(-1)
        asleep = bool(False)
        solid = bool(True)
        if j >= 0:
            other = j
            solid = owns(t, b, z, w, i, j)
            asleep = z.nap[w, j] != 0
            kind = kind_of(t, b, w, j)
            begin = t.body[kind].first
            end = t.body[kind].last
            p = b.position[w, j]
            q = b.rotation[w, j]
        for c in range(begin, end):
            if solid or t.collider[c].sensor >= 0:
                pc = p + wp.quat_rotate(q, t.collider[c].position)
                against(t, b, k, x, old, fresh, w, i, row, c, pc, q * t.collider[c].rotation, other, asleep, share, dt)

"""The solver: soft contacts with warm starting, in substeps (E. Catto, "Solver2D", 2024).

Here is what is done with one body; ``island`` says in which order for small islands, ``stages`` for the parts of large ones.

Signs: the normal points towards the owner A; impulses act on A, their opposites on the partner B.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import (
    Bodies,
    Contacts,
    JointState,
    JointTables,
    Naps,
    RigidTables,
    Work,
    first_point,
    kind_of,
)
from twin.physics.kernels.ends import ends_of
from twin.physics.kernels.joints import break_joint, leads, solve_joint, warm_joint
from twin.physics.kernels.motion import turned

CONTACT_HERTZ = wp.constant(60.0)
DAMPING_RATIO = wp.constant(10.0)
PUSH_MAX = wp.constant(3.0)
"""Overlaps are pushed out at most this fast [m/s]."""
SLOP_M = wp.constant(0.0005)
"""Overlap that is left alone, so that a resting contact stays a contact [m]."""
BOUNCE_MIN = wp.constant(0.2)
"""Slower impacts do not bounce [m/s]."""
SLIPS = wp.constant(0.02)
"""Surfaces that pass each other faster than this have dynamic friction, slower ones static [m/s]."""
STEADY = wp.constant(2.0e-6)
"""What a substep may change of the velocity of a body that goes on as it is [m/s]; that is rounding, a quarter of a millionth
of what gravity changes."""
STEADY_SPIN = wp.constant(1.0e-3)
"""Bodies that turn faster [rad/s] meet their contacts differently in the next substep."""
STEADY_APPROACH = wp.constant(1.0e-4)
"""[m/s]"""
LEAST_RADIUS = wp.constant(0.1)
"""Bodies without colliders turn as if they were this large [m]."""
STILL = wp.constant(0.005)
"""Bodies that are slower for a while fall asleep [m/s]."""
TWO_PI = wp.constant(6.283185307179586)


@wp.func
def tangent_to(n: wp.vec3) -> wp.vec3:
    """A unit vector perpendicular to ``n``."""
    if wp.abs(n[0]) < 0.57735:
        return wp.normalize(wp.cross(n, wp.vec3(1.0, 0.0, 0.0)))
    return wp.normalize(wp.cross(n, wp.vec3(0.0, 1.0, 0.0)))


@wp.func
def prepare(t: RigidTables, b: Bodies, k: Work, s: Contacts, w: int, i: int):
    """Levers, effective masses and approach velocity of the body's points.

    What an impulse does to the spins is worked out here once: the passes wait for one velocity after the other, so that every
    operation between them counts.
    """
    mi = k.inv_mass[w, i]
    inertia = k.inv_inertia[w, i]
    at = first_point(s, w, i)
    for c in range(s.count[w, i]):
        n = s.point[at + c].normal
        ra = wp.quat_rotate(b.rotation[w, i], s.point[at + c].anchor)
        j = s.point[at + c].partner_body
        t1 = tangent_to(n)
        t2 = wp.cross(n, t1)
        a0 = wp.cross(ra, n)
        a1 = wp.cross(ra, t1)
        a2 = wp.cross(ra, t2)
        i0 = inertia * a0
        i1 = inertia * a1
        i2 = inertia * a2
        s.point[at + c].lever0 = a0
        s.point[at + c].lever1 = a1
        s.point[at + c].lever2 = a2
        s.point[at + c].give0 = i0
        s.point[at + c].give1 = i1
        s.point[at + c].give2 = i2
        normal = mi + wp.dot(a0, i0)
        k11 = mi + wp.dot(a1, i1)
        k12 = wp.dot(a2, i1)
        k22 = mi + wp.dot(a2, i2)
        velocity = b.linear_velocity[w, i] + wp.cross(b.angular_velocity[w, i], ra)
        driven = s.point[at + c].surface
        still = wp.vec3(0.0, 0.0, 0.0)
        if j >= 0:
            rb = wp.quat_rotate(b.rotation[w, j], s.point[at + c].partner_anchor)
            mj = k.inv_mass[w, j]
            other = k.inv_inertia[w, j]
            b0 = wp.cross(rb, n)
            b1 = wp.cross(rb, t1)
            b2 = wp.cross(rb, t2)
            j0 = other * b0
            j1 = other * b1
            j2 = other * b2
            s.point[at + c].partner_lever0 = b0
            s.point[at + c].partner_lever1 = b1
            s.point[at + c].partner_lever2 = b2
            s.point[at + c].partner_give0 = j0
            s.point[at + c].partner_give1 = j1
            s.point[at + c].partner_give2 = j2
            normal = normal + mj + wp.dot(b0, j0)
            k11 = k11 + mj + wp.dot(b1, j1)
            k12 = k12 + wp.dot(b2, j1)
            k22 = k22 + mj + wp.dot(b2, j2)
            velocity = velocity - b.linear_velocity[w, j] - wp.cross(b.angular_velocity[w, j], rb)
        else:
            still = s.point[at + c].partner_velocity
            velocity = velocity - still
            driven = driven + still
        s.point[at + c].target = wp.vec3(wp.dot(still, n), wp.dot(driven, t1), wp.dot(driven, t2))
        s.point[at + c].normal_mass = 1.0 / normal
        det = k11 * k22 - k12 * k12
        s.point[at + c].tangent = t1
        s.point[at + c].tangent_mass = wp.vec3(k22 / det, -k12 / det, k11 / det)
        approach = wp.dot(velocity, n)
        # each point is asked to hold the whole body in its turn, so that its own force cannot tell whether the body slips
        slip = velocity - s.point[at + c].surface
        slip = slip - n * wp.dot(slip, n)
        gripping = wp.length_sq(slip) < SLIPS * SLIPS
        s.point[at + c].grip = wp.where(gripping, s.point[at + c].static_friction, s.point[at + c].dynamic_friction)
        if s.point[at + c].restitution > 0.0 and approach < 0.0:
            # the speed it will have when it arrives, not the one at the start of the step: keeps the height of a bounce
            fall = wp.max(-wp.dot(b.gravity[w], n), 0.0) * wp.max(s.point[at + c].separation, 0.0)
            approach = -wp.sqrt(approach * approach + 2.0 * fall)
        s.point[at + c].approach = approach
        s.point[at + c].gap = s.point[at + c].separation
        s.point[at + c].highest = 0.0
        old = s.point[at + c].tangent_impulse
        s.point[at + c].friction = wp.vec2(wp.dot(old, t1), wp.dot(old, t2))


@wp.func
def warm_start(b: Bodies, k: Work, s: Contacts, w: int, i: int):
    """Apply the impulses of the substep before."""
    count = s.count[w, i]
    if count == 0:
        return
    v = b.linear_velocity[w, i]
    o = b.angular_velocity[w, i]
    mi = k.inv_mass[w, i]
    at = first_point(s, w, i)
    for c in range(count):
        size = s.point[at + c].normal_impulse
        f = s.point[at + c].friction
        if size > 0.0 or wp.length_sq(f) > 0.0:
            n = s.point[at + c].normal
            t1 = s.point[at + c].tangent
            impulse = n * size + t1 * f[0] + wp.cross(n, t1) * f[1]
            v = v + impulse * mi
            o = o + s.point[at + c].give0 * size + s.point[at + c].give1 * f[0] + s.point[at + c].give2 * f[1]
            j = s.point[at + c].partner_body
            if j >= 0:
                b.linear_velocity[w, j] = b.linear_velocity[w, j] - impulse * k.inv_mass[w, j]
                turn = (
                    s.point[at + c].partner_give0 * size
                    + s.point[at + c].partner_give1 * f[0]
                    + s.point[at + c].partner_give2 * f[1]
                )
                b.angular_velocity[w, j] = b.angular_velocity[w, j] - turn
    b.linear_velocity[w, i] = v
    b.angular_velocity[w, i] = o


@wp.func
def solve_body(b: Bodies, k: Work, s: Contacts, w: int, i: int, h: float, elapsed: float, biased: bool, moved: bool) -> float:
    """One pass over the points that body ``i`` owns: the normal, then friction, whose limit is the normal impulse just found.
    ``moved``: the bodies moved since the pass before, so that the gaps are others.

    Returns:
        What it changed of the body's velocities, squared [m2/s2 + rad2/s2].
    """
    count = s.count[w, i]
    if count == 0:
        return 0.0
    v = b.linear_velocity[w, i]
    o = b.angular_velocity[w, i]
    mi = k.inv_mass[w, i]
    at = first_point(s, w, i)
    for c in range(count):
        n = s.point[at + c].normal
        j = s.point[at + c].partner_body
        impulse = s.point[at + c].normal_impulse
        target = s.point[at + c].target
        speed = wp.dot(v, n) + wp.dot(o, s.point[at + c].lever0) - target[0]
        vj = wp.vec3(0.0, 0.0, 0.0)
        oj = wp.vec3(0.0, 0.0, 0.0)
        mj = float(0.0)
        hertz = CONTACT_HERTZ * 2.0
        if j >= 0:
            vj = b.linear_velocity[w, j]
            oj = b.angular_velocity[w, j]
            mj = k.inv_mass[w, j]
            hertz = CONTACT_HERTZ
            speed = speed - wp.dot(vj, n) - wp.dot(oj, s.point[at + c].partner_lever0)
        separation = s.point[at + c].gap
        if moved:
            tip = s.point[at + c].partner_anchor
            if j >= 0:
                tip = b.position[w, j] + wp.quat_rotate(b.rotation[w, j], tip)
            way = b.position[w, i] + wp.quat_rotate(b.rotation[w, i], s.point[at + c].anchor) - tip
            separation = s.point[at + c].separation + wp.dot(way, n) - target[0] * elapsed
            s.point[at + c].gap = separation

        # normal
        bias = float(0.0)
        mass_scale = float(1.0)
        impulse_scale = float(0.0)
        if separation > 0.0:
            bias = separation / h
        elif biased:
            omega = TWO_PI * wp.min(hertz, 0.25 / h)
            a1 = 2.0 * DAMPING_RATIO + h * omega
            a2 = h * omega * a1
            a3 = 1.0 / (1.0 + a2)
            bias = wp.max(wp.min(separation + SLOP_M, 0.0) * omega / a1, -PUSH_MAX)
            mass_scale = a2 * a3
            impulse_scale = a3
        total = wp.max(impulse - s.point[at + c].normal_mass * mass_scale * (speed + bias) - impulse_scale * impulse, 0.0)
        old = s.point[at + c].friction
        if total > 0.0 or impulse > 0.0 or wp.length_sq(old) > 0.0:
            gain = total - impulse
            s.point[at + c].normal_impulse = total
            s.point[at + c].highest = wp.max(s.point[at + c].highest, total)
            v = v + n * (gain * mi)
            o = o + s.point[at + c].give0 * gain
            # friction: an elliptic cone, driven to the velocity of the surface
            t1 = s.point[at + c].tangent
            t2 = wp.cross(n, t1)
            x = wp.dot(v, t1) + wp.dot(o, s.point[at + c].lever1) - target[1]
            y = wp.dot(v, t2) + wp.dot(o, s.point[at + c].lever2) - target[2]
            if j >= 0:
                vj = vj - n * (gain * mj)
                oj = oj - s.point[at + c].partner_give0 * gain
                x = x - wp.dot(vj, t1) - wp.dot(oj, s.point[at + c].partner_lever1)
                y = y - wp.dot(vj, t2) - wp.dot(oj, s.point[at + c].partner_lever2)
            m = s.point[at + c].tangent_mass
            wanted = old - wp.vec2(m[0] * x + m[1] * y, m[1] * x + m[2] * y)
            most = s.point[at + c].grip * total
            if wp.length_sq(wanted) > most * most:
                # it slides: a step along the sliding velocity, since the 2x2 mass would turn the impulse away from it
                wanted = old - wp.vec2(x, y) * ((m[0] * m[2] - m[1] * m[1]) / (m[0] + m[2]))
                size = wp.length(wanted)
                if size > 0.0:
                    wanted = wanted * (wp.min(most, size) / size)
            s.point[at + c].friction = wanted
            change = wanted - old
            push = t1 * change[0] + t2 * change[1]
            v = v + push * mi
            o = o + s.point[at + c].give1 * change[0] + s.point[at + c].give2 * change[1]
            if j >= 0:
                b.linear_velocity[w, j] = vj - push * mj
                b.angular_velocity[w, j] = (
                    oj - s.point[at + c].partner_give1 * change[0] - s.point[at + c].partner_give2 * change[1]
                )
    changed = wp.length_sq(v - b.linear_velocity[w, i]) + wp.length_sq(o - b.angular_velocity[w, i])
    b.linear_velocity[w, i] = v
    b.angular_velocity[w, i] = o
    return changed


@wp.func
def bounce(b: Bodies, k: Work, s: Contacts, w: int, i: int):
    """Restitution, last: give back what the impact brought. Friction is kept as a vector for the step to come."""
    at = first_point(s, w, i)
    for c in range(s.count[w, i]):
        n = s.point[at + c].normal
        t1 = s.point[at + c].tangent
        f = s.point[at + c].friction
        s.point[at + c].tangent_impulse = t1 * f[0] + wp.cross(n, t1) * f[1]
        e = s.point[at + c].restitution
        if e > 0.0 and s.point[at + c].approach < -BOUNCE_MIN and s.point[at + c].highest > 0.0:
            v = b.linear_velocity[w, i]
            o = b.angular_velocity[w, i]
            speed = wp.dot(v, n) + wp.dot(o, s.point[at + c].lever0) - s.point[at + c].target[0]
            j = s.point[at + c].partner_body
            if j >= 0:
                speed = (
                    speed - wp.dot(b.linear_velocity[w, j], n) - wp.dot(b.angular_velocity[w, j], s.point[at + c].partner_lever0)
                )
            impulse = s.point[at + c].normal_impulse
            total = wp.max(impulse - s.point[at + c].normal_mass * (speed + e * s.point[at + c].approach), 0.0)
            s.point[at + c].normal_impulse = total
            gain = total - impulse
            b.linear_velocity[w, i] = v + n * (gain * k.inv_mass[w, i])
            b.angular_velocity[w, i] = o + s.point[at + c].give0 * gain
            if j >= 0:
                b.linear_velocity[w, j] = b.linear_velocity[w, j] - n * (gain * k.inv_mass[w, j])
                b.angular_velocity[w, j] = b.angular_velocity[w, j] - s.point[at + c].partner_give0 * gain


@wp.func
def move(t: RigidTables, b: Bodies, k: Work, w: int, i: int, h: float):
    """Positions from velocities. A free body keeps its angular momentum: its angular velocity follows its turning inertia."""
    b.position[w, i] = b.position[w, i] + b.linear_velocity[w, i] * h
    q = b.rotation[w, i]
    o = b.angular_velocity[w, i]
    kind = kind_of(t, b, w, i)
    if t.body[kind].gyroscopic != 0 and wp.length_sq(o) > 0.01:
        momentum = wp.quat_rotate(q, t.body[kind].inertia * wp.quat_rotate_inv(q, o))
        middle = turned(q, o, 0.5 * h)
        o_middle = wp.quat_rotate(middle, t.body[kind].inv_inertia * wp.quat_rotate_inv(middle, momentum))
        q = turned(q, o_middle, h)
        o = wp.quat_rotate(q, t.body[kind].inv_inertia * wp.quat_rotate_inv(q, momentum))
        b.angular_velocity[w, i] = o
    else:
        q = turned(q, o, h)
    b.rotation[w, i] = q


@wp.func
def accelerate(t: RigidTables, b: Bodies, w: int, i: int, h: float):
    kind = kind_of(t, b, w, i)
    b.linear_velocity[w, i] = (b.linear_velocity[w, i] + b.gravity[w] * (t.body[kind].gravity_scale * h)) / (
        1.0 + h * t.body[kind].linear_damping
    )
    b.angular_velocity[w, i] = b.angular_velocity[w, i] / (1.0 + h * t.body[kind].angular_damping)


@wp.func
def begin_body(t: RigidTables, b: Bodies, k: Work, w: int, i: int):
    """World inertia at the start of the step."""
    k.start_position[w, i] = b.position[w, i]
    k.start_rotation[w, i] = b.rotation[w, i]
    k.start_velocity[w, i] = b.linear_velocity[w, i]
    k.start_spin[w, i] = b.angular_velocity[w, i]
    kind = kind_of(t, b, w, i)
    m = wp.quat_to_matrix(b.rotation[w, i])
    k.inv_mass[w, i] = t.body[kind].inv_mass
    k.inv_inertia[w, i] = m * t.body[kind].inv_inertia * wp.transpose(m)


@wp.func
def pass_joints(
    t: RigidTables,
    jt: JointTables,
    b: Bodies,
    js: JointState,
    k: Work,
    w: int,
    i: int,
    h: float,
    elapsed: float,
    stage: int,
):
    """The joints that are body ``i``'s turn: 0 warm start, 1 with bias, 2 without, 3 without and see whether they hold."""
    for n in range(jt.begin[i], jt.begin[i + 1]):
        j = jt.of_body[n]
        if js.broken[w, j] == 0:
            if leads(t, jt, b, w, j, i):
                e = ends_of(t, jt, b, k, w, j, elapsed)
                if stage == 0:
                    warm_joint(js, b, e, w, j)
                else:
                    solve_joint(jt, js, b, e, w, j, h, stage == 1)
                    if stage == 3:
                        break_joint(jt, js, w, j, h)


@wp.func
def steady(t: RigidTables, b: Bodies, k: Work, s: Contacts, w: int, i: int) -> bool:
    """Whether the substep left the body's velocities as they were and no contact closes: the next ones would do the same."""
    v = b.linear_velocity[w, i]
    o = b.angular_velocity[w, i]
    before = k.start_velocity[w, i]
    slack = STEADY + 5.0e-7 * wp.length(before)
    if wp.length_sq(v - before) > slack * slack:
        return False
    r = wp.max(t.body[kind_of(t, b, w, i)].radius, LEAST_RADIUS)
    if wp.length_sq(o - k.start_spin[w, i]) * r * r > slack * slack or wp.length_sq(o) > STEADY_SPIN * STEADY_SPIN:
        return False
    at = first_point(s, w, i)
    for c in range(s.count[w, i]):
        n = s.point[at + c].normal
        speed = wp.dot(v, n) + wp.dot(o, s.point[at + c].lever0) - s.point[at + c].target[0]
        j = s.point[at + c].partner_body
        if j >= 0:
            speed = speed - wp.dot(b.linear_velocity[w, j], n)
            speed = speed - wp.dot(b.angular_velocity[w, j], s.point[at + c].partner_lever0)
        if speed < -STEADY_APPROACH:
            return False
    return True


@wp.func
def still(t: RigidTables, jt: JointTables, b: Bodies, js: JointState, s: Contacts, w: int, i: int) -> bool:
    """Whether the body stands still on something that does, and nothing drives it."""
    r = wp.max(t.body[kind_of(t, b, w, i)].radius, LEAST_RADIUS)
    if wp.length_sq(b.linear_velocity[w, i]) + wp.length_sq(b.angular_velocity[w, i]) * r * r > STILL * STILL:
        return False
    at = first_point(s, w, i)
    for c in range(s.count[w, i]):
        if wp.length_sq(s.point[at + c].surface) + wp.length_sq(s.point[at + c].partner_velocity) > 0.0:
            return False
    if i < t.bodies and jt.count > 0:
        for n in range(jt.begin[i], jt.begin[i + 1]):
            if jt.joint[jt.of_body[n]].alert != 0 and js.broken[w, jt.of_body[n]] == 0:
                return False
    return True


@wp.func
def drowsy(t: RigidTables, jt: JointTables, b: Bodies, js: JointState, z: Naps, s: Contacts, w: int, i: int) -> bool:
    """Count how long the body has been still; whether that is long enough to sleep."""
    rest = int(0)
    if b.alive[w, i] != 0 and still(t, jt, b, js, s, w, i):
        rest = wp.min(z.rest[w, i] + 1, z.steps)
    z.rest[w, i] = rest
    return rest >= z.steps


@wp.func
def nod_off(b: Bodies, z: Naps, w: int, i: int, head: int):
    """Put a body of the island that ``head`` leads to sleep."""
    z.nap[w, i] = head + 1
    z.rest[w, i] = -1
    z.seen_position[w, i] = b.position[w, i]
    b.linear_velocity[w, i] = wp.vec3(0.0, 0.0, 0.0)
    b.angular_velocity[w, i] = wp.vec3(0.0, 0.0, 0.0)

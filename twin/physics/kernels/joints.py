"""Joints in the substep solver: six axes that are locked, limited, driven or free; a distance; a cone; breaking.

Coordinates are those of the frame on body 0 (A); impulses act on body 1 (B), their opposites on A. Locked axes are solved in
blocks of three, limits and drives one by one. Drives: the spring is taken at the start of the substep (symplectic: it neither
gains nor loses energy) and the damper at its middle, both pass over to the end of the substep where they are too stiff for that.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import AXES, JOINT_ROWS, Bodies, JointState, JointTables, RigidTables, Work, reacts
from twin.physics.kernels.motion import turned

HERTZ = wp.constant(120.0)
DAMPING_RATIO = wp.constant(2.0)
"""Softness with which an error of position is taken back (E. Catto, Solver2D)."""
DISTANCE_ROW = wp.constant(18)
CONE_ROW = wp.constant(20)
PI = wp.constant(3.141592653589793)


@wp.struct
class Ends:
    """A joint's two bodies at one moment; a body that does not react has no mass and moves as it is told."""

    a: int  # body that reacts, else -1
    b: int
    mass_a: float  # [1/kg]
    mass_b: float
    inertia_a: wp.mat33  # [1/(kg m2)] world
    inertia_b: wp.mat33
    velocity_a: wp.vec3  # [m/s] of those that do not react
    velocity_b: wp.vec3
    spin_a: wp.vec3
    spin_b: wp.vec3
    arm_a: wp.vec3  # [m] from A's centre of mass to B's frame
    arm_b: wp.vec3
    apart: wp.vec3  # [m] from A's frame to B's
    frame: wp.quat  # of A, in the world
    turn: wp.quat  # of B's frame in A's


@wp.func
def unit(k: int) -> wp.vec3:
    x = wp.vec3(0.0, 0.0, 0.0)
    x[k] = 1.0
    return x


@wp.func
def ends_of(t: RigidTables, jt: JointTables, b: Bodies, k: Work, w: int, j: int, elapsed: float) -> Ends:
    """Where a joint's bodies are, ``elapsed`` seconds into the step."""
    e = Ends()
    e.a = -1
    e.b = -1
    xa = wp.vec3(0.0, 0.0, 0.0)
    xb = wp.vec3(0.0, 0.0, 0.0)
    qa = wp.quat(0.0, 0.0, 0.0, 1.0)
    qb = wp.quat(0.0, 0.0, 0.0, 1.0)
    i = jt.body0[j]
    if i >= 0:
        if reacts(t, b, w, i):
            e.a = i
            e.mass_a = k.inv_mass[w, i]
            e.inertia_a = k.inv_inertia[w, i]
            xa = b.position[w, i]
            qa = b.rotation[w, i]
        else:
            e.velocity_a = b.linear_velocity[w, i]
            e.spin_a = b.angular_velocity[w, i]
            xa = k.start_position[w, i] + e.velocity_a * elapsed
            qa = turned(k.start_rotation[w, i], e.spin_a, elapsed)
    i = jt.body1[j]
    if i >= 0:
        if reacts(t, b, w, i):
            e.b = i
            e.mass_b = k.inv_mass[w, i]
            e.inertia_b = k.inv_inertia[w, i]
            xb = b.position[w, i]
            qb = b.rotation[w, i]
        else:
            e.velocity_b = b.linear_velocity[w, i]
            e.spin_b = b.angular_velocity[w, i]
            xb = k.start_position[w, i] + e.velocity_b * elapsed
            qb = turned(k.start_rotation[w, i], e.spin_b, elapsed)
    ra = wp.quat_rotate(qa, jt.position0[j])
    e.arm_b = wp.quat_rotate(qb, jt.position1[j])
    e.apart = xb + e.arm_b - xa - ra
    e.arm_a = ra + e.apart
    e.frame = qa * jt.rotation0[j]
    turn = wp.quat_inverse(e.frame) * (qb * jt.rotation1[j])
    if turn[3] < 0.0:
        turn = wp.quat(-turn[0], -turn[1], -turn[2], -turn[3])
    e.turn = turn
    return e


@wp.func
def slide(b: Bodies, e: Ends, w: int) -> wp.vec3:
    """Velocity of B's frame against A [m/s]."""
    va = e.velocity_a
    oa = e.spin_a
    vb = e.velocity_b
    ob = e.spin_b
    if e.a >= 0:
        va = b.linear_velocity[w, e.a]
        oa = b.angular_velocity[w, e.a]
    if e.b >= 0:
        vb = b.linear_velocity[w, e.b]
        ob = b.angular_velocity[w, e.b]
    return vb + wp.cross(ob, e.arm_b) - va - wp.cross(oa, e.arm_a)


@wp.func
def spin(b: Bodies, e: Ends, w: int) -> wp.vec3:
    """Angular velocity of B against A [rad/s]."""
    oa = e.spin_a
    ob = e.spin_b
    if e.a >= 0:
        oa = b.angular_velocity[w, e.a]
    if e.b >= 0:
        ob = b.angular_velocity[w, e.b]
    return ob - oa


@wp.func
def strike(b: Bodies, e: Ends, w: int, impulse: wp.vec3, twist: wp.vec3):
    """Apply an impulse [N s] at B's frame and an angular one [N m s]."""
    if e.a >= 0:
        b.linear_velocity[w, e.a] = b.linear_velocity[w, e.a] - impulse * e.mass_a
        b.angular_velocity[w, e.a] = b.angular_velocity[w, e.a] - e.inertia_a * (wp.cross(e.arm_a, impulse) + twist)
    if e.b >= 0:
        b.linear_velocity[w, e.b] = b.linear_velocity[w, e.b] + impulse * e.mass_b
        b.angular_velocity[w, e.b] = b.angular_velocity[w, e.b] + e.inertia_b * (wp.cross(e.arm_b, impulse) + twist)


@wp.func
def strike_axis(b: Bodies, e: Ends, w: int, linear: bool, axis: wp.vec3, size: float):
    if linear:
        strike(b, e, w, axis * size, wp.vec3(0.0, 0.0, 0.0))
    else:
        strike(b, e, w, wp.vec3(0.0, 0.0, 0.0), axis * size)


@wp.func
def ease(e: Ends, linear: bool, axis: wp.vec3) -> float:
    """How easily an impulse along an axis moves the joint [1/kg or 1/(kg m2)]."""
    if linear:
        ca = wp.cross(e.arm_a, axis)
        cb = wp.cross(e.arm_b, axis)
        return e.mass_a + e.mass_b + wp.dot(ca, e.inertia_a * ca) + wp.dot(cb, e.inertia_b * cb)
    return wp.dot(axis, e.inertia_a * axis) + wp.dot(axis, e.inertia_b * axis)


@wp.func
def coordinate(e: Ends, k: int) -> float:
    """Where the joint stands on an axis [m or rad]."""
    if k < 3:
        return wp.dot(wp.quat_rotate(e.frame, unit(k)), e.apart)
    return 2.0 * wp.atan2(e.turn[k - 3], e.turn[3])


@wp.func
def near(angle: float, target: float) -> float:
    """The angle, or it and whole turns, that is nearest to the target."""
    return angle - 2.0 * PI * wp.floor((angle - target) / (2.0 * PI) + 0.5)


@wp.func
def locked(jt: JointTables, j: int, k: int) -> bool:
    return jt.lower[j, k] > jt.upper[j, k]


@wp.func
def turn_error(jt: JointTables, j: int, e: Ends) -> wp.vec3:
    """How far the locked rotations are off, in A's frame [rad]."""
    loose = int(0)
    f = int(0)
    for k in range(3):
        if not locked(jt, j, k + 3):
            loose += 1
            f = k
    if loose == 1:
        axis = unit(f)
        return wp.cross(axis, wp.quat_rotate(e.turn, axis))
    if loose == 2:
        return wp.vec3(
            2.0 * wp.atan2(e.turn[0], e.turn[3]), 2.0 * wp.atan2(e.turn[1], e.turn[3]), 2.0 * wp.atan2(e.turn[2], e.turn[3])
        )
    return wp.vec3(2.0 * e.turn[0], 2.0 * e.turn[1], 2.0 * e.turn[2])


@wp.func
def block(jt: JointTables, b: Bodies, e: Ends, w: int, j: int, linear: bool, mass: wp.vec3, rate: float, old: wp.vec3) -> wp.vec3:
    """One pass over the locked ones of three axes together; ``mass`` is (mass scale, impulse scale, biased). Returns the new
    accumulated impulse, in A's frame."""
    first = wp.where(linear, 0, 3)
    frame = wp.quat_to_matrix(e.frame)
    back = wp.transpose(frame)
    m = wp.mat33()
    error = wp.vec3(0.0, 0.0, 0.0)
    velocity = wp.vec3(0.0, 0.0, 0.0)
    if linear:
        sa = wp.skew(e.arm_a)
        sb = wp.skew(e.arm_b)
        m = wp.identity(n=3, dtype=float) * (e.mass_a + e.mass_b) - sa * e.inertia_a * sa - sb * e.inertia_b * sb
        error = back * e.apart
        velocity = back * slide(b, e, w)
    else:
        m = e.inertia_a + e.inertia_b
        error = turn_error(jt, j, e)
        velocity = back * spin(b, e, w)
    m = back * m * frame
    wanted = velocity + error * (rate * mass[2])
    kept = old
    for k in range(3):
        if not locked(jt, j, first + k):
            for n in range(3):
                m[k, n] = 0.0
                m[n, k] = 0.0
            m[k, k] = 1.0
            wanted[k] = 0.0
            kept[k] = 0.0
    change = -(wp.inverse(m) * wanted) * mass[0] - kept * mass[1]
    if linear:
        strike(b, e, w, frame * change, wp.vec3(0.0, 0.0, 0.0))
    else:
        strike(b, e, w, wp.vec3(0.0, 0.0, 0.0), frame * change)
    return kept + change


@wp.func
def stop(
    js: JointState,
    b: Bodies,
    e: Ends,
    w: int,
    j: int,
    row: int,
    linear: bool,
    axis: wp.vec3,
    room: float,
    h: float,
    soft: wp.vec3,
    rate: float,
):
    """One pass over a limit: ``room`` is how far it is away [m or rad], ``axis`` the way back from it."""
    old = js.row[w, j, row]
    bias = float(0.0)
    mass_scale = float(1.0)
    impulse_scale = float(0.0)
    if room > 0.0:
        bias = room / h
    else:
        bias = room * rate * soft[2]
        mass_scale = soft[0]
        impulse_scale = soft[1]
    velocity = wp.dot(axis, slide(b, e, w))
    if not linear:
        velocity = wp.dot(axis, spin(b, e, w))
    change = -(velocity + bias) * mass_scale / wp.max(ease(e, linear, axis), 1.0e-12) - impulse_scale * old
    total = wp.max(old + change, 0.0)
    js.row[w, j, row] = total
    strike_axis(b, e, w, linear, axis, total - old)


@wp.func
def drive(jt: JointTables, js: JointState, b: Bodies, e: Ends, w: int, j: int, k: int, axis: wp.vec3, h: float, biased: bool):
    """One pass over a drive."""
    linear = k < 3
    m = 1.0 / wp.max(ease(e, linear, axis), 1.0e-12)
    if biased:
        x = coordinate(e, k)
        if not linear:
            x = near(x, js.target[w, j, k])
        js.error[w, j, k] = x - js.target[w, j, k]
    stiffness = jt.stiffness[j, k]
    damping = jt.damping[j, k]
    if jt.driven[j, k] == 2:
        stiffness = stiffness * m
        damping = damping * m
    late = wp.clamp(2.0 * stiffness * h * h / m - 0.5, 0.0, 1.0)
    late_damping = 0.5 + wp.clamp(damping * h / m - 0.5, 0.0, 0.5)
    velocity = wp.dot(axis, slide(b, e, w))
    if not linear:
        velocity = wp.dot(axis, spin(b, e, w))
    old = js.row[w, j, 12 + k]
    free = velocity - old / m
    force = stiffness * js.error[w, j, k] + (stiffness * late * h + damping) * free - damping * js.target_velocity[w, j, k]
    total = -h * force / (1.0 + h / m * (stiffness * late * h + damping * late_damping))
    most = jt.max_force[j, k] * h
    total = wp.clamp(total, -most, most)
    js.row[w, j, 12 + k] = total
    strike_axis(b, e, w, linear, axis, total - old)


@wp.func
def lean(e: Ends):
    """The axis about which B's X has turned away from A's (world), by how much [rad], and where to (cosines to Y and Z)."""
    x = wp.quat_rotate(e.turn, wp.vec3(1.0, 0.0, 0.0))
    side = wp.sqrt(x[1] * x[1] + x[2] * x[2])
    if side < 1.0e-6:
        return wp.vec3(0.0, 0.0, 0.0), float(0.0), float(1.0), float(0.0)
    axis = wp.quat_rotate(e.frame, wp.vec3(0.0, -x[2] / side, x[1] / side))
    return axis, wp.atan2(side, x[0]), x[1] / side, x[2] / side


@wp.func
def warm_joint(t: RigidTables, jt: JointTables, js: JointState, b: Bodies, k: Work, w: int, j: int, elapsed: float):
    """Apply the impulses of the substep before."""
    if js.broken[w, j] != 0:
        return
    e = ends_of(t, jt, b, k, w, j, elapsed)
    impulse = wp.quat_rotate(e.frame, js.point[w, j])
    twist = wp.quat_rotate(e.frame, js.turn[w, j])
    for n in range(AXES):
        size = js.row[w, j, n] - js.row[w, j, 6 + n] + js.row[w, j, 12 + n]
        if n < 3:
            impulse = impulse + wp.quat_rotate(e.frame, unit(n)) * size
        else:
            twist = twist + wp.quat_rotate(e.frame, unit(n - 3)) * size
    size = js.row[w, j, DISTANCE_ROW] - js.row[w, j, DISTANCE_ROW + 1]
    if size != 0.0:
        impulse = impulse + wp.normalize(e.apart) * size
    if js.row[w, j, CONE_ROW] != 0.0:
        axis, _angle, _y, _z = lean(e)
        twist = twist - axis * js.row[w, j, CONE_ROW]
    strike(b, e, w, impulse, twist)


@wp.func
def solve_joint(
    t: RigidTables, jt: JointTables, js: JointState, b: Bodies, k: Work, w: int, j: int, h: float, elapsed: float, biased: bool
):
    """One pass over a joint: drives, limits, then what is locked."""
    if js.broken[w, j] != 0:
        return
    e = ends_of(t, jt, b, k, w, j, elapsed)
    omega = 2.0 * PI * wp.min(HERTZ, 0.25 / h)
    a1 = 2.0 * DAMPING_RATIO + h * omega
    a2 = h * omega * a1
    rate = omega / a1
    soft = wp.vec3(1.0, 0.0, 0.0)
    if biased:
        soft = wp.vec3(a2 / (1.0 + a2), 1.0 / (1.0 + a2), 1.0)
    for n in range(AXES):
        axis = wp.quat_rotate(e.frame, unit(n % 3))
        low = jt.lower[j, n]
        high = jt.upper[j, n]
        if low <= high:
            if jt.driven[j, n] != 0:
                drive(jt, js, b, e, w, j, n, axis, h, biased)
            bounded = wp.isfinite(low) or wp.isfinite(high)
            if bounded:
                x = coordinate(e, n)
                if n >= 3 and wp.isfinite(low) and wp.isfinite(high):
                    x = near(x, 0.5 * (low + high))
                if wp.isfinite(low):
                    stop(js, b, e, w, j, n, n < 3, axis, x - low, h, soft, rate)
                if wp.isfinite(high):
                    stop(js, b, e, w, j, 6 + n, n < 3, -axis, high - x, h, soft, rate)
    if jt.min_distance[j] >= 0.0 or jt.max_distance[j] >= 0.0:
        length = wp.length(e.apart)
        if length > 1.0e-6:
            axis = e.apart / length
            if jt.min_distance[j] >= 0.0:
                stop(js, b, e, w, j, DISTANCE_ROW, True, axis, length - jt.min_distance[j], h, soft, rate)
            if jt.max_distance[j] >= 0.0:
                stop(js, b, e, w, j, DISTANCE_ROW + 1, True, -axis, jt.max_distance[j] - length, h, soft, rate)
    if jt.cone0[j] >= 0.0:
        axis, angle, y, z = lean(e)
        if angle > 0.0:
            y = y / wp.max(jt.cone0[j], 1.0e-4)
            z = z / wp.max(jt.cone1[j], 1.0e-4)
            stop(js, b, e, w, j, CONE_ROW, False, -axis, 1.0 / wp.sqrt(y * y + z * z) - angle, h, soft, rate)
    if jt.locks_turn[j] != 0:
        js.turn[w, j] = block(jt, b, e, w, j, False, soft, rate, js.turn[w, j])
    if jt.locks_slide[j] != 0:
        js.point[w, j] = block(jt, b, e, w, j, True, soft, rate, js.point[w, j])


@wp.func
def break_joint(jt: JointTables, js: JointState, w: int, j: int, h: float):
    """A joint that had to hold more than it can comes apart for good."""
    force = js.point[w, j]
    torque = js.turn[w, j]
    for n in range(3):
        force[n] = force[n] + js.row[w, j, n] - js.row[w, j, 6 + n] + js.row[w, j, 12 + n]
        torque[n] = torque[n] + js.row[w, j, 3 + n] - js.row[w, j, 9 + n] + js.row[w, j, 15 + n]
    along = js.row[w, j, DISTANCE_ROW] - js.row[w, j, DISTANCE_ROW + 1]
    pull = wp.max(wp.length(force), wp.abs(along))
    if pull > jt.break_force[j] * h or wp.length(torque) > jt.break_torque[j] * h:
        js.broken[w, j] = 1
        js.point[w, j] = wp.vec3(0.0, 0.0, 0.0)
        js.turn[w, j] = wp.vec3(0.0, 0.0, 0.0)
        for n in range(JOINT_ROWS):
            js.row[w, j, n] = 0.0


@wp.func
def leads(t: RigidTables, jt: JointTables, b: Bodies, w: int, j: int, i: int) -> bool:
    """Whether body ``i`` is the one of a joint's bodies in whose turn it is solved: the first that reacts."""
    other = jt.body0[j] + jt.body1[j] - i
    if other < 0 or other > i:
        return True
    return not reacts(t, b, w, other)

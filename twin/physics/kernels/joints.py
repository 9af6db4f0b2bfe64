"""Joints in the substep solver: six axes that are locked, limited, driven or free; a distance; a cone; breaking.

Coordinates are those of the frame on body 0 (A); impulses act on body 1 (B), their opposites on A. Locked axes are solved in
blocks of three, limits and drives one by one. Drives: the spring is taken at the start of the substep (symplectic: it neither
gains nor loses energy) and the damper at its middle, both pass over to the end of the substep where they are too stiff for that.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import AXES, JOINT_ROWS, Bodies, JointState, JointTables, RigidTables, reacts
from twin.physics.kernels.ends import Ends, coordinate, lean, locked, near, slide, spin, turn_error, unit

TAKEN_BACK = wp.constant(0.2)
"""Part of an error of position that a substep takes back. Joints are hard: a softness scaled by the small mass that a hinge
feels alone gives way under the load that the rest of the machine puts on it."""
DRIVE_ROW = wp.constant(12)
DISTANCE_ROW = wp.constant(18)
CONE_ROW = wp.constant(20)


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
def held(js: JointState, b: Bodies, e: Ends, w: int, j: int, line: wp.vec3, round: wp.vec3):
    """Apply an impulse with what the locked translations answer to it, so that turning a joint does not tear at it."""
    answer = -(e.hold * (e.give * line + e.swing * round))
    strike(b, e, w, line + answer, round)
    js.point[w, j] = js.point[w, j] + wp.quat_rotate_inv(e.frame, answer)


@wp.func
def ease(e: Ends, line: wp.vec3, round: wp.vec3) -> float:
    """How easily an impulse along ``line`` and about ``round`` moves the joint [1/kg or 1/(kg m2)], what is locked held."""
    ca = wp.cross(e.arm_a, line) + round
    cb = wp.cross(e.arm_b, line) + round
    alone = wp.length_sq(line) * (e.mass_a + e.mass_b) + wp.dot(ca, e.inertia_a * ca) + wp.dot(cb, e.inertia_b * cb)
    moved = e.give * line + e.swing * round
    return wp.max(alone - wp.dot(moved, e.hold * moved), 1.0e-4 * alone)


@wp.func
def rate_along(b: Bodies, e: Ends, w: int, line: wp.vec3, round: wp.vec3) -> float:
    """How fast the joint moves along ``line`` and about ``round`` [m/s or rad/s]."""
    return wp.dot(line, slide(b, e, w)) + wp.dot(round, spin(b, e, w))


@wp.func
def inverse_locked(jt: JointTables, j: int, first: int, m: wp.mat33) -> wp.mat33:
    """Inverse of a matrix in A's frame over the locked ones of three axes, zero over the others."""
    for k in range(3):
        if not locked(jt, j, first + k):
            for n in range(3):
                m[k, n] = 0.0
                m[n, k] = 0.0
            m[k, k] = 1.0
    out = wp.inverse(m)
    for k in range(3):
        if not locked(jt, j, first + k):
            out[k, k] = 0.0
    return out


@wp.func
def drive(
    jt: JointTables,
    js: JointState,
    b: Bodies,
    e: Ends,
    w: int,
    j: int,
    k: int,
    m: float,
    velocity: float,
    h: float,
    biased: bool,
) -> float:
    """The impulse that a drive should have given by the end of the substep; ``m`` is the mass that it moves."""
    if biased:
        x = coordinate(e, k)
        if k >= 3:
            x = near(x, js.target[w, j, k])
        js.error[w, j, k] = x - js.target[w, j, k]
    stiffness = jt.joint[j].stiffness[k]
    damping = jt.joint[j].damping[k]
    if jt.joint[j].driven[k] > 1.5:
        stiffness = stiffness * m
        damping = damping * m
    late = wp.clamp(2.0 * stiffness * h * h / m - 0.5, 0.0, 1.0)
    late_damping = 0.5 + wp.clamp(damping * h / m - 0.5, 0.0, 0.5)
    free = velocity - js.row[w, j, DRIVE_ROW + k] / m
    force = stiffness * js.error[w, j, k] + (stiffness * late * h + damping) * free - damping * js.target_velocity[w, j, k]
    total = -h * force / (1.0 + h / m * (stiffness * late * h + damping * late_damping))
    most = jt.joint[j].max_force[k] * h
    return wp.clamp(total, -most, most)


@wp.func
def warm_joint(js: JointState, b: Bodies, e: Ends, w: int, j: int):
    """Apply the impulses of the substep before."""
    impulse = wp.quat_rotate(e.frame, js.point[w, j])
    twist = wp.quat_rotate(e.frame, js.turn[w, j])
    for n in range(AXES):
        size = js.row[w, j, n] - js.row[w, j, 6 + n] + js.row[w, j, DRIVE_ROW + n]
        axis = wp.quat_rotate(e.frame, unit(n % 3)) * size
        if n < 3:
            impulse = impulse + axis
        else:
            twist = twist + axis
    size = js.row[w, j, DISTANCE_ROW] - js.row[w, j, DISTANCE_ROW + 1]
    if size != 0.0:
        impulse = impulse + wp.normalize(e.apart) * size
    if js.row[w, j, CONE_ROW] != 0.0:
        axis, _angle, _y, _z = lean(e)
        twist = twist - axis * js.row[w, j, CONE_ROW]
    strike(b, e, w, impulse, twist)


@wp.func
def room_of(jt: JointTables, e: Ends, j: int, row: int):
    """A one-sided bound: whether the joint has it, how much room there is to it [m or rad], and the way back from it."""
    none = wp.vec3(0.0, 0.0, 0.0)
    if row >= CONE_ROW:
        if jt.joint[j].cone0 >= 0.0:
            axis, angle, y, z = lean(e)
            if angle > 0.0:
                y = y / wp.max(jt.joint[j].cone0, 1.0e-4)
                z = z / wp.max(jt.joint[j].cone1, 1.0e-4)
                return True, 1.0 / wp.sqrt(y * y + z * z) - angle, none, -axis
        return False, float(0.0), none, none
    if row >= DISTANCE_ROW:
        length = wp.length(e.apart)
        bound = jt.joint[j].min_distance
        sign = float(1.0)
        if row > DISTANCE_ROW:
            bound = jt.joint[j].max_distance
            sign = -1.0
        if bound >= 0.0 and length > 1.0e-6:
            return True, sign * (length - bound), e.apart * (sign / length), none
        return False, float(0.0), none, none
    k = row % 6
    low = jt.joint[j].lower[k]
    high = jt.joint[j].upper[k]
    bound = low
    sign = float(1.0)
    if row >= 6:
        bound = high
        sign = -1.0
    if low > high or not wp.isfinite(bound):
        return False, float(0.0), none, none
    x = coordinate(e, k)
    if k >= 3 and wp.isfinite(low) and wp.isfinite(high):
        x = near(x, 0.5 * (low + high))
    axis = wp.quat_rotate(e.frame, unit(k % 3)) * sign
    if k < 3:
        return True, sign * (x - bound), axis, none
    return True, sign * (x - bound), none, axis


@wp.func
def solve_joint(jt: JointTables, js: JointState, b: Bodies, e: Ends, w: int, j: int, h: float, biased: bool):
    """One pass: the locked translations, then limits, drives and locked rotations, which leave those alone."""
    rate = wp.where(biased, TAKEN_BACK / h, 0.0)
    frame = wp.quat_to_matrix(e.frame)
    back = wp.transpose(frame)
    sa = wp.skew(e.arm_a)
    sb = wp.skew(e.arm_b)
    e.give = wp.identity(n=3, dtype=float) * (e.mass_a + e.mass_b) - sa * e.inertia_a * sa - sb * e.inertia_b * sb
    e.swing = -(sb * e.inertia_b + sa * e.inertia_a)
    if jt.joint[j].locks_slide != 0:
        e.hold = frame * inverse_locked(jt, j, 0, back * e.give * frame) * back
    if jt.joint[j].locks_slide != 0:
        old_point = js.point[w, j]
        wanted = slide(b, e, w) + e.apart * rate
        impulse = -(e.hold * wanted)
        js.point[w, j] = old_point + back * impulse
        strike(b, e, w, impulse, wp.vec3(0.0, 0.0, 0.0))
    for row in range(JOINT_ROWS):
        k = row - DRIVE_ROW
        driven = k >= 0 and k < 6
        active = bool(False)
        room = float(0.0)
        line = wp.vec3(0.0, 0.0, 0.0)
        round = wp.vec3(0.0, 0.0, 0.0)
        if driven:
            if jt.joint[j].driven[k] != 0.0 and jt.joint[j].lower[k] <= jt.joint[j].upper[k]:
                active = True
                axis = wp.quat_rotate(e.frame, unit(k % 3))
                if k < 3:
                    line = axis
                else:
                    round = axis
        elif jt.joint[j].bounded != 0:
            active, room, line, round = room_of(jt, e, j, row)
        if active:
            old = js.row[w, j, row]
            m = 1.0 / wp.max(ease(e, line, round), 1.0e-12)
            velocity = rate_along(b, e, w, line, round)
            total = float(0.0)
            if driven:
                total = drive(jt, js, b, e, w, j, k, m, velocity, h, biased)
            elif room > 0.0:
                total = wp.max(old - (velocity + room / h) * m, 0.0)
            else:
                total = wp.max(old - (velocity + room * rate) * m, 0.0)
            js.row[w, j, row] = total
            held(js, b, e, w, j, line * (total - old), round * (total - old))
    if jt.joint[j].locks_turn != 0:
        alone = e.inertia_a + e.inertia_b
        matrix = back * (alone - wp.transpose(e.swing) * e.hold * e.swing) * frame
        for k in range(3):
            matrix[k, k] = wp.max(matrix[k, k], 1.0e-4 * wp.trace(alone))
        old_turn = js.turn[w, j]
        wanted = back * spin(b, e, w) + turn_error(jt, j, e) * rate
        change = -(inverse_locked(jt, j, 3, matrix) * wanted)
        js.turn[w, j] = old_turn + change
        held(js, b, e, w, j, wp.vec3(0.0, 0.0, 0.0), frame * change)


@wp.func
def break_joint(jt: JointTables, js: JointState, w: int, j: int, h: float):
    """A joint that had to hold more than it can comes apart for good."""
    force = js.point[w, j]
    torque = js.turn[w, j]
    for n in range(3):
        force[n] = force[n] + js.row[w, j, n] - js.row[w, j, 6 + n] + js.row[w, j, DRIVE_ROW + n]
        torque[n] = torque[n] + js.row[w, j, 3 + n] - js.row[w, j, 9 + n] + js.row[w, j, 15 + n]
    along = js.row[w, j, DISTANCE_ROW] - js.row[w, j, DISTANCE_ROW + 1]
    pull = wp.max(wp.length(force), wp.abs(along))
    if pull > jt.joint[j].break_force * h or wp.length(torque) > jt.joint[j].break_torque * h:
        js.broken[w, j] = 1
        js.point[w, j] = wp.vec3(0.0, 0.0, 0.0)
        js.turn[w, j] = wp.vec3(0.0, 0.0, 0.0)
        for n in range(JOINT_ROWS):
            js.row[w, j, n] = 0.0


@wp.func
def leads(t: RigidTables, jt: JointTables, b: Bodies, w: int, j: int, i: int) -> bool:
    """Whether body ``i`` is the one of a joint's bodies in whose turn it is solved: the first that reacts."""
    other = jt.joint[j].body0 + jt.joint[j].body1 - i
    if other < 0 or other > i:
        return True
    return not reacts(t, b, w, other)

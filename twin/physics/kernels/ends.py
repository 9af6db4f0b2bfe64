"""Where a joint's two bodies are and how they move against each other, in the coordinates of the frame on body 0 (A)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import Bodies, JointTables, RigidTables, Work, reacts
from twin.physics.kernels.motion import turned

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
    give: wp.mat33  # [1/kg] velocity at the point for an impulse there
    swing: wp.mat33  # [1/(kg m)] velocity at the point for an angular impulse
    hold: wp.mat33  # [kg] impulse at the point that stops the locked part of a velocity there


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
    i = jt.joint[j].body0
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
    i = jt.joint[j].body1
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
    ra = wp.quat_rotate(qa, jt.joint[j].position0)
    e.arm_b = wp.quat_rotate(qb, jt.joint[j].position1)
    e.apart = xb + e.arm_b - xa - ra
    e.arm_a = ra + e.apart
    e.frame = qa * jt.joint[j].rotation0
    turn = wp.quat_inverse(e.frame) * (qb * jt.joint[j].rotation1)
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
    return jt.joint[j].lower[k] > jt.joint[j].upper[k]


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
def lean(e: Ends):
    """The axis about which B's X has turned away from A's (world), by how much [rad], and where to (cosines to Y and Z)."""
    x = wp.quat_rotate(e.turn, wp.vec3(1.0, 0.0, 0.0))
    side = wp.sqrt(x[1] * x[1] + x[2] * x[2])
    if side < 1.0e-6:
        return wp.vec3(0.0, 0.0, 0.0), float(0.0), float(1.0), float(0.0)
    axis = wp.quat_rotate(e.frame, wp.vec3(0.0, -x[2] / side, x[1] / side))
    return axis, wp.atan2(side, x[0]), x[1] / side, x[2] / side

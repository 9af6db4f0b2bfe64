"""The kernels that the host launches, once a step each, in this order.

They take the index of their first body (world after world) or world, so that the host may launch them in blocks.
"""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.collide import bound, collide_body, notice
from twin.physics.kernels.data import Bodies, Contacts, JointState, JointTables, Naps, Parts, RigidTables, Scratch, Work, reacts
from twin.physics.kernels.island import carry_kinematic, is_head, solve_island
from twin.physics.kernels.islands import build_islands
from twin.physics.kernels.parts import build_parts
from twin.physics.kernels.views import (
    view_bodies,
    view_contacts,
    view_joint_tables,
    view_joints,
    view_naps,
    view_parts,
    view_scratch,
    view_tables,
    view_work,
)


@wp.kernel
def bounds(
    first: int,
    # model
    tables: RigidTables,
    # state in
    bodies: Bodies,
    slots: int,
    dt: float,
    noticing: int,
    # out
    work: Work,
    naps: Naps,
):
    """Bounds of every body for the broad phase; one thread a body."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    t = view_tables(tables)
    b = view_bodies(bodies, w)
    k = view_work(work, w)
    z = view_naps(naps, w)
    if z.steps > 0 and noticing != 0:
        notice(t, b, z, w, i)
    bound(t, b, k, w, i, slots, dt)


@wp.kernel
def collide(
    first: int,
    # model
    tables: RigidTables,
    # state in
    bodies: Bodies,
    last: Contacts,
    bvh: wp.uint64,
    slots: int,
    dt: float,
    # out
    work: Work,
    scratch: Scratch,
    naps: Naps,
    made: Contacts,
):
    """Contact points of every body; one thread a body."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    row = wp.where(scratch.shared != 0, first, n)
    t = view_tables(tables)
    b = view_bodies(bodies, w)
    old = view_contacts(last, w)
    k = view_work(work, w)
    z = view_naps(naps, w)
    fresh = view_contacts(made, w)
    x = view_scratch(scratch, row)
    collide_body(t, b, k, x, old, fresh, z, bvh, w, i, row, slots, dt)


@wp.kernel
def islands(
    first: int,
    # model
    tables: RigidTables,
    joint_tables: JointTables,
    # state in
    bodies: Bodies,
    joints: JointState,
    contacts: Contacts,
    slots: int,
    # out
    work: Work,
    naps: Naps,
    parts: Parts,
):
    """Islands of touching bodies, and the parts of large ones; one thread a world."""
    w = first + wp.tid()
    t = view_tables(tables)
    jt = view_joint_tables(joint_tables)
    b = view_bodies(bodies, w)
    js = view_joints(joints, w)
    s = view_contacts(contacts, w)
    k = view_work(work, w)
    z = view_naps(naps, w)
    p = view_parts(parts, w)
    build_islands(t, jt, b, js, k, z, s, w, slots)
    if p.most > 0:
        build_parts(t, jt, b, js, k, p, s, w, slots)


@wp.kernel
def solve(
    first: int,
    # model
    tables: RigidTables,
    joint_tables: JointTables,
    slots: int,
    dt: float,
    substeps: int,
    # state in/out
    bodies: Bodies,
    joints: JointState,
    work: Work,
    naps: Naps,
    contacts: Contacts,
):
    """Velocities and positions of small islands, one thread an island, and of kinematic bodies."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    t = view_tables(tables)
    jt = view_joint_tables(joint_tables)
    b = view_bodies(bodies, w)
    js = view_joints(joints, w)
    k = view_work(work, w)
    z = view_naps(naps, w)
    s = view_contacts(contacts, w)
    head = k.turn[w, i]
    if head >= 0:
        if is_head(t, b, k, z, w, head):
            solve_island(t, jt, b, js, k, z, s, w, head, dt, substeps)
    if not reacts(t, b, w, i):
        carry_kinematic(t, b, w, i, dt)

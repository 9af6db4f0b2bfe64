"""The kernels that the host launches, once a step each, in this order.

Those over bodies take the index of the first one (world after world), so that the host may launch them in blocks.
"""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.collide import bound, collide_body
from twin.physics.kernels.data import Bodies, Contacts, JointState, JointTables, RigidTables, Work
from twin.physics.kernels.islands import build_islands
from twin.physics.kernels.solve import carry_kinematic, is_head, solve_island


@wp.kernel
def bounds(
    first: int,
    # model
    t: RigidTables,
    # state in
    b: Bodies,
    slots: int,
    dt: float,
    # out
    k: Work,
):
    """Bounds of every body for the broad phase; one thread a body."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    bound(t, b, k, w, i, slots, dt)


@wp.kernel
def collide(
    first: int,
    # model
    t: RigidTables,
    # state in
    b: Bodies,
    old: Contacts,
    bvh: wp.uint64,
    slots: int,
    dt: float,
    # out
    k: Work,
    fresh: Contacts,
):
    """Contact points of every body; one thread a body."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    row = wp.where(k.shared != 0, first, n)
    collide_body(t, b, k, old, fresh, bvh, w, i, row, slots, dt)


@wp.kernel
def islands(
    # model
    t: RigidTables,
    jt: JointTables,
    # state in
    b: Bodies,
    js: JointState,
    contacts: Contacts,
    slots: int,
    # out
    k: Work,
):
    """Islands of touching bodies; one thread a world."""
    w = wp.tid()
    build_islands(t, jt, b, js, k, contacts, w, slots)


@wp.kernel
def solve(
    first: int,
    # model
    t: RigidTables,
    jt: JointTables,
    slots: int,
    dt: float,
    substeps: int,
    # state in/out
    b: Bodies,
    js: JointState,
    k: Work,
    contacts: Contacts,
):
    """Velocities and positions; one thread an island."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    if is_head(t, b, k, w, i):
        solve_island(t, jt, b, js, k, contacts, w, i, dt, substeps)
    else:
        carry_kinematic(t, b, w, i, dt)

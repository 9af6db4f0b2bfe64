"""The kernels that the host launches, once a step each, in this order.

Those over bodies take the index of the first one (world after world), so that the host may launch them in blocks.
"""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.collide import bound, collide_body, notice
from twin.physics.kernels.data import Bodies, Contacts, JointState, JointTables, Naps, Parts, RigidTables, Scratch, Work
from twin.physics.kernels.island import carry_kinematic, is_head, solve_island
from twin.physics.kernels.islands import build_islands
from twin.physics.kernels.parts import build_parts


@wp.kernel
def bounds(
    first: int,
    # model
    t: RigidTables,
    # state in
    b: Bodies,
    slots: int,
    dt: float,
    noticing: int,
    # out
    k: Work,
    z: Naps,
):
    """Bounds of every body for the broad phase; one thread a body."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    if z.steps > 0 and noticing != 0:
        notice(t, b, z, w, i)
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
    x: Scratch,
    z: Naps,
    fresh: Contacts,
):
    """Contact points of every body; one thread a body."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    row = wp.where(x.shared != 0, first, n)
    collide_body(t, b, k, x, old, fresh, z, bvh, w, i, row, slots, dt)


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
    z: Naps,
    p: Parts,
):
    """Islands of touching bodies, and the parts of large ones; one thread a world."""
    w = wp.tid()
    build_islands(t, jt, b, js, k, z, contacts, w, slots)
    if p.most > 0:
        build_parts(t, jt, b, js, k, p, contacts, w, slots)


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
    z: Naps,
    contacts: Contacts,
):
    """Velocities and positions of small islands, one thread an island, and of kinematic bodies."""
    n = first + wp.tid()
    w = n // slots
    i = n % slots
    if is_head(t, b, k, z, w, i):
        solve_island(t, jt, b, js, k, z, contacts, w, i, dt, substeps)
    else:
        carry_kinematic(t, b, w, i, dt)

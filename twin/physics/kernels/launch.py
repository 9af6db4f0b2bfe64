"""The kernels that the host launches, once a step each, in this order.

Those over bodies take the index of the first one (world after world), so that the host may launch them in blocks.
"""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.collide import bound, collide_body, notice
from twin.physics.kernels.data import Bodies, Contacts, JointState, JointTables, Naps, Parts, RigidTables, Scratch, Work
from twin.physics.kernels.islands import build_islands
from twin.physics.kernels.parts import build_parts
from twin.physics.kernels.solve import SLEEP, SUBSTEP, carry_kinematic, is_head, solve_lists

EACH_ISLAND = wp.constant(0)
EACH_WORLD = wp.constant(1)
EACH_PART = wp.constant(2)


def stages(substeps: int) -> int:
    """Stages of a step of so many substeps."""
    return int(SLEEP) + 1 + int(SUBSTEP) * (substeps - 1)


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
    # which
    per: int,
    stage: int,
    until: int,
    # state in/out
    b: Bodies,
    js: JointState,
    k: Work,
    z: Naps,
    p: Parts,
    contacts: Contacts,
):
    """Velocities and positions. ``per`` thread: a small island (``EACH_ISLAND``), the large ones of a world one after the other
    (``EACH_WORLD``), or one part of them, for a single stage (``EACH_PART``)."""
    n = first + wp.tid()
    w = n
    alone = int(-1)
    begin = int(0)
    end = int(0)
    if per == EACH_ISLAND:
        w = n // slots
        i = n % slots
        if is_head(t, b, k, z, w, i):
            alone = i
            end = 1
        else:
            carry_kinematic(t, b, w, i, dt)
    elif per == EACH_WORLD:
        end = p.count[w]
    else:
        w = n // p.most
        begin = n % p.most
        if begin < p.count[w]:
            end = begin + 1
    if end > begin:
        solve_lists(t, jt, b, js, k, z, p, contacts, w, alone, begin, end, stage, until, dt, substeps)

"""The kernel for large islands: a module of its own, since two kernels that share a function each pay for calling it.

A Warp structure is handed over by value; the compiler only leaves that out where a function is called from one place.
"""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import Bodies, Contacts, JointState, JointTables, Naps, Parts, RigidTables, Work
from twin.physics.kernels.stages import solve_parts
from twin.physics.kernels.views import (
    view_bodies,
    view_contacts,
    view_joint_tables,
    view_joints,
    view_naps,
    view_parts,
    view_tables,
    view_work,
)


@wp.kernel
def solve(
    first: int,
    # model
    tables: RigidTables,
    joint_tables: JointTables,
    dt: float,
    substeps: int,
    # which
    team: int,
    stage: int,
    until: int,
    # state in/out
    bodies: Bodies,
    joints: JointState,
    work: Work,
    naps: Naps,
    parts: Parts,
    contacts: Contacts,
):
    """Velocities and positions of large islands, from ``stage`` to ``until``: all parts of a world, one thread a world or a
    ``team`` of several that run the same launch, or one thread a part where the team is 0."""
    n = first + wp.tid()
    w = n
    begin = int(0)
    end = int(0)
    if team != 0:
        end = parts.count[w]
    else:
        w = n // parts.most
        begin = n % parts.most
        if begin < parts.count[w]:
            end = begin + 1
    if end > begin:
        t = view_tables(tables)
        jt = view_joint_tables(joint_tables)
        b = view_bodies(bodies, w)
        js = view_joints(joints, w)
        k = view_work(work, w)
        z = view_naps(naps, w)
        p = view_parts(parts, w)
        s = view_contacts(contacts, w)
        solve_parts(t, jt, b, js, k, z, p, s, w, begin, end, stage, until, team, dt, substeps)

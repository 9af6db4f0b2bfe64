"""The kernel for large islands: a module of its own, since two kernels that share a function each pay for calling it.

A Warp structure is handed over by value; the compiler only leaves that out where a function is called from one place.
"""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import Bodies, Contacts, JointState, JointTables, Naps, Parts, RigidTables, Work
from twin.physics.kernels.stages import solve_parts


@wp.kernel
def solve(
    first: int,
    # model
    t: RigidTables,
    jt: JointTables,
    dt: float,
    substeps: int,
    # which
    whole: int,
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
    """Velocities and positions of large islands, from ``stage`` to ``until``: all parts of a world, one thread a world, where
    ``whole`` is not 0; else one thread a part."""
    n = first + wp.tid()
    w = n
    begin = int(0)
    end = int(0)
    if whole != 0:
        end = p.count[w]
    else:
        w = n // p.most
        begin = n % p.most
        if begin < p.count[w]:
            end = begin + 1
    if end > begin:
        solve_parts(t, jt, b, js, k, z, p, contacts, w, begin, end, stage, until, dt, substeps)

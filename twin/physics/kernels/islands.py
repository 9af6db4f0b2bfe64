"""Islands: bodies that touch or hold one another are solved together, one island after the other in each thread."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import Bodies, Contacts, JointState, JointTables, RigidTables, Work, reacts


@wp.func
def find(k: Work, w: int, i: int) -> int:
    r = i
    while k.root[w, r] != r:
        k.root[w, r] = k.root[w, k.root[w, r]]
        r = k.root[w, r]
    return r


@wp.func
def join(k: Work, w: int, i: int, j: int):
    """Put two bodies into one island."""
    x = find(k, w, i)
    y = find(k, w, j)
    if x < y:
        k.root[w, y] = x
    elif y < x:
        k.root[w, x] = y


@wp.func
def build_islands(t: RigidTables, jt: JointTables, b: Bodies, js: JointState, k: Work, fresh: Contacts, w: int, slots: int):
    """Bodies that touch or hold one another, directly or through others, form an island, headed by the lowest index."""
    points = int(0)
    for i in range(slots):
        k.root[w, i] = i
        k.next[w, i] = -1
        k.tail[w, i] = i
    for i in range(slots):
        points += fresh.count[w, i]
        for c in range(fresh.count[w, i]):
            j = fresh.point[w, i, c].partner_body
            if j >= 0:
                join(k, w, i, j)
    for j in range(jt.count):
        if js.broken[w, j] == 0:
            i0 = jt.joint[j].body0
            i1 = jt.joint[j].body1
            if i0 >= 0 and i1 >= 0:
                if reacts(t, b, w, i0) and reacts(t, b, w, i1):
                    join(k, w, i0, i1)
    if jt.count > 0:
        # joints look at bodies that do not react, which other threads carry on meanwhile
        for i in range(t.bodies):
            if not reacts(t, b, w, i):
                k.start_position[w, i] = b.position[w, i]
                k.start_rotation[w, i] = b.rotation[w, i]
    for i in range(slots):
        r = find(k, w, i)
        k.root[w, i] = r
        if r != i:
            k.next[w, k.tail[w, r]] = i
            k.tail[w, r] = i
    k.points[w] = points

"""Large islands in parts that several threads solve at once, in an order that is the same on every device.

The bodies of an island are numbered breadth first from one of its ends, so that what touches is in the same level or in two that
follow each other (the level structure of E. Cuthill, J. McKee, Proc. 24th ACM Conference, 1969). Parts of whole levels then reach
only into their neighbours: coloured 0, 1, 2, 0, ... the parts of one colour have no body in common.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import (
    LARGE,
    PART_BODIES,
    Bodies,
    Contacts,
    JointState,
    JointTables,
    Parts,
    RigidTables,
    Work,
    first_point,
    reacts,
)


@wp.func
def link(p: Parts, w: int, used: int, i: int, j: int) -> int:
    """Note that two bodies touch; returns how many half edges there are now."""
    p.edge_other[w, used] = j
    p.edge_next[w, used] = p.edge[w, i]
    p.edge[w, i] = used
    p.edge_other[w, used + 1] = i
    p.edge_next[w, used + 1] = p.edge[w, j]
    p.edge[w, j] = used + 1
    return used + 2


@wp.func
def spread(p: Parts, w: int, at: int, start: int) -> int:
    """Number an island's bodies breadth first from ``start``, into ``order`` from ``at`` on; returns one beyond the last."""
    p.order[w, at] = start
    p.level[w, start] = 0
    head = at
    tail = at + 1
    while head < tail:
        i = p.order[w, head]
        e = p.edge[w, i]
        while e >= 0:
            j = p.edge_other[w, e]
            if p.level[w, j] < 0:
                p.level[w, j] = p.level[w, i] + 1
                p.order[w, tail] = j
                tail += 1
            e = p.edge_next[w, e]
        head += 1
    return tail


@wp.func
def build_parts(
    t: RigidTables, jt: JointTables, b: Bodies, js: JointState, k: Work, p: Parts, fresh: Contacts, w: int, slots: int
):
    """Cut every island of more than ``LARGE`` bodies into parts; each becomes a list of its own in ``k.next``."""
    p.count[w] = 0
    p.ticket[w] = 0
    p.met[w] = 0
    p.go[w] = 0
    p.slow[w] = 0
    large = int(0)
    for i in range(slots):
        if k.size[w, i] > LARGE:
            large = 1
    if large == 0:
        return
    p.some[0] = 1
    for i in range(slots):
        p.edge[w, i] = -1
        p.level[w, i] = -1
    used = int(0)
    for i in range(slots):
        if k.size[w, k.root[w, i]] > LARGE:
            before = int(-1)
            for c in range(fresh.count[w, i]):
                j = fresh.point[first_point(fresh, w, i) + c].partner_body
                if j >= 0 and j != before:
                    used = link(p, w, used, i, j)
                    before = j
    for j in range(jt.count):
        if js.broken[w, j] == 0:
            i0 = jt.joint[j].body0
            i1 = jt.joint[j].body1
            if i0 >= 0 and i1 >= 0:
                if reacts(t, b, w, i0) and reacts(t, b, w, i1):
                    if k.size[w, k.root[w, i0]] > LARGE:
                        used = link(p, w, used, i0, i1)
    at = int(0)
    parts = int(0)
    for i in range(slots):
        if k.size[w, i] > LARGE:
            # from any body to one of the farthest, which is an end; from there the levels are small
            start = i
            end = at
            for turn in range(2):
                end = spread(p, w, at, start)
                if turn == 0:
                    start = p.order[w, end - 1]
                    for n in range(at, end):
                        p.level[w, p.order[w, n]] = -1
            first = parts
            p.begin[w, parts] = at
            for n in range(at, end):
                body = p.order[w, n]
                follower = int(-1)
                if n + 1 < end:
                    follower = p.order[w, n + 1]
                    if p.level[w, follower] != p.level[w, body] and n + 1 - p.begin[w, parts] >= PART_BODIES:
                        follower = -1
                        p.end[w, parts] = n + 1
                        parts += 1
                        p.begin[w, parts] = n + 1
                k.next[w, body] = follower
            p.end[w, parts] = end
            parts += 1
            for n in range(first, parts):
                p.first[w, n] = first
                p.last[w, n] = parts
            at = end
    p.count[w] = parts


@wp.func
def agreed(p: Parts, w: int, part: int) -> bool:
    """Whether all parts of the island are settled."""
    for n in range(p.first[w, part], p.last[w, part]):
        if p.settled[w, n] == 0:
            return False
    return True

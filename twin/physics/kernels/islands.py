"""Islands: bodies that touch or hold one another are solved together, one island after the other in each thread."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import Bodies, Contacts, JointState, JointTables, Naps, RigidTables, Work, first_point, reacts


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
def rouse(z: Naps, w: int, i: int):
    z.nap[w, i] = 0
    z.rest[w, i] = 0


@wp.func
def wake_stirred(t: RigidTables, b: Bodies, k: Work, z: Naps, fresh: Contacts, w: int, slots: int):
    """Sleeping islands of which a body was moved, pushed or taken away, or that lie on what begins to move."""
    ground = int(0)
    for s in range(t.shapes):
        if b.surface_drive[w, s] != z.seen_drive[w, s]:
            ground = 1
    for i in range(slots):
        k.flag[w, i] = 0
    for i in range(slots):
        if z.stir[w, i] != 0:
            if z.nap[w, i] != 0:
                k.flag[w, z.nap[w, i] - 1] = 1
            else:
                ground = 1
    if ground != 0:
        for i in range(slots):
            if z.nap[w, i] != 0:
                for c in range(fresh.count[w, i]):
                    j = fresh.point[first_point(fresh, w, i) + c].partner
                    if j >= 0:
                        if z.stir[w, j] != 0:
                            k.flag[w, z.nap[w, i] - 1] = 1
                    s = t.collider[fresh.point[first_point(fresh, w, i) + c].collider].source
                    if s >= 0:
                        if b.surface_drive[w, s] != z.seen_drive[w, s]:
                            k.flag[w, z.nap[w, i] - 1] = 1
    for s in range(t.shapes):
        z.seen_drive[w, s] = b.surface_drive[w, s]
    for i in range(slots):
        if z.nap[w, i] != 0:
            if k.flag[w, z.nap[w, i] - 1] != 0:
                rouse(z, w, i)


@wp.func
def take_turns(k: Work, w: int, slots: int):
    """Which body's thread solves which island: a body alone its own; islands of several are spread over the bodies that are in
    some. Their heads, the lowest indices, may all be among the first bodies, and so in the first block of threads."""
    heads = int(0)
    members = int(0)
    for i in range(slots):
        k.turn[w, i] = -1
        size = k.size[w, k.root[w, i]]
        if size == 1:
            k.turn[w, i] = i
        elif size > 1:
            members += 1
            if k.root[w, i] == i:
                heads += 1
    # evenly: so many bodies in islands of several go by between two that are given one
    head = int(0)
    due = int(0)
    for i in range(slots):
        if k.size[w, k.root[w, i]] > 1:
            due += heads
            if due >= members:
                due -= members
                while k.root[w, head] != head or k.size[w, head] < 2:
                    head += 1
                k.turn[w, i] = head
                head += 1


@wp.func
def build_islands(
    t: RigidTables, jt: JointTables, b: Bodies, js: JointState, k: Work, z: Naps, fresh: Contacts, w: int, slots: int
):
    """Bodies that touch or hold one another, directly or through others, form an island, headed by the lowest index. What an
    awake body touches is awake."""
    wake_stirred(t, b, k, z, fresh, w, slots)
    points = int(0)
    for i in range(slots):
        k.root[w, i] = wp.where(z.nap[w, i] != 0, z.nap[w, i] - 1, i)
        k.next[w, i] = -1
        k.tail[w, i] = i
        k.size[w, i] = 0
        k.flag[w, i] = 0
        points += fresh.count[w, i]
    for i in range(slots):
        if z.nap[w, i] == 0 and k.links[w, i] != 0:
            for c in range(fresh.count[w, i]):
                j = fresh.point[first_point(fresh, w, i) + c].partner_body
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
        if z.nap[w, i] == 0:
            k.flag[w, r] = 1
    for i in range(slots):
        r = k.root[w, i]
        if k.flag[w, r] != 0:
            k.size[w, r] = k.size[w, r] + 1
            if z.nap[w, i] != 0:
                rouse(z, w, i)
            if r != i:
                k.next[w, k.tail[w, r]] = i
                k.tail[w, r] = i
    k.points[w] = points
    take_turns(k, w, slots)

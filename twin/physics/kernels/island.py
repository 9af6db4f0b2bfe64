"""A small island, solved by one thread from the begin of a step to its end."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import (
    KINEMATIC,
    LARGE,
    Bodies,
    Contacts,
    JointState,
    JointTables,
    Naps,
    RigidTables,
    Work,
    kind_of,
    reacts,
)
from twin.physics.kernels.motion import drop, sound, turned
from twin.physics.kernels.solve import (
    STEADY,
    accelerate,
    begin_body,
    bounce,
    drowsy,
    move,
    nod_off,
    pass_joints,
    prepare,
    solve_body,
    steady,
    warm_start,
)


@wp.func(inline=True)
def solve_island(
    t: RigidTables,
    jt: JointTables,
    b: Bodies,
    js: JointState,
    k: Work,
    z: Naps,
    s: Contacts,
    w: int,
    head: int,
    dt: float,
    substeps: int,
):
    """Advance the island that ``head`` leads by one step."""
    h = dt / float(substeps)
    # a pass that ends on the ground alone leaves what stands on it with the error; bodies on bodies then sway ever more
    alone = k.next[w, head] < 0
    relax = wp.where(alone, 1, 2)
    i = head
    while i >= 0:
        begin_body(t, b, k, w, i)
        i = k.next[w, i]
    i = head
    while i >= 0:
        prepare(t, b, k, s, w, i)
        i = k.next[w, i]
    n = int(0)
    while n < substeps:
        elapsed = float(n) * h
        i = head
        while i >= 0:
            accelerate(t, b, w, i, h)
            i = k.next[w, i]
        # warm start; one pass with bias; then the positions, and the passes that take the bias out of the velocities again
        settled = bool(False)
        for turn in range(relax + 2):
            if turn == 2:
                i = head
                while i >= 0:
                    move(t, b, k, w, i, h)
                    i = k.next[w, i]
                elapsed = elapsed + h
            if jt.count > 0:
                stage = wp.min(turn, 2)
                if n == substeps - 1 and turn == relax + 1:
                    stage = 3
                i = head
                while i >= 0:
                    if i < t.bodies:
                        pass_joints(t, jt, b, js, k, w, i, h, elapsed, stage)
                    i = k.next[w, i]
            i = head
            while i >= 0 and not settled:
                if turn == 0:
                    warm_start(b, k, s, w, i)
                else:
                    # one alone may have left out the pass after it moved
                    moved = turn == 2 or (turn == 1 and alone)
                    changed = solve_body(b, k, s, w, i, h, elapsed, turn == 1, moved)
                    if turn == 1 and alone and jt.count == 0:
                        # a body alone whose last impulses were right: there is no bias to take out either
                        settled = changed < STEADY * STEADY
                i = k.next[w, i]
        n += 1
        if n == 1 and substeps > 1 and jt.count == 0:
            # goods that ride on, or wait on a running belt, do in the other substeps what they did in this one
            same = bool(True)
            i = head
            while i >= 0 and same:
                same = steady(t, b, k, s, w, i)
                i = k.next[w, i]
            if same:
                i = head
                while i >= 0:
                    move(t, b, k, w, i, dt - h)
                    i = k.next[w, i]
                n = substeps
    i = head
    while i >= 0:
        bounce(b, k, s, w, i)
        i = k.next[w, i]
    asleep = z.steps > 0
    i = head
    while i >= 0:
        if not sound(b, w, i):
            drop(b, k, w, i)
        if z.steps > 0:
            if not drowsy(t, jt, b, js, z, s, w, i):
                asleep = False
        i = k.next[w, i]
    if asleep:
        i = head
        while i >= 0:
            nod_off(b, z, w, i, head)
            i = k.next[w, i]


@wp.func
def carry_kinematic(t: RigidTables, b: Bodies, w: int, i: int, dt: float):
    """A kinematic body goes on with the velocity it has."""
    if b.alive[w, i] != 0 and b.held[w, i] == 0:
        if t.body[kind_of(t, b, w, i)].kind == KINEMATIC:
            b.position[w, i] = b.position[w, i] + b.linear_velocity[w, i] * dt
            b.rotation[w, i] = turned(b.rotation[w, i], b.angular_velocity[w, i], dt)


@wp.func
def is_head(t: RigidTables, b: Bodies, k: Work, z: Naps, w: int, i: int) -> bool:
    """Whether body ``i`` leads an island that is awake and solved by one thread."""
    return k.root[w, i] == i and k.size[w, i] <= LARGE and z.nap[w, i] == 0 and reacts(t, b, w, i)

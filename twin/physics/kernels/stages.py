"""Large islands, part by part (``parts``): a step as a row of stages, with a meeting of all threads between two of them.

The stages are those of ``island``; a pass over contacts is three of them, one for each colour of parts.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import COLOURS, Bodies, Contacts, JointState, JointTables, Naps, Parts, RigidTables, Work
from twin.physics.kernels.motion import drop, sound
from twin.physics.kernels.parts import agreed
from twin.physics.kernels.solve import (
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
from twin.physics.kernels.team import meet, take

BEGIN = wp.constant(0)
PREPARE = wp.constant(1)
# a substep: this, the warm start, the pass with bias, the positions, and the two passes that take the bias out again
ACCELERATE = wp.constant(2)
WARM = wp.constant(3)
BIAS = wp.constant(6)
MOVE = wp.constant(9)
RELAX = wp.constant(10)
AGAIN = wp.constant(13)
JUDGE = wp.constant(16)
BOUNCE = wp.constant(17)
REST = wp.constant(20)
SLEEP = wp.constant(21)
SUBSTEP = wp.constant(15)

PATIENCE = wp.constant(10_000)
"""Turns of waiting, some 0.2 to 0.5 ms: a stage of a thread that runs takes less."""


def count(substeps: int) -> int:
    """Stages of a step of so many substeps."""
    return int(SLEEP) + 1 + int(SUBSTEP) * (substeps - 1)


@wp.func(inline=True)
def act(
    t: RigidTables,
    jt: JointTables,
    b: Bodies,
    js: JointState,
    k: Work,
    z: Naps,
    s: Contacts,
    w: int,
    head: int,
    what: int,
    h: float,
    elapsed: float,
    last: bool,
) -> bool:
    """Do one thing with the bodies of a part, ``elapsed`` seconds into the step. ``last``: joints are seen whether they hold.

    Returns:
        After ``JUDGE`` and ``REST``: whether all of them go on as they do, or may sleep.
    """
    same = bool(True)
    if jt.count > 0 and what >= WARM and what < JUDGE and what != MOVE:
        stage = int(2)
        if what < BIAS:
            stage = 0
        elif what < MOVE:
            stage = 1
        elif last:
            stage = 3
        i = head
        while i >= 0:
            if i < t.bodies:
                pass_joints(t, jt, b, js, k, w, i, h, elapsed, stage)
            i = k.next[w, i]
    i = head
    while i >= 0:
        if what >= BIAS and what < JUDGE and what != MOVE:
            solve_body(b, k, s, w, i, h, elapsed, what < MOVE, what >= RELAX and what < AGAIN)
        elif what == MOVE:
            move(t, b, k, w, i, h)
        elif what >= WARM and what < BIAS:
            warm_start(b, k, s, w, i)
        elif what == ACCELERATE:
            accelerate(t, b, w, i, h)
        elif what == PREPARE:
            prepare(t, b, k, s, w, i)
        elif what == BEGIN:
            begin_body(t, b, k, w, i)
        elif what == JUDGE:
            if not steady(t, b, k, s, w, i):
                return False
        elif what < REST:
            bounce(b, k, s, w, i)
        elif what == REST:
            if not sound(b, w, i):
                drop(b, k, w, i)
            if z.steps > 0:
                if not drowsy(t, jt, b, js, z, s, w, i):
                    same = False
        else:
            nod_off(b, z, w, i, k.root[w, head])
        i = k.next[w, i]
    return same


@wp.func(inline=True)
def solve_parts(
    t: RigidTables,
    jt: JointTables,
    b: Bodies,
    js: JointState,
    k: Work,
    z: Naps,
    p: Parts,
    s: Contacts,
    w: int,
    begin: int,
    end: int,
    stage: int,
    until: int,
    team: int,
    dt: float,
    substeps: int,
):
    """The parts from ``begin`` to ``end`` of world ``w`` through the stages from ``stage`` to ``until``: all of both, or one part
    and one stage. The threads of a ``team`` of several take the parts of a stage one by one and meet at its end."""
    h = dt / float(substeps)
    meetings = int(0)
    threads = int(team)
    while stage < until:
        # what the stage is of: before the substeps, in one of them, after them
        what = stage
        n = int(0)
        if stage >= ACCELERATE + SUBSTEP * substeps:
            what = stage - SUBSTEP * (substeps - 1)
        elif stage >= ACCELERATE:
            n = (stage - ACCELERATE) // SUBSTEP
            what = stage - SUBSTEP * n
        coloured = what >= WARM and what < REST and what != MOVE and what != JUDGE
        colour = (what - WARM) % COLOURS
        if what >= RELAX:
            colour = (what - RELAX) % COLOURS
        if what >= BOUNCE:
            colour = (what - BOUNCE) % COLOURS
        skip = what > REST and z.steps == 0
        if what == JUDGE and (n > 0 or substeps == 1 or jt.count > 0):
            skip = True
        if not skip:
            elapsed = float(n) * h
            if what > MOVE:
                elapsed = elapsed + h
            taken = meetings * (end - begin + threads)  # each of the team finds once that there is none left
            c = int(begin)
            if threads > 1:
                c = take(p.ticket, w) - taken
            while c < end:
                does = what
                time = h
                mine = bool(True)
                if coloured:
                    mine = (c - p.first[w, c]) % COLOURS == colour
                if what == BEGIN:
                    p.done[w, c] = 0
                    p.settled[w, c] = 0
                if n > 0 and what < BOUNCE:
                    # goods that ride on, or wait on a running belt, do in the other substeps what they did in this one
                    if n == 1 and what == ACCELERATE:
                        if agreed(p, w, c):
                            p.done[w, c] = 1
                            does = MOVE
                            time = dt - h
                    elif p.done[w, c] != 0:
                        mine = False
                if what > REST:
                    mine = agreed(p, w, c)
                if mine:
                    head = p.order[w, p.begin[w, c]]
                    same = act(t, jt, b, js, k, z, s, w, head, does, time, elapsed, n == substeps - 1 and what >= AGAIN)
                    if what == JUDGE or what == REST:
                        p.settled[w, c] = wp.where(same, 1, 0)
                c += 1
                if threads > 1:
                    c = take(p.ticket, w) - taken
            if threads > 1:
                meetings += 1
                then = meet(p.met, p.go, p.slow, w, meetings, threads, PATIENCE)
                if then == 1:
                    threads = 1
                elif then == 2:
                    return
        stage += 1

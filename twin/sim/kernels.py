"""Process logic at physics time: one thread a world, once a step, before the bodies move (docs/semantics.md).

Between two steps the line goes from event to event as the flow engine does: clocks run to the microsecond, so that a line
without belts gives the same figures in both engines. At the end of the step it is seen what the bodies did: which reached the
end of their belt, which fell.

An item is in one phase at a time:

    SOURCED   waits in its source; not on the line yet
    MOVING    a rigid body on its own
    WAITING   at the end of its belt, and what comes next has no room
    SERVED    in a server
    NEARING   in a server, still moving up to the place
    STORED    in a buffer
    PASSING   carried in a straight line to the belt or sink where it counts already
    PACKED    inside another item
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.nodes import DONE, FAILURE, FLEET, IDLE, LONG_AGO, READY, SETUP, SOURCE, STATION
from twin.sim.arms import move_arm
from twin.sim.belts import head_arrives
from twin.sim.bodies import drive_belts, look_at_bodies
from twin.sim.clocks import advance, judge, next_clock
from twin.sim.fleets import begin_fleet, drive_on, show_fleets
from twin.sim.moves import NO_SLOT, TURNED_UP, arrive, draw_in, move, wait_for_arrival
from twin.sim.places import NEARING, SERVED, STORED, WAITING, Goods, Random, Site, reach, want
from twin.sim.routes import goal_of
from twin.sim.state import LineState
from twin.sim.stations import begin_service, fail_or_repair, finish, head_of, on_shift, staff_and_time, switch_all, work
from twin.sim.tables import LineTables

MOVES_A_STEP = wp.constant(20000)
"""More moves than this in a step is a line that runs in circles without time passing; it goes on in the next step."""
KEYS_A_NODE = wp.constant(wp.int64(1 << 20))

# ---- moves: the one that has waited longest first, then authored order


@wp.func
def list_up(s: LineState, w: int, who: int, since_us: wp.int64, n: int, place: int):
    count = s.candidates[w]
    s.candidate[w, count] = who
    s.candidate_us[w, count] = since_us
    s.candidate_key[w, count] = wp.int64(n) * KEYS_A_NODE + wp.int64(place)
    s.candidates[w] = count + 1


@wp.func
def find_candidates(t: LineTables, s: LineState, w: int):
    """The first item of each place that has something to give away."""
    s.candidates[w] = 0
    for n in range(t.nodes):
        s.head[w, n] = -1
        s.closed[w, n] = 0
    for k in range(t.slots):
        s.server_head[w, k] = -1
    for i in range(s.top[w]):
        phase = s.phase[w, i]
        if phase == STORED:
            n = s.node[w, i]
            j = s.head[w, n]
            better = j < 0
            if not better:
                better = (s.sequence[w, i] < s.sequence[w, j]) == (t.node[n].lifo == 0)
            if better:
                s.head[w, n] = i
        elif phase == SERVED or phase == NEARING:
            k = s.server[w, i]
            j = s.server_head[w, k]
            better = j < 0
            if not better:
                better = s.sequence[w, i] < s.sequence[w, j]
            if better:
                s.server_head[w, k] = i
        elif phase == WAITING:
            list_up(s, w, i, s.since_us[w, i], s.node[w, i], i)
    for n in range(t.nodes):
        if t.node[n].kind == SOURCE:
            if s.waiting[w, n] >= 0:
                list_up(s, w, s.waiting[w, n], s.ready_us[w, n], n, 0)
        elif s.head[w, n] >= 0:
            list_up(s, w, s.head[w, n], s.ready_us[w, n], n, 0)
    for k in range(t.slots):
        state = s.server_state[w, k]
        if state == READY:
            list_up(s, w, -1 - k, s.server_ready_us[w, k], t.slot_node[k], k)
        elif state == DONE:
            i = s.server_head[w, k]
            if i >= 0:
                if s.phase[w, i] == SERVED and (s.gliding[w, i] == 0 or t.in_line[t.slot_node[k]] == 0):
                    list_up(s, w, i, s.server_ready_us[w, k], t.slot_node[k], k)


@wp.func
def settle(t: LineTables, s: LineState, h: Site, most: int) -> int:
    """Move goods until none can; returns how many moves that took."""
    w = h.w
    g = h.g
    moves = int(0)
    again = bool(True)
    while again:
        again = bool(False)
        for n in range(t.nodes):
            if s.waiting[w, n] == TURNED_UP:
                arrive(t, s, g, h.r, w, n)
            if s.freed[w, n] > 0.0:
                draw_in(t, s, g, w, n, s.freed[w, n])
                s.freed[w, n] = 0.0
        find_candidates(t, s, w)
        count = s.candidates[w]
        while count > 0:
            best = int(0)
            for j in range(1, count):
                earlier = s.candidate_us[w, j] < s.candidate_us[w, best]
                if s.candidate_us[w, j] == s.candidate_us[w, best]:
                    earlier = s.candidate_key[w, j] < s.candidate_key[w, best]
                if earlier:
                    best = j
            who = s.candidate[w, best]
            count -= 1
            s.candidate[w, best] = s.candidate[w, count]
            s.candidate_us[w, best] = s.candidate_us[w, count]
            s.candidate_key[w, best] = s.candidate_key[w, count]
            i = who
            n = int(0)
            if who < 0:
                n = t.slot_node[-1 - who]
                i = s.server_head[w, -1 - who]
            else:
                n = s.node[w, i]
            goal = goal_of(t, s, h, i, n)
            if goal >= 0:
                if who < 0:
                    begin_service(t, s, g, w, -1 - who, n)
                else:
                    move(t, s, h, i, n, goal)
                moves += 1
                count = 0
                again = moves < most
    return moves


@wp.func
def happen(t: LineTables, s: LineState, h: Site, clock: int):
    """Clock ``clock`` has run down."""
    w = h.w
    if clock < t.slots:
        n = t.slot_node[clock]
        if t.node[n].kind == FLEET:
            drive_on(t, s, h, clock, n)
        elif s.server_state[w, clock] == SETUP:
            work(s, w, clock)
        else:
            half = reach(t, h.g, w, head_of(s, w, clock))
            finish(t, s, h.g, h.r, w, clock, n)
            if t.in_line[n] != 0 and s.server_state[w, clock] == IDLE:
                s.freed[w, n] = half
        return
    n = clock - t.slots
    if n < t.nodes:
        if t.node[n].kind == SOURCE:
            s.waiting[w, n] = TURNED_UP
            s.arrival_us[w, n] = wp.int64(-1)
        else:
            head_arrives(t, s, w, n)
        return
    n -= t.nodes
    if n < t.nodes:
        if t.node[n].kind == STATION:
            fail_or_repair(t, s, w, n)
        else:
            s.belt_entry_us[w, n] = wp.int64(-1)  # its entry is clear: goods are moved next
        return
    shift = n - t.nodes
    s.shift_at[w, shift] = s.shift_at[w, shift] + 1
    switch_all(t, s, w, shift)


# ---- kernels


@wp.kernel
def start_line(
    # model
    t: LineTables,
    r: Random,
    # state in/out
    s: LineState,
    g: Goods,
):
    """An empty line at time 0: people and calendars, and the first arrivals and failures to be drawn."""
    w = wp.tid()
    h = Site()
    h.w = w
    h.g = g
    h.r = r
    for crew in range(t.crews):
        s.crew_free[w, crew] = t.crew_people[crew]
    for n in range(t.nodes):
        s.arrival_us[w, n] = wp.int64(-1)
        s.fail_us[w, n] = wp.int64(-1)
        s.belt_entry_us[w, n] = wp.int64(-1)
        s.belt_front_us[w, n] = LONG_AGO
        if t.node[n].kind == SOURCE:
            wait_for_arrival(t, s, w, n)
        if t.node[n].kind == STATION and t.node[n].time_to_failure >= 0:
            want(s, w, n, FAILURE)
        if t.node[n].kind == FLEET:
            begin_fleet(t, s, w, n)
    for shift in range(t.shifts):
        s.shift_at[w, shift] = t.shift_first[shift]
        if not on_shift(t, s, w, shift):
            switch_all(t, s, w, shift)
    staff_and_time(t, s, h)
    for n in range(t.nodes):
        judge(t, s, w, n)


@wp.kernel
def step_line(
    # model
    t: LineTables,
    r: Random,
    now_us: wp.int64,
    # state in/out
    s: LineState,
    g: Goods,
    # out
    surface_drive: wp.array2d(dtype=wp.float32),
):
    """Advance the line of every world to ``now_us``."""
    w = wp.tid()
    h = Site()
    h.w = w
    h.g = g
    h.r = r
    dt = now_us - s.time_us[w]
    for n in range(t.nodes):
        if t.node[n].kind == SOURCE:
            if s.waiting[w, n] == NO_SLOT:
                s.waiting[w, n] = TURNED_UP
    moves = int(0)
    running = bool(True)
    seen = bool(False)
    while running:
        moves += 1 + settle(t, s, h, MOVES_A_STEP)
        staff_and_time(t, s, h)
        due, clock = next_clock(t, s, w)
        left = now_us - s.time_us[w]
        if due <= left and moves < MOVES_A_STEP:
            advance(t, s, w, due)
            happen(t, s, h, clock)
        else:
            advance(t, s, w, left)
            if seen or moves >= MOVES_A_STEP:
                running = False
            else:
                seen = True
                look_at_bodies(t, s, g, w, dt)
                show_fleets(t, s, g, w, float(dt) * 1.0e-6)
                for a in range(t.robots):
                    move_arm(t, s, g, w, a, float(dt) * 1.0e-6)
    drive_belts(t, s, g, w, surface_drive)

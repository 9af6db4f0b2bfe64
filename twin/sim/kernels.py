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

from twin.sim.moves import appear, arrive, draw_in, glide, keep_pitch, move, move_on, stack_up, wait_for_arrival
from twin.sim.places import (
    ASKING,
    BUFFER,
    CONVEYOR,
    DONE,
    FAILURE,
    FALLEN_M,
    FALLEN_US,
    FREE,
    GAP_M,
    HALT_DOWN,
    HALT_OFF,
    IDLE,
    MOVING,
    NEARING,
    NEVER_US,
    PACKED,
    PASSING,
    READY,
    ROUTER,
    S_BLOCKED,
    S_DOWN,
    S_OFF,
    S_SETUP,
    S_STARVED,
    S_WAITING_CREW,
    S_WORKING,
    SERVED,
    SETUP,
    SINK,
    SOURCE,
    SOURCED,
    STATION,
    STORED,
    WAITING,
    WORKING,
    ZERO,
    Goods,
    Random,
    ahead_of,
    forget_all,
    has_zone,
    hold,
    inside_zone,
    middle,
    reach,
    want,
)
from twin.sim.routes import goal_of
from twin.sim.state import LineState
from twin.sim.stations import (
    UNDER_WAY,
    begin_service,
    crew_is_off,
    empty_server,
    fail_or_repair,
    finish,
    head_of,
    on_shift,
    staff_and_time,
    switch_all,
    switch_us,
    work,
    works,
)
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
    for k in range(t.all_servers):
        s.server_head[w, k] = -1
    for i in range(s.top[w]):
        phase = s.phase[w, i]
        if phase == STORED:
            n = s.node[w, i]
            j = s.head[w, n]
            better = j < 0
            if not better:
                better = (s.sequence[w, i] < s.sequence[w, j]) == (t.lifo[n] == 0)
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
        if t.kind[n] == SOURCE:
            if s.waiting[w, n] >= 0:
                list_up(s, w, s.waiting[w, n], s.ready_us[w, n], n, 0)
        elif s.head[w, n] >= 0:
            list_up(s, w, s.head[w, n], s.ready_us[w, n], n, 0)
    for k in range(t.all_servers):
        state = s.server_state[w, k]
        if state == READY:
            list_up(s, w, -1 - k, s.server_ready_us[w, k], t.server_node[k], k)
        elif state == DONE:
            i = s.server_head[w, k]
            if i >= 0:
                if s.phase[w, i] == SERVED and (s.gliding[w, i] == 0 or t.in_line[t.server_node[k]] == 0):
                    list_up(s, w, i, s.server_ready_us[w, k], t.server_node[k], k)


@wp.func
def settle(t: LineTables, s: LineState, g: Goods, r: Random, w: int, most: int) -> int:
    """Move goods until none can; returns how many moves that took."""
    moves = int(0)
    again = bool(True)
    while again:
        again = bool(False)
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
                n = t.server_node[-1 - who]
                i = s.server_head[w, -1 - who]
            else:
                n = s.node[w, i]
            goal = goal_of(t, s, g, r, w, i, n)
            if goal >= 0:
                if who < 0:
                    begin_service(t, s, g, w, -1 - who, n)
                else:
                    move(t, s, g, r, w, i, n, goal)
                moves += 1
                count = 0
                again = moves < most
    return moves


# ---- clocks


@wp.func
def runs_down(t: LineTables, s: LineState, w: int, n: int) -> bool:
    """Whether the time to the next failure of station ``n`` runs."""
    if s.fail_us[w, n] < ZERO or (s.halts[w, n] & HALT_DOWN) != 0:
        return False
    if t.failure_while_working[n] == 0:
        return True
    return works(t, s, w, n)


@wp.func
def is_repaired(t: LineTables, s: LineState, w: int, n: int) -> bool:
    """Whether a repair of station ``n`` goes on."""
    if (s.halts[w, n] & HALT_DOWN) == 0 or s.repair[w, n] != UNDER_WAY:
        return False
    if t.repair_crew[n] >= 0:
        return not crew_is_off(t, s, w, t.repair_crew[n])
    return True


@wp.func
def next_clock(t: LineTables, s: LineState, w: int):
    """Time until the next event [us], and which it is: servers and sources, then failures and repairs, then calendars."""
    due = NEVER_US
    clock = int(-1)
    for n in range(t.nodes):
        kind = t.kind[n]
        if kind == STATION:
            if s.halts[w, n] == 0:
                for k in range(t.server_begin[n], t.server_begin[n + 1]):
                    state = s.server_state[w, k]
                    if state == SETUP or state == WORKING:
                        if s.server_left_us[w, k] < due:
                            due = s.server_left_us[w, k]
                            clock = k
        elif kind == SOURCE:
            if s.halts[w, n] == 0 and s.arrival_us[w, n] >= ZERO and s.arrival_us[w, n] < due:
                due = s.arrival_us[w, n]
                clock = t.all_servers + n
    for n in range(t.nodes):
        if t.kind[n] == STATION:
            if runs_down(t, s, w, n) and s.fail_us[w, n] < due:
                due = s.fail_us[w, n]
                clock = t.all_servers + t.nodes + n
            elif is_repaired(t, s, w, n) and s.repair_us[w, n] < due:
                due = s.repair_us[w, n]
                clock = t.all_servers + t.nodes + n
    for shift in range(t.shifts):
        left = switch_us(t, s, w, shift) - s.time_us[w]
        if left < due:
            due = left
            clock = t.all_servers + 2 * t.nodes + shift
    return due, clock


@wp.func
def share_of(s: LineState, w: int, n: int, k: int) -> int:
    """What server ``k`` of station ``n`` counts as follows from its state and why its station stands."""
    halts = s.halts[w, n]
    state = s.server_state[w, k]
    share = S_STARVED
    if state == WORKING:
        share = S_WORKING
    elif state == SETUP:
        share = S_SETUP
    elif state == DONE or state == READY:
        share = S_BLOCKED
    elif state == ASKING:
        share = S_WAITING_CREW
    if halts != 0:
        if (halts & HALT_OFF) != 0:
            share = S_OFF
        elif (halts & HALT_DOWN) != 0:
            share = S_DOWN
        elif state == WORKING or state == SETUP:
            share = S_WAITING_CREW
    return share


@wp.func
def judge(t: LineTables, s: LineState, w: int, n: int):
    """Which state the node is in from now on; that of a station is what most tells of its servers."""
    kind = t.kind[n]
    state = S_STARVED
    if kind == STATION:
        rank = int(-1)
        begin = t.server_begin[n]
        for k in range(begin, wp.min(begin + t.servers[n], t.server_begin[n + 1])):
            share = share_of(s, w, n, k)
            # off, down, set-up, working, waiting for people, blocked, starved
            order = int(0)
            if share == S_OFF:
                order = 6
            elif share == S_DOWN:
                order = 5
            elif share == S_SETUP:
                order = 4
            elif share == S_WORKING:
                order = 3
            elif share == S_WAITING_CREW:
                order = 2
            elif share == S_BLOCKED:
                order = 1
            if order > rank:
                rank = order
                state = share
    elif (s.halts[w, n] & HALT_OFF) != 0:
        state = S_OFF
    elif kind == SOURCE:
        state = S_WORKING
        if s.waiting[w, n] != -1:
            state = S_BLOCKED
        elif t.limit[n] >= ZERO and s.made[w, n] >= t.limit[n]:
            state = S_STARVED
    elif kind == ROUTER or kind == SINK:
        state = S_WORKING
    elif s.level[w, n] > 0:
        state = S_WORKING
        if s.stuck[w, n] > 0:
            state = S_BLOCKED
        elif kind == BUFFER and t.capacity[n] >= 0 and s.level[w, n] >= t.capacity[n]:
            state = S_BLOCKED
    s.state[w, n] = state


@wp.func
def advance(t: LineTables, s: LineState, w: int, dt: wp.int64):
    """Let ``dt`` pass in which nothing happens: run all clocks down and book what every node was in."""
    if dt <= ZERO:
        return
    inside = s.spawned[w] - s.sunk[w] - s.scrapped[w] - s.lost[w]
    s.pieces_us[w] = s.pieces_us[w] + inside * dt
    for n in range(t.nodes):
        s.level_us[w, n] = s.level_us[w, n] + wp.int64(s.level[w, n]) * dt
        kind = t.kind[n]
        if kind == STATION:
            if runs_down(t, s, w, n):
                s.fail_us[w, n] = s.fail_us[w, n] - dt
            elif is_repaired(t, s, w, n):
                s.repair_us[w, n] = s.repair_us[w, n] - dt
            begin = t.server_begin[n]
            for k in range(begin, t.server_begin[n + 1]):
                if k < begin + t.servers[n]:
                    share = share_of(s, w, n, k)
                    s.state_us[w, n, share] = s.state_us[w, n, share] + dt
                state = s.server_state[w, k]
                if (state == SETUP or state == WORKING) and s.halts[w, n] == 0:
                    s.server_left_us[w, k] = s.server_left_us[w, k] - dt
        else:
            judge(t, s, w, n)
            s.state_us[w, n, s.state[w, n]] = s.state_us[w, n, s.state[w, n]] + dt
            if kind == SOURCE and s.arrival_us[w, n] >= ZERO and s.halts[w, n] == 0:
                s.arrival_us[w, n] = s.arrival_us[w, n] - dt
    s.time_us[w] = s.time_us[w] + dt


@wp.func
def happen(t: LineTables, s: LineState, g: Goods, r: Random, w: int, clock: int):
    """Clock ``clock`` has run down."""
    if clock < t.all_servers:
        n = t.server_node[clock]
        if s.server_state[w, clock] == SETUP:
            work(s, w, clock)
        else:
            half = reach(t, g, w, head_of(s, w, clock))
            finish(t, s, g, r, w, clock, n)
            if t.in_line[n] != 0 and s.server_state[w, clock] == IDLE:
                draw_in(t, s, g, w, n, half)
        return
    n = clock - t.all_servers
    if n < t.nodes:
        arrive(t, s, g, r, w, n)
        return
    n -= t.nodes
    if n < t.nodes:
        fail_or_repair(t, s, w, n)
        return
    shift = n - t.nodes
    s.shift_at[w, shift] = s.shift_at[w, shift] + 1
    switch_all(t, s, w, shift)


# ---- bodies


@wp.func
def has_gone(t: LineTables, s: LineState, g: Goods, w: int, i: int, dt: wp.int64) -> bool:
    """Whether item ``i``, which is a body, fell off the line or out of the world."""
    b = g.first + i
    n = s.node[w, i]
    phase = s.phase[w, i]
    if g.alive[w, b] == 0:
        return phase == MOVING or phase == WAITING or phase == NEARING or phase == PASSING
    p = g.position[w, b]
    height = wp.dot(p, t.up)
    if (phase == MOVING or phase == NEARING) and has_zone(t, n):
        bottom = wp.dot(t.zone_center[n], t.up) - wp.abs(wp.dot(t.zone_half[n], wp.quat_rotate_inv(t.zone_rotation[n], t.up)))
        if height < bottom - FALLEN_M:
            s.fallen_us[w, i] = s.fallen_us[w, i] + dt
        else:
            s.fallen_us[w, i] = ZERO
    else:
        s.fallen_us[w, i] = ZERO
    return s.fallen_us[w, i] > FALLEN_US or height < t.floor or not wp.isfinite(wp.length(p))


@wp.func
def look_at_bodies(t: LineTables, s: LineState, g: Goods, r: Random, w: int, dt: wp.int64):
    """What the bodies did in this step."""
    seconds = float(dt) * 1.0e-6
    for i in range(s.top[w]):
        phase = s.phase[w, i]
        if phase != FREE and phase != PACKED and phase != SOURCED:
            n = s.node[w, i]
            b = g.first + i
            if has_gone(t, s, g, w, i, dt):
                s.lost[w] = s.lost[w] + wp.int64(s.pieces[w, i])
                s.level[w, n] = s.level[w, n] - 1
                if s.server[w, i] >= 0:
                    empty_server(t, s, w, s.server[w, i])
                forget_all(s, g, w, i)
            elif s.gliding[w, i] != 0:
                glide(t, s, g, w, i, seconds)
            elif phase == MOVING:
                if t.kind[n] == CONVEYOR and t.pitch[n] > 0.0:
                    keep_pitch(t, s, g, w, i, n)
                move_on(t, s, g, r, w, i)
            elif phase == NEARING:
                if inside_zone(t, n, middle(t, g, w, i), 0.0):
                    s.phase[w, i] = SERVED
                    hold(g, w, i)
            elif phase == SERVED and g.alive[w, b] == 0:
                if t.in_line[n] != 0:
                    appear(t, s, g, w, i, n)
                elif t.output[n] >= 0 and t.servers[n] == 1 and has_zone(t, n):
                    if s.server_state[w, s.server[w, i]] != DONE:
                        stack_up(t, s, g, w, i, n)


@wp.func
def drive_belts(t: LineTables, s: LineState, g: Goods, w: int, surface_drive: wp.array2d(dtype=wp.float32)):
    """Judge the nodes, and set each belt's speed."""
    for n in range(t.nodes):
        s.stuck[w, n] = 0
    for i in range(s.top[w]):
        phase = s.phase[w, i]
        n = s.node[w, i]
        if phase == WAITING:
            s.stuck[w, n] = s.stuck[w, n] + 1
            if g.held[w, g.first + i] == 0:
                hold(g, w, i)
        elif phase == MOVING:
            if t.kind[n] == CONVEYOR and t.accumulating[n] == 0:
                # a head that is up against what stands at the next node stops the whole belt
                j = ahead_of(t, s, g, w, i, n, GAP_M)
                if j >= 0:
                    along = wp.dot(g.linear_velocity[w, g.first + j], t.exit_direction[n])
                    if s.node[w, j] != n and along < 0.5 * t.speed[n]:
                        s.stuck[w, n] = s.stuck[w, n] + 1
    while s.top[w] > 0 and s.phase[w, wp.max(s.top[w] - 1, 0)] == FREE:
        s.top[w] = s.top[w] - 1
    for n in range(t.nodes):
        judge(t, s, w, n)
        if t.kind[n] == CONVEYOR:
            speed = t.speed[n]
            if (s.halts[w, n] & HALT_OFF) != 0 or (t.accumulating[n] == 0 and s.stuck[w, n] > 0):
                speed = 0.0
            for k in range(t.belt_begin[n], t.belt_begin[n + 1]):
                surface_drive[w, t.belt_shape[k]] = speed


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
    for crew in range(t.crews):
        s.crew_free[w, crew] = t.crew_people[crew]
    for n in range(t.nodes):
        s.arrival_us[w, n] = wp.int64(-1)
        s.fail_us[w, n] = wp.int64(-1)
        if t.kind[n] == SOURCE:
            wait_for_arrival(t, s, g, r, w, n)
        if t.kind[n] == STATION and t.time_to_failure[n] >= 0:
            want(s, w, n, FAILURE)
    for shift in range(t.shifts):
        s.shift_at[w, shift] = t.shift_first[shift]
        if not on_shift(t, s, w, shift):
            switch_all(t, s, w, shift)
    staff_and_time(t, s, g, r, w)
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
    dt = now_us - s.time_us[w]
    for n in range(t.nodes):
        if t.kind[n] == SOURCE:
            if s.waiting[w, n] == -2:
                arrive(t, s, g, r, w, n)
    moves = int(0)
    running = bool(True)
    seen = bool(False)
    while running:
        moves += 1 + settle(t, s, g, r, w, MOVES_A_STEP)
        staff_and_time(t, s, g, r, w)
        due, clock = next_clock(t, s, w)
        left = now_us - s.time_us[w]
        if due <= left and moves < MOVES_A_STEP:
            advance(t, s, w, due)
            happen(t, s, g, r, w, clock)
        else:
            advance(t, s, w, left)
            if seen or moves >= MOVES_A_STEP:
                running = False
            else:
                seen = True
                look_at_bodies(t, s, g, r, w, dt)
    drive_belts(t, s, g, w, surface_drive)

"""Process logic at physics time: one thread a world, once a step, before the bodies move (docs/semantics.md).

An item is in one phase at a time:

    MOVING      a rigid body on its own
    WAITING     held where it stands because what comes next has no room
    READY       in a server that works only when there is room downstream
    IN_SERVICE  held by a station that works on it (or sets up for it)
    DONE        finished, keeps its server until there is room downstream
    STORED      in a buffer, off the world
    GLIDING     carried in a straight line from one node's place to the next one's
    COLLECTED   taken into a batch that is not complete, off the world
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.rules import BY_QUALITY, choice_is_kept, pick_by_weight
from twin.sim.moves import (
    ahead_of,
    begin_work,
    forget,
    glide,
    leave,
    may_leave,
    merge_clear,
    move_on,
    put_on,
    stack_up,
    take_off,
    transfer,
)
from twin.sim.places import (
    BUFFER,
    COLLECTED,
    CONVEYOR,
    DONE,
    FALLEN_M,
    FALLEN_US,
    FREE,
    GAP_M,
    GLIDING,
    IN_SERVICE,
    MOVING,
    READY,
    ROUTER,
    S_BLOCKED,
    S_DOWN,
    S_SETUP,
    S_STARVED,
    S_WORKING,
    SINK,
    SOURCE,
    STATION,
    STORED,
    WAITING,
    Goods,
    Random,
    draw_uniform,
    draw_us,
    first_in_line,
    has_room,
    place_free,
    set_down,
    successor,
)
from twin.sim.tables import LineState, LineTables

# ---- stations


@wp.func
def finish(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int):
    """The cycle of item ``i`` (and of all that share its batch) is over."""
    if t.scrap_rate[n] > wp.float64(0.0):
        s.defective[w, i] = 0
        if draw_uniform(t, s, r, w, n, 6) < t.scrap_rate[n]:
            s.defective[w, i] = 1
    if t.batch[n] > 1:
        pieces = int(0)
        born = wp.int64(0)
        since = s.since_us[w, i]
        for j in range(g.slots):
            if s.node[w, j] == n and s.phase[w, j] == IN_SERVICE and s.since_us[w, j] == since:
                s.busy[w, n] = s.busy[w, n] - 1
                s.phase[w, j] = DONE
                if t.output[n] >= 0:
                    pieces += s.pieces[w, j]
                    born += s.born_us[w, j]
                    if j != i:
                        s.level[w, n] = s.level[w, n] - 1
                        forget(s, g, w, j)
                else:
                    s.done[w, n] = s.done[w, n] + 1
                    s.defective[w, j] = s.defective[w, i]
        if t.output[n] >= 0:
            take_off(g, w, i)
            s.pieces[w, i] = pieces
            s.born_us[w, i] = born
            s.done[w, n] = s.done[w, n] + 1
            g.prototype[w, g.first + i] = t.output[n]
            s.id[w, i] = s.next_id[w]
            s.next_id[w] = s.next_id[w] + wp.int64(1)
    else:
        s.busy[w, n] = s.busy[w, n] - 1
        s.done[w, n] = s.done[w, n] + 1
        s.phase[w, i] = DONE
    s.since_us[w, i] = s.time_us[w]
    s.target[w, i] = -1


@wp.func
def scrapped_here(t: LineTables, s: LineState, w: int, i: int, n: int) -> bool:
    """A defective item that nothing takes away is scrapped at its station."""
    if s.defective[w, i] == 0 or t.scrap_rate[n] <= wp.float64(0.0):
        return False
    if t.rework[n] >= 0:
        return False
    begin = t.next_begin[n]
    if begin < t.next_begin[n + 1]:
        c = t.next[begin]
        if t.kind[c] == ROUTER:
            if t.rule[c] == BY_QUALITY:
                return False
    return True


@wp.func
def release(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int):
    """A finished item leaves its server when there is room downstream."""
    if scrapped_here(t, s, w, i, n):
        s.scrapped[w] = s.scrapped[w] + wp.int64(s.pieces[w, i])
        s.done[w, n] = s.done[w, n] - 1
        leave(s, w, n)
        forget(s, g, w, i)
        return
    p = g.prototype[w, g.first + i]
    c = s.target[w, i]
    if c < 0:
        c = successor(t, s, g, r, w, i, n, p)
    if c < 0:
        return
    room = may_leave(t, s, g, w, i, n, c, p)
    if room and t.kind[c] == CONVEYOR and t.predecessors[c] > 1:
        room = merge_clear(t, s, g, w, i, n, c)
    if room and first_in_line(s, g, w, i, c):
        s.done[w, n] = s.done[w, n] - 1
        if t.rework[n] == c:
            s.defective[w, i] = 0
        transfer(t, s, g, r, w, i, n, c)
    else:
        router = t.next[t.next_begin[n]]
        keep = t.kind[router] != ROUTER
        if not keep:
            keep = choice_is_kept(t.rule[router])
        s.target[w, i] = wp.where(keep, c, -1)


@wp.func
def give_back(t: LineTables, s: LineState, g: Goods, r: Random, w: int, n: int):
    """A buffer hands out its next item when there is room downstream."""
    best = int(-1)
    for i in range(g.slots):
        if s.node[w, i] == n and s.phase[w, i] == STORED:
            if best < 0:
                best = i
            else:
                earlier = s.since_us[w, i] < s.since_us[w, best]
                if t.lifo[n] != 0:
                    earlier = s.since_us[w, i] > s.since_us[w, best]
                if earlier:
                    best = i
    if best < 0:
        return
    p = g.prototype[w, g.first + best]
    c = s.target[w, best]
    if c < 0:
        c = successor(t, s, g, r, w, best, n, p)
    if c >= 0:
        room = has_room(t, s, g, w, best, c, p)
        if room and t.kind[c] == CONVEYOR and t.predecessors[c] > 1:
            room = merge_clear(t, s, g, w, best, n, c)
        if room and first_in_line(s, g, w, best, c):
            transfer(t, s, g, r, w, best, n, c)


# ---- sources


@wp.func
def spawn(t: LineTables, s: LineState, g: Goods, r: Random, w: int, n: int):
    """A source that has an item sets it on the line when the place is free."""
    if s.waiting[w, n] < 0:
        return
    p = s.waiting[w, n]
    slot = int(-1)
    for i in range(g.slots):
        if slot < 0 and s.phase[w, i] == FREE:
            slot = i
    if slot < 0:
        s.full[w] = s.full[w] + wp.int64(1)
        return
    s.defective[w, slot] = 0
    c = successor(t, s, g, r, w, slot, n, p)
    if c < 0:
        return
    own_place = t.zone_half[n][0] >= 0.0 and t.kind[c] == CONVEYOR
    if own_place:
        if not place_free(t, s, g, w, slot, set_down(t, n, p), t.prototype_half[p][0]):
            return
    elif not has_room(t, s, g, w, slot, c, p):
        return
    b = g.first + slot
    g.prototype[w, b] = p
    s.fallen_us[w, slot] = wp.int64(0)
    s.id[w, slot] = s.next_id[w]
    s.next_id[w] = s.next_id[w] + wp.int64(1)
    s.pieces[w, slot] = 1
    s.born_us[w, slot] = s.time_us[w]
    s.target[w, slot] = -1
    s.spawned[w] = s.spawned[w] + wp.int64(1)
    s.made[w, n] = s.made[w, n] + wp.int64(1)
    s.waiting[w, n] = -1
    if t.saturated[n] == 0:
        s.arrival_us[w, n] = wp.int64(-1)
        if t.interarrival[n] >= 0:
            s.arrival_us[w, n] = draw_us(t, s, r, w, n, t.interarrival[n], 0)
    s.node[w, slot] = n
    s.entered[w, n] = s.entered[w, n] + wp.int64(1)
    s.level[w, n] = s.level[w, n] + 1
    s.phase[w, slot] = MOVING
    if own_place:
        put_on(t, g, w, slot, n)
        g.linear_velocity[w, b] = t.direction[n] * t.speed[c]
    else:
        transfer(t, s, g, r, w, slot, n, c)


@wp.func
def arrive(t: LineTables, s: LineState, r: Random, w: int, n: int, dt: wp.int64):
    """The source's clock: when an item turns up, its prototype is drawn."""
    if s.waiting[w, n] >= 0:
        return
    if t.limit[n] >= wp.int64(0) and s.made[w, n] >= t.limit[n]:
        return
    due = t.saturated[n] != 0
    if not due and s.arrival_us[w, n] >= wp.int64(0):
        s.arrival_us[w, n] = s.arrival_us[w, n] - dt
        if s.arrival_us[w, n] <= wp.int64(0):
            due = True
            s.arrival_us[w, n] = wp.int64(0)
    if due:
        begin = t.item_begin[n]
        end = t.item_begin[n + 1]
        if end > begin:
            pick = end - 1
            if end - begin > 1:
                u = draw_uniform(t, s, r, w, n, 7)
                pick = pick_by_weight(t.item_cumulative, begin, end, u)
            s.waiting[w, n] = t.item_prototype[pick]


# ---- the step


@wp.func
def clocks(t: LineTables, s: LineState, r: Random, w: int, n: int, dt: wp.int64):
    """Failure and repair of one station."""
    if s.repair_us[w, n] > wp.int64(0):
        s.repair_us[w, n] = s.repair_us[w, n] - dt
        if s.repair_us[w, n] <= wp.int64(0):
            s.repair_us[w, n] = wp.int64(0)
            s.fail_us[w, n] = draw_us(t, s, r, w, n, t.time_to_failure[n], 2)
    elif s.fail_us[w, n] >= wp.int64(0):
        if t.failure_while_working[n] == 0 or s.working[w, n] > 0:
            s.fail_us[w, n] = s.fail_us[w, n] - dt
            if s.fail_us[w, n] < wp.int64(0):
                s.fail_us[w, n] = wp.int64(0)
                s.repair_us[w, n] = wp.max(draw_us(t, s, r, w, n, t.time_to_repair[n], 3), wp.int64(1))


@wp.func
def account(t: LineTables, s: LineState, w: int, n: int, dt: wp.int64):
    """Add the elapsed time to the states the node was in."""
    s.level_us[w, n] = s.level_us[w, n] + wp.int64(s.level[w, n]) * dt
    if t.kind[n] == STATION and s.repair_us[w, n] == wp.int64(0) and t.servers[n] > 1:
        servers = wp.int64(t.servers[n])
        working = wp.int64(s.working[w, n]) * dt / servers
        setup = wp.int64(s.setting[w, n]) * dt / servers
        blocked = wp.int64(s.done[w, n]) * dt / servers
        s.state_us[w, n, S_WORKING] = s.state_us[w, n, S_WORKING] + working
        s.state_us[w, n, S_SETUP] = s.state_us[w, n, S_SETUP] + setup
        s.state_us[w, n, S_BLOCKED] = s.state_us[w, n, S_BLOCKED] + blocked
        s.state_us[w, n, S_STARVED] = s.state_us[w, n, S_STARVED] + dt - working - setup - blocked
    else:
        s.state_us[w, n, s.state[w, n]] = s.state_us[w, n, s.state[w, n]] + dt


@wp.func
def judge(t: LineTables, s: LineState, w: int, n: int):
    """Which state the node is in from now on."""
    kind = t.kind[n]
    state = S_STARVED
    if kind == STATION:
        if s.repair_us[w, n] > wp.int64(0):
            state = S_DOWN
        elif s.setting[w, n] > 0:
            state = S_SETUP
        elif s.working[w, n] > 0:
            state = S_WORKING
        elif s.done[w, n] > 0:
            state = S_BLOCKED
    elif kind == SOURCE:
        state = wp.where(s.waiting[w, n] >= 0, S_BLOCKED, S_WORKING)
        if t.limit[n] >= wp.int64(0) and s.made[w, n] >= t.limit[n]:
            state = S_STARVED
    elif s.stuck[w, n] > 0:
        state = S_BLOCKED
    elif kind == BUFFER and t.capacity[n] >= 0 and s.level[w, n] >= t.capacity[n]:
        state = S_BLOCKED
    elif s.level[w, n] > 0 or kind == ROUTER or kind == SINK:
        state = S_WORKING
    s.state[w, n] = state


@wp.kernel
def start_line(
    # model
    t: LineTables,
    r: Random,
    # state in/out
    s: LineState,
):
    """First draws of every world: time to the first arrival and the first failure."""
    w = wp.tid()
    for n in range(t.nodes):
        s.arrival_us[w, n] = wp.int64(-1)
        s.fail_us[w, n] = wp.int64(-1)
        if t.kind[n] == SOURCE and t.interarrival[n] >= 0:
            s.arrival_us[w, n] = draw_us(t, s, r, w, n, t.interarrival[n], 0)
        if t.kind[n] == STATION and t.time_to_failure[n] >= 0:
            s.fail_us[w, n] = draw_us(t, s, r, w, n, t.time_to_failure[n], 2)
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
    seconds = float(dt) * 1.0e-6
    inside = s.spawned[w] - s.sunk[w] - s.scrapped[w] - s.lost[w]
    s.pieces_us[w] = s.pieces_us[w] + inside * dt
    for n in range(t.nodes):
        account(t, s, w, n, dt)
    s.time_us[w] = now_us
    for n in range(t.nodes):
        if t.kind[n] == STATION:
            clocks(t, s, r, w, n, dt)
        elif t.kind[n] == SOURCE:
            arrive(t, s, r, w, n, dt)

    for i in range(g.slots):
        phase = s.phase[w, i]
        if phase != FREE:
            n = s.node[w, i]
            b = g.first + i
            if g.alive[w, b] != 0 or phase == MOVING:
                p = g.position[w, b]
                height = wp.dot(p, t.up)
                bottom = wp.dot(t.zone_center[n], t.up) - wp.abs(
                    wp.dot(t.zone_half[n], wp.quat_rotate_inv(t.zone_rotation[n], t.up))
                )
                if phase == MOVING and t.zone_half[n][0] >= 0.0 and height < bottom - FALLEN_M:
                    s.fallen_us[w, i] = s.fallen_us[w, i] + dt
                else:
                    s.fallen_us[w, i] = wp.int64(0)
                gone = (
                    g.alive[w, b] == 0
                    or s.fallen_us[w, i] > FALLEN_US
                    or height < t.floor
                    or not wp.isfinite(height)
                    or not wp.isfinite(wp.length(p))
                )
                if gone:
                    s.lost[w] = s.lost[w] + wp.int64(s.pieces[w, i])
                    if phase == IN_SERVICE:
                        s.busy[w, n] = s.busy[w, n] - 1
                    if phase == DONE:
                        s.done[w, n] = s.done[w, n] - 1
                    s.level[w, n] = s.level[w, n] - 1
                    forget(s, g, w, i)
                    phase = FREE
            if (phase == IN_SERVICE or phase == COLLECTED) and g.alive[w, b] == 0:
                stack_up(t, s, g, w, i, n)
            if phase == IN_SERVICE:
                if s.repair_us[w, n] == wp.int64(0):
                    s.work_us[w, i] = s.work_us[w, i] - dt
                    s.setup_us[w, i] = wp.max(s.setup_us[w, i] - dt, wp.int64(0))
                    if s.work_us[w, i] <= wp.int64(0):
                        finish(t, s, g, r, w, i, n)
                        release(t, s, g, r, w, i, n)
            elif phase == DONE:
                release(t, s, g, r, w, i, n)
            elif phase == READY:
                prototype = g.prototype[w, b]
                c = successor(t, s, g, r, w, i, n, prototype)
                if c >= 0:
                    if may_leave(t, s, g, w, i, n, c, prototype):
                        begin_work(t, s, g, r, w, i, n)
            elif phase == GLIDING:
                glide(t, s, g, r, w, i, seconds)
            elif phase == MOVING or phase == WAITING:
                move_on(t, s, g, r, w, i)

    for n in range(t.nodes):
        s.working[w, n] = 0
        s.setting[w, n] = 0
        s.stuck[w, n] = 0
        if t.kind[n] == SOURCE:
            spawn(t, s, g, r, w, n)
        elif t.kind[n] == BUFFER:
            give_back(t, s, g, r, w, n)
    for i in range(g.slots):
        phase = s.phase[w, i]
        if phase == IN_SERVICE:
            if s.setup_us[w, i] > wp.int64(0):
                s.setting[w, s.node[w, i]] = s.setting[w, s.node[w, i]] + 1
            else:
                s.working[w, s.node[w, i]] = s.working[w, s.node[w, i]] + 1
        elif phase == WAITING:
            s.stuck[w, s.node[w, i]] = s.stuck[w, s.node[w, i]] + 1
        elif phase == MOVING:
            n = s.node[w, i]
            if t.kind[n] == CONVEYOR and t.accumulating[n] == 0:
                # a head that is up against what stands at the next node stops the whole belt
                j = ahead_of(t, s, g, w, i, n, GAP_M)
                if j >= 0:
                    along = wp.dot(g.linear_velocity[w, g.first + j], t.exit_direction[n])
                    if s.node[w, j] != n and along < 0.5 * t.speed[n]:
                        s.stuck[w, n] = s.stuck[w, n] + 1
    for n in range(t.nodes):
        judge(t, s, w, n)
        if t.kind[n] == CONVEYOR:
            speed = t.speed[n]
            if t.accumulating[n] == 0 and s.stuck[w, n] > 0:
                speed = 0.0
            for k in range(t.belt_begin[n], t.belt_begin[n + 1]):
                surface_drive[w, t.belt_shape[k]] = speed

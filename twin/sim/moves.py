"""Moving goods on the physical line: take off, set down, admit, transfer, merge (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.rules import choice_is_kept
from twin.sim.places import (
    BIN_WIDTH,
    BINS,
    BUFFER,
    COLLECTED,
    CONVEYOR,
    FALLEN_M,
    FREE,
    GAP_M,
    GLIDE_MIN_SPEED,
    GLIDING,
    IN_SERVICE,
    LOG_MIN,
    LOOK_AHEAD_M,
    MOVING,
    READY,
    ROUTER,
    SINK,
    STATION,
    STORED,
    WAITING,
    Goods,
    Random,
    draw_us,
    first_in_line,
    has_room,
    inside_zone,
    middle,
    place_free,
    reach,
    set_down,
    successor,
)
from twin.sim.tables import LEAD_MIN_S, LineState, LineTables

# ---- moving things


@wp.func
def take_off(g: Goods, w: int, i: int):
    """Off the world, the slot kept."""
    b = g.first + i
    g.alive[w, b] = 0
    g.held[w, b] = 0
    g.generation[w, b] = g.generation[w, b] + 1


@wp.func
def put_on(t: LineTables, g: Goods, w: int, i: int, m: int):
    """Set the item down at node ``m``'s place, moving with its belt."""
    b = g.first + i
    g.position[w, b] = set_down(t, m, g.prototype[w, b])
    g.rotation[w, b] = t.entry_rotation[m]
    g.linear_velocity[w, b] = t.direction[m] * t.speed[m]
    g.angular_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)
    g.held[w, b] = 0
    g.alive[w, b] = 1
    g.generation[w, b] = g.generation[w, b] + 1


@wp.func
def hold(g: Goods, w: int, i: int):
    b = g.first + i
    g.held[w, b] = 1
    g.linear_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)
    g.angular_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)


@wp.func
def forget(s: LineState, g: Goods, w: int, i: int):
    take_off(g, w, i)
    s.phase[w, i] = FREE
    s.node[w, i] = -1
    s.target[w, i] = -1
    s.pieces[w, i] = 0
    s.defective[w, i] = 0


@wp.func
def count_lead(s: LineState, w: int, i: int):
    pieces = wp.int64(s.pieces[w, i])
    total = s.time_us[w] * pieces - s.born_us[w, i]
    s.lead_us[w] = s.lead_us[w] + total
    mean = float(total) / float(pieces) * 1.0e-6
    bin = int((wp.log(wp.max(mean, LEAD_MIN_S)) - LOG_MIN) / BIN_WIDTH)
    bin = wp.clamp(bin, 0, BINS - 1)
    s.lead_hist[w, bin] = s.lead_hist[w, bin] + pieces


@wp.func
def leave(s: LineState, w: int, n: int):
    s.left[w, n] = s.left[w, n] + wp.int64(1)
    s.level[w, n] = s.level[w, n] - 1


@wp.func
def begin_work(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int):
    """Draw set-up and cycle for item ``i`` in a server of station ``n``."""
    type = t.prototype_type[g.prototype[w, g.first + i]]
    setup = wp.int64(0)
    if s.last_type[w, n] >= 0 and s.last_type[w, n] != type:
        setup = draw_us(t, s, r, w, n, t.setup[n], 4)
    s.last_type[w, n] = type
    s.setup_us[w, i] = setup
    s.work_us[w, i] = setup + draw_us(t, s, r, w, n, t.cycle[n * t.types + type], 1)
    s.since_us[w, i] = s.time_us[w]
    s.phase[w, i] = IN_SERVICE
    s.busy[w, n] = s.busy[w, n] + 1


@wp.func
def collect(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int):
    """Into a batch; the last one starts the cycle of all."""
    take_off(g, w, i)
    s.phase[w, i] = COLLECTED
    count = int(0)
    for j in range(g.slots):
        if s.node[w, j] == n and s.phase[w, j] == COLLECTED:
            count += 1
    if count >= t.batch[n]:
        begin_work(t, s, g, r, w, i, n)
        for j in range(g.slots):
            if s.node[w, j] == n and s.phase[w, j] == COLLECTED:
                s.phase[w, j] = IN_SERVICE
                s.work_us[w, j] = s.work_us[w, i]
                s.setup_us[w, j] = s.setup_us[w, i]
                s.since_us[w, j] = s.since_us[w, i]
                s.busy[w, n] = s.busy[w, n] + 1


@wp.func
def stack_up(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int):
    """Show a collected item where it will stand on what leaves the station, once that place is clear: the pallet is seen to
    grow. Layers fill from the deck up, the stack is level with the output's top."""
    if t.output[n] < 0 or t.next_begin[n] == t.next_begin[n + 1]:
        return
    c = t.next[t.next_begin[n]]
    if t.kind[c] == ROUTER:
        if t.next_begin[c] == t.next_begin[c + 1]:
            return
        c = t.next[t.next_begin[c]]
    whole = t.prototype_half[t.output[n]]
    place = set_down(t, c, t.output[n])
    rank = int(0)
    for j in range(g.slots):
        if j != i and s.phase[w, j] != FREE:
            if s.node[w, j] == n:
                if s.id[w, j] < s.id[w, i]:
                    rank += 1
            elif g.alive[w, g.first + j] != 0:
                if wp.length(g.position[w, g.first + j] - place) < whole[0] + reach(t, g, w, j) + GAP_M:
                    return
    b = g.first + i
    half = t.prototype_half[g.prototype[w, b]]
    up = int(2)
    side = int(1)
    if t.up[1] > 0.5:
        up = 1
        side = 2
    along = wp.max(int(whole[0] / half[0] + 0.05), 1)
    across = wp.max(int(whole[side] / half[side] + 0.05), 1)
    layers = (t.batch[n] + along * across - 1) / (along * across)
    layer = rank / (along * across)
    x = (float(rank % along) + 0.5) * 2.0 * half[0] - float(along) * half[0]
    y = (float((rank / along) % across) + 0.5) * 2.0 * half[side] - float(across) * half[side]
    z = whole[up] - float(2 * (layers - layer) - 1) * half[up]
    local = wp.vec3(x, y, z)
    if up == 1:
        local = wp.vec3(x, z, y)
    center = place - wp.quat_rotate(t.entry_rotation[c], t.prototype_com[t.output[n]] - t.prototype_center[t.output[n]])
    p = g.prototype[w, b]
    local = local + t.prototype_com[p] - t.prototype_center[p]
    g.position[w, b] = center + wp.quat_rotate(t.entry_rotation[c], local)
    g.rotation[w, b] = t.entry_rotation[c]
    g.alive[w, b] = 1
    g.generation[w, b] = g.generation[w, b] + 1
    hold(g, w, i)


@wp.func
def admit(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, m: int):
    """The item has reached node ``m``, to which it already belongs."""
    kind = t.kind[m]
    s.target[w, i] = -1
    if kind == SINK:
        pieces = wp.int64(s.pieces[w, i])
        if t.reject[m] != 0:
            s.scrapped[w] = s.scrapped[w] + pieces
        else:
            s.sunk[w] = s.sunk[w] + pieces
            count_lead(s, w, i)
        leave(s, w, m)
        forget(s, g, w, i)
    elif kind == BUFFER:
        take_off(g, w, i)
        s.phase[w, i] = STORED
        s.since_us[w, i] = s.time_us[w]
    elif kind == STATION:
        if t.batch[m] > 1:
            collect(t, s, g, r, w, i, m)
        else:
            hold(g, w, i)
            if t.blocking_before[m] != 0:
                s.phase[w, i] = READY
            else:
                begin_work(t, s, g, r, w, i, m)
    else:
        s.phase[w, i] = MOVING
        g.held[w, g.first + i] = 0


@wp.func
def rides(t: LineTables, g: Goods, w: int, i: int, n: int, c: int) -> bool:
    """Whether the belt under the item at ``n`` itself takes it straight on to conveyor ``c``."""
    if t.carried[n] == 0 or t.kind[c] != CONVEYOR:
        return False
    if wp.dot(t.exit_direction[n], t.direction[c]) < 0.5:
        return False  # round a corner goods are transferred, turning with the line
    way = t.entry[c] - middle(t, g, w, i)
    way = way - t.up * wp.dot(way, t.up)
    ahead = wp.dot(way, t.exit_direction[n])
    aside = wp.length(way - t.exit_direction[n] * ahead)
    return ahead > -1.5 and ahead < 2.0 and aside < wp.max(0.2, 0.6 * ahead)


@wp.func
def ahead_of(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, room: float) -> int:
    """The item that stands within ``room`` ahead of item ``i`` in the direction that node ``n`` sends it, -1 for none."""
    for j in range(g.slots):
        if j != i:
            if s.phase[w, j] != FREE and g.alive[w, g.first + j] != 0:
                rest = middle(t, g, w, j) - middle(t, g, w, i)
                ahead = wp.dot(rest, t.exit_direction[n])
                aside = wp.length(rest - t.exit_direction[n] * ahead)
                if ahead > 0.0 and ahead < reach(t, g, w, i) + reach(t, g, w, j) + room and aside < FALLEN_M:
                    return j
    return -1


@wp.func
def may_leave(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, c: int, p: int) -> bool:
    """Whether a finished item can leave station ``n`` for ``c``: on to a belt straight ahead it needs clearance only."""
    if t.kind[c] == CONVEYOR:
        if g.alive[w, g.first + i] != 0:
            if rides(t, g, w, i, n, c):
                return ahead_of(t, s, g, w, i, n, GAP_M + 0.05) < 0
    return has_room(t, s, g, w, i, c, p)


@wp.func
def landing(t: LineTables, g: Goods, w: int, i: int, c: int) -> wp.vec3:
    """Where a transferred item is set down at node ``c``: on a straight belt beside where it is now, else at the entry."""
    p = g.prototype[w, g.first + i]
    place = set_down(t, c, p)
    if t.kind[c] == CONVEYOR and wp.dot(t.direction[c], t.exit_direction[c]) > 0.999:
        along = wp.dot(middle(t, g, w, i) - t.entry[c], t.direction[c]) - t.prototype_half[p][0] - 0.01
        if along > 0.0:
            along = wp.min(along, 2.0 * wp.abs(wp.dot(t.zone_half[c], wp.vec3(1.0, 0.0, 0.0))) - 2.0 * t.prototype_half[p][0])
            place = place + t.direction[c] * wp.max(along, 0.0)
    return place


@wp.func
def transfer(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int, c: int):
    """Item ``i`` goes from node ``n`` to node ``c``, which has room: on its belt, set down, or carried over."""
    b = g.first + i
    leave(s, w, n)
    s.node[w, i] = c
    s.entered[w, c] = s.entered[w, c] + wp.int64(1)
    s.level[w, c] = s.level[w, c] + 1
    s.target[w, i] = -1
    if t.kind[c] == SINK and g.alive[w, b] == 0:
        admit(t, s, g, r, w, i, c)
    elif g.alive[w, b] == 0:
        put_on(t, g, w, i, c)
        admit(t, s, g, r, w, i, c)
    elif rides(t, g, w, i, n, c):
        s.phase[w, i] = MOVING
        g.held[w, b] = 0
    elif t.zone_half[c][0] < 0.0 and t.kind[c] != CONVEYOR:
        admit(t, s, g, r, w, i, c)
    else:
        s.phase[w, i] = GLIDING
        g.held[w, b] = 1
        s.glide_to[w, i] = landing(t, g, w, i, c)
        s.glide_speed[w, i] = wp.max(wp.max(t.speed[c], t.speed[n]), GLIDE_MIN_SPEED)


@wp.func
def glide(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, dt: float):
    b = g.first + i
    m = s.node[w, i]
    way = s.glide_to[w, i] - g.position[w, b]
    distance = wp.length(way)
    step = s.glide_speed[w, i] * dt
    if distance <= step:
        g.position[w, b] = s.glide_to[w, i]
        g.rotation[w, b] = t.entry_rotation[m]
        g.linear_velocity[w, b] = t.direction[m] * t.speed[m]
        admit(t, s, g, r, w, i, m)
    else:
        g.position[w, b] = g.position[w, b] + way * (step / distance)
        g.rotation[w, b] = wp.normalize(wp.quat_slerp(g.rotation[w, b], t.entry_rotation[m], step / distance))
        g.linear_velocity[w, b] = way * (s.glide_speed[w, i] / distance)


@wp.func
def merge_clear(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, c: int) -> bool:
    """Whether an item at the end of ``n`` can slip onto the running belt ``c`` without touching what is on it."""
    along = t.direction[c]
    half = reach(t, g, w, i)
    where = middle(t, g, w, i) + t.exit_direction[n] * half
    straight = wp.dot(t.exit_direction[n], along) > 0.85
    for j in range(g.slots):
        if j != i:
            if s.phase[w, j] != FREE and s.node[w, j] == c and g.alive[w, g.first + j] != 0:
                rest = middle(t, g, w, j) - where
                ahead = wp.dot(rest, along)
                gap = reach(t, g, w, j) + GAP_M
                upstream = -(gap + 2.0 * half)
                if not straight:
                    upstream = upstream - half
                    gap = gap + half
                if ahead < gap and ahead > upstream and wp.abs(wp.dot(rest, t.up)) < FALLEN_M:
                    return False
    return True


@wp.func
def wait(s: LineState, g: Goods, w: int, i: int, c: int):
    if s.phase[w, i] != WAITING:
        s.since_us[w, i] = s.time_us[w]
        s.phase[w, i] = WAITING
        hold(g, w, i)
    s.target[w, i] = c


@wp.func
def move_on(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int):
    """An item that moves by itself, or waits at the end of node ``n``: has it reached what comes next?"""
    n = s.node[w, i]
    b = g.first + i
    p = g.prototype[w, b]
    here = middle(t, g, w, i)
    lead = here + t.exit_direction[n] * reach(t, g, w, i)
    for e in range(t.next_begin[n], t.next_begin[n + 1]):
        c = t.next[e]
        if s.node[w, i] == n and s.phase[w, i] != FREE:
            if t.kind[c] == CONVEYOR:
                if t.predecessors[c] > 1:
                    if s.phase[w, i] == WAITING or inside_zone(t, c, lead, LOOK_AHEAD_M):
                        free = merge_clear(t, s, g, w, i, n, c)
                        if free and not rides(t, g, w, i, n, c):
                            free = place_free(t, s, g, w, i, landing(t, g, w, i, c), t.prototype_half[p][0])
                        if free and first_in_line(s, g, w, i, c):
                            transfer(t, s, g, r, w, i, n, c)
                        else:
                            wait(s, g, w, i, c)
                elif inside_zone(t, c, here, 0.0):
                    transfer(t, s, g, r, w, i, n, c)
            elif t.kind[c] == ROUTER:
                arrived = inside_zone(t, c, here, 0.0)
                if t.zone_half[c][0] < 0.0:
                    arrived = not inside_zone(t, n, lead, 0.0)
                if arrived or s.phase[w, i] == WAITING:
                    goal = s.target[w, i]
                    if goal < 0:
                        goal = successor(t, s, g, r, w, i, n, p)
                    if goal >= 0:
                        if has_room(t, s, g, w, i, goal, p) and first_in_line(s, g, w, i, goal):
                            transfer(t, s, g, r, w, i, n, goal)
                        else:
                            kept = choice_is_kept(t.rule[c])
                            wait(s, g, w, i, wp.where(kept, goal, -1))
                    else:
                        wait(s, g, w, i, -1)
            elif s.phase[w, i] == WAITING or inside_zone(t, c, here, 0.0):
                if has_room(t, s, g, w, i, c, p) and first_in_line(s, g, w, i, c):
                    leave(s, w, n)
                    s.node[w, i] = c
                    s.entered[w, c] = s.entered[w, c] + wp.int64(1)
                    s.level[w, c] = s.level[w, c] + 1
                    admit(t, s, g, r, w, i, c)
                else:
                    wait(s, g, w, i, c)

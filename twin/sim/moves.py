"""Goods change hands at physics time: from a source, a server, a buffer or the end of a belt to what comes next.

Where goods count as being is one thing, where their bodies are another: a station, a buffer or a sink takes an item in the
moment it leaves the node ahead (docs/semantics.md), while its body may still be carried there.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.nodes import (
    ARRIVAL,
    BUFFER,
    COLLECTING,
    CONVEYOR,
    FLEET,
    HALT_OFF,
    IDLE,
    ITEM_TYPE,
    ONE,
    READY,
    ROUTER,
    SINK,
    SOURCE,
    STATION,
    ZERO,
)
from twin.process.routes import joined_bit
from twin.process.rules import pick_by_weight
from twin.sim.belts import enter_belt, leave_belt
from twin.sim.fleets import load, trip_done
from twin.sim.places import (
    BIN_WIDTH,
    BINS,
    FREE,
    GLIDE_MIN_SPEED,
    LOG_MIN,
    LOOK_AHEAD_M,
    MOVING,
    NEARING,
    PACKED,
    PASSING,
    SERVED,
    SOURCED,
    STORED,
    WAITING,
    Goods,
    Random,
    Site,
    draw_uniform,
    enter_order,
    forget_all,
    free_slot,
    has_zone,
    hold,
    inside_zone,
    landing,
    middle,
    put_at,
    reach,
    rides,
    set_down,
    take_off,
    want,
    zone_reach,
)
from twin.sim.routes import first_next, server_for, turn_round_robin
from twin.sim.state import LEAD_MIN_S, LineState
from twin.sim.stations import begin_service
from twin.sim.tables import LineTables

QUEUED_M = wp.constant(0.12)
"""Goods that stand no farther behind the place of the one ahead than their lengths and this are next in line [m]."""


TURNED_UP = wp.constant(-2)
NO_SLOT = wp.constant(-3)
"""A source whose item turns up in this moment, or found no slot and tries again in the next step."""

BRINK_M = wp.constant(0.05)
"""Goods whose middle is this near to the end of a belt that ends in the open stand on its brink [m]."""

ARM_M = wp.constant(1.0)
"""How far a machine, a buffer or a sink takes goods over from a belt that ends in the open [m]."""

# ---- sources


@wp.func
def arrive(t: LineTables, s: LineState, g: Goods, r: Random, w: int, n: int):
    """An item turns up in the source: its prototype is drawn and it waits to leave."""
    s.arrival_us[w, n] = wp.int64(-1)
    s.waiting[w, n] = -1
    begin = t.node[n].item_begin
    end = t.node[n].item_end
    if end == begin:
        return
    i = free_slot(s, g, w)
    if i < 0:
        s.waiting[w, n] = NO_SLOT
        return
    pick = end - 1
    if end - begin > 1:
        pick = pick_by_weight(t.item_cumulative, begin, end, draw_uniform(t, s, r, w, n, ITEM_TYPE))
    g.prototype[w, g.first + i] = t.item_prototype[pick]
    s.phase[w, i] = SOURCED
    s.node[w, i] = n
    s.waiting[w, n] = i
    s.ready_us[w, n] = s.time_us[w]


@wp.func
def wait_for_arrival(t: LineTables, s: LineState, w: int, n: int):
    """The source is empty: when does the next item turn up?"""
    s.waiting[w, n] = -1
    s.arrival_us[w, n] = wp.int64(-1)
    if t.node[n].limit < ZERO or s.made[w, n] < t.node[n].limit:
        if t.node[n].saturated != 0:
            s.waiting[w, n] = TURNED_UP
        elif t.node[n].interarrival >= 0:
            want(s, w, n, ARRIVAL)


# ---- leaving


@wp.func
def draw_in(t: LineTables, s: LineState, g: Goods, w: int, m: int, left: float):
    """The server of in-line station ``m`` is free: the item that stands queued behind the place of the one that left, half as
    long as ``left``, is at the end of its belt and enters now. It reaches the place while it is being worked, so that a cycle
    contains the time to move up, as cycles do."""
    if s.server_state[w, t.node[m].slot_begin] != IDLE or (s.halts[w, m] & HALT_OFF) != 0:
        return
    best = int(-1)
    nearest = float(1.0e9)
    for i in range(s.top[w]):
        phase = s.phase[w, i]
        if phase == MOVING or phase == WAITING:
            u = s.node[w, i]
            if t.node[u].kind == CONVEYOR and (s.halts[w, u] & HALT_OFF) == 0:
                if first_next(t, u) == m:
                    if phase == WAITING:
                        return  # it is in the zone already: the queue's own order decides
                    along = t.exit_direction[u]
                    way = wp.dot(t.zone_center[m] - middle(t, g, w, i), along) - zone_reach(t, m, along)
                    speed = wp.dot(g.linear_velocity[w, g.first + i], along)
                    if way < reach(t, g, w, i) + left + QUEUED_M and speed < 0.5 * t.speed[u] and way < nearest:
                        nearest = way
                        best = i
    if best >= 0:
        k = t.node[m].slot_begin
        u = s.node[w, best]
        s.left[w, u] = s.left[w, u] + ONE
        s.level[w, u] = s.level[w, u] - 1
        s.entered[w, m] = s.entered[w, m] + ONE
        s.level[w, m] = s.level[w, m] + 1
        s.node[w, best] = m
        s.target[w, best] = -1
        s.choices[w, best] = ZERO
        s.phase[w, best] = NEARING
        join_server(t, s, g, w, best, u, m, k)


@wp.func
def take_out(t: LineTables, s: LineState, w: int, i: int, n: int):
    """Item ``i`` leaves node ``n``."""
    kind = t.node[n].kind
    s.left[w, n] = s.left[w, n] + ONE
    s.target[w, i] = -1
    s.choices[w, i] = ZERO
    if kind == SOURCE:
        s.spawned[w] = s.spawned[w] + ONE
        s.made[w, n] = s.made[w, n] + ONE
        s.entered[w, n] = s.entered[w, n] + ONE
        s.born_us[w, i] = s.time_us[w]
        wait_for_arrival(t, s, w, n)
        return
    s.level[w, n] = s.level[w, n] - 1
    if kind == FLEET:
        trip_done(s, w, s.server[w, i])
        s.server[w, i] = -1
    elif kind == STATION:
        k = s.server[w, i]
        s.server[w, i] = -1
        s.server_count[w, k] = s.server_count[w, k] - 1
        if s.server_count[w, k] > 0:
            s.server_ready_us[w, k] = s.time_us[w]
        else:
            s.server_state[w, k] = IDLE
            s.server_ready_us[w, k] = wp.int64(-1)
    elif kind == BUFFER:
        s.ready_us[w, n] = s.time_us[w]
    elif t.placeless[n] != 0:
        leave_belt(t, s, w, i, n)


# ---- arriving


@wp.func
def count_lead(s: LineState, w: int, born_us: wp.int64, pieces: int):
    """``pieces`` that left their sources at times which sum up to ``born_us`` have reached a sink."""
    count = wp.int64(pieces)
    total = s.time_us[w] * count - born_us
    s.lead_us[w] = s.lead_us[w] + total
    mean = float(total) / float(count) * 1.0e-6
    bin = int((wp.log(wp.max(mean, LEAD_MIN_S)) - LOG_MIN) / BIN_WIDTH)
    bin = wp.clamp(bin, 0, BINS - 1)
    s.lead_hist[w, bin] = s.lead_hist[w, bin] + count


@wp.func
def sink(t: LineTables, s: LineState, g: Goods, w: int, i: int, m: int):
    pieces = wp.int64(s.pieces[w, i])
    if t.node[m].reject != 0:
        s.scrapped[w] = s.scrapped[w] + pieces
    else:
        s.sunk[w] = s.sunk[w] + pieces
        if s.loose[w, i] > 0:
            count_lead(s, w, s.born_us[w, i], s.loose[w, i])
        if s.pieces[w, i] > s.loose[w, i]:
            for j in range(s.top[w]):
                if s.phase[w, j] == PACKED and s.parent[w, j] == i:
                    count_lead(s, w, s.born_us[w, j], s.loose[w, j])
    s.left[w, m] = s.left[w, m] + ONE
    s.level[w, m] = s.level[w, m] - 1
    forget_all(s, g, w, i)


@wp.func
def join_server(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, m: int, k: int):
    """Item ``i``, which came from node ``n``, is in server ``k`` of station ``m``; the last of a batch starts its cycle."""
    s.server[w, i] = k
    enter_order(s, w, i)
    s.server_state[w, k] = COLLECTING
    s.server_count[w, k] = s.server_count[w, k] + 1
    s.server_joined[w, k] = s.server_joined[w, k] | joined_bit(t, m, n)
    if s.server_count[w, k] >= t.node[m].batch:
        if t.node[m].blocking_before != 0:
            s.server_state[w, k] = READY
            s.server_ready_us[w, k] = s.time_us[w]
        else:
            begin_service(t, s, g, w, k, m)


@wp.func
def carry(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, c: int, place: wp.vec3):
    """The item's body sets out for ``place`` in a straight line."""
    s.gliding[w, i] = 1
    s.glide_to[w, i] = place
    s.glide_speed[w, i] = wp.max(wp.max(t.speed[c], t.speed[n]), GLIDE_MIN_SPEED)
    g.held[w, g.first + i] = 1


@wp.func
def put_in(t: LineTables, s: LineState, h: Site, i: int, n: int, c: int):
    """Item ``i``, which has left node ``n``, enters node ``c``, which has room: on its belt, set down, or carried over."""
    w = h.w
    g = h.g
    b = g.first + i
    kind = t.node[c].kind
    bodily = g.alive[w, b] != 0
    p = g.prototype[w, b]
    s.node[w, i] = c
    s.entered[w, c] = s.entered[w, c] + ONE
    s.level[w, c] = s.level[w, c] + 1
    enter_order(s, w, i)
    s.gliding[w, i] = 0
    here = inside_zone(t, c, middle(t, g, w, i), LOOK_AHEAD_M)
    if kind == SINK:
        if bodily and has_zone(t, c) and not here:
            s.phase[w, i] = PASSING
            carry(t, s, g, w, i, n, c, set_down(t, c, p))
        else:
            sink(t, s, g, w, i, c)
    elif kind == STATION:
        s.phase[w, i] = SERVED
        if bodily and here:
            if t.in_line[c] != 0:
                hold(g, w, i)
            elif t.robot_of[c] >= 0:
                carry(t, s, g, w, i, n, c, set_down(t, c, p))
            else:
                take_off(s, g, w, i)
        elif bodily and has_zone(t, c):
            carry(t, s, g, w, i, n, c, set_down(t, c, p))
        elif bodily:
            take_off(s, g, w, i)
        join_server(t, s, g, w, i, n, c, server_for(t, s, h, c, n))
    elif kind == FLEET:
        load(t, s, g, w, i, n, c)
    elif kind == BUFFER:
        s.phase[w, i] = STORED
        s.at_us[w, i] = s.time_us[w]
        if s.level[w, c] == 1:
            s.ready_us[w, c] = s.time_us[w]
        if bodily and has_zone(t, c) and not here:
            carry(t, s, g, w, i, n, c, set_down(t, c, p))
        else:
            take_off(s, g, w, i)
    elif t.placeless[c] != 0:
        take_off(s, g, w, i)
        s.phase[w, i] = FREE  # not yet on it
        enter_belt(t, s, g, w, i, c)
        s.phase[w, i] = MOVING
    elif not bodily:
        s.phase[w, i] = MOVING
        if t.node[n].kind == SOURCE and has_zone(t, n):
            put_at(t, g, w, i, n, set_down(t, n, p))
            g.linear_velocity[w, b] = t.direction[n] * t.speed[c]
        else:
            put_at(t, g, w, i, c, set_down(t, c, p))
    elif rides(t, g, w, i, n, c):
        s.phase[w, i] = MOVING
        g.held[w, b] = 0
    else:
        s.phase[w, i] = PASSING
        carry(t, s, g, w, i, n, c, landing(t, g, w, i, c))


@wp.func
def move(t: LineTables, s: LineState, h: Site, i: int, n: int, c: int):
    """Item ``i`` goes from node ``n`` to ``c``."""
    w = h.w
    half = reach(t, h.g, w, i)
    if t.node[n].kind == STATION and t.node[n].rework == c:
        s.defective[w, i] = 0
    take_out(t, s, w, i, n)
    turn_round_robin(t, s, h, n, c)
    put_in(t, s, h, i, n, c)
    if t.in_line[n] != 0:
        s.freed[w, n] = half


@wp.func
def move_on(t: LineTables, s: LineState, g: Goods, w: int, i: int):
    """Has an item that moves by itself reached what comes next? Then it waits to be let in, for no time where it just rides."""
    n = s.node[w, i]
    c = first_next(t, n)
    if c < 0:
        return
    here = middle(t, g, w, i)
    arrived = bool(False)
    if t.node[c].kind == CONVEYOR and t.predecessors[c] > 1:
        arrived = inside_zone(t, c, here + t.exit_direction[n] * reach(t, g, w, i), LOOK_AHEAD_M)
    elif t.node[c].kind == FLEET or (t.node[c].kind == ROUTER and not has_zone(t, c)):
        arrived = not inside_zone(t, n, here + t.exit_direction[n] * reach(t, g, w, i), 0.0)
    else:
        arrived = inside_zone(t, c, here, 0.0)
        if not arrived and t.carried[c] == 0 and t.node[n].kind == CONVEYOR:
            # no belt takes it on: at the end of its own what is beside it takes it over, before it tips
            along = t.exit_direction[n]
            if wp.dot(here - t.zone_center[n], along) + BRINK_M > zone_reach(t, n, along):
                arrived = inside_zone(t, n, here, BRINK_M) and inside_zone(t, c, here, ARM_M)
    if arrived:
        s.phase[w, i] = WAITING
        s.since_us[w, i] = s.time_us[w]

"""What the line engine does with items: book time, keep the pool, roll belts, find the way (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import math

import warp as wp

from twin.flow.tables import LEAD_BINS, LEAD_MAX_S, LEAD_MIN_S, FlowState, FlowTables
from twin.process.draws import sample_us, uniform
from twin.process.rules import (
    BY_TYPE,
    PROBABILITY,
    ROUND_ROBIN,
    SHORTEST_QUEUE,
    choice_is_kept,
    pick_by_quality,
    pick_by_type,
    pick_by_weight,
)
from twin.process.tables import DistributionArrays

SOURCE = wp.constant(0)
STATION = wp.constant(1)
BUFFER = wp.constant(2)
CONVEYOR = wp.constant(3)
ROUTER = wp.constant(4)
SINK = wp.constant(5)

IDLE = wp.constant(0)
COLLECTING = wp.constant(1)
READY = wp.constant(2)
SETUP = wp.constant(3)
WORKING = wp.constant(4)
DONE = wp.constant(5)
"""States of a server slot; a source's slot is IDLE or DONE."""

S_WORKING = wp.constant(0)
S_SETUP = wp.constant(1)
S_BLOCKED = wp.constant(2)
S_STARVED = wp.constant(3)
S_DOWN = wp.constant(5)

DEADLOCK = wp.constant(wp.int64(1))
LIVELOCK = wp.constant(wp.int64(2))
OVERFLOW = wp.constant(wp.int64(4))
"""Flags of a replication."""

NEVER_US = wp.constant(wp.int64(1 << 62))
ZERO = wp.constant(wp.int64(0))
ONE = wp.constant(wp.int64(1))
ROUTER_DEPTH = wp.constant(8)
MOVES_AT_ONCE = wp.constant(1000000)
"""More moves than this without time passing is a line that runs in circles."""

_LOG_MIN = wp.constant(wp.float64(math.log(LEAD_MIN_S * 1e6)))
_BIN_WIDTH = wp.constant(wp.float64((math.log(LEAD_MAX_S) - math.log(LEAD_MIN_S)) / LEAD_BINS))
BINS = wp.constant(LEAD_BINS)


@wp.struct
class Random:
    """Distributions and the key of their draws."""

    table: DistributionArrays
    seed: wp.uint32
    first_replication: wp.uint32


@wp.func
def next_ordinal(s: FlowState, w: int, n: int, purpose: int) -> wp.int64:
    ordinal = s.ordinal[w, n, purpose]
    s.ordinal[w, n, purpose] = ordinal + ONE
    return ordinal


@wp.func
def draw_us(t: FlowTables, s: FlowState, r: Random, w: int, n: int, row: int, purpose: int) -> wp.int64:
    return sample_us(
        r.table, row, r.seed, r.first_replication + wp.uint32(w), t.stream[n], next_ordinal(s, w, n, purpose), purpose
    )


@wp.func
def draw_uniform(t: FlowTables, s: FlowState, r: Random, w: int, n: int, purpose: int) -> wp.float64:
    return uniform(r.seed, r.first_replication + wp.uint32(w), t.stream[n], next_ordinal(s, w, n, purpose), purpose)


# ---- statistics


@wp.func
def add_state(s: FlowState, w: int, n: int, state: int, us: wp.int64):
    s.state_us[w, n, state] = s.state_us[w, n, state] + us


@wp.func
def touch(t: FlowTables, s: FlowState, w: int, n: int):
    """Book the time since the node last changed; call before any change. Station times count once per server."""
    now = s.now[w]
    dt = now - s.since[w, n]
    if dt <= ZERO:
        return
    s.since[w, n] = now
    kind = t.kind[n]
    level = s.level[w, n]
    s.level_us[w, n] = s.level_us[w, n] + wp.int64(level) * dt
    if kind == STATION:
        for k in range(t.slot_begin[n], t.slot_begin[n + 1]):
            state = s.slot_state[w, k]
            share = S_STARVED
            if s.down[w, n] != 0:
                share = S_DOWN
            elif state == WORKING:
                share = S_WORKING
            elif state == SETUP:
                share = S_SETUP
            elif state == DONE or state == READY:
                share = S_BLOCKED
            add_state(s, w, n, share, dt)
        return
    share = S_WORKING
    if kind == SOURCE:
        if s.slot_ready[w, t.slot_begin[n]] >= ZERO:
            share = S_BLOCKED
        elif t.limit[n] >= ZERO and s.made[w, n] >= t.limit[n]:
            share = S_STARVED
    elif kind == BUFFER:
        if level == 0:
            share = S_STARVED
        elif t.capacity[n] >= 0 and level >= t.capacity[n]:
            share = S_BLOCKED
    elif kind == CONVEYOR:
        if level == 0:
            share = S_STARVED
        elif s.slot_ready[w, t.slot_begin[n]] >= ZERO:
            share = S_BLOCKED
    add_state(s, w, n, share, dt)


@wp.func
def book_pieces(t: FlowTables, s: FlowState, w: int):
    """Book the pieces inside since their number last changed, by interval."""
    now = s.now[w]
    inside = s.spawned[w] - s.sunk[w] - s.scrapped[w]
    at = s.pieces_since[w]
    s.pieces_us[w] = s.pieces_us[w] + inside * (now - at)
    s.pieces_since[w] = now
    while at < now:
        bin = wp.min(int(at / t.interval_us), t.intervals - 1)
        upto = wp.int64(bin + 1) * t.interval_us
        if upto > now or bin == t.intervals - 1:
            upto = now
        s.pieces_interval[w, bin] = s.pieces_interval[w, bin] + inside * (upto - at)
        at = upto


@wp.func
def count_lead(s: FlowState, w: int, item: int):
    lead = s.now[w] - s.item_born[w, item]
    s.lead_us[w] = s.lead_us[w] + lead
    bin = int((wp.log(wp.float64(wp.max(lead, ONE))) - _LOG_MIN) / _BIN_WIDTH)
    bin = wp.clamp(bin, 0, BINS - 1)
    s.lead_hist[w, bin] = s.lead_hist[w, bin] + 1


# ---- items


@wp.func
def new_item(s: FlowState, w: int, prototype: int) -> int:
    """A slot of the pool, -1 (and the flag) when it is used up."""
    item = s.free_item[w]
    if item < 0:
        s.flags[w] = s.flags[w] | OVERFLOW
        return -1
    s.free_item[w] = s.item_next[w, item]
    s.item_next[w, item] = -1
    s.item_child[w, item] = -1
    s.item_prototype[w, item] = prototype
    s.item_pieces[w, item] = 1
    s.item_defective[w, item] = 0
    s.item_at[w, item] = ZERO
    return item


@wp.func
def free_item(s: FlowState, w: int, item: int):
    s.item_next[w, item] = s.free_item[w]
    s.free_item[w] = item


@wp.func
def free_with_children(s: FlowState, w: int, item: int):
    child = s.item_child[w, item]
    while child >= 0:
        following = s.item_next[w, child]
        free_item(s, w, child)
        child = following
    free_item(s, w, item)


@wp.func
def push_back(s: FlowState, w: int, k: int, item: int):
    s.item_next[w, item] = -1
    if s.slot_count[w, k] == 0:
        s.slot_head[w, k] = item
    else:
        s.item_next[w, s.slot_tail[w, k]] = item
    s.slot_tail[w, k] = item
    s.slot_count[w, k] = s.slot_count[w, k] + 1


@wp.func
def push_front(s: FlowState, w: int, k: int, item: int):
    s.item_next[w, item] = s.slot_head[w, k]
    if s.slot_count[w, k] == 0:
        s.slot_tail[w, k] = item
        s.item_next[w, item] = -1
    s.slot_head[w, k] = item
    s.slot_count[w, k] = s.slot_count[w, k] + 1


@wp.func
def pop(s: FlowState, w: int, k: int) -> int:
    item = s.slot_head[w, k]
    s.slot_head[w, k] = s.item_next[w, item]
    s.slot_count[w, k] = s.slot_count[w, k] - 1
    s.item_next[w, item] = -1
    s.slot_goal[w, k] = -1
    return item


# ---- conveyors: positions are in microseconds of travel


@wp.func
def gap_us(t: FlowTables, s: FlowState, w: int, n: int, ahead: int, behind: int) -> wp.int64:
    """Least distance between the centres of two items [us of travel]."""
    if t.pitch_us[n] > ZERO:
        return t.pitch_us[n]
    both = t.prototype_length[s.item_prototype[w, ahead]] + t.prototype_length[s.item_prototype[w, behind]]
    return wp.int64(wp.float64(0.5) * both * t.us_per_m[n] + wp.float64(0.5))


@wp.func
def roll(t: FlowTables, s: FlowState, w: int, n: int):
    """Bring the items on conveyor ``n`` to where they are now."""
    now = s.now[w]
    dt = now - s.moved[w, n]
    if dt <= ZERO:
        return
    s.moved[w, n] = now
    k = t.slot_begin[n]
    item = s.slot_head[w, k]
    if s.slot_count[w, k] == 0:
        return
    limit = t.transit_us[n]
    if t.accumulating[n] == 0:
        dt = wp.min(dt, limit - s.item_at[w, item])
    ahead = int(-1)
    count = s.slot_count[w, k]
    for _ in range(count):
        at = s.item_at[w, item]
        if ahead >= 0:
            limit = s.item_at[w, ahead] - gap_us(t, s, w, n, ahead, item)
        s.item_at[w, item] = wp.max(at, wp.min(at + dt, limit))
        ahead = item
        item = s.item_next[w, item]


@wp.func
def belt_has_room(t: FlowTables, s: FlowState, w: int, n: int, item: int) -> bool:
    """Whether ``item`` may enter conveyor ``n`` now; if not, the node's due time says when to look again."""
    k = t.slot_begin[n]
    if s.slot_count[w, k] == 0:
        return True
    roll(t, s, w, n)
    last = s.slot_tail[w, k]
    gap = wp.min(gap_us(t, s, w, n, last, item), t.transit_us[n])
    missing = gap - s.item_at[w, last]
    if missing <= ZERO:
        return True
    due = s.now[w] + missing
    if s.slot_ready[w, k] >= ZERO:
        if t.accumulating[n] == 0:
            due = NEVER_US
        else:
            # behind a standing queue the last item may never get that far
            room = t.transit_us[n]
            j = s.slot_head[w, k]
            while j != last:
                room = room - gap_us(t, s, w, n, j, s.item_next[w, j])
                j = s.item_next[w, j]
            if room < gap:
                due = NEVER_US
    s.node_due[w, n] = due
    return False


# ---- who may go where


@wp.func
def room_in(t: FlowTables, s: FlowState, w: int, c: int, item: int) -> bool:
    """Whether node ``c`` takes the item now; a router does when any of its successors may."""
    kind = t.kind[c]
    if kind == SINK or kind == ROUTER:
        return True
    if kind == BUFFER:
        return t.capacity[c] < 0 or s.level[w, c] < t.capacity[c]
    if kind == STATION:
        for k in range(t.slot_begin[c], t.slot_begin[c + 1]):
            if s.slot_state[w, k] == IDLE or s.slot_state[w, k] == COLLECTING:
                return True
        return False
    if kind == CONVEYOR:
        return belt_has_room(t, s, w, c, item)
    return False


@wp.func
def room_behind(t: FlowTables, s: FlowState, w: int, c: int, item: int) -> bool:
    """``room_in``, seen through one router."""
    if t.kind[c] != ROUTER:
        return room_in(t, s, w, c, item)
    for e in range(t.next_begin[c], t.next_begin[c + 1]):
        if room_in(t, s, w, t.next[e], item):
            return True
    return False


@wp.func
def free_space(t: FlowTables, s: FlowState, w: int, c: int) -> int:
    """Free places of a node, for the shortest-queue rule."""
    if t.kind[c] == BUFFER and t.capacity[c] >= 0:
        return t.capacity[c] - s.level[w, c]
    if t.kind[c] == STATION:
        return t.servers[c] * t.batch[c] - s.level[w, c]
    return 1000000 - s.level[w, c]


@wp.func
def goal_of(t: FlowTables, s: FlowState, r: Random, w: int, k: int, item: int) -> int:
    """Where the first item of slot ``k`` goes now, -1 while there is no room. Kept choices stay in ``slot_goal``."""
    n = t.slot_node[k]
    c = s.slot_goal[w, k]
    if c < 0:
        if t.kind[n] == STATION and s.item_defective[w, item] != 0 and t.rework[n] >= 0:
            c = t.rework[n]
        else:
            begin = t.next_begin[n]
            if begin == t.next_begin[n + 1]:
                return -1
            c = t.next[begin]
    keep = bool(True)
    for _ in range(ROUTER_DEPTH):
        if c >= 0:
            if t.kind[c] == ROUTER:
                begin = t.next_begin[c]
                end = t.next_begin[c + 1]
                rule = t.rule[c]
                if begin == end:
                    c = -1
                elif choice_is_kept(rule):
                    if rule == PROBABILITY:
                        c = t.next[pick_by_weight(t.route_weight, begin, end, draw_uniform(t, s, r, w, c, 5))]
                    elif rule == BY_TYPE:
                        c = t.next[pick_by_type(t.route_type, begin, end, t.prototype_type[s.item_prototype[w, item]])]
                    else:
                        c = t.next[pick_by_quality(begin, end, s.item_defective[w, item])]
                    if keep:
                        s.slot_goal[w, k] = c
                else:
                    keep = False
                    best = int(-1)
                    space = int(-1)
                    count = end - begin
                    first = int(0)
                    if rule == ROUND_ROBIN:
                        first = s.round_robin[w, c]
                    for j in range(count):
                        candidate = t.next[begin + (first + j) % count]
                        if best < 0 or rule == SHORTEST_QUEUE:
                            if room_behind(t, s, w, candidate, item):
                                free = free_space(t, s, w, candidate)
                                if best < 0 or free > space:
                                    best = candidate
                                    space = free
                    c = best
    if c >= 0:
        if t.kind[c] == ROUTER:
            return -1
        if not room_in(t, s, w, c, item):
            return -1
    return c


@wp.func
def turn_round_robin(t: FlowTables, s: FlowState, w: int, n: int, goal: int):
    """After a move: every round-robin router passed on the way points past the branch that was taken."""
    begin = t.next_begin[n]
    if begin == t.next_begin[n + 1]:
        return
    c = t.next[begin]
    for _ in range(ROUTER_DEPTH):
        if t.kind[c] == ROUTER:
            first = t.next_begin[c]
            count = t.next_begin[c + 1] - first
            following = c
            for j in range(count):
                e = t.next[first + j]
                hit = e == goal
                if t.kind[e] == ROUTER:
                    for q in range(t.next_begin[e], t.next_begin[e + 1]):
                        if t.next[q] == goal:
                            hit = True
                if hit and following == c:
                    following = e
                    if t.rule[c] == ROUND_ROBIN:
                        s.round_robin[w, c] = (j + 1) % count
            if following == c:
                return
            c = following

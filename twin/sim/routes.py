"""Who may go where: room, and the rules of routers (docs/semantics.md). What the flow engine asks of its counters is asked of
the world where goods are bodies."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.rules import (
    BY_TYPE,
    FIRST,
    PROBABILITY,
    ROUND_ROBIN,
    SHORTEST_QUEUE,
    choice_is_kept,
    pick_by_quality,
    pick_by_type,
    pick_by_weight,
)
from twin.sim.belts import timed_room
from twin.sim.places import (
    BUFFER,
    COLLECTING,
    CONVEYOR,
    GAP_M,
    HALT_OFF,
    IDLE,
    ONE,
    ROUTE,
    ROUTER,
    SINK,
    SOURCE,
    STATION,
    ZERO,
    Goods,
    Random,
    ahead_of,
    draw_uniform,
    has_zone,
    landing,
    merge_clear,
    pitch_clear,
    place_free,
    rides,
    set_down,
)
from twin.sim.state import LineState
from twin.sim.tables import LineTables

ROUTER_DEPTH = wp.constant(8)


@wp.func
def first_next(t: LineTables, n: int) -> int:
    """The successor that goods follow, -1 for none."""
    if t.next_begin[n] == t.next_begin[n + 1]:
        return -1
    return t.next[t.next_begin[n]]


@wp.func
def joined_bit(t: LineTables, c: int, origin: int) -> wp.int64:
    """The bit of node ``origin`` among those that assembly ``c`` names, 0 when it does not."""
    begin = t.join_begin[c]
    for j in range(begin, t.join_begin[c + 1]):
        if t.join[j] == origin:
            return ONE << wp.int64(j - begin)
    return ZERO


@wp.func
def server_for(t: LineTables, s: LineState, w: int, c: int, origin: int) -> int:
    """The server of station ``c`` that takes an item from node ``origin``: one that collects already, else an idle one; -1."""
    bit = ZERO
    if t.join_begin[c + 1] > t.join_begin[c]:
        bit = joined_bit(t, c, origin)
        if bit == ZERO:
            return -1
    idle = int(-1)
    begin = t.server_begin[c]
    for k in range(begin, wp.min(begin + t.servers[c], t.server_begin[c + 1])):
        state = s.server_state[w, k]
        if state == COLLECTING and (s.server_joined[w, k] & bit) == ZERO and s.server_count[w, k] < t.batch[c]:
            return k
        if state == IDLE and idle < 0:
            idle = k
    return idle


@wp.func
def belt_clear(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, c: int) -> bool:
    """Whether conveyor ``c`` has room for item ``i`` of node ``n`` where it would come onto the belt."""
    if t.placeless[c] != 0:
        return timed_room(t, s, g, w, i, c)
    if (s.halts[w, c] & HALT_OFF) != 0:
        return False
    if not pitch_clear(t, s, g, w, c):
        return False
    p = g.prototype[w, g.first + i]
    place = set_down(t, c, p)
    if g.alive[w, g.first + i] == 0:
        if t.kind[n] == SOURCE and has_zone(t, n):
            place = set_down(t, n, p)
    else:
        if t.predecessors[c] > 1:
            if not merge_clear(t, s, g, w, i, n, c):
                return False
            if rides(t, g, w, i, n, c):
                return True
        elif t.kind[n] == CONVEYOR and first_next(t, n) == c:
            return True  # belt after belt: it is there already
        elif rides(t, g, w, i, n, c):
            return ahead_of(t, s, g, w, i, n, GAP_M + 0.05) < 0
        place = landing(t, g, w, i, c)
    return place_free(t, s, g, w, i, place, t.prototype_half[p][0])


@wp.func
def has_room(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, c: int) -> bool:
    """Whether node ``c`` takes item ``i`` of node ``n`` now."""
    kind = t.kind[c]
    if kind == BUFFER:
        return t.capacity[c] < 0 or s.level[w, c] < t.capacity[c]
    if kind == STATION:
        if (s.halts[w, c] & HALT_OFF) != 0:
            return False
        return server_for(t, s, w, c, n) >= 0
    if kind == CONVEYOR:
        if s.closed[w, c] != 0:
            return False
        return belt_clear(t, s, g, w, i, n, c)
    return kind == SINK


@wp.func
def free_space(t: LineTables, s: LineState, w: int, c: int) -> int:
    """Free places of a node, for the shortest-queue rule."""
    if t.kind[c] == BUFFER and t.capacity[c] >= 0:
        return t.capacity[c] - s.level[w, c]
    if t.kind[c] == STATION:
        return t.servers[c] * t.batch[c] - s.level[w, c]
    return 1000000 - s.level[w, c]


@wp.func
def keep_choice(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, c: int) -> int:
    """The successor of router ``c``, whose rule keeps its choices, that the item takes whether it has room or not."""
    begin = t.next_begin[c]
    end = t.next_begin[c + 1]
    rule = t.rule[c]
    if rule == PROBABILITY:
        return t.next[pick_by_weight(t.route_weight, begin, end, draw_uniform(t, s, r, w, c, ROUTE))]
    if rule == BY_TYPE:
        return t.next[pick_by_type(t.route_type, begin, end, t.prototype_type[g.prototype[w, g.first + i]])]
    return t.next[pick_by_quality(begin, end, s.defective[w, i])]


@wp.func
def goal_of(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int) -> int:
    """Where item ``i`` of node ``n`` goes now, -1 while there is no room. Kept choices stay in the item's ``target``; those
    that depend on room are taken anew each time. A conveyor for which the item waits is closed to those that have waited less
    long."""
    if (s.halts[w, n] & HALT_OFF) != 0:
        return -1
    c = s.target[w, i]
    if c < 0:
        c = first_next(t, n)
        if c < 0:
            return -1
        if t.kind[n] == STATION and t.rework[n] >= 0 and s.defective[w, i] != 0:
            c = t.rework[n]
    keep = bool(True)
    depth = int(0)
    while depth < ROUTER_DEPTH:
        depth += 1
        # the candidates: all successors of a router that chooses by room, else the one place that was found
        begin = int(0)
        count = int(1)
        start = int(0)
        rule = FIRST
        routed = t.kind[c] == ROUTER
        if routed:
            begin = t.next_begin[c]
            count = t.next_begin[c + 1] - begin
            if count == 0:
                return -1
            rule = t.rule[c]
            if choice_is_kept(rule):
                c = keep_choice(t, s, g, r, w, i, c)
                if keep:
                    s.target[w, i] = c
                count = int(0)
            elif rule == ROUND_ROBIN:
                start = s.round_robin[w, c]
        best = int(-1)
        space = int(-1)
        j = int(0)
        while j < count:
            candidate = c
            if routed:
                candidate = t.next[begin + (start + j) % count]
            j += 1
            # a router among the candidates has room when any of its successors has
            inner = int(0)
            inner_end = int(1)
            through = t.kind[candidate] == ROUTER
            if through:
                inner = t.next_begin[candidate]
                inner_end = t.next_begin[candidate + 1]
            while inner < inner_end:
                goal = candidate
                if through:
                    goal = t.next[inner]
                inner += 1
                if has_room(t, s, g, w, i, n, goal):
                    inner = inner_end
                    free = int(0)
                    if rule == SHORTEST_QUEUE:
                        free = free_space(t, s, w, candidate)
                    if best < 0 or free > space:
                        best = candidate
                        space = free
                    if rule != SHORTEST_QUEUE:
                        j = count
        if not routed:
            if best < 0 and t.kind[c] == CONVEYOR and t.placeless[c] == 0:
                s.closed[w, c] = 1
            return best
        if count > 0:
            keep = bool(False)
            if best < 0:
                return -1
            c = best
            if t.kind[c] != ROUTER:
                return c
    return -1


@wp.func
def turn_round_robin(t: LineTables, s: LineState, w: int, n: int, goal: int):
    """After a move: every round-robin router passed on the way points past the branch that was taken."""
    c = first_next(t, n)
    depth = int(0)
    while depth < ROUTER_DEPTH:
        depth += 1
        following = int(-1)
        if c >= 0:
            if t.kind[c] == ROUTER:
                first = t.next_begin[c]
                count = t.next_begin[c + 1] - first
                for j in range(count):
                    e = t.next[first + j]
                    hit = e == goal
                    if t.kind[e] == ROUTER:
                        for q in range(t.next_begin[e], t.next_begin[e + 1]):
                            if t.next[q] == goal:
                                hit = bool(True)
                    if hit and following < 0:
                        following = e
                        if t.rule[c] == ROUND_ROBIN:
                            s.round_robin[w, c] = (j + 1) % count
        c = following

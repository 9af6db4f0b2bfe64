"""Who may go where: room, the rules of routers, and the list of slots whose first item may be able to move."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.places import (
    ARRIVED,
    BUFFER,
    COLLECTING,
    CONVEYOR,
    FLEET,
    HALT_OFF,
    IDLE,
    ONE,
    ROUTE,
    ROUTER,
    SINK,
    STATION,
    ZERO,
    Random,
    belt_has_room,
    draw_uniform,
)
from twin.flow.state import Replica
from twin.flow.tables import FlowTables
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

ROUTER_DEPTH = wp.constant(8)


@wp.func
def look_at(s: Replica, k: int):
    """Slot ``k`` is worth a look when items are moved next."""
    if s.slot[k].listed == 0:
        s.slot[k].listed = 1
        count = s.rep[0].todo
        s.todo[count] = k
        s.rep[0].todo = count + 1


@wp.func
def offer_room(t: FlowTables, s: Replica, n: int):
    """Node ``n`` may have room again: look at all that wait ahead of it."""
    u = t.node[n].up_begin
    while u < t.node[n].up_end:
        k = t.up[u]
        if s.slot[k].ready >= ZERO:
            look_at(s, k)
        u += 1


@wp.func
def look_around(t: FlowTables, s: Replica, n: int):
    """A node that stood still goes on: it takes and gives again."""
    offer_room(t, s, n)
    for k in range(t.node[n].slot_begin, t.node[n].slot_end):
        if s.slot[k].ready >= ZERO:
            look_at(s, k)


@wp.func
def joined_bit(t: FlowTables, c: int, origin: int) -> wp.int64:
    """The bit of node ``origin`` among those that assembly ``c`` names, 0 when it does not."""
    begin = t.node[c].join_begin
    for j in range(begin, t.node[c].join_end):
        if t.join[j] == origin:
            return ONE << wp.int64(j - begin)
    return ZERO


@wp.func
def server_for(t: FlowTables, s: Replica, c: int, origin: int) -> int:
    """The server of station ``c`` that takes an item from node ``origin``: one that collects already, else an idle one; -1."""
    begin = t.node[c].slot_begin
    if t.node[c].single != 0:
        if s.slot[begin].state == IDLE:
            return begin
        return -1
    end = t.node[c].slot_end
    bit = ZERO
    assembly = t.node[c].join_end > t.node[c].join_begin
    if assembly:
        bit = joined_bit(t, c, origin)
        if bit == ZERO:
            return -1
    idle = int(-1)
    for k in range(begin, end):
        state = s.slot[k].state
        if state == COLLECTING and (s.slot[k].joined & bit) == ZERO:
            return k
        if state == IDLE and idle < 0:
            idle = k
    return idle


@wp.func
def vehicle_at(t: FlowTables, s: Replica, f: int, origin: int) -> int:
    """The slot of a vehicle of fleet ``f`` that has come to fetch something from node ``origin``; -1."""
    begin = t.node[f].slot_begin
    for k in range(begin, t.node[f].slot_end):
        if s.slot[k].state == ARRIVED:
            if s.vehicle[t.node[f].vehicle_begin + k - begin].origin == origin:
                return k
    return -1


@wp.func
def room_in(t: FlowTables, s: Replica, c: int, item: int, origin: int) -> bool:
    """Whether node ``c`` takes the item from node ``origin`` now; a router does when any of its successors may."""
    kind = t.node[c].kind
    if kind == BUFFER:
        return t.node[c].capacity < 0 or s.node[c].level < t.node[c].capacity
    if kind == STATION:
        if t.shifts > 0:
            if (s.node[c].halts & HALT_OFF) != 0:
                return False
        return server_for(t, s, c, origin) >= 0
    if kind == CONVEYOR:
        return belt_has_room(t, s, c, item)
    if kind == FLEET:
        return vehicle_at(t, s, c, origin) >= 0
    return kind == SINK or kind == ROUTER


@wp.func
def free_space(t: FlowTables, s: Replica, c: int, item: int) -> int:
    """Free places of a node for items like this one, for the shortest-queue rule."""
    if t.node[c].kind == BUFFER and t.node[c].capacity >= 0:
        return t.node[c].capacity - s.node[c].level
    if t.node[c].kind == STATION:
        return t.node[c].servers * t.node[c].batch - s.node[c].level
    if t.node[c].kind == CONVEYOR:
        gap = t.node[c].pitch_us
        if gap <= ZERO:
            gap = wp.int64(t.prototype_length[s.item[item].prototype] * t.node[c].us_per_m)
        return int(t.node[c].transit_us / wp.max(gap, ONE)) + 1 - s.node[c].level
    return 1000000 - s.node[c].level


@wp.func
def keep_choice(t: FlowTables, s: Replica, r: Random, item: int, c: int) -> int:
    """The successor of router ``c``, whose rule keeps its choices, that the item takes whether it has room or not."""
    begin = t.node[c].next_begin
    end = t.node[c].next_end
    rule = t.node[c].rule
    if rule == PROBABILITY:
        return t.next[pick_by_weight(t.route_weight, begin, end, draw_uniform(t, s, r, c, ROUTE))]
    if rule == BY_TYPE:
        return t.next[pick_by_type(t.route_type, begin, end, t.prototype_type[s.item[item].prototype])]
    return t.next[pick_by_quality(begin, end, s.item[item].defective)]


@wp.func
def goal_of(t: FlowTables, s: Replica, r: Random, k: int, n: int) -> int:
    """Where the first item of slot ``k`` of node ``n`` goes now, -1 while there is no room. Kept choices stay in the slot's
    ``goal``; those that depend on room are taken anew each time."""
    if t.shifts > 0:
        if (s.node[n].halts & HALT_OFF) != 0:
            return -1
    item = s.slot[k].head
    c = s.slot[k].goal
    if c < 0:
        c = t.node[n].first
        if c < 0:
            return -1
        if t.node[n].rework >= 0:
            if s.item[item].defective != 0:
                c = t.node[n].rework
        if t.node[c].kind != ROUTER and c != n:
            if room_in(t, s, c, item, n):
                return c
            return -1
    keep = bool(True)
    depth = int(0)
    while depth < ROUTER_DEPTH:
        depth += 1
        # the candidates: all successors of a router that chooses by room, else the one place that was found
        begin = int(0)
        count = int(1)
        start = int(0)
        rule = FIRST
        routed = t.node[c].kind == ROUTER or c == n
        if routed:
            begin = t.node[c].next_begin
            count = t.node[c].next_end - begin
            if count == 0:
                return -1
            rule = t.node[c].rule
            if choice_is_kept(rule):
                c = keep_choice(t, s, r, item, c)
                if keep:
                    s.slot[k].goal = c
                count = 0
            elif rule == ROUND_ROBIN:
                start = s.node[c].round_robin
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
            through = t.node[candidate].kind == ROUTER
            if through:
                inner = t.node[candidate].next_begin
                inner_end = t.node[candidate].next_end
            while inner < inner_end:
                target = candidate
                if through:
                    target = t.next[inner]
                inner += 1
                if room_in(t, s, target, item, n):
                    inner = inner_end
                    free = int(0)
                    if rule == SHORTEST_QUEUE:
                        free = free_space(t, s, candidate, item)
                    if best < 0 or free > space:
                        best = candidate
                        space = free
                    if rule != SHORTEST_QUEUE:
                        j = count
        if not routed:
            return best
        if count > 0:
            keep = False
            if best < 0:
                return -1
            c = best
            if t.node[c].kind != ROUTER:
                return c
    return -1


@wp.func
def turn_round_robin(t: FlowTables, s: Replica, n: int, goal: int):
    """After a move: every round-robin router passed on the way points past the branch that was taken."""
    begin = t.node[n].next_begin
    if begin == t.node[n].next_end:
        return
    c = t.next[begin]
    depth = int(0)
    while depth < ROUTER_DEPTH:
        depth += 1
        if t.node[c].kind == ROUTER:
            first = t.node[c].next_begin
            count = t.node[c].next_end - first
            following = c
            for j in range(count):
                e = t.next[first + j]
                hit = e == goal
                if t.node[e].kind == ROUTER:
                    for q in range(t.node[e].next_begin, t.node[e].next_end):
                        if t.next[q] == goal:
                            hit = True
                if hit and following == c:
                    following = e
                    if t.node[c].rule == ROUND_ROBIN:
                        s.node[c].round_robin = (j + 1) % count
            if following == c:
                return
            c = following

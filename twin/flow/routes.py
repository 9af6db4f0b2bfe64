"""Who may go where: room, the rules of routers, and the list of slots whose first item may be able to move."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.line import Line
from twin.flow.places import (
    BUFFER,
    COLLECTING,
    CONVEYOR,
    HALT_OFF,
    IDLE,
    ONE,
    ROUTER,
    SINK,
    STATION,
    ZERO,
    belt_has_room,
    draw_uniform,
)
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

ROUTER_DEPTH = wp.constant(8)


@wp.func
def look_at(g: Line, w: int, k: int):
    """Slot ``k`` is worth a look when items are moved next."""
    s = g[0].state
    if s.slot[w, k].listed == 0:
        s.slot[w, k].listed = 1
        count = s.rep[w].todo
        s.todo[w, count] = k
        s.rep[w].todo = count + 1


@wp.func
def offer_room(g: Line, w: int, n: int):
    """Node ``n`` may have room again: look at all that wait ahead of it."""
    t = g[0].tables
    s = g[0].state
    for u in range(t.node[n].up_begin, t.node[n].up_end):
        m = t.up[u]
        for k in range(t.node[m].slot_begin, t.node[m].slot_end):
            if s.slot[w, k].ready >= ZERO:
                look_at(g, w, k)


@wp.func
def look_around(g: Line, w: int, n: int):
    """A node that stood still goes on: it takes and gives again."""
    t = g[0].tables
    s = g[0].state
    offer_room(g, w, n)
    for k in range(t.node[n].slot_begin, t.node[n].slot_end):
        if s.slot[w, k].ready >= ZERO:
            look_at(g, w, k)


@wp.func
def joined_bit(g: Line, c: int, origin: int) -> wp.int64:
    """The bit of node ``origin`` among those that assembly ``c`` names, 0 when it does not."""
    t = g[0].tables
    begin = t.node[c].join_begin
    for j in range(begin, t.node[c].join_end):
        if t.join[j] == origin:
            return ONE << wp.int64(j - begin)
    return ZERO


@wp.func
def server_for(g: Line, w: int, c: int, origin: int) -> int:
    """The server of station ``c`` that takes an item from node ``origin``: one that collects already, else an idle one; -1."""
    t = g[0].tables
    s = g[0].state
    begin = t.node[c].slot_begin
    end = t.node[c].slot_end
    if end - begin == 1 and t.node[c].batch == 1:
        if s.slot[w, begin].state == IDLE:
            return begin
        return -1
    bit = ZERO
    assembly = t.node[c].join_end > t.node[c].join_begin
    if assembly:
        bit = joined_bit(g, c, origin)
        if bit == ZERO:
            return -1
    idle = int(-1)
    for k in range(begin, end):
        state = s.slot[w, k].state
        if state == COLLECTING and (s.slot[w, k].joined & bit) == ZERO:
            return k
        if state == IDLE and idle < 0:
            idle = k
    return idle


@wp.func
def room_in(g: Line, w: int, c: int, item: int, origin: int) -> bool:
    """Whether node ``c`` takes the item from node ``origin`` now; a router does when any of its successors may."""
    t = g[0].tables
    s = g[0].state
    kind = t.node[c].kind
    if kind == BUFFER:
        return t.node[c].capacity < 0 or s.node[w, c].level < t.node[c].capacity
    if kind == STATION:
        if (s.node[w, c].halts & HALT_OFF) != 0:
            return False
        return server_for(g, w, c, origin) >= 0
    if kind == CONVEYOR:
        return belt_has_room(g, w, c, item)
    return kind == SINK or kind == ROUTER


@wp.func
def room_behind(g: Line, w: int, c: int, item: int, origin: int) -> bool:
    """``room_in``, seen through one router."""
    t = g[0].tables
    if t.node[c].kind != ROUTER:
        return room_in(g, w, c, item, origin)
    for e in range(t.node[c].next_begin, t.node[c].next_end):
        if room_in(g, w, t.next[e], item, origin):
            return True
    return False


@wp.func
def free_space(g: Line, w: int, c: int) -> int:
    """Free places of a node, for the shortest-queue rule."""
    t = g[0].tables
    s = g[0].state
    if t.node[c].kind == BUFFER and t.node[c].capacity >= 0:
        return t.node[c].capacity - s.node[w, c].level
    if t.node[c].kind == STATION:
        return t.node[c].servers * t.node[c].batch - s.node[w, c].level
    return 1000000 - s.node[w, c].level


@wp.func
def route(g: Line, w: int, k: int, item: int, n: int, first: int) -> int:
    """Where the item goes behind router ``first``, -1 while there is no room. Kept choices stay in the slot's ``goal``."""
    t = g[0].tables
    s = g[0].state
    c = first
    keep = bool(True)
    for _ in range(ROUTER_DEPTH):
        if c >= 0:
            if t.node[c].kind == ROUTER:
                begin = t.node[c].next_begin
                end = t.node[c].next_end
                rule = t.node[c].rule
                if begin == end:
                    c = -1
                elif choice_is_kept(rule):
                    if rule == PROBABILITY:
                        c = t.next[pick_by_weight(t.route_weight, begin, end, draw_uniform(g, w, c, 5))]
                    elif rule == BY_TYPE:
                        c = t.next[pick_by_type(t.route_type, begin, end, t.prototype_type[s.item[w, item].prototype])]
                    else:
                        c = t.next[pick_by_quality(begin, end, s.item[w, item].defective)]
                    if keep:
                        s.slot[w, k].goal = c
                else:
                    keep = False
                    best = int(-1)
                    space = int(-1)
                    count = end - begin
                    start = int(0)
                    if rule == ROUND_ROBIN:
                        start = s.node[w, c].round_robin
                    for j in range(count):
                        candidate = t.next[begin + (start + j) % count]
                        if best < 0 or rule == SHORTEST_QUEUE:
                            if room_behind(g, w, candidate, item, n):
                                free = free_space(g, w, candidate)
                                if best < 0 or free > space:
                                    best = candidate
                                    space = free
                    c = best
    if c >= 0:
        if t.node[c].kind == ROUTER:
            return -1
    return c


@wp.func
def goal_of(g: Line, w: int, k: int, n: int) -> int:
    """Where the first item of slot ``k`` of node ``n`` goes now, -1 while there is no room."""
    t = g[0].tables
    s = g[0].state
    if (s.node[w, n].halts & HALT_OFF) != 0:
        return -1
    item = s.slot[w, k].head
    c = s.slot[w, k].goal
    if c < 0:
        begin = t.node[n].next_begin
        if begin == t.node[n].next_end:
            return -1
        c = t.next[begin]
        if t.node[n].rework >= 0:
            if s.item[w, item].defective != 0:
                c = t.node[n].rework
    if t.node[c].kind == ROUTER:
        c = route(g, w, k, item, n, c)
        if c < 0:
            return -1
    if not room_in(g, w, c, item, n):
        return -1
    return c


@wp.func
def turn_round_robin(g: Line, w: int, n: int, goal: int):
    """After a move: every round-robin router passed on the way points past the branch that was taken."""
    t = g[0].tables
    s = g[0].state
    begin = t.node[n].next_begin
    if begin == t.node[n].next_end:
        return
    c = t.next[begin]
    for _ in range(ROUTER_DEPTH):
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
                        s.node[w, c].round_robin = (j + 1) % count
            if following == c:
                return
            c = following

"""Who may go where: room, and the rules of routers (docs/semantics.md). What the flow engine asks of its counters is asked of
the world where goods are bodies."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.nodes import ARRIVED, BUFFER, CONVEYOR, FLEET, HALT_OFF, ROUTE, ROUTER, SINK, SOURCE, STATION, ZERO
from twin.process.routes import make_goal_of, make_server_for, make_turn_round_robin, places_left
from twin.sim.belts import timed_room
from twin.sim.places import (
    GAP_M,
    Goods,
    Site,
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


@wp.func
def first_next(t: LineTables, n: int) -> int:
    """The successor that goods follow, -1 for none."""
    if t.node[n].next_begin == t.node[n].next_end:
        return -1
    return t.next[t.node[n].next_begin]


@wp.func
def _server_state(s: LineState, h: Site, k: int) -> int:
    return s.server_state[h.w, k]


@wp.func
def _takes_more(t: LineTables, s: LineState, h: Site, c: int, k: int, bit: wp.int64) -> bool:
    return (s.server_joined[h.w, k] & bit) == ZERO and s.server_count[h.w, k] < t.node[c].batch


server_for = make_server_for(_server_state, _takes_more)


@wp.func
def vehicle_at(t: LineTables, s: LineState, w: int, f: int, origin: int) -> int:
    """The slot of a vehicle of fleet ``f`` that has come to fetch something from node ``origin``; -1."""
    for k in range(t.node[f].slot_begin, t.node[f].slot_end):
        if s.server_state[w, k] == ARRIVED and s.vehicle_origin[w, k] == origin:
            return k
    return -1


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
        if t.node[n].kind == SOURCE and has_zone(t, n):
            place = set_down(t, n, p)
    else:
        if t.predecessors[c] > 1:
            if not merge_clear(t, s, g, w, i, n, c):
                return False
            if rides(t, g, w, i, n, c):
                return True
        elif t.node[n].kind == CONVEYOR and first_next(t, n) == c:
            return True  # belt after belt: it is there already
        elif rides(t, g, w, i, n, c):
            return ahead_of(t, s, g, w, i, n, GAP_M + 0.05) < 0
        place = landing(t, g, w, i, c)
    return place_free(t, s, g, w, i, place, t.prototype_half[p][0])


@wp.func
def room_in(t: LineTables, s: LineState, h: Site, i: int, n: int, c: int) -> bool:
    """Whether node ``c`` takes item ``i`` of node ``n`` now; a router does when any of its successors may."""
    w = h.w
    kind = t.node[c].kind
    if kind == BUFFER:
        return t.node[c].capacity < 0 or s.level[w, c] < t.node[c].capacity
    if kind == STATION:
        if (s.halts[w, c] & HALT_OFF) != 0:
            return False
        return server_for(t, s, h, c, n) >= 0
    if kind == CONVEYOR:
        if s.closed[w, c] != 0:
            return False
        return belt_clear(t, s, h.g, w, i, n, c)
    if kind == FLEET:
        return vehicle_at(t, s, w, c, n) >= 0
    return kind == SINK or kind == ROUTER


# ---- routers


@wp.func
def _stands_off(t: LineTables, s: LineState, h: Site, n: int) -> bool:
    return (s.halts[h.w, n] & HALT_OFF) != 0


@wp.func
def _kept_goal(s: LineState, h: Site, i: int) -> int:
    return s.target[h.w, i]


@wp.func
def _keep_goal(s: LineState, h: Site, i: int, c: int):
    s.target[h.w, i] = c


@wp.func
def _choices(s: LineState, h: Site, i: int) -> wp.int64:
    return s.choices[h.w, i]


@wp.func
def _keep_choices(s: LineState, h: Site, i: int, choices: wp.int64):
    s.choices[h.w, i] = choices


@wp.func
def _item_type(t: LineTables, s: LineState, h: Site, i: int) -> int:
    return t.prototype_type[h.g.prototype[h.w, h.g.first + i]]


@wp.func
def _is_defective(t: LineTables, s: LineState, h: Site, i: int) -> int:
    return s.defective[h.w, i]


@wp.func
def _route_uniform(t: LineTables, s: LineState, h: Site, c: int) -> wp.float64:
    return draw_uniform(t, s, h.r, h.w, c, ROUTE)


@wp.func
def _free_places(t: LineTables, s: LineState, h: Site, i: int, c: int) -> int:
    return places_left(t, c, h.g.prototype[h.w, h.g.first + i], s.level[h.w, c])


@wp.func
def _round_robin(s: LineState, h: Site, c: int) -> int:
    return s.round_robin[h.w, c]


@wp.func
def _set_round_robin(s: LineState, h: Site, c: int, branch: int):
    s.round_robin[h.w, c] = branch


choose_goal = make_goal_of(
    stands_off=_stands_off,
    kept_goal=_kept_goal,
    keep_goal=_keep_goal,
    choices=_choices,
    keep_choices=_keep_choices,
    item_type=_item_type,
    is_defective=_is_defective,
    route_uniform=_route_uniform,
    room_in=room_in,
    free_places=_free_places,
    round_robin=_round_robin,
)
turn_round_robin = make_turn_round_robin(_set_round_robin)


@wp.func
def goal_of(t: LineTables, s: LineState, h: Site, i: int, n: int) -> int:
    """Where item ``i`` of node ``n`` goes now, -1 while there is no room. A belt for which it waits, and nothing else, is closed
    to those that have waited less long: a body that comes from the side would slip in ahead of it."""
    goal = choose_goal(t, s, h, i, n)
    if goal < 0:
        if (s.halts[h.w, n] & HALT_OFF) == 0:
            c = s.target[h.w, i]
            if c < 0:
                c = t.node[n].first
                if c >= 0 and t.node[n].rework >= 0 and s.defective[h.w, i] != 0:
                    c = t.node[n].rework
            if c >= 0 and c != n:
                if t.node[c].kind == CONVEYOR and t.placeless[c] == 0:
                    s.closed[h.w, c] = 1
    return goal

"""Who may go where: room, the rules of routers, and the list of slots whose first item may be able to move."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.places import Random, belt_has_room, draw_uniform
from twin.flow.state import Replica
from twin.flow.tables import FlowTables
from twin.process.nodes import ARRIVED, BUFFER, CONVEYOR, FLEET, HALT_OFF, ROUTE, ROUTER, SINK, STATION, ZERO
from twin.process.routes import make_goal_of, make_server_for, make_turn_round_robin, places_left


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


# ---- servers


@wp.func
def _server_state(s: Replica, r: Random, k: int) -> int:
    return s.slot[k].state


@wp.func
def _takes_more(t: FlowTables, s: Replica, r: Random, c: int, k: int, bit: wp.int64) -> bool:
    return (s.slot[k].joined & bit) == ZERO


server_for = make_server_for(_server_state, _takes_more)


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
def room_in(t: FlowTables, s: Replica, r: Random, c: int, item: int, origin: int) -> bool:
    """Whether node ``c`` takes the item from node ``origin`` now; a router does when any of its successors may."""
    kind = t.node[c].kind
    if kind == BUFFER:
        return t.node[c].capacity < 0 or s.node[c].level < t.node[c].capacity
    if kind == STATION:
        if t.shifts > 0:
            if (s.node[c].halts & HALT_OFF) != 0:
                return False
        return server_for(t, s, r, c, origin) >= 0
    if kind == CONVEYOR:
        return belt_has_room(t, s, c, item)
    if kind == FLEET:
        return vehicle_at(t, s, c, origin) >= 0
    return kind == SINK or kind == ROUTER


# ---- routers


@wp.func
def _stands_off(t: FlowTables, s: Replica, r: Random, n: int) -> bool:
    if t.shifts > 0:
        return (s.node[n].halts & HALT_OFF) != 0
    return False


@wp.func
def _kept_goal(s: Replica, r: Random, k: int) -> int:
    return s.slot[k].goal


@wp.func
def _keep_goal(s: Replica, r: Random, k: int, c: int):
    s.slot[k].goal = c


@wp.func
def _choices(s: Replica, r: Random, k: int) -> wp.int64:
    return s.slot[k].choices


@wp.func
def _keep_choices(s: Replica, r: Random, k: int, choices: wp.int64):
    s.slot[k].choices = choices


@wp.func
def _item_type(t: FlowTables, s: Replica, r: Random, k: int) -> int:
    return t.prototype_type[s.item[s.slot[k].head].prototype]


@wp.func
def _is_defective(t: FlowTables, s: Replica, r: Random, k: int) -> int:
    return s.item[s.slot[k].head].defective


@wp.func
def _route_uniform(t: FlowTables, s: Replica, r: Random, c: int) -> wp.float64:
    return draw_uniform(t, s, r, c, ROUTE)


@wp.func
def _room_in(t: FlowTables, s: Replica, r: Random, k: int, n: int, c: int) -> bool:
    return room_in(t, s, r, c, s.slot[k].head, n)


@wp.func
def _free_places(t: FlowTables, s: Replica, r: Random, k: int, c: int) -> int:
    return places_left(t, c, s.item[s.slot[k].head].prototype, s.node[c].level)


@wp.func
def _round_robin(s: Replica, r: Random, c: int) -> int:
    return s.node[c].round_robin


@wp.func
def _set_round_robin(s: Replica, r: Random, c: int, branch: int):
    s.node[c].round_robin = branch


goal_of = make_goal_of(
    stands_off=_stands_off,
    kept_goal=_kept_goal,
    keep_goal=_keep_goal,
    choices=_choices,
    keep_choices=_keep_choices,
    item_type=_item_type,
    is_defective=_is_defective,
    route_uniform=_route_uniform,
    room_in=_room_in,
    free_places=_free_places,
    round_robin=_round_robin,
)
turn_round_robin = make_turn_round_robin(_set_round_robin)


@wp.func
def goal_now(t: FlowTables, s: Replica, r: Random, k: int, n: int) -> int:
    """``goal_of`` for what waits in slot ``k`` of node ``n``, by a shorter way where there is nothing to choose."""
    c = t.plain[k]
    if c < 0:
        return goal_of(t, s, r, k, n)
    if room_in(t, s, r, c, s.slot[k].head, n):
        return c
    return -1

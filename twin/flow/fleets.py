"""Vehicles of the line engine: they fetch, load, carry and unload (``twin.process.fleets`` says which goes where)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.places import Random, book_server, push_back, set_clock, want
from twin.flow.routes import goal_of, look_at, vehicle_at
from twin.flow.state import Replica
from twin.flow.stations import set_due
from twin.flow.tables import FlowTables
from twin.process.fleets import drive_us, is_flat, make_nearest_idle, make_oldest_request, stop_at
from twin.process.nodes import (
    ARRIVED,
    BATTERY,
    CARRYING,
    CHARGE,
    CHARGING,
    DONE,
    FETCHING,
    HALT_OFF,
    IDLE,
    LOAD,
    LOADING,
    NEVER_US,
    ROUTER,
    UNLOAD,
    UNLOADING,
    ZERO,
)


@wp.func
def vehicle_in(t: FlowTables, f: int, k: int) -> int:
    """Number of the vehicle in slot ``k`` of fleet ``f``."""
    return t.node[f].vehicle_begin + k - t.node[f].slot_begin


@wp.func
def begin_fleet(t: FlowTables, s: Replica, f: int, k: int):
    v = vehicle_in(t, f, k)
    s.vehicle[v].stop = t.node[f].stops
    s.vehicle[v].battery = wp.int64(-1)
    if t.node[f].battery_time >= 0:
        want(s, k, BATTERY)


# ---- requests


@wp.func
def asks(t: FlowTables, s: Replica, f: int, k: int) -> bool:
    """Whether the first item of slot ``k`` waits for a vehicle of fleet ``f``."""
    if s.slot[k].ready < ZERO:
        return False
    n = t.slot_node[k]
    if (s.node[n].halts & HALT_OFF) != 0:
        return False
    goal = s.slot[k].goal
    if goal >= 0:
        return goal == f
    if t.node[n].rework >= 0:
        if s.item[s.slot[k].head].defective != 0:
            return t.node[n].rework == f
    return True


@wp.func
def _asks(t: FlowTables, s: Replica, r: Random, f: int, k: int) -> bool:
    return asks(t, s, f, k)


@wp.func
def _sent_to(s: Replica, r: Random, k: int) -> int:
    return s.claims[k]


@wp.func
def _since(t: FlowTables, s: Replica, r: Random, k: int) -> wp.int64:
    return s.slot[k].ready


@wp.func
def _items_in(t: FlowTables, s: Replica, r: Random, k: int) -> int:
    return s.slot[k].count


@wp.func
def _since_of(t: FlowTables, s: Replica, r: Random, k: int, rank: int) -> wp.int64:
    item = s.slot[k].head
    for _ in range(rank):
        item = s.item[item].next
    return s.item[item].at


@wp.func
def _server_state(s: Replica, r: Random, k: int) -> int:
    return s.slot[k].state


@wp.func
def _vehicle_stop(t: FlowTables, s: Replica, r: Random, f: int, k: int) -> int:
    return s.vehicle[vehicle_in(t, f, k)].stop


oldest_request = make_oldest_request(asks=_asks, sent_to=_sent_to, since=_since, items_in=_items_in, since_of=_since_of)
nearest_idle = make_nearest_idle(server_state=_server_state, vehicle_stop=_vehicle_stop)


@wp.func
def give_up(t: FlowTables, s: Replica, f: int, k: int):
    """The vehicle in slot ``k`` found nothing to fetch."""
    v = vehicle_in(t, f, k)
    claimed = s.vehicle[v].claim
    s.claims[claimed] = s.claims[claimed] - 1
    s.vehicle[v].used = s.vehicle[v].used + s.rep[0].now - s.vehicle[v].job
    s.slot[k].state = IDLE
    book_server(s, f, k)


@wp.func
def release_idle(t: FlowTables, s: Replica, f: int):
    """Vehicles that came for something which went another way meanwhile are free."""
    for k in range(t.node[f].slot_begin, t.node[f].slot_end):
        if s.slot[k].state == ARRIVED:
            n = s.vehicle[vehicle_in(t, f, k)].origin
            waits = (s.node[n].halts & HALT_OFF) != 0
            for u in range(t.node[n].slot_begin, t.node[n].slot_end):
                if asks(t, s, f, u):
                    waits = bool(True)
            if not waits:
                give_up(t, s, f, k)


@wp.func
def dispatch(t: FlowTables, s: Replica, r: Random):
    """Send idle vehicles to who has waited longest, of several the nearest, then the first."""
    for i in range(t.fleets):
        f = t.fleet_node[i]
        release_idle(t, s, f)
        again = (s.node[f].halts & HALT_OFF) == 0
        while again:
            again = bool(False)
            asking = oldest_request(t, s, r, f)
            if asking >= 0:
                n = t.slot_node[asking]
                sent = nearest_idle(t, s, r, f, n)
                if sent >= 0:
                    again = bool(True)
                    v = vehicle_in(t, f, sent)
                    way = drive_us(t, f, s.vehicle[v].stop, stop_at(t, f, n))
                    s.vehicle[v].job = s.rep[0].now
                    s.vehicle[v].origin = n
                    s.vehicle[v].claim = asking
                    s.vehicle[v].stop = stop_at(t, f, n)
                    s.claims[asking] = s.claims[asking] + 1
                    s.slot[sent].state = FETCHING
                    set_due(t, s, sent, f, way)
                    book_server(s, f, sent)


# ---- jobs


@wp.func
def load(t: FlowTables, s: Replica, f: int, item: int, origin: int):
    """The vehicle that came to node ``origin`` takes the item."""
    k = vehicle_at(t, s, f, origin)
    claimed = s.vehicle[vehicle_in(t, f, k)].claim
    s.claims[claimed] = s.claims[claimed] - 1
    push_back(s, k, item)
    s.slot[k].state = LOADING
    want(s, k, LOAD)
    book_server(s, f, k)


@wp.func
def destination(t: FlowTables, s: Replica, r: Random, k: int, f: int) -> int:
    """Where the load goes, settled as it starts: by the rules of the routers behind the fleet, and where none of their
    successors has room, the first one."""
    goal = goal_of(t, s, r, k, f)
    if goal < 0:
        goal = s.slot[k].goal
    if goal < 0:
        goal = t.next[t.node[f].next_begin]
        while t.node[goal].kind == ROUTER:
            goal = t.next[t.node[goal].next_begin]
    s.slot[k].goal = goal
    return goal


@wp.func
def drive_on(t: FlowTables, s: Replica, r: Random, k: int, f: int):
    """What the vehicle in slot ``k`` did is over: what comes next?"""
    state = s.slot[k].state
    v = vehicle_in(t, f, k)
    set_clock(t, s, t.slot_clock[k], NEVER_US)
    if state == FETCHING:
        s.slot[k].state = ARRIVED
        n = s.vehicle[v].origin
        for u in range(t.node[n].slot_begin, t.node[n].slot_end):
            if s.slot[u].ready >= ZERO:
                look_at(s, u)
    elif state == LOADING:
        goal = destination(t, s, r, k, f)
        stop = stop_at(t, f, goal)
        s.slot[k].state = CARRYING
        set_due(t, s, k, f, drive_us(t, f, s.vehicle[v].stop, stop))
        s.vehicle[v].stop = stop
    elif state == CARRYING:
        s.slot[k].state = UNLOADING
        want(s, k, UNLOAD)
    elif state == UNLOADING:
        s.slot[k].state = DONE
        s.slot[k].ready = s.rep[0].now
        look_at(s, k)
    elif state == CHARGING:
        s.slot[k].state = IDLE
        s.vehicle[v].used = ZERO
        want(s, k, BATTERY)
    book_server(s, f, k)


@wp.func
def trip_done(t: FlowTables, s: Replica, k: int, f: int):
    """The item has left the vehicle in slot ``k``."""
    v = vehicle_in(t, f, k)
    s.slot[k].ready = wp.int64(-1)
    s.slot[k].state = IDLE
    used = s.vehicle[v].used + s.rep[0].now - s.vehicle[v].job
    s.vehicle[v].used = used
    if is_flat(s.vehicle[v].battery, used):
        s.slot[k].state = CHARGING
        want(s, k, CHARGE)
    book_server(s, f, k)

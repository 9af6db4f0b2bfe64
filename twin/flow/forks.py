"""Futures of a moment: a line as it was found or kept, whose pending times are drawn anew (docs/semantics.md).

A time that has lasted a while already is drawn under the condition that it lasts longer, so that every replication has its own
next failure and all of them are as likely as what was known allows.
"""

from __future__ import annotations

import warp as wp

from twin.flow.places import (
    Random,
    book_place,
    book_server,
    count_level,
    count_pieces,
    enter_belt,
    gap_us,
    new_item,
    push_back,
    set_clock,
)
from twin.flow.routes import look_at, server_for
from twin.flow.state import Replica
from twin.flow.stations import begin_service, row_of_slot
from twin.flow.tables import FlowTables
from twin.process import draws
from twin.process.draws import remaining, uniform
from twin.process.nodes import (
    ARRIVAL,
    BUFFER,
    CHARGE,
    CHARGING,
    COLLECTING,
    CONVEYOR,
    CYCLE,
    DONE,
    FAILURE,
    HALT_DOWN,
    LOAD,
    LOADING,
    NEVER_US,
    ONE,
    REPAIR,
    SET_UP,
    SETUP,
    SOURCE,
    STATION,
    UNLOAD,
    UNLOADING,
    WORKING,
    ZERO,
)
from twin.process.routes import joined_bit

REDRAW = wp.constant(draws.REDRAW)


@wp.struct
class Given:
    """What stands on the line at time 0, one row an item: its node and prototype, the pieces that it counts for, how long it
    has been on the line, how far along a belt it is (both in microseconds), whether its work is done, how long a cycle has
    lasted (-1: begins now), and the node it came from (-1: unknown)."""

    count: int
    node: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    prototype: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    pieces: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    age_us: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    along_us: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    done: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    elapsed_us: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    origin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]


@wp.func
def left_us(t: FlowTables, s: Replica, r: Random, n: int, row: int, purpose: int, which: int, age: wp.int64) -> wp.int64:
    """What is left of a time of row ``row`` that has lasted ``age``."""
    ordinal = s.rep[0].now * wp.int64(64) + wp.int64(which & 63)
    u = uniform(r.seed, s.replication, t.node[n].stream, ordinal, purpose + REDRAW)
    seconds = remaining(r.table, row, u, wp.float64(age) * wp.float64(1.0e-6))
    return wp.int64(wp.min(seconds, wp.float64(1.0e12)) * wp.float64(1.0e6) + wp.float64(0.5))


@wp.func
def redraw_slot(t: FlowTables, s: Replica, r: Random, k: int, known_age: wp.int64):
    """Draw anew what is left of what goes on in slot ``k``; ``known_age`` below 0: it has lasted as long as it has."""
    n = t.slot_node[k]
    kind = t.node[n].kind
    state = s.slot[k].state
    c = t.slot_clock[k]
    if c < 0:
        return
    due = s.due[c]
    if due == NEVER_US and s.slot[k].time_left < ZERO:
        return
    purpose = int(-1)
    if kind == SOURCE:
        purpose = ARRIVAL
    elif state == WORKING:
        purpose = CYCLE
    elif state == SETUP:
        purpose = SET_UP
    elif state == LOADING:
        purpose = LOAD
    elif state == UNLOADING:
        purpose = UNLOAD
    elif state == CHARGING:
        purpose = CHARGE
    if purpose < 0 or kind == CONVEYOR:
        return
    left = s.slot[k].time_left
    if due != NEVER_US:
        left = due - s.rep[0].now
    age = s.slot[k].duration - left
    if known_age >= ZERO:
        age = known_age
    left = left_us(t, s, r, n, row_of_slot(t, s, k, n, purpose), purpose, k - t.node[n].slot_begin, age)
    s.slot[k].duration = age + left
    if due != NEVER_US:
        set_clock(t, s, c, s.rep[0].now + left)
    else:
        s.slot[k].time_left = left


@wp.func
def redraw_node(t: FlowTables, s: Replica, r: Random, n: int, known_age: wp.int64):
    """The same for a station's failure or repair."""
    if t.node[n].kind != STATION or t.node[n].time_to_failure < 0:
        return
    purpose = FAILURE
    row = t.node[n].time_to_failure
    if (s.node[n].halts & HALT_DOWN) != 0:
        purpose = REPAIR
        row = t.node[n].time_to_repair
    c = t.node[n].clock
    due = s.due[c]
    left = s.node[n].time_left
    if due != NEVER_US:
        left = due - s.rep[0].now
    age = s.node[n].duration - left
    if known_age >= ZERO:
        age = known_age
    left = wp.max(left_us(t, s, r, n, row, purpose, 0, age), ONE)
    s.node[n].duration = age + left
    s.node[n].time_left = left
    if due != NEVER_US:
        set_clock(t, s, c, s.rep[0].now + left)


@wp.func
def redraw_all(t: FlowTables, s: Replica, r: Random):
    for k in range(t.slots):
        redraw_slot(t, s, r, k, wp.int64(-1))
        if s.slot[k].ready >= ZERO:
            look_at(s, k)  # there may be room in this future
    for n in range(t.nodes):
        redraw_node(t, s, r, n, wp.int64(-1))


@wp.func
def place(t: FlowTables, s: Replica, r: Random, g: Given, i: int) -> int:
    """Put row ``i`` of what is given where it stands; the slot that it is in."""
    n = g.node[i]
    kind = t.node[n].kind
    k = t.node[n].slot_begin
    if kind == STATION:
        k = server_for(t, s, r, n, g.origin[i])
        if k < 0:
            return -1
    item = new_item(s, g.prototype[i])
    if item < 0:
        return -1
    s.item[item].pieces = g.pieces[i]
    s.item[item].born = -g.age_us[i]
    s.rep[0].spawned = s.rep[0].spawned + wp.int64(g.pieces[i])
    count_pieces(t, s, g.pieces[i])
    count_level(s, n, 1)
    if kind == STATION:
        push_back(s, k, item)
        if t.node[n].batch > 1:
            s.slot[k].joined = s.slot[k].joined | joined_bit(t, n, g.origin[i])
            s.slot[k].state = COLLECTING
        if s.slot[k].count >= t.node[n].batch:
            if g.done[i] != 0:
                s.slot[k].state = DONE
                s.slot[k].joined = ZERO
                s.slot[k].ready = s.rep[0].now
                s.node[n].last_type = t.prototype_type[g.prototype[i]]
                look_at(s, k)
                book_server(s, n, k)
            else:
                s.node[n].last_type = t.prototype_type[g.prototype[i]]
                begin_service(t, s, k, n)
        return k
    if kind == BUFFER:
        s.item[item].at = -g.age_us[i]
        push_back(s, k, item)
        s.slot[k].ready = s.rep[0].now
        look_at(s, k)
    else:
        if s.slot[k].count > 0:
            s.node[n].gap = gap_us(t, s, n, s.slot[k].tail, item)
        enter_belt(t, s, n, k, item)
        s.item[item].at = -g.along_us[i]
        if s.slot[k].count == 1:
            set_clock(t, s, t.slot_clock[k], wp.max(t.node[n].transit_us - g.along_us[i], ZERO))
    book_place(t, s, n, k)
    return k

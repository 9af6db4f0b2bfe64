"""People and working hours: who staffs what when, and what stands still off shift (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.places import (
    ASKING,
    CONVEYOR,
    FLEET,
    HALT_CREW,
    HALT_OFF,
    NEVER_US,
    SOURCE,
    STATION,
    book_place,
    set_clock,
    start_belt,
    stop_belt,
)
from twin.flow.routes import look_around
from twin.flow.state import FlowState
from twin.flow.stations import ASKED, UNDER_WAY, book_servers, go_on, set_up_and_work, stand_still
from twin.flow.tables import FlowTables

# ---- people


@wp.func
def serve(t: FlowTables, s: FlowState, w: int, crew: int):
    """Free people of a crew turn to the requests in the order in which they were made, then in authored order; the first one
    that they are too few for holds up those after it. A station that stands still keeps its place in the order, but nobody
    waits for it."""
    waiting = bool(True)
    while waiting:
        oldest = NEVER_US
        node = int(-1)
        slot = int(-1)
        for u in range(t.crew_begin[crew], t.crew_begin[crew + 1]):
            n = t.crew_user[u]
            if t.node[n].repair_crew == crew:
                if s.node[w, n].repair == ASKED and s.node[w, n].asked < oldest:
                    oldest = s.node[w, n].asked
                    node = n
                    slot = -1
            if t.node[n].crew == crew and s.node[w, n].halts == 0:
                for k in range(t.node[n].slot_begin, t.node[n].slot_end):
                    if s.slot[w, k].state == ASKING and s.slot[w, k].asked < oldest:
                        oldest = s.slot[w, k].asked
                        node = n
                        slot = k
        waiting = False
        if node >= 0:
            people = int(1)
            if slot >= 0:
                people = t.node[node].crew_size
            if people <= s.crew_free[w, crew]:
                waiting = True
                s.crew_free[w, crew] = s.crew_free[w, crew] - people
                if slot >= 0:
                    set_up_and_work(t, s, w, slot, node)
                else:
                    s.node[w, node].repair = UNDER_WAY
                    set_clock(t, s, w, t.node[node].clock, s.rep[w].now + s.node[w, node].time_left)


@wp.func
def crew_is_off(t: FlowTables, s: FlowState, w: int, crew: int) -> bool:
    shift = t.crew_shift[crew]
    if shift < 0:
        return False
    return on_shift(t, s, w, shift) == 0


@wp.func
def serve_all(t: FlowTables, s: FlowState, w: int):
    for crew in range(t.crews):
        if s.crew_free[w, crew] > 0:
            if not crew_is_off(t, s, w, crew):
                serve(t, s, w, crew)


# ---- working hours


@wp.func
def on_shift(t: FlowTables, s: FlowState, w: int, shift: int) -> int:
    """1 while work goes on."""
    return t.shift_on[shift] ^ ((s.shift_at[w, shift] - t.shift_first[shift]) & 1)


@wp.func
def next_switch(t: FlowTables, s: FlowState, w: int, shift: int, clock: int):
    """Due time of the calendar's next switch; ``shift_at`` counts the switches of all weeks since the first week's Monday."""
    begin = t.shift_begin[shift]
    count = t.shift_begin[shift + 1] - begin
    if count == 0:
        set_clock(t, s, w, clock, NEVER_US)
        return
    at = s.shift_at[w, shift]
    week = wp.int64(at / count) * wp.int64(604800000000)
    set_clock(t, s, w, clock, week + t.shift_us[begin + at % count] - t.begin_us)


@wp.func
def switch_node(t: FlowTables, s: FlowState, w: int, n: int, on: int):
    kind = t.node[n].kind
    if kind == SOURCE or kind == STATION or kind == FLEET:
        if on == 0:
            stand_still(t, s, w, n, HALT_OFF)
        else:
            go_on(t, s, w, n, HALT_OFF)
    elif kind == CONVEYOR:
        if on == 0:
            stop_belt(t, s, w, n, HALT_OFF)
        else:
            start_belt(t, s, w, n, HALT_OFF)
    else:
        return
    if kind == STATION or kind == FLEET:
        book_servers(t, s, w, n)
    else:
        book_place(t, s, w, n, t.node[n].slot_begin)
    if on != 0:
        look_around(t, s, w, n)


@wp.func
def switch_crew(t: FlowTables, s: FlowState, w: int, crew: int, on: int):
    """People leave or come: what they staff stands still meanwhile, and so do the repairs under way."""
    for u in range(t.crew_begin[crew], t.crew_begin[crew + 1]):
        n = t.crew_user[u]
        if t.node[n].crew == crew and t.node[n].crew_size > 0:
            if on == 0:
                stand_still(t, s, w, n, HALT_CREW)
            else:
                go_on(t, s, w, n, HALT_CREW)
            book_servers(t, s, w, n)
        if t.node[n].repair_crew == crew and s.node[w, n].repair == UNDER_WAY:
            c = t.node[n].clock
            if on == 0:
                s.node[w, n].time_left = s.due[w, c] - s.rep[w].now
                set_clock(t, s, w, c, NEVER_US)
            else:
                set_clock(t, s, w, c, s.rep[w].now + s.node[w, n].time_left)


@wp.func
def switch_all(t: FlowTables, s: FlowState, w: int, shift: int, on: int):
    """Work begins or ends for all that keep these hours."""
    for n in range(t.nodes):
        if t.node[n].shift == shift:
            switch_node(t, s, w, n, on)
    for crew in range(t.crews):
        if t.crew_shift[crew] == shift:
            switch_crew(t, s, w, crew, on)

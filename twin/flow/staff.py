"""People and working hours: who staffs what when, and what stands still off shift (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.places import book_place, count_busy, set_clock, start_belt, stop_belt
from twin.flow.routes import look_around
from twin.flow.state import Replica
from twin.flow.stations import book_servers, go_on, set_up_and_work, stand_still
from twin.flow.tables import FlowTables
from twin.process.nodes import (
    ASKED,
    ASKING,
    CONVEYOR,
    FLEET,
    HALT_CREW,
    HALT_OFF,
    HALT_UNATTENDED,
    NEVER_US,
    SOURCE,
    STATION,
    UNDER_WAY,
)
from twin.process.states import calendar_is_on, switch_due_us

# ---- people


@wp.func
def serve(t: FlowTables, s: Replica, crew: int):
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
                if s.node[n].repair == ASKED and s.node[n].asked < oldest:
                    oldest = s.node[n].asked
                    node = n
                    slot = -1
            if t.node[n].crew == crew and s.node[n].halts == 0:
                for k in range(t.node[n].slot_begin, t.node[n].slot_end):
                    if s.slot[k].state == ASKING and s.slot[k].asked < oldest:
                        oldest = s.slot[k].asked
                        node = n
                        slot = k
        waiting = False
        if node >= 0:
            people = int(1)
            if slot >= 0:
                people = t.node[node].crew_size
            if people <= s.crew_free[crew]:
                waiting = True
                s.crew_free[crew] = s.crew_free[crew] - people
                count_busy(s, crew, people)
                if slot >= 0:
                    set_up_and_work(t, s, slot, node)
                else:
                    s.node[node].repair = UNDER_WAY
                    s.node[node].halts = s.node[node].halts & ~HALT_UNATTENDED
                    book_servers(t, s, node)
                    set_clock(t, s, t.node[node].clock, s.rep[0].now + s.node[node].time_left)


@wp.func
def crew_is_off(t: FlowTables, s: Replica, crew: int) -> bool:
    shift = t.crew_shift[crew]
    if shift < 0:
        return False
    return on_shift(t, s, shift) == 0


@wp.func
def serve_all(t: FlowTables, s: Replica):
    for crew in range(t.crews):
        if s.crew_free[crew] > 0:
            if not crew_is_off(t, s, crew):
                serve(t, s, crew)


# ---- working hours


@wp.func
def on_shift(t: FlowTables, s: Replica, shift: int) -> int:
    """1 while work goes on."""
    return calendar_is_on(t.shift_on[shift], t.shift_first[shift], s.shift_at[shift])


@wp.func
def next_switch(t: FlowTables, s: Replica, shift: int, clock: int):
    """Due time of the calendar's next switch; ``shift_at`` counts the switches of all weeks since the first week's Monday."""
    begin = t.shift_begin[shift]
    end = t.shift_begin[shift + 1]
    set_clock(t, s, clock, switch_due_us(t.shift_us, begin, end, s.shift_at[shift], t.begin_us))


@wp.func
def switch_node(t: FlowTables, s: Replica, n: int, on: int):
    kind = t.node[n].kind
    if kind == SOURCE or kind == STATION or kind == FLEET:
        if on == 0:
            stand_still(t, s, n, HALT_OFF)
        else:
            go_on(t, s, n, HALT_OFF)
    elif kind == CONVEYOR:
        if on == 0:
            stop_belt(t, s, n, HALT_OFF)
        else:
            start_belt(t, s, n, HALT_OFF)
    else:
        return
    if kind == STATION or kind == FLEET:
        book_servers(t, s, n)
    else:
        book_place(t, s, n, t.node[n].slot_begin)
    if on != 0:
        look_around(t, s, n)


@wp.func
def switch_crew(t: FlowTables, s: Replica, crew: int, on: int):
    """People leave or come: what they staff stands still meanwhile, and so do the repairs under way."""
    bound = t.crew_people[crew] - s.crew_free[crew]
    count_busy(s, crew, wp.where(on != 0, bound, -bound))
    for u in range(t.crew_begin[crew], t.crew_begin[crew + 1]):
        n = t.crew_user[u]
        if t.node[n].crew == crew and t.node[n].crew_size > 0:
            if on == 0:
                stand_still(t, s, n, HALT_CREW)
            else:
                go_on(t, s, n, HALT_CREW)
            book_servers(t, s, n)
        if t.node[n].repair_crew == crew and s.node[n].repair == UNDER_WAY:
            c = t.node[n].clock
            if on == 0:
                s.node[n].time_left = s.due[c] - s.rep[0].now
                set_clock(t, s, c, NEVER_US)
                s.node[n].halts = s.node[n].halts | HALT_UNATTENDED
            else:
                set_clock(t, s, c, s.rep[0].now + s.node[n].time_left)
                s.node[n].halts = s.node[n].halts & ~HALT_UNATTENDED
            book_servers(t, s, n)


@wp.func
def switch_all(t: FlowTables, s: Replica, shift: int, on: int):
    """Work begins or ends for all that keep these hours."""
    for n in range(t.nodes):
        if t.node[n].shift == shift:
            switch_node(t, s, n, on)
    for crew in range(t.crews):
        if t.crew_shift[crew] == shift:
            switch_crew(t, s, crew, on)

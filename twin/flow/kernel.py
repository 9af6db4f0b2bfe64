"""The line engine: one thread advances one replication from event to event (docs/semantics.md says what each node does).

Slots hold items: one for a source, a buffer and a conveyor, one for each server of a station. An event is the earliest due
time of a slot (arrival, end of a set-up or cycle, head of a belt at its end), of a node (failure, repair, entry of a belt
clear again) or of a calendar. After each event items move until none can: the one that has waited longest first, then
authored order. Only slots that something changed for are looked at: one whose first item just became ready, and those ahead
of a node that just got room.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.deadlock import find_stuck
from twin.flow.fleets import begin_fleet, dispatch, drive_on
from twin.flow.forks import Given, place, redraw_all, redraw_node, redraw_slot
from twin.flow.moves import MOVES_AT_ONCE, arrive, settle, wait_for_arrival
from twin.flow.places import (
    BINS,
    CLOCK_GROUP,
    FAILURE,
    FLEET,
    HALT_BLOCKED,
    LIVELOCK,
    LONG_AGO,
    NEVER_US,
    ONE,
    OVERFLOW,
    S_STARVED,
    S_WORKING,
    SETUP,
    SOURCE,
    STATION,
    ZERO,
    Random,
    book_place,
    set_clock,
    stop_belt,
    want,
)
from twin.flow.routes import look_at, offer_room
from twin.flow.staff import next_switch, on_shift, serve_all, switch_all
from twin.flow.state import FlowState
from twin.flow.stations import draw_wanted, fail_or_repair, finish, work
from twin.flow.tables import FlowTables


@wp.func
def staff_and_time(t: FlowTables, s: FlowState, r: Random, w: int):
    """What began gets its people and its durations."""
    again = bool(True)
    while again:
        draw_wanted(t, s, r, w)
        if t.fleets > 0:
            dispatch(t, s, w)
        if t.crews > 0:
            serve_all(t, s, w)
        again = s.rep[w].wanted > 0


@wp.func
def happen(t: FlowTables, s: FlowState, r: Random, w: int, c: int):
    """Clock ``c`` is due."""
    k = t.clock_slot[c]
    if k >= 0:
        n = t.slot_node[k]
        kind = t.node[n].kind
        if kind == STATION:
            if s.slot[w, k].state == SETUP:
                work(t, s, w, k, n)
            else:
                finish(t, s, r, w, k, n)
            return
        if kind == FLEET:
            drive_on(t, s, r, w, k, n)
            return
        if kind == SOURCE:
            arrive(t, s, r, w, k, n)
        else:
            set_clock(t, s, w, c, NEVER_US)
            s.slot[w, k].ready = s.rep[w].now
            look_at(s, w, k)
            if t.node[n].accumulating == 0:
                stop_belt(t, s, w, n, HALT_BLOCKED)
        book_place(t, s, w, n, k)
        return
    n = t.clock_node[c]
    if n >= 0:
        if t.node[n].kind == STATION:
            fail_or_repair(t, s, w, n)
        else:
            set_clock(t, s, w, c, NEVER_US)
            offer_room(t, s, w, n)
        return
    shift = t.clock_shift[c]
    s.shift_at[w, shift] = s.shift_at[w, shift] + 1
    next_switch(t, s, w, shift, c)
    switch_all(t, s, w, shift, on_shift(t, s, w, shift))


@wp.func
def begin(t: FlowTables, s: FlowState, r: Random, w: int):
    """An empty line at time 0: the item pool, and the first arrivals and failures to be drawn."""
    for i in range(t.items):
        s.item[w, i].next = wp.where(i + 1 < t.items, i + 1, -1)
    for k in range(t.slots):
        s.slot[w, k].ready = wp.int64(-1)
        s.slot[w, k].time_left = wp.int64(-1)
        s.slot[w, k].goal = -1
        s.slot[w, k].booked = wp.where(t.node[t.slot_node[k]].kind == SOURCE, S_WORKING, S_STARVED)
    for c in range(t.clocks):
        s.due[w, c] = NEVER_US
    for g in range(t.groups):
        s.group_due[w, g] = NEVER_US
    for crew in range(t.crews):
        s.crew_free[w, crew] = t.crew_people[crew]
    s.rep[w].bin_end = t.interval_us
    s.rep[w].lead_least = NEVER_US
    for n in range(t.nodes):
        s.node[w, n].last_type = -1
        s.node[w, n].front = LONG_AGO
        if t.node[n].kind == SOURCE:
            wait_for_arrival(t, s, r, w, t.node[n].slot_begin, n)
        if t.node[n].kind == STATION and t.node[n].time_to_failure >= 0:
            want(s, w, n, FAILURE)
        if t.node[n].kind == FLEET:
            for k in range(t.node[n].slot_begin, t.node[n].slot_end):
                begin_fleet(t, s, w, n, k)
    for shift in range(t.shifts):
        s.shift_at[w, shift] = t.shift_first[shift]
        next_switch(t, s, w, shift, t.timed + shift)
        if t.shift_on[shift] == 0:
            switch_all(t, s, w, shift, 0)


@wp.func
def next_clock_of_many(t: FlowTables, s: FlowState, w: int) -> int:
    """The same by way of the earliest of each group."""
    due = NEVER_US
    group = int(-1)
    for g in range(t.groups):
        earliest = s.group_due[w, g]
        if earliest < ZERO:
            earliest = NEVER_US
            for c in range(g * CLOCK_GROUP, wp.min((g + 1) * CLOCK_GROUP, t.clocks)):
                earliest = wp.min(earliest, s.due[w, c])
            s.group_due[w, g] = earliest
        if earliest < due:
            due = earliest
            group = g
    if group >= 0:
        for c in range(group * CLOCK_GROUP, wp.min((group + 1) * CLOCK_GROUP, t.clocks)):
            if s.due[w, c] == due:
                return c
    return -1


@wp.func
def next_clock(t: FlowTables, s: FlowState, w: int) -> int:
    """The clock that is due next: the earliest, and of several the first; -1 when nothing is."""
    if t.groups > 0:
        return next_clock_of_many(t, s, w)
    # two halves side by side: the comparisons of one need not wait for those of the other
    half = (t.clocks + 1) >> 1
    rest = t.clocks - half
    due = NEVER_US
    clock = int(-1)
    due_late = NEVER_US
    clock_late = int(-1)
    c = int(0)
    while c < rest:
        at = s.due[w, c]
        at_late = s.due[w, half + c]
        if at < due:
            due = at
            clock = c
        if at_late < due_late:
            due_late = at_late
            clock_late = half + c
        c += 1
    if half > rest:
        at = s.due[w, rest]
        if at < due:
            due = at
            clock = rest
    return wp.where(due_late < due, clock_late, clock)


@wp.kernel
def advance(
    # model
    t: FlowTables,
    r: Random,
    until_us: wp.int64,
    begins: int,
    # state in/out
    s: FlowState,
):
    """All events up to and including ``until_us``; ``begins`` != 0: from the empty line at time 0 on."""
    w = wp.tid()
    at_once = int(0)
    events = ZERO
    if begins != 0:
        begin(t, s, r, w)
    running = bool(True)
    while running:
        at_once += 1 + settle(t, s, r, w)
        if at_once > MOVES_AT_ONCE:
            s.rep[w].flags = s.rep[w].flags | LIVELOCK
        staff_and_time(t, s, r, w)
        clock = next_clock(t, s, w)
        running = False
        if clock >= 0 and (s.rep[w].flags & (LIVELOCK | OVERFLOW)) == ZERO:
            due = s.due[w, clock]
            if due <= until_us:
                running = True
                if due > s.rep[w].now:
                    at_once = 0
                s.rep[w].now = due
                events += ONE
                happen(t, s, r, w, clock)
    s.rep[w].events = s.rep[w].events + events
    s.rep[w].now = until_us
    for k in range(t.slots):
        n = t.slot_node[k]
        booked = s.slot[w, k].booked
        s.state_us[w, n, booked] = s.state_us[w, n, booked] + until_us - s.slot[w, k].since
        s.slot[w, k].since = until_us


@wp.kernel
def begin_from(
    # model
    t: FlowTables,
    r: Random,
    given: Given,
    down: wp.array(dtype=wp.int32),
    down_us: wp.array(dtype=wp.int64),
    down_count: int,
    # state in/out
    s: FlowState,
):
    """Time 0 of a line on which something stands already; ``down``: stations that are being repaired, and for how long."""
    w = wp.tid()
    begin(t, s, r, w)
    staff_and_time(t, s, r, w)
    for i in range(down_count):
        fail_or_repair(t, s, w, down[i])
        staff_and_time(t, s, r, w)
        redraw_node(t, s, r, w, down[i], down_us[i])
    for i in range(given.count):
        k = place(t, s, w, given, i)
        staff_and_time(t, s, r, w)
        if k >= 0 and given.elapsed_us[i] >= ZERO:
            redraw_slot(t, s, r, w, k, given.elapsed_us[i])


@wp.kernel
def redraw_pending(
    # model
    t: FlowTables,
    r: Random,
    # state in/out
    s: FlowState,
):
    """Make each replication a future of its own."""
    redraw_all(t, s, r, wp.tid())


@wp.kernel
def forget_warm_up(
    # model
    t: FlowTables,
    # state in/out
    s: FlowState,
):
    """Statistics of the horizon begin here; the line goes on as it is."""
    w = wp.tid()
    now = s.rep[w].now
    for n in range(t.nodes):
        s.node[w, n].level_us = -wp.int64(s.node[w, n].level) * now
        s.node[w, n].entered = ZERO
        s.node[w, n].left = ZERO
        s.node[w, n].defective = ZERO
        s.node[w, n].waits = ZERO
        for state in range(7):
            s.state_us[w, n, state] = ZERO
    for m in range(t.paths):
        s.moved[w, m] = ZERO
    s.rep[w].pieces_us = -(s.rep[w].spawned - s.rep[w].sunk - s.rep[w].scrapped) * now
    s.rep[w].sunk_measured = ZERO
    s.rep[w].lead_us = ZERO
    s.rep[w].lead_least = NEVER_US
    s.rep[w].lead_most = ZERO
    for bin in range(BINS):
        s.lead_hist[w, bin] = 0


@wp.kernel
def take_stock(
    # model
    t: FlowTables,
    # state in/out
    s: FlowState,
):
    """Count the pieces where they are, for the balance with those that came and went (an item that waits in its source has
    not come yet), and find those that can never move on."""
    w = wp.tid()
    find_stuck(t, s, w)
    pieces = ZERO
    for k in range(t.slots):
        if t.node[t.slot_node[k]].kind != SOURCE:
            item = s.slot[w, k].head
            for _ in range(s.slot[w, k].count):
                pieces += wp.int64(s.item[w, item].pieces)
                item = s.item[w, item].next
    s.rep[w].inside = pieces

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
from twin.flow.moves import MOVES_AT_ONCE, arrive, settle, wait_for_arrival
from twin.flow.places import BINS, CLOCK_GROUP, LIVELOCK, OVERFLOW, Random, book_place, set_clock, stop_belt, want
from twin.flow.routes import look_at, offer_room
from twin.flow.staff import next_switch, on_shift, serve_all, switch_all
from twin.flow.state import FlowState, Replica, replica_of
from twin.flow.stations import draw_wanted, fail_or_repair, finish, work
from twin.flow.tables import FlowTables, dense_tables
from twin.process.nodes import (
    FAILURE,
    FLEET,
    HALT_BLOCKED,
    LONG_AGO,
    NEVER_US,
    ONE,
    S_STARVED,
    S_WORKING,
    SETUP,
    SHARES,
    SOURCE,
    STATION,
    ZERO,
)


@wp.func
def staff_and_time(t: FlowTables, s: Replica, r: Random):
    """What began gets its people and its durations."""
    again = bool(True)
    while again:
        draw_wanted(t, s, r)
        if t.fleets > 0:
            dispatch(t, s, r)
        if t.crews > 0:
            serve_all(t, s)
        again = s.rep[0].wanted > 0


@wp.func
def happen(t: FlowTables, s: Replica, r: Random, c: int):
    """Clock ``c`` is due."""
    k = t.clock_slot[c]
    if k >= 0:
        n = t.slot_node[k]
        kind = t.node[n].kind
        if kind == STATION:
            if s.slot[k].state == SETUP:
                work(t, s, k, n)
            else:
                finish(t, s, r, k, n)
            return
        if kind == FLEET:
            drive_on(t, s, r, k, n)
            return
        if kind == SOURCE:
            arrive(t, s, r, k, n)
        else:
            set_clock(t, s, c, NEVER_US)
            s.slot[k].ready = s.rep[0].now
            look_at(s, k)
            if t.node[n].accumulating == 0:
                stop_belt(t, s, n, HALT_BLOCKED)
        book_place(t, s, n, k)
        return
    n = t.clock_node[c]
    if n >= 0:
        if t.node[n].kind == STATION:
            fail_or_repair(t, s, n)
        else:
            set_clock(t, s, c, NEVER_US)
            offer_room(t, s, n)
        return
    shift = t.clock_shift[c]
    s.shift_at[shift] = s.shift_at[shift] + 1
    next_switch(t, s, shift, c)
    switch_all(t, s, shift, on_shift(t, s, shift))


@wp.func
def begin(t: FlowTables, s: Replica, r: Random):
    """An empty line at time 0: the item pool, and the first arrivals and failures to be drawn."""
    for i in range(t.items):
        s.item[i].next = wp.where(i + 1 < t.items, i + 1, -1)
    for k in range(t.slots):
        s.slot[k].ready = wp.int64(-1)
        s.slot[k].time_left = wp.int64(-1)
        s.slot[k].goal = -1
        s.slot[k].booked = wp.where(t.node[t.slot_node[k]].kind == SOURCE, S_WORKING, S_STARVED)
    for c in range(t.clocks):
        s.due[c] = NEVER_US
    for g in range(t.groups):
        s.group_due[g] = NEVER_US
    for crew in range(t.crews):
        s.crew_free[crew] = t.crew_people[crew]
    s.rep[0].bin_end = t.interval_us
    s.rep[0].lead_least = NEVER_US
    for n in range(t.nodes):
        s.node[n].last_type = -1
        s.node[n].front = LONG_AGO
        if t.node[n].kind == SOURCE:
            wait_for_arrival(t, s, r, t.node[n].slot_begin, n)
        if t.node[n].kind == STATION and t.node[n].time_to_failure >= 0:
            want(s, n, FAILURE)
        if t.node[n].kind == FLEET:
            for k in range(t.node[n].slot_begin, t.node[n].slot_end):
                begin_fleet(t, s, n, k)
    for shift in range(t.shifts):
        s.shift_at[shift] = t.shift_first[shift]
        next_switch(t, s, shift, t.timed + shift)
        if t.shift_on[shift] == 0:
            switch_all(t, s, shift, 0)


@wp.func
def next_clock_of_many(t: FlowTables, s: Replica) -> int:
    """The same by way of the earliest of each group."""
    due = NEVER_US
    group = int(-1)
    for g in range(t.groups):
        earliest = s.group_due[g]
        if earliest < ZERO:
            earliest = NEVER_US
            for c in range(g * CLOCK_GROUP, wp.min((g + 1) * CLOCK_GROUP, t.clocks)):
                earliest = wp.min(earliest, s.due[c])
            s.group_due[g] = earliest
        if earliest < due:
            due = earliest
            group = g
    if group >= 0:
        for c in range(group * CLOCK_GROUP, wp.min((group + 1) * CLOCK_GROUP, t.clocks)):
            if s.due[c] == due:
                return c
    return -1


@wp.func
def next_clock(t: FlowTables, s: Replica) -> int:
    """The clock that is due next: the earliest, and of several the first; -1 when nothing is."""
    if t.groups > 0:
        return next_clock_of_many(t, s)
    # two halves side by side: the comparisons of one need not wait for those of the other
    half = (t.clocks + 1) >> 1
    rest = t.clocks - half
    due = NEVER_US
    clock = int(-1)
    due_late = NEVER_US
    clock_late = int(-1)
    c = int(0)
    while c < rest:
        at = s.due[c]
        at_late = s.due[half + c]
        if at < due:
            due = at
            clock = c
        if at_late < due_late:
            due_late = at_late
            clock_late = half + c
        c += 1
    if half > rest:
        at = s.due[rest]
        if at < due:
            due = at
            clock = rest
    return wp.where(due_late < due, clock_late, clock)


@wp.kernel
def advance(
    # model
    tables: FlowTables,
    r: Random,
    until_us: wp.int64,
    begins: int,
    # state in/out
    state: FlowState,
):
    """All events up to and including ``until_us``; ``begins`` != 0: from the empty line at time 0 on."""
    t = dense_tables(tables)
    s = replica_of(state, wp.tid(), r.first_replication)
    at_once = int(0)
    events = ZERO
    if begins != 0:
        begin(t, s, r)
    running = bool(True)
    while running:
        at_once += 1 + settle(t, s, r)
        if at_once > MOVES_AT_ONCE:
            s.rep[0].flags = s.rep[0].flags | LIVELOCK
        staff_and_time(t, s, r)
        clock = next_clock(t, s)
        running = False
        if clock >= 0 and (s.rep[0].flags & (LIVELOCK | OVERFLOW)) == ZERO:
            due = s.due[clock]
            if due <= until_us:
                running = True
                if due > s.rep[0].now:
                    at_once = 0
                s.rep[0].now = due
                events += ONE
                happen(t, s, r, clock)
    s.rep[0].events = s.rep[0].events + events
    s.rep[0].now = until_us
    for k in range(t.slots):
        n = t.slot_node[k]
        booked = s.slot[k].booked
        s.state_us[n, booked] = s.state_us[n, booked] + until_us - s.slot[k].since
        s.slot[k].since = until_us


@wp.kernel
def forget_warm_up(
    # model
    t: FlowTables,
    # state in/out
    state: FlowState,
):
    """Statistics of the horizon begin here; the line goes on as it is."""
    s = replica_of(state, wp.tid(), wp.uint32(0))
    now = s.rep[0].now
    for n in range(t.nodes):
        s.node[n].level_us = -wp.int64(s.node[n].level) * now
        s.node[n].entered = ZERO
        s.node[n].left = ZERO
        s.node[n].defective = ZERO
        s.node[n].waits = ZERO
        for share in range(SHARES):
            s.state_us[n, share] = ZERO
    for crew in range(t.crews):
        s.crew_us[crew] = -wp.int64(s.crew_busy[crew]) * now
    for m in range(t.paths):
        s.moved[m] = ZERO
    s.rep[0].pieces_us = -(s.rep[0].spawned - s.rep[0].sunk - s.rep[0].scrapped) * now
    s.rep[0].sunk_measured = ZERO
    s.rep[0].lead_us = ZERO
    s.rep[0].lead_least = NEVER_US
    s.rep[0].lead_most = ZERO
    for bin in range(BINS):
        s.lead_hist[bin] = 0


@wp.kernel
def take_stock(
    # model
    t: FlowTables,
    # state in/out
    state: FlowState,
):
    """Count the pieces where they are, for the balance with those that came and went (an item that waits in its source has
    not come yet), and find those that can never move on."""
    s = replica_of(state, wp.tid(), wp.uint32(0))
    find_stuck(t, s)
    pieces = ZERO
    for k in range(t.slots):
        if t.node[t.slot_node[k]].kind != SOURCE:
            item = s.slot[k].head
            for _ in range(s.slot[k].count):
                pieces += wp.int64(s.item[item].pieces)
                item = s.item[item].next
    s.rep[0].inside = pieces

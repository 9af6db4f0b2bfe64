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

from twin.flow.places import (
    ARRIVAL,
    BINS,
    BUFFER,
    COLLECTING,
    DEADLOCK,
    DONE,
    FAILURE,
    HALT_BLOCKED,
    IDLE,
    ITEM_TYPE,
    LIVELOCK,
    LONG_AGO,
    NEVER_US,
    ONE,
    OVERFLOW,
    READY,
    S_STARVED,
    S_WORKING,
    SETUP,
    SINK,
    SOURCE,
    STATION,
    ZERO,
    Random,
    book_place,
    book_server,
    count_lead,
    count_level,
    count_pieces,
    draw_uniform,
    enter_belt,
    free_with_children,
    leave_belt,
    new_item,
    pop,
    push_back,
    push_front,
    stop_belt,
    want,
)
from twin.flow.routes import goal_of, joined_bit, look_at, offer_room, server_for, turn_round_robin
from twin.flow.state import FlowState
from twin.flow.stations import (
    begin_service,
    draw_wanted,
    fail_or_repair,
    finish,
    next_switch,
    on_shift,
    serve_all,
    switch_all,
    work,
)
from twin.flow.tables import FlowTables
from twin.process.rules import pick_by_weight

MOVES_AT_ONCE = wp.constant(1000000)
"""More moves than this without time passing is a line that runs in circles."""


# ---- sources


@wp.func
def arrive(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int):
    """An item turns up in the source: its prototype is drawn and it waits to leave."""
    s.due[w, t.slot_clock[k]] = NEVER_US
    begin = t.node[n].item_begin
    end = t.node[n].item_end
    if end == begin:
        return
    pick = end - 1
    if end - begin > 1:
        pick = pick_by_weight(t.item_cumulative, begin, end, draw_uniform(t, s, r, w, n, ITEM_TYPE))
    item = new_item(s, w, t.item_prototype[pick])
    if item >= 0:
        push_back(s, w, k, item)
        s.slot[w, k].state = DONE
        s.slot[w, k].ready = s.rep[w].now
        look_at(s, w, k)


@wp.func
def wait_for_arrival(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int):
    """The source is empty: when does the next item turn up?"""
    s.slot[w, k].state = IDLE
    s.slot[w, k].ready = wp.int64(-1)
    if t.node[n].limit < ZERO or s.node[w, n].made < t.node[n].limit:
        if t.node[n].saturated != 0:
            arrive(t, s, r, w, k, n)
        elif t.node[n].interarrival >= 0:
            want(s, w, k, ARRIVAL)
    book_place(t, s, w, n, k)


# ---- moves


@wp.func
def take_out(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int) -> int:
    """The first item of slot ``k`` leaves node ``n``."""
    kind = t.node[n].kind
    item = s.slot[w, k].head
    s.node[w, n].left = s.node[w, n].left + ONE
    if kind == SOURCE:
        pop(s, w, k)
        count_pieces(t, s, w, 1)
        s.rep[w].spawned = s.rep[w].spawned + ONE
        s.node[w, n].made = s.node[w, n].made + ONE
        s.node[w, n].entered = s.node[w, n].entered + ONE
        s.item[w, item].born = s.rep[w].now
        wait_for_arrival(t, s, r, w, k, n)
        return item
    count_level(s, w, n, -1)
    if kind == STATION:
        pop(s, w, k)
        if s.slot[w, k].count > 0:
            s.slot[w, k].ready = s.rep[w].now
            look_at(s, w, k)
        else:
            s.slot[w, k].ready = wp.int64(-1)
            s.slot[w, k].state = IDLE
            book_server(s, w, n, k)
            offer_room(t, s, w, n)
        return item
    if kind == BUFFER:
        pop(s, w, k)
        s.slot[w, k].ready = wp.int64(-1)
        if s.slot[w, k].count > 0:
            s.slot[w, k].ready = s.rep[w].now
            look_at(s, w, k)
    else:
        leave_belt(t, s, w, n, k)
    book_place(t, s, w, n, k)
    offer_room(t, s, w, n)
    return item


@wp.func
def sink(t: FlowTables, s: FlowState, w: int, n: int, item: int):
    pieces = s.item[w, item].pieces
    count_pieces(t, s, w, -pieces)
    if t.node[n].reject != 0:
        s.rep[w].scrapped = s.rep[w].scrapped + wp.int64(pieces)
    else:
        s.rep[w].sunk = s.rep[w].sunk + wp.int64(pieces)
        s.rep[w].sunk_measured = s.rep[w].sunk_measured + wp.int64(pieces)
        bin = s.rep[w].bin
        s.sunk_interval[w, bin] = s.sunk_interval[w, bin] + pieces
        child = s.item[w, item].child
        if child < 0:
            count_lead(s, w, item)
        while child >= 0:
            count_lead(s, w, child)
            child = s.item[w, child].next
    s.node[w, n].left = s.node[w, n].left + ONE
    free_with_children(s, w, item)


@wp.func
def put_in(t: FlowTables, s: FlowState, r: Random, w: int, c: int, item: int, origin: int):
    """The item enters node ``c``, which has room."""
    kind = t.node[c].kind
    s.node[w, c].entered = s.node[w, c].entered + ONE
    if kind == SINK:
        sink(t, s, w, c, item)
        return
    count_level(s, w, c, 1)
    k = t.node[c].slot_begin
    if kind == STATION:
        server = k
        if t.node[c].single == 0:
            server = server_for(t, s, w, c, origin)
        push_back(s, w, server, item)
        if t.node[c].batch > 1:
            s.slot[w, server].joined = s.slot[w, server].joined | joined_bit(t, c, origin)
            s.slot[w, server].state = COLLECTING
        if s.slot[w, server].count >= t.node[c].batch:
            if t.node[c].blocking_before != 0:
                s.slot[w, server].state = READY
                s.slot[w, server].ready = s.rep[w].now
                look_at(s, w, server)
                book_server(s, w, c, server)
            else:
                begin_service(t, s, w, server, c)
        return
    if kind == BUFFER:
        if t.node[c].lifo != 0:
            push_front(s, w, k, item)
            s.slot[w, k].goal = -1
            look_at(s, w, k)
        else:
            push_back(s, w, k, item)
        if s.slot[w, k].ready < ZERO:
            s.slot[w, k].ready = s.rep[w].now
            look_at(s, w, k)
    else:
        enter_belt(t, s, w, c, k, item)
    book_place(t, s, w, c, k)


@wp.func
def settle(t: FlowTables, s: FlowState, r: Random, w: int) -> int:
    """Move items until none can; returns how many moves that took."""
    moves = int(0)
    while s.rep[w].todo > 0:
        listed = s.rep[w].todo
        best = int(0)
        k = s.todo[w, 0]
        since = s.slot[w, k].ready
        j = int(1)
        while j < listed:
            other = s.todo[w, j]
            ready = s.slot[w, other].ready
            if ready < since or (ready == since and other < k):
                best = j
                k = other
                since = ready
            j += 1
        listed -= 1
        s.rep[w].todo = listed
        s.todo[w, best] = s.todo[w, listed]
        s.slot[w, k].listed = 0
        if since >= ZERO:
            n = t.slot_node[k]
            goal = goal_of(t, s, r, w, k, n)
            if goal >= 0:
                if t.node[n].kind == STATION and s.slot[w, k].state == READY:
                    begin_service(t, s, w, k, n)
                else:
                    item = take_out(t, s, r, w, k, n)
                    if t.node[n].routed != 0:
                        turn_round_robin(t, s, w, n, goal)
                    if t.node[n].rework == goal:
                        s.item[w, item].defective = 0
                    put_in(t, s, r, w, goal, item, n)
                moves += 1
                if moves > MOVES_AT_ONCE:
                    s.rep[w].flags = s.rep[w].flags | LIVELOCK
                if (s.rep[w].flags & (LIVELOCK | OVERFLOW)) != ZERO:
                    return moves
    return moves


@wp.func
def staff_and_time(t: FlowTables, s: FlowState, r: Random, w: int):
    """What began gets its people and its durations."""
    again = bool(True)
    while again:
        draw_wanted(t, s, r, w)
        if t.crews > 0:
            serve_all(t, s, w)
        again = s.rep[w].wanted > 0


# ---- events


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
        if kind == SOURCE:
            arrive(t, s, r, w, k, n)
        else:
            s.due[w, c] = NEVER_US
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
            s.due[w, c] = NEVER_US
            offer_room(t, s, w, n)
        return
    shift = t.clock_shift[c]
    s.shift_at[w, shift] = s.shift_at[w, shift] + 1
    next_switch(t, s, w, shift, c)
    switch_all(t, s, w, shift, on_shift(t, s, w, shift))


@wp.func
def is_stuck(t: FlowTables, s: FlowState, w: int) -> bool:
    """Items wait to move, all are on shift, and nothing is due that could let them."""
    if s.rep[w].spawned == s.rep[w].sunk + s.rep[w].scrapped:
        return False
    for c in range(t.timed):
        if s.due[w, c] != NEVER_US:
            return False
    for shift in range(t.shifts):
        if on_shift(t, s, w, shift) == 0:
            return False
    for k in range(t.slots):
        if s.slot[w, k].ready >= ZERO:
            return True
    return False


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
    for crew in range(t.crews):
        s.crew_free[w, crew] = t.crew_people[crew]
    s.rep[w].bin_end = t.interval_us
    for n in range(t.nodes):
        s.node[w, n].last_type = -1
        s.node[w, n].front = LONG_AGO
        if t.node[n].kind == SOURCE:
            wait_for_arrival(t, s, r, w, t.node[n].slot_begin, n)
        if t.node[n].kind == STATION and t.node[n].time_to_failure >= 0:
            want(s, w, n, FAILURE)
    for shift in range(t.shifts):
        s.shift_at[w, shift] = t.shift_first[shift]
        next_switch(t, s, w, shift, t.timed + shift)
        if t.shift_on[shift] == 0:
            switch_all(t, s, w, shift, 0)


@wp.func
def next_clock(t: FlowTables, s: FlowState, w: int) -> int:
    """The clock that is due next: the earliest, and of several the first; -1 when nothing is."""
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
    if is_stuck(t, s, w):
        s.rep[w].flags = s.rep[w].flags | DEADLOCK
    for k in range(t.slots):
        n = t.slot_node[k]
        booked = s.slot[w, k].booked
        s.state_us[w, n, booked] = s.state_us[w, n, booked] + until_us - s.slot[w, k].since
        s.slot[w, k].since = until_us


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
        for state in range(7):
            s.state_us[w, n, state] = ZERO
    s.rep[w].pieces_us = -(s.rep[w].spawned - s.rep[w].sunk - s.rep[w].scrapped) * now
    s.rep[w].sunk_measured = ZERO
    s.rep[w].lead_us = ZERO
    for bin in range(BINS):
        s.lead_hist[w, bin] = 0

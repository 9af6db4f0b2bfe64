"""Stations: cycles and set-ups, failures and repairs (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.places import (
    Random,
    book_server,
    count_busy,
    count_level,
    count_pieces,
    draw_uniform,
    draw_us,
    free_item,
    free_with_children,
    new_item,
    pop,
    push_back,
    set_clock,
    want,
)
from twin.flow.routes import look_at, offer_room
from twin.flow.state import Replica
from twin.flow.tables import FlowTables
from twin.process.nodes import (
    ARRIVAL,
    ASKED,
    ASKING,
    BATTERY,
    CHARGE,
    CYCLE,
    DONE,
    FAILURE,
    HALT_DOWN,
    HALT_UNATTENDED,
    IDLE,
    LOAD,
    NEVER_US,
    ONE,
    REPAIR,
    SCRAP,
    SET_UP,
    SETUP,
    UNLOAD,
    WORKING,
    ZERO,
)
from twin.process.routes import kept_if_defective


@wp.func
def run_clock(t: FlowTables, s: Replica, n: int):
    """In mode ``operation`` the failure clock runs exactly while a server works."""
    if t.node[n].time_to_failure < 0 or t.node[n].failure_while_working == 0:
        return
    halts = s.node[n].halts
    if (halts & HALT_DOWN) != 0:
        return
    c = t.node[n].clock
    if s.node[n].working > 0 and halts == 0:
        if s.due[c] == NEVER_US:
            set_clock(t, s, c, s.rep[0].now + s.node[n].time_left)
    elif s.due[c] != NEVER_US:
        s.node[n].time_left = s.due[c] - s.rep[0].now
        set_clock(t, s, c, NEVER_US)


@wp.func
def stand_still(t: FlowTables, s: Replica, n: int, reason: int):
    """A station or source stops what it does for one more reason."""
    if s.node[n].halts == 0:
        for k in range(t.node[n].slot_begin, t.node[n].slot_end):
            c = t.slot_clock[k]
            s.slot[k].time_left = wp.int64(-1)
            if s.due[c] != NEVER_US:
                s.slot[k].time_left = s.due[c] - s.rep[0].now
                set_clock(t, s, c, NEVER_US)
    s.node[n].halts = s.node[n].halts | reason
    run_clock(t, s, n)


@wp.func
def go_on(t: FlowTables, s: Replica, n: int, reason: int):
    """One reason to stand is gone; with the last one work goes on where it stopped."""
    if (s.node[n].halts & reason) == 0:
        return
    s.node[n].halts = s.node[n].halts & ~reason
    if s.node[n].halts == 0:
        for k in range(t.node[n].slot_begin, t.node[n].slot_end):
            left = s.slot[k].time_left
            if left >= ZERO:
                set_clock(t, s, t.slot_clock[k], s.rep[0].now + left)
                s.slot[k].time_left = wp.int64(-1)
    run_clock(t, s, n)


@wp.func
def book_servers(t: FlowTables, s: Replica, n: int):
    for k in range(t.node[n].slot_begin, t.node[n].slot_end):
        book_server(s, n, k)


@wp.func
def set_due(t: FlowTables, s: Replica, k: int, n: int, duration: wp.int64):
    """The slot's work takes ``duration`` from now on, or from when its node goes on."""
    s.slot[k].duration = duration
    if s.node[n].halts != 0:
        s.slot[k].time_left = duration
        set_clock(t, s, t.slot_clock[k], NEVER_US)
    else:
        set_clock(t, s, t.slot_clock[k], s.rep[0].now + duration)


# ---- cycles


@wp.func
def work(t: FlowTables, s: Replica, k: int, n: int):
    """Set-up is over, or not needed: the cycle starts."""
    s.slot[k].state = WORKING
    s.node[n].working = s.node[n].working + 1
    want(s, k, CYCLE)
    run_clock(t, s, n)
    book_server(s, n, k)


@wp.func
def set_up_and_work(t: FlowTables, s: Replica, k: int, n: int):
    """The server has all it waited for: set up where the type differs from the last one, else work."""
    type = t.prototype_type[s.item[s.slot[k].head].prototype]
    last = s.node[n].last_type
    s.node[n].last_type = type
    if last >= 0 and last != type and t.node[n].setup != 0:  # row 0 is none
        s.slot[k].state = SETUP
        want(s, k, SET_UP)
    else:
        work(t, s, k, n)


@wp.func
def begin_service(t: FlowTables, s: Replica, k: int, n: int):
    """The items are there: start, or ask for the people that the work needs."""
    s.slot[k].ready = wp.int64(-1)
    if t.node[n].crew >= 0 and t.node[n].crew_size > 0:
        s.slot[k].state = ASKING
        s.slot[k].asked = s.rep[0].now
        book_server(s, n, k)
    else:
        set_up_and_work(t, s, k, n)


@wp.func
def pack(t: FlowTables, s: Replica, k: int, n: int):
    """What is in slot ``k`` becomes one item that contains its pieces."""
    whole = new_item(s, t.node[n].output)
    if whole < 0:
        return
    pieces = int(0)
    children = int(-1)
    count = s.slot[k].count
    for _ in range(count):
        item = pop(s, k)
        pieces = pieces + s.item[item].pieces
        child = s.item[item].child
        if child < 0:
            s.item[item].next = children
            children = item
        else:
            while child >= 0:
                following = s.item[child].next
                s.item[child].next = children
                children = child
                child = following
            free_item(s, item)
    s.item[whole].child = children
    s.item[whole].pieces = pieces
    s.item[whole].born = s.rep[0].now
    push_back(s, k, whole)
    count_level(s, n, 1 - count)


@wp.func
def inspect(t: FlowTables, s: Replica, r: Random, k: int, n: int):
    """What leaves the cycle in slot ``k`` is defective or not; where nothing takes it away, it is scrapped here."""
    defective = int(0)
    if draw_uniform(t, s, r, n, SCRAP) < t.node[n].scrap_rate:
        defective = 1
    item = s.slot[k].head
    count = s.slot[k].count
    for _ in range(count):
        s.item[item].defective = defective
        item = s.item[item].next
    if defective == 0:
        return
    s.node[n].defective = s.node[n].defective + wp.int64(count)
    if kept_if_defective(t, n):
        return
    pieces = int(0)
    for _ in range(count):
        item = pop(s, k)
        pieces += s.item[item].pieces
        free_with_children(s, item)
    s.rep[0].scrapped = s.rep[0].scrapped + wp.int64(pieces)
    count_pieces(t, s, -pieces)
    count_level(s, n, -count)
    s.node[n].left = s.node[n].left + wp.int64(count)
    s.slot[k].state = IDLE
    s.slot[k].ready = wp.int64(-1)
    offer_room(t, s, n)


@wp.func
def finish(t: FlowTables, s: Replica, r: Random, k: int, n: int):
    """The cycle in slot ``k`` is over."""
    s.node[n].working = s.node[n].working - 1
    set_clock(t, s, t.slot_clock[k], NEVER_US)
    s.slot[k].state = DONE
    s.slot[k].ready = s.rep[0].now
    s.slot[k].joined = ZERO
    if t.node[n].crew >= 0 and t.node[n].crew_size > 0:
        crew = t.node[n].crew
        s.crew_free[crew] = s.crew_free[crew] + t.node[n].crew_size
        count_busy(s, crew, -t.node[n].crew_size)
    if t.node[n].batch > 1 and t.node[n].output >= 0:
        pack(t, s, k, n)
    if t.node[n].scrap_rate > wp.float64(0.0):
        inspect(t, s, r, k, n)
    if s.slot[k].ready >= ZERO:
        look_at(s, k)
    run_clock(t, s, n)
    book_server(s, n, k)


# ---- failures


@wp.func
def fail_or_repair(t: FlowTables, s: Replica, n: int):
    """The station's own event: it breaks down, or it is repaired."""
    crew = t.node[n].repair_crew
    set_clock(t, s, t.node[n].clock, NEVER_US)
    if (s.node[n].halts & HALT_DOWN) == 0:
        stand_still(t, s, n, HALT_DOWN)
        if crew >= 0:
            s.node[n].repair = ASKED
            s.node[n].asked = s.rep[0].now
            s.node[n].halts = s.node[n].halts | HALT_UNATTENDED
        want(s, n, REPAIR)
    else:
        if crew >= 0:
            s.node[n].repair = 0
            s.crew_free[crew] = s.crew_free[crew] + 1
            count_busy(s, crew, -1)
        go_on(t, s, n, HALT_DOWN)
        want(s, n, FAILURE)
    book_servers(t, s, n)


# ---- durations


@wp.func
def row_of_slot(t: FlowTables, s: Replica, k: int, n: int, purpose: int) -> int:
    """The distribution that slot ``k`` draws from for a purpose."""
    if purpose == CYCLE:
        return t.cycle[t.node[n].cycle_begin + t.prototype_type[s.item[s.slot[k].head].prototype]]
    if purpose == ARRIVAL:
        return t.node[n].interarrival
    if purpose == SET_UP:
        return t.node[n].setup
    if purpose == LOAD:
        return t.node[n].load_time
    if purpose == UNLOAD:
        return t.node[n].unload_time
    if purpose == CHARGE:
        return t.node[n].charge_time
    return t.node[n].battery_time


@wp.func
def draw_wanted(t: FlowTables, s: Replica, r: Random):
    """Draw all durations asked for and start the clocks. The only place where durations are drawn: one copy of the
    distributions' code keeps the kernel small."""
    i = int(0)
    while i < s.rep[0].wanted:
        index = s.wanted[i] >> 4
        purpose = s.wanted[i] & 15
        i += 1
        n = index
        row = int(0)
        if purpose == FAILURE:
            row = t.node[n].time_to_failure
        elif purpose == REPAIR:
            row = t.node[n].time_to_repair
        else:
            n = t.slot_node[index]
            row = row_of_slot(t, s, index, n, purpose)
        duration = draw_us(t, s, r, n, row, purpose)
        if purpose == FAILURE:
            s.node[n].time_left = duration
            s.node[n].duration = duration
            set_clock(t, s, t.node[n].clock, NEVER_US)
            if t.node[n].failure_while_working == 0:
                set_clock(t, s, t.node[n].clock, s.rep[0].now + duration)
            run_clock(t, s, n)
        elif purpose == REPAIR:
            duration = wp.max(duration, ONE)
            s.node[n].time_left = duration
            s.node[n].duration = duration
            if t.node[n].repair_crew < 0:
                set_clock(t, s, t.node[n].clock, s.rep[0].now + s.node[n].time_left)
        elif purpose == SET_UP and duration <= ZERO:
            work(t, s, index, n)
        elif purpose == BATTERY:
            s.vehicle[t.node[n].vehicle_begin + index - t.node[n].slot_begin].battery = duration
        else:
            set_due(t, s, index, n, duration)
            if purpose == SET_UP:
                book_server(s, n, index)
    s.rep[0].wanted = 0

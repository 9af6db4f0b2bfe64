"""What the line engine does with items: book time, keep the pool, queue them in slots, carry them on belts, which are solved
(``twin.process.belts``)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import math

import warp as wp

from twin.flow import state, tables
from twin.flow.state import LEAD_BINS, LEAD_MAX_S, LEAD_MIN_S, Replica
from twin.flow.tables import FlowTables
from twin.process.belts import entry_clear_us, head_arrival_us, least_gap_us
from twin.process.draws import duration_us, needs_uniform, uniform
from twin.process.nodes import (
    ARRIVAL,
    CYCLE,
    HALT_BLOCKED,
    HALT_OFF,
    LOAD,
    NEVER_US,
    ONE,
    ROUTE,
    S_BLOCKED,
    S_OFF,
    S_STARVED,
    SOURCE,
    ZERO,
)
from twin.process.states import share_of_place, share_of_server, share_of_source
from twin.process.tables import DistributionArrays

LIVELOCK = wp.constant(wp.int64(2))
OVERFLOW = wp.constant(wp.int64(4))
"""Flags of a replication."""

PURPOSES = wp.constant(state.PURPOSES)
AHEAD = wp.constant(state.AHEAD)
AHEAD_BITS = wp.constant(wp.int64(state.AHEAD.bit_length() - 1))
AHEAD_LAST = wp.constant(wp.int64(state.AHEAD - 1))
CLOCK_GROUP = wp.constant(tables.CLOCK_GROUP)

_LOG_MIN = wp.constant(wp.float64(math.log(LEAD_MIN_S * 1e6)))
_BIN_WIDTH = wp.constant(wp.float64((math.log(LEAD_MAX_S) - math.log(LEAD_MIN_S)) / LEAD_BINS))
BINS = wp.constant(LEAD_BINS)


@wp.struct
class Random:
    """Distributions and the key of their draws."""

    table: DistributionArrays
    seed: wp.uint32
    first_replication: wp.uint32


@wp.func
def next_ordinal(s: Replica, n: int, purpose: int) -> wp.int64:
    ordinal = s.ordinal[n, purpose]
    s.ordinal[n, purpose] = ordinal + ONE
    return ordinal


@wp.func
def want(s: Replica, index: int, purpose: int):
    """A duration is to be drawn for slot ``index`` (CYCLE, SETUP, ARRIVAL, those of
    vehicles) or node ``index`` (FAILURE, REPAIR)."""
    count = s.rep[0].wanted
    s.wanted[count] = (index << 4) | purpose
    s.rep[0].wanted = count + 1


@wp.func
def uniform_of(t: FlowTables, s: Replica, r: Random, n: int, ordinal: wp.int64, purpose: int) -> wp.float64:
    """Uniform number ``ordinal`` of a purpose of node ``n``. What a node draws again and again it draws ``AHEAD`` at a time,
    which the compiler turns into vector instructions: an eighth of the cost. Each of these purposes is of one kind of node."""
    if purpose == CYCLE or purpose == ARRIVAL or purpose == ROUTE or purpose == LOAD:
        block = ordinal >> AHEAD_BITS
        if s.node[n].drawn != block + ONE:
            s.node[n].drawn = block + ONE
            first = block << AHEAD_BITS
            stream = t.node[n].stream
            seed = r.seed
            replication = s.replication
            j = int(0)
            while j < AHEAD:
                s.uniforms[n, j] = uniform(seed, replication, stream, first + wp.int64(j), purpose)
                j += 1
        return s.uniforms[n, int(ordinal & AHEAD_LAST)]
    return uniform(r.seed, s.replication, t.node[n].stream, ordinal, purpose)


@wp.func
def draw_us(t: FlowTables, s: Replica, r: Random, n: int, row: int, purpose: int) -> wp.int64:
    ordinal = next_ordinal(s, n, purpose)
    u = wp.float64(0.5)
    if needs_uniform(r.table, row):
        u = uniform_of(t, s, r, n, ordinal, purpose)
    return duration_us(r.table, row, u)


@wp.func
def draw_uniform(t: FlowTables, s: Replica, r: Random, n: int, purpose: int) -> wp.float64:
    return uniform_of(t, s, r, n, next_ordinal(s, n, purpose), purpose)


@wp.func
def set_clock(t: FlowTables, s: Replica, c: int, due: wp.int64):
    """Clock ``c`` is due at ``due``; the earliest of its group is kept, or -1 where it has to be looked up again."""
    if t.groups > 0:
        g = c // CLOCK_GROUP
        earliest = s.group_due[g]
        if due < earliest:
            s.group_due[g] = due
        elif s.due[c] == earliest and due > earliest:
            s.group_due[g] = wp.int64(-1)
    s.due[c] = due


# ---- statistics


@wp.func
def book(s: Replica, n: int, k: int, state: int):
    """From now on slot ``k`` of node ``n`` counts as ``state``."""
    before = s.slot[k].booked
    if before != state:
        now = s.rep[0].now
        s.state_us[n, before] = s.state_us[n, before] + now - s.slot[k].since
        if before == S_BLOCKED or before == S_STARVED:
            if s.slot[k].waited == 0 and now > s.slot[k].since:
                s.slot[k].waited = 1
                s.node[n].waits = s.node[n].waits + ONE
            if state != S_BLOCKED and state != S_STARVED:
                s.slot[k].waited = 0
        s.slot[k].since = now
        s.slot[k].booked = state


@wp.func
def book_server(s: Replica, n: int, k: int):
    """What a server counts as follows from its state and why its station stands."""
    book(s, n, k, share_of_server(s.slot[k].state, s.node[n].halts))


@wp.func
def book_place(t: FlowTables, s: Replica, n: int, k: int):
    """The same for a source, a buffer or a conveyor, which have one slot."""
    share = S_OFF
    if (s.node[n].halts & HALT_OFF) == 0:
        waits = s.slot[k].ready >= ZERO
        if t.node[n].kind == SOURCE:
            share = share_of_source(waits, t.node[n].limit, s.node[n].made)
        else:
            share = share_of_place(t.node[n].kind, s.node[n].level, t.node[n].capacity, waits)
    book(s, n, k, share)


@wp.func
def count_pieces(t: FlowTables, s: Replica, change: int):
    """``change`` pieces more are inside from now on."""
    now = s.rep[0].now
    bin = s.rep[0].bin
    if now >= s.rep[0].bin_end and bin < t.intervals - 1:
        bin = wp.min(int(now / t.interval_us), t.intervals - 1)
        s.rep[0].bin = bin
        s.rep[0].bin_end = wp.int64(bin + 1) * t.interval_us
    pieces = wp.int64(change)
    s.rep[0].pieces_us = s.rep[0].pieces_us - pieces * now
    s.net_interval[bin] = s.net_interval[bin] + pieces
    s.pieces_interval[bin] = s.pieces_interval[bin] + pieces * (s.rep[0].bin_end - now)


@wp.func
def count_level(s: Replica, n: int, change: int):
    """``change`` items more are in node ``n`` from now on."""
    s.node[n].level = s.node[n].level + change
    s.node[n].level_us = s.node[n].level_us - wp.int64(change) * s.rep[0].now


@wp.func
def count_lead(s: Replica, item: int):
    lead = s.rep[0].now - s.item[item].born
    s.rep[0].lead_us = s.rep[0].lead_us + lead
    s.rep[0].lead_least = wp.min(s.rep[0].lead_least, lead)
    s.rep[0].lead_most = wp.max(s.rep[0].lead_most, lead)
    bin = int((wp.log(wp.float64(wp.max(lead, ONE))) - _LOG_MIN) / _BIN_WIDTH)
    bin = wp.clamp(bin, 0, BINS - 1)
    s.lead_hist[bin] = s.lead_hist[bin] + 1


@wp.func
def count_busy(s: Replica, crew: int, change: int):
    """``change`` people more of a crew are at work from now on."""
    s.crew_busy[crew] = s.crew_busy[crew] + change
    s.crew_us[crew] = s.crew_us[crew] - wp.int64(change) * s.rep[0].now


# ---- items


@wp.func
def new_item(s: Replica, prototype: int) -> int:
    """A place in the pool, -1 (and the flag) when it is used up."""
    item = s.rep[0].free_item
    if item < 0:
        s.rep[0].flags = s.rep[0].flags | OVERFLOW
        return -1
    s.rep[0].free_item = s.item[item].next
    s.item[item].next = -1
    s.item[item].child = -1
    s.item[item].prototype = prototype
    s.item[item].pieces = 1
    s.item[item].defective = 0
    return item


@wp.func
def free_item(s: Replica, item: int):
    s.item[item].next = s.rep[0].free_item
    s.rep[0].free_item = item


@wp.func
def free_with_children(s: Replica, item: int):
    child = s.item[item].child
    while child >= 0:
        following = s.item[child].next
        free_item(s, child)
        child = following
    free_item(s, item)


@wp.func
def push_back(s: Replica, k: int, item: int):
    s.item[item].next = -1
    count = s.slot[k].count
    if count == 0:
        s.slot[k].head = item
    else:
        s.item[s.slot[k].tail].next = item
    s.slot[k].tail = item
    s.slot[k].count = count + 1


@wp.func
def push_front(s: Replica, k: int, item: int):
    s.item[item].next = s.slot[k].head
    if s.slot[k].count == 0:
        s.slot[k].tail = item
        s.item[item].next = -1
    s.slot[k].head = item
    s.slot[k].count = s.slot[k].count + 1


@wp.func
def pop(s: Replica, k: int) -> int:
    item = s.slot[k].head
    s.slot[k].head = s.item[item].next
    s.slot[k].count = s.slot[k].count - 1
    s.slot[k].goal = -1
    s.slot[k].choices = ZERO
    return item


# ---- conveyors


@wp.func
def belt_time(s: Replica, n: int) -> wp.int64:
    """Time on the belt's own clock, which stands with it."""
    if s.node[n].halts != 0:
        return s.node[n].halted_at
    return s.rep[0].now - s.node[n].stopped


@wp.func
def gap_us(t: FlowTables, s: Replica, n: int, ahead: int, behind: int) -> wp.int64:
    """Least distance between the centres of two items [us of travel], at most the belt's length."""
    return least_gap_us(
        t.node[n].pitch_us,
        t.node[n].us_per_m,
        t.node[n].transit_us,
        t.prototype_length[s.item[ahead].prototype],
        t.prototype_length[s.item[behind].prototype],
    )


@wp.func
def belt_has_room(t: FlowTables, s: Replica, n: int, item: int) -> bool:
    """Whether ``item`` may enter conveyor ``n`` now; if not, the node's due time says when to look again, unless the belt
    must move on first."""
    k = t.node[n].slot_begin
    if s.slot[k].count == 0:
        return s.node[n].halts == 0
    last = s.slot[k].tail
    gap = gap_us(t, s, n, last, item)
    s.node[n].gap = gap
    coordinate = s.item[last].coordinate
    transit = t.node[n].transit_us
    standing = transit
    if t.node[n].accumulating != 0:
        standing = transit + s.item[s.slot[k].head].coordinate - coordinate
    clear = entry_clear_us(s.item[last].at, coordinate, transit, s.node[n].front, gap)
    if standing < gap:
        return False
    if clear <= belt_time(s, n):
        return (s.node[n].halts & HALT_OFF) == 0
    if s.node[n].halts == 0:
        c = t.node[n].clock
        set_clock(t, s, c, wp.min(s.due[c], s.node[n].stopped + clear))
    return False


@wp.func
def expect_head(t: FlowTables, s: Replica, n: int, k: int):
    """When the first item of a belt that runs is at its end."""
    head = s.slot[k].head
    arrival = head_arrival_us(s.item[head].at, s.item[head].coordinate, t.node[n].transit_us, s.node[n].front)
    set_clock(t, s, t.slot_clock[k], wp.max(s.node[n].stopped + arrival, s.rep[0].now))


@wp.func
def stop_belt(t: FlowTables, s: Replica, n: int, reason: int):
    k = t.node[n].slot_begin
    if s.node[n].halts == 0:
        s.node[n].halted_at = s.rep[0].now - s.node[n].stopped
        set_clock(t, s, t.slot_clock[k], NEVER_US)
        # an entry that comes clear in this very moment is clear, however long the belt then stands
        if s.due[t.node[n].clock] > s.rep[0].now:
            set_clock(t, s, t.node[n].clock, NEVER_US)
    s.node[n].halts = s.node[n].halts | reason


@wp.func
def start_belt(t: FlowTables, s: Replica, n: int, reason: int):
    """One reason to stand is gone."""
    k = t.node[n].slot_begin
    if s.node[n].halts == reason:
        s.node[n].stopped = s.rep[0].now - s.node[n].halted_at
        if s.slot[k].count > 0 and s.slot[k].ready < ZERO:
            s.node[n].halts = 0
            expect_head(t, s, n, k)
    s.node[n].halts = s.node[n].halts & ~reason


@wp.func
def enter_belt(t: FlowTables, s: Replica, n: int, k: int, item: int):
    """The item enters; ``belt_has_room`` left its distance to the last one in ``gap``."""
    coordinate = s.node[n].coordinate
    if s.slot[k].count > 0:
        coordinate = coordinate + s.node[n].gap
    s.node[n].coordinate = coordinate
    s.item[item].coordinate = coordinate
    s.item[item].at = belt_time(s, n)
    push_back(s, k, item)
    if s.slot[k].count == 1:
        expect_head(t, s, n, k)


@wp.func
def leave_belt(t: FlowTables, s: Replica, n: int, k: int) -> int:
    """The head leaves: those behind it move on."""
    item = pop(s, k)
    s.slot[k].ready = wp.int64(-1)
    if t.node[n].accumulating != 0:
        s.node[n].front = wp.max(s.node[n].front, belt_time(s, n) - s.item[item].coordinate)
        if s.slot[k].count > 0:
            expect_head(t, s, n, k)
    else:
        start_belt(t, s, n, HALT_BLOCKED)
    return item

"""What the line engine does with items: book time, keep the pool, queue them in slots, carry them on belts (docs/semantics.md).

Belts are solved, not stepped. An item's place on a belt at belt time b (time less what the belt has stood) is the least of

    b - at                           it entered at belt time ``at`` and travels freely;
    T + c_head - c                   it stands behind the head at the end (accumulating), c being the running sum of the least
                                     distances between neighbours up to it, and T the belt's length;
    T + b - D_j - (c - c_j)          it follows item j, which left at belt time D_j, at least that far behind.

All in microseconds of travel. Of the last only the greatest D_j - c_j counts, which ``front`` keeps: so the head's arrival
max(at + T, c + front) and the last item's place take constant time, however many items there are.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import math

import warp as wp

from twin.flow import state, tables
from twin.flow.state import LEAD_BINS, LEAD_MAX_S, LEAD_MIN_S, FlowState
from twin.flow.tables import FlowTables
from twin.process import draws
from twin.process.draws import sample_us, uniform
from twin.process.tables import DistributionArrays

SOURCE = wp.constant(0)
STATION = wp.constant(1)
BUFFER = wp.constant(2)
CONVEYOR = wp.constant(3)
ROUTER = wp.constant(4)
SINK = wp.constant(5)
FLEET = wp.constant(6)

IDLE = wp.constant(0)
COLLECTING = wp.constant(1)
READY = wp.constant(2)
SETUP = wp.constant(3)
WORKING = wp.constant(4)
DONE = wp.constant(5)
ASKING = wp.constant(6)
FETCHING = wp.constant(7)
ARRIVED = wp.constant(8)
LOADING = wp.constant(9)
CARRYING = wp.constant(10)
UNLOADING = wp.constant(11)
CHARGING = wp.constant(12)
"""States of a server slot; a source's slot is IDLE or DONE. ASKING: complete, and waiting for people. From FETCHING on, of a
vehicle; ARRIVED: it waits for what it came for, DONE: for room where it goes."""

S_WORKING = wp.constant(0)
S_SETUP = wp.constant(1)
S_BLOCKED = wp.constant(2)
S_STARVED = wp.constant(3)
S_WAITING_CREW = wp.constant(4)
S_DOWN = wp.constant(5)
S_OFF = wp.constant(6)

HALT_DOWN = wp.constant(1)
HALT_OFF = wp.constant(2)
HALT_CREW = wp.constant(4)
HALT_BLOCKED = wp.constant(8)
"""Why a node stands still, as bits: broken down, off shift, its crew off shift, a belt that does not accumulate blocked."""

LIVELOCK = wp.constant(wp.int64(2))
OVERFLOW = wp.constant(wp.int64(4))
"""Flags of a replication."""

NEVER_US = wp.constant(wp.int64(1 << 62))
LONG_AGO = wp.constant(wp.int64(-(1 << 60)))
ZERO = wp.constant(wp.int64(0))
ONE = wp.constant(wp.int64(1))

ARRIVAL = wp.constant(draws.INTERARRIVAL)
CYCLE = wp.constant(draws.CYCLE)
FAILURE = wp.constant(draws.FAILURE)
REPAIR = wp.constant(draws.REPAIR)
SET_UP = wp.constant(draws.SETUP)
ROUTE = wp.constant(draws.ROUTE)
SCRAP = wp.constant(draws.SCRAP)
ITEM_TYPE = wp.constant(draws.ITEM_TYPE)
LOAD = wp.constant(draws.LOAD)
UNLOAD = wp.constant(draws.UNLOAD)
BATTERY = wp.constant(draws.BATTERY)
CHARGE = wp.constant(draws.CHARGE)
PURPOSES = wp.constant(state.PURPOSES)
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
def next_ordinal(s: FlowState, w: int, n: int, purpose: int) -> wp.int64:
    ordinal = s.ordinal[w, n, purpose]
    s.ordinal[w, n, purpose] = ordinal + ONE
    return ordinal


@wp.func
def want(s: FlowState, w: int, index: int, purpose: int):
    """A duration is to be drawn for slot ``index`` (CYCLE, SETUP, ARRIVAL, those of
    vehicles) or node ``index`` (FAILURE, REPAIR)."""
    count = s.rep[w].wanted
    s.wanted[w, count] = (index << 4) | purpose
    s.rep[w].wanted = count + 1


@wp.func
def draw_us(t: FlowTables, s: FlowState, r: Random, w: int, n: int, row: int, purpose: int) -> wp.int64:
    return sample_us(
        r.table, row, r.seed, r.first_replication + wp.uint32(w), t.node[n].stream, next_ordinal(s, w, n, purpose), purpose
    )


@wp.func
def draw_uniform(t: FlowTables, s: FlowState, r: Random, w: int, n: int, purpose: int) -> wp.float64:
    return uniform(r.seed, r.first_replication + wp.uint32(w), t.node[n].stream, next_ordinal(s, w, n, purpose), purpose)


@wp.func
def set_clock(t: FlowTables, s: FlowState, w: int, c: int, due: wp.int64):
    """Clock ``c`` is due at ``due``; the earliest of its group is kept, or -1 where it has to be looked up again."""
    if t.groups > 0:
        g = c // CLOCK_GROUP
        earliest = s.group_due[w, g]
        if due < earliest:
            s.group_due[w, g] = due
        elif s.due[w, c] == earliest and due > earliest:
            s.group_due[w, g] = wp.int64(-1)
    s.due[w, c] = due


# ---- statistics


@wp.func
def book(s: FlowState, w: int, n: int, k: int, state: int):
    """From now on slot ``k`` of node ``n`` counts as ``state``."""
    before = s.slot[w, k].booked
    if before != state:
        now = s.rep[w].now
        s.state_us[w, n, before] = s.state_us[w, n, before] + now - s.slot[w, k].since
        if before == S_BLOCKED or before == S_STARVED:
            if s.slot[w, k].waited == 0 and now > s.slot[w, k].since:
                s.slot[w, k].waited = 1
                s.node[w, n].waits = s.node[w, n].waits + ONE
            if state != S_BLOCKED and state != S_STARVED:
                s.slot[w, k].waited = 0
        s.slot[w, k].since = now
        s.slot[w, k].booked = state


@wp.func
def book_server(s: FlowState, w: int, n: int, k: int):
    """What a server counts as follows from its state and why its station stands."""
    halts = s.node[w, n].halts
    state = s.slot[w, k].state
    share = S_STARVED
    if state == WORKING:
        share = S_WORKING
    elif state == SETUP:
        share = S_SETUP
    elif state == DONE or state == READY or state == ARRIVED:
        share = S_BLOCKED
    elif state == ASKING:
        share = S_WAITING_CREW
    elif state == CHARGING:
        share = S_SETUP
    elif state >= FETCHING:
        share = S_WORKING
    if halts != 0:
        if (halts & HALT_OFF) != 0:
            share = S_OFF
        elif (halts & HALT_DOWN) != 0:
            share = S_DOWN
        elif state == WORKING or state == SETUP:
            share = S_WAITING_CREW
    book(s, w, n, k, share)


@wp.func
def book_place(t: FlowTables, s: FlowState, w: int, n: int, k: int):
    """The same for a source, a buffer or a conveyor, which have one slot."""
    kind = t.node[n].kind
    share = S_WORKING
    if kind == SOURCE:
        if s.slot[w, k].ready >= ZERO:
            share = S_BLOCKED
        elif t.node[n].limit >= ZERO and s.node[w, n].made >= t.node[n].limit:
            share = S_STARVED
    elif s.node[w, n].level == 0:
        share = S_STARVED
    elif kind == BUFFER:
        if t.node[n].capacity >= 0 and s.node[w, n].level >= t.node[n].capacity:
            share = S_BLOCKED
    elif s.slot[w, k].ready >= ZERO:
        share = S_BLOCKED
    if (s.node[w, n].halts & HALT_OFF) != 0:
        share = S_OFF
    book(s, w, n, k, share)


@wp.func
def count_pieces(t: FlowTables, s: FlowState, w: int, change: int):
    """``change`` pieces more are inside from now on."""
    now = s.rep[w].now
    bin = s.rep[w].bin
    if now >= s.rep[w].bin_end and bin < t.intervals - 1:
        bin = wp.min(int(now / t.interval_us), t.intervals - 1)
        s.rep[w].bin = bin
        s.rep[w].bin_end = wp.int64(bin + 1) * t.interval_us
    pieces = wp.int64(change)
    s.rep[w].pieces_us = s.rep[w].pieces_us - pieces * now
    s.net_interval[w, bin] = s.net_interval[w, bin] + pieces
    s.pieces_interval[w, bin] = s.pieces_interval[w, bin] + pieces * (s.rep[w].bin_end - now)


@wp.func
def count_level(s: FlowState, w: int, n: int, change: int):
    """``change`` items more are in node ``n`` from now on."""
    s.node[w, n].level = s.node[w, n].level + change
    s.node[w, n].level_us = s.node[w, n].level_us - wp.int64(change) * s.rep[w].now


@wp.func
def count_lead(s: FlowState, w: int, item: int):
    lead = s.rep[w].now - s.item[w, item].born
    s.rep[w].lead_us = s.rep[w].lead_us + lead
    s.rep[w].lead_least = wp.min(s.rep[w].lead_least, lead)
    s.rep[w].lead_most = wp.max(s.rep[w].lead_most, lead)
    bin = int((wp.log(wp.float64(wp.max(lead, ONE))) - _LOG_MIN) / _BIN_WIDTH)
    bin = wp.clamp(bin, 0, BINS - 1)
    s.lead_hist[w, bin] = s.lead_hist[w, bin] + 1


# ---- items


@wp.func
def new_item(s: FlowState, w: int, prototype: int) -> int:
    """A place in the pool, -1 (and the flag) when it is used up."""
    item = s.rep[w].free_item
    if item < 0:
        s.rep[w].flags = s.rep[w].flags | OVERFLOW
        return -1
    s.rep[w].free_item = s.item[w, item].next
    s.item[w, item].next = -1
    s.item[w, item].child = -1
    s.item[w, item].prototype = prototype
    s.item[w, item].pieces = 1
    s.item[w, item].defective = 0
    return item


@wp.func
def free_item(s: FlowState, w: int, item: int):
    s.item[w, item].next = s.rep[w].free_item
    s.rep[w].free_item = item


@wp.func
def free_with_children(s: FlowState, w: int, item: int):
    child = s.item[w, item].child
    while child >= 0:
        following = s.item[w, child].next
        free_item(s, w, child)
        child = following
    free_item(s, w, item)


@wp.func
def push_back(s: FlowState, w: int, k: int, item: int):
    s.item[w, item].next = -1
    count = s.slot[w, k].count
    if count == 0:
        s.slot[w, k].head = item
    else:
        s.item[w, s.slot[w, k].tail].next = item
    s.slot[w, k].tail = item
    s.slot[w, k].count = count + 1


@wp.func
def push_front(s: FlowState, w: int, k: int, item: int):
    s.item[w, item].next = s.slot[w, k].head
    if s.slot[w, k].count == 0:
        s.slot[w, k].tail = item
        s.item[w, item].next = -1
    s.slot[w, k].head = item
    s.slot[w, k].count = s.slot[w, k].count + 1


@wp.func
def pop(s: FlowState, w: int, k: int) -> int:
    item = s.slot[w, k].head
    s.slot[w, k].head = s.item[w, item].next
    s.slot[w, k].count = s.slot[w, k].count - 1
    s.slot[w, k].goal = -1
    return item


# ---- conveyors


@wp.func
def belt_time(s: FlowState, w: int, n: int) -> wp.int64:
    """Time on the belt's own clock, which stands with it."""
    if s.node[w, n].halts != 0:
        return s.node[w, n].halted_at
    return s.rep[w].now - s.node[w, n].stopped


@wp.func
def gap_us(t: FlowTables, s: FlowState, w: int, n: int, ahead: int, behind: int) -> wp.int64:
    """Least distance between the centres of two items [us of travel], at most the belt's length."""
    gap = t.node[n].pitch_us
    if gap <= ZERO:
        both = t.prototype_length[s.item[w, ahead].prototype] + t.prototype_length[s.item[w, behind].prototype]
        gap = wp.int64(wp.float64(0.5) * both * t.node[n].us_per_m + wp.float64(0.5))
    return wp.min(gap, t.node[n].transit_us)


@wp.func
def belt_has_room(t: FlowTables, s: FlowState, w: int, n: int, item: int) -> bool:
    """Whether ``item`` may enter conveyor ``n`` now; if not, the node's due time says when to look again, unless the belt
    must move on first."""
    k = t.node[n].slot_begin
    if s.slot[w, k].count == 0:
        return s.node[w, n].halts == 0
    last = s.slot[w, k].tail
    gap = gap_us(t, s, w, n, last, item)
    coordinate = s.item[w, last].coordinate
    transit = t.node[n].transit_us
    standing = transit
    if t.node[n].accumulating != 0:
        standing = transit + s.item[w, s.slot[w, k].head].coordinate - coordinate
    clear = wp.max(s.item[w, last].at, coordinate - transit + s.node[w, n].front) + gap
    if standing < gap:
        return False
    if clear <= belt_time(s, w, n):
        return (s.node[w, n].halts & HALT_OFF) == 0
    if s.node[w, n].halts == 0:
        c = t.node[n].clock
        set_clock(t, s, w, c, wp.min(s.due[w, c], s.node[w, n].stopped + clear))
    return False


@wp.func
def expect_head(t: FlowTables, s: FlowState, w: int, n: int, k: int):
    """When the first item of a belt that runs is at its end."""
    head = s.slot[w, k].head
    arrival = wp.max(s.item[w, head].at + t.node[n].transit_us, s.item[w, head].coordinate + s.node[w, n].front)
    set_clock(t, s, w, t.slot_clock[k], wp.max(s.node[w, n].stopped + arrival, s.rep[w].now))


@wp.func
def stop_belt(t: FlowTables, s: FlowState, w: int, n: int, reason: int):
    k = t.node[n].slot_begin
    if s.node[w, n].halts == 0:
        s.node[w, n].halted_at = s.rep[w].now - s.node[w, n].stopped
        set_clock(t, s, w, t.slot_clock[k], NEVER_US)
        # an entry that comes clear in this very moment is clear, however long the belt then stands
        if s.due[w, t.node[n].clock] > s.rep[w].now:
            set_clock(t, s, w, t.node[n].clock, NEVER_US)
    s.node[w, n].halts = s.node[w, n].halts | reason


@wp.func
def start_belt(t: FlowTables, s: FlowState, w: int, n: int, reason: int):
    """One reason to stand is gone."""
    k = t.node[n].slot_begin
    if s.node[w, n].halts == reason:
        s.node[w, n].stopped = s.rep[w].now - s.node[w, n].halted_at
        if s.slot[w, k].count > 0 and s.slot[w, k].ready < ZERO:
            s.node[w, n].halts = 0
            expect_head(t, s, w, n, k)
    s.node[w, n].halts = s.node[w, n].halts & ~reason


@wp.func
def enter_belt(t: FlowTables, s: FlowState, w: int, n: int, k: int, item: int):
    coordinate = s.node[w, n].coordinate
    if s.slot[w, k].count > 0:
        coordinate = coordinate + gap_us(t, s, w, n, s.slot[w, k].tail, item)
    s.node[w, n].coordinate = coordinate
    s.item[w, item].coordinate = coordinate
    s.item[w, item].at = belt_time(s, w, n)
    push_back(s, w, k, item)
    if s.slot[w, k].count == 1:
        expect_head(t, s, w, n, k)


@wp.func
def leave_belt(t: FlowTables, s: FlowState, w: int, n: int, k: int) -> int:
    """The head leaves: those behind it move on."""
    item = pop(s, w, k)
    s.slot[w, k].ready = wp.int64(-1)
    if t.node[n].accumulating != 0:
        s.node[w, n].front = wp.max(s.node[w, n].front, belt_time(s, w, n) - s.item[w, item].coordinate)
        if s.slot[w, k].count > 0:
            expect_head(t, s, w, n, k)
    else:
        start_belt(t, s, w, n, HALT_BLOCKED)
    return item

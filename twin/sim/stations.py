"""Stations at physics time: cycles and set-ups, batches, scrap, failures and repairs, people (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.nodes import (
    ARRIVAL,
    ASKED,
    ASKING,
    BATTERY,
    CHARGE,
    CYCLE,
    DONE,
    FAILURE,
    HALT_CREW,
    HALT_DOWN,
    HALT_OFF,
    IDLE,
    LOAD,
    NEVER_US,
    ONE,
    REPAIR,
    SCRAP,
    SET_UP,
    SETUP,
    UNDER_WAY,
    UNLOAD,
    WORKING,
    ZERO,
)
from twin.process.routes import kept_if_defective
from twin.process.states import calendar_is_on, switch_due_us
from twin.sim.fleets import dispatch
from twin.sim.places import (
    FREE,
    PACKED,
    SERVED,
    Goods,
    Random,
    Site,
    draw_uniform,
    draw_us,
    enter_order,
    forget,
    forget_all,
    free_slot,
    take_off,
    want,
)
from twin.sim.state import LineState
from twin.sim.tables import LineTables


@wp.func
def head_of(s: LineState, w: int, k: int) -> int:
    """The first item of server ``k``."""
    head = int(-1)
    for i in range(s.top[w]):
        if s.server[w, i] == k and s.phase[w, i] != FREE:
            if head < 0 or s.sequence[w, i] < s.sequence[w, wp.max(head, 0)]:
                head = i
    return head


@wp.func
def works(t: LineTables, s: LineState, w: int, n: int) -> bool:
    """Whether a server of station ``n`` works now."""
    if s.halts[w, n] == 0:
        for k in range(t.node[n].slot_begin, t.node[n].slot_end):
            if s.server_state[w, k] == WORKING:
                return True
    return False


# ---- cycles


@wp.func
def work(s: LineState, w: int, k: int):
    """Set-up is over, or not needed: the cycle starts."""
    s.server_state[w, k] = WORKING
    s.server_left_us[w, k] = NEVER_US
    want(s, w, k, CYCLE)


@wp.func
def set_up_and_work(t: LineTables, s: LineState, g: Goods, w: int, k: int, n: int):
    """The server has all it waited for: set up where the type differs from the last one, else work."""
    type = t.prototype_type[g.prototype[w, g.first + head_of(s, w, k)]]
    last = s.last_type[w, n]
    s.last_type[w, n] = type
    if last >= 0 and last != type and t.node[n].setup != 0:  # row 0 is none
        s.server_state[w, k] = SETUP
        s.server_left_us[w, k] = NEVER_US
        want(s, w, k, SET_UP)
    else:
        work(s, w, k)


@wp.func
def begin_service(t: LineTables, s: LineState, g: Goods, w: int, k: int, n: int):
    """The items are there: start, or ask for the people that the work needs."""
    s.server_ready_us[w, k] = wp.int64(-1)
    if t.node[n].crew >= 0 and t.node[n].crew_size > 0:
        s.server_state[w, k] = ASKING
        s.server_asked_us[w, k] = s.time_us[w]
    else:
        set_up_and_work(t, s, g, w, k, n)


@wp.func
def pack(t: LineTables, s: LineState, g: Goods, w: int, k: int, n: int):
    """What is in server ``k`` becomes one item that contains its pieces. Where no slot is free for it, it takes that of its
    first item."""
    whole = free_slot(s, g, w)
    own = whole >= 0
    if not own:
        whole = head_of(s, w, k)
    pieces = int(0)
    for i in range(s.top[w]):
        if s.server[w, i] == k and s.phase[w, i] == SERVED:
            pieces += s.pieces[w, i]
            take_off(s, g, w, i)
            if i != whole:
                if s.pieces[w, i] > s.loose[w, i]:
                    # a pack within a pack: its pieces are packed anew
                    for j in range(s.top[w]):
                        if s.phase[w, j] == PACKED and s.parent[w, j] == i:
                            s.parent[w, j] = whole
                if s.loose[w, i] == 0:
                    forget(s, g, w, i)
                else:
                    s.phase[w, i] = PACKED
                    s.pieces[w, i] = s.loose[w, i]
                    s.parent[w, i] = whole
                    s.node[w, i] = -1
                    s.server[w, i] = -1
    if own:
        s.loose[w, whole] = 0
        s.born_us[w, whole] = ZERO
    s.pieces[w, whole] = pieces
    s.phase[w, whole] = SERVED
    s.node[w, whole] = n
    s.server[w, whole] = k
    s.target[w, whole] = -1
    s.choices[w, whole] = ZERO
    s.defective[w, whole] = 0
    enter_order(s, w, whole)
    g.prototype[w, g.first + whole] = t.node[n].output
    s.level[w, n] = s.level[w, n] + 1 - s.server_count[w, k]
    s.server_count[w, k] = 1


@wp.func
def inspect(t: LineTables, s: LineState, g: Goods, r: Random, w: int, k: int, n: int):
    """What leaves the cycle in server ``k`` is defective or not; where nothing takes it away, it is scrapped here."""
    defective = int(0)
    if draw_uniform(t, s, r, w, n, SCRAP) < t.node[n].scrap_rate:
        defective = int(1)
    scrapped = defective != 0 and not kept_if_defective(t, n)
    count = s.server_count[w, k]
    for i in range(s.top[w]):
        if s.server[w, i] == k and s.phase[w, i] != FREE:
            s.defective[w, i] = defective
            if scrapped:
                s.scrapped[w] = s.scrapped[w] + wp.int64(s.pieces[w, i])
                forget_all(s, g, w, i)
    s.defects[w, n] = s.defects[w, n] + wp.int64(defective * count)
    if scrapped:
        s.level[w, n] = s.level[w, n] - count
        s.left[w, n] = s.left[w, n] + wp.int64(count)
        s.server_count[w, k] = 0
        s.server_state[w, k] = IDLE
        s.server_ready_us[w, k] = wp.int64(-1)


@wp.func
def finish(t: LineTables, s: LineState, g: Goods, r: Random, w: int, k: int, n: int):
    """The cycle in server ``k`` is over."""
    s.server_state[w, k] = DONE
    s.server_ready_us[w, k] = s.time_us[w]
    s.server_joined[w, k] = ZERO
    crew = t.node[n].crew
    if crew >= 0 and t.node[n].crew_size > 0:
        s.crew_free[w, crew] = s.crew_free[w, crew] + t.node[n].crew_size
    if t.node[n].batch > 1 and t.node[n].output >= 0:
        pack(t, s, g, w, k, n)
    if t.node[n].scrap_rate > wp.float64(0.0):
        inspect(t, s, g, r, w, k, n)


@wp.func
def empty_server(t: LineTables, s: LineState, w: int, k: int):
    """One item less in server ``k`` for a reason other than its leaving: the cycle of none ends."""
    s.server_count[w, k] = s.server_count[w, k] - 1
    if s.server_count[w, k] <= 0:
        n = t.slot_node[k]
        state = s.server_state[w, k]
        if state == SETUP or state == WORKING:
            if t.node[n].crew >= 0 and t.node[n].crew_size > 0:
                s.crew_free[w, t.node[n].crew] = s.crew_free[w, t.node[n].crew] + t.node[n].crew_size
        s.server_count[w, k] = 0
        s.server_state[w, k] = IDLE
        s.server_ready_us[w, k] = wp.int64(-1)
        s.server_joined[w, k] = ZERO


# ---- failures


@wp.func
def fail_or_repair(t: LineTables, s: LineState, w: int, n: int):
    """The station breaks down, or it is repaired."""
    crew = t.node[n].repair_crew
    if (s.halts[w, n] & HALT_DOWN) == 0:
        s.halts[w, n] = s.halts[w, n] | HALT_DOWN
        s.fail_us[w, n] = wp.int64(-1)
        s.repair_us[w, n] = NEVER_US
        s.repair[w, n] = UNDER_WAY
        if crew >= 0:
            s.repair[w, n] = ASKED
            s.repair_asked_us[w, n] = s.time_us[w]
        want(s, w, n, REPAIR)
    else:
        if crew >= 0:
            s.crew_free[w, crew] = s.crew_free[w, crew] + 1
        s.repair[w, n] = 0
        s.halts[w, n] = s.halts[w, n] & ~HALT_DOWN
        want(s, w, n, FAILURE)


# ---- durations


@wp.func
def draw_wanted(t: LineTables, s: LineState, g: Goods, r: Random, w: int):
    """Draw all durations asked for. The only place where they are drawn: one copy of the distributions' code keeps the kernel
    small."""
    i = int(0)
    while i < s.wants[w]:
        index = s.wanted[w, i] >> 4
        purpose = s.wanted[w, i] & 15
        i += 1
        n = index
        row = int(0)
        if purpose == FAILURE:
            row = t.node[n].time_to_failure
        elif purpose == REPAIR:
            row = t.node[n].time_to_repair
        elif purpose == ARRIVAL:
            row = t.node[n].interarrival
        else:
            n = t.slot_node[index]
            row = t.node[n].setup
            if purpose == LOAD:
                row = t.node[n].load_time
            elif purpose == UNLOAD:
                row = t.node[n].unload_time
            elif purpose == BATTERY:
                row = t.node[n].battery_time
            elif purpose == CHARGE:
                row = t.node[n].charge_time
            elif purpose == CYCLE:
                row = t.cycle[t.node[n].cycle_begin + t.prototype_type[g.prototype[w, g.first + head_of(s, w, index)]]]
        duration = draw_us(t, s, r, w, n, row, purpose)
        if purpose == FAILURE:
            s.fail_us[w, n] = duration
            s.fail_whole_us[w, n] = duration
        elif purpose == REPAIR:
            s.repair_us[w, n] = wp.max(duration, ONE)
            s.repair_whole_us[w, n] = s.repair_us[w, n]
        elif purpose == ARRIVAL:
            s.arrival_us[w, n] = duration
        elif purpose == SET_UP and duration <= ZERO:
            work(s, w, index)
        elif purpose == BATTERY:
            s.vehicle_battery_us[w, index] = duration
        else:
            s.server_left_us[w, index] = duration
            s.server_whole_us[w, index] = duration
    s.wants[w] = 0


# ---- people


@wp.func
def on_shift(t: LineTables, s: LineState, w: int, shift: int) -> bool:
    return calendar_is_on(t.shift_on[shift], t.shift_first[shift], s.shift_at[w, shift]) != 0


@wp.func
def crew_is_off(t: LineTables, s: LineState, w: int, crew: int) -> bool:
    shift = t.crew_shift[crew]
    if shift < 0:
        return False
    return not on_shift(t, s, w, shift)


@wp.func
def serve(t: LineTables, s: LineState, g: Goods, w: int, crew: int):
    """Free people of a crew turn to the requests in the order in which they were made, then in authored order; the first one
    that they are too few for holds up those after it. A station that stands still keeps its place in the order, but nobody
    waits for it."""
    waiting = bool(True)
    while waiting:
        oldest = NEVER_US
        node = int(-1)
        server = int(-1)
        for n in range(t.nodes):
            if t.node[n].repair_crew == crew:
                if s.repair[w, n] == ASKED and s.repair_asked_us[w, n] < oldest:
                    oldest = s.repair_asked_us[w, n]
                    node = n
                    server = int(-1)
            if t.node[n].crew == crew and s.halts[w, n] == 0:
                for k in range(t.node[n].slot_begin, t.node[n].slot_end):
                    if s.server_state[w, k] == ASKING and s.server_asked_us[w, k] < oldest:
                        oldest = s.server_asked_us[w, k]
                        node = n
                        server = k
        waiting = bool(False)
        if node >= 0:
            people = int(1)
            if server >= 0:
                people = t.node[node].crew_size
            if people <= s.crew_free[w, crew]:
                waiting = bool(True)
                s.crew_free[w, crew] = s.crew_free[w, crew] - people
                if server >= 0:
                    set_up_and_work(t, s, g, w, server, node)
                else:
                    s.repair[w, node] = UNDER_WAY


@wp.func
def staff_and_time(t: LineTables, s: LineState, h: Site):
    """What began gets its people, its vehicles and its durations."""
    w = h.w
    again = bool(True)
    while again:
        draw_wanted(t, s, h.g, h.r, w)
        if t.fleets > 0:
            dispatch(t, s, h)
        for crew in range(t.crews):
            if s.crew_free[w, crew] > 0:
                if not crew_is_off(t, s, w, crew):
                    serve(t, s, h.g, w, crew)
        again = s.wants[w] > 0


@wp.func
def switch_us(t: LineTables, s: LineState, w: int, shift: int) -> wp.int64:
    """When the calendar switches next."""
    return switch_due_us(t.shift_us, t.shift_begin[shift], t.shift_begin[shift + 1], s.shift_at[w, shift], t.begin_us)


@wp.func
def switch_all(t: LineTables, s: LineState, w: int, shift: int):
    """Work begins or ends for all that keep these hours."""
    on = on_shift(t, s, w, shift)
    for n in range(t.nodes):
        if t.node[n].shift == shift:
            s.halts[w, n] = wp.where(on, s.halts[w, n] & ~HALT_OFF, s.halts[w, n] | HALT_OFF)
        crew = t.node[n].crew
        if crew >= 0 and t.node[n].crew_size > 0:
            if t.crew_shift[crew] == shift:
                s.halts[w, n] = wp.where(on, s.halts[w, n] & ~HALT_CREW, s.halts[w, n] | HALT_CREW)

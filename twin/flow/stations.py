"""Stations: cycles and set-ups, failures and repairs, the people they need, and working hours (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.line import Line
from twin.flow.places import (
    ASKING,
    CONVEYOR,
    DONE,
    HALT_CREW,
    HALT_DOWN,
    HALT_OFF,
    IDLE,
    NEVER_US,
    ONE,
    SETUP,
    SOURCE,
    STATION,
    WORKING,
    ZERO,
    book_place,
    book_server,
    count_level,
    count_pieces,
    draw_uniform,
    draw_us,
    free_item,
    free_with_children,
    new_item,
    pop,
    push_back,
    start_belt,
    stop_belt,
)
from twin.flow.routes import look_around, look_at, offer_room
from twin.process.rules import BY_QUALITY

ASKED = wp.constant(1)
UNDER_WAY = wp.constant(2)
"""A repair that waits for people, or goes on."""


@wp.func
def run_clock(g: Line, w: int, n: int):
    """In mode ``operation`` the failure clock runs exactly while a server works."""
    t = g[0].tables
    s = g[0].state
    if t.node[n].time_to_failure < 0 or t.node[n].failure_while_working == 0:
        return
    halts = s.node[w, n].halts
    if (halts & HALT_DOWN) != 0:
        return
    c = t.node[n].clock
    if s.node[w, n].working > 0 and halts == 0:
        if s.due[w, c] == NEVER_US:
            s.due[w, c] = s.rep[w].now + s.node[w, n].time_left
    elif s.due[w, c] != NEVER_US:
        s.node[w, n].time_left = s.due[w, c] - s.rep[w].now
        s.due[w, c] = NEVER_US


@wp.func
def stand_still(g: Line, w: int, n: int, reason: int):
    """A station or source stops what it does for one more reason."""
    t = g[0].tables
    s = g[0].state
    if s.node[w, n].halts == 0:
        for k in range(t.node[n].slot_begin, t.node[n].slot_end):
            c = t.slot_clock[k]
            s.slot[w, k].time_left = wp.int64(-1)
            if s.due[w, c] != NEVER_US:
                s.slot[w, k].time_left = s.due[w, c] - s.rep[w].now
                s.due[w, c] = NEVER_US
    s.node[w, n].halts = s.node[w, n].halts | reason
    run_clock(g, w, n)


@wp.func
def go_on(g: Line, w: int, n: int, reason: int):
    """One reason to stand is gone; with the last one work goes on where it stopped."""
    t = g[0].tables
    s = g[0].state
    if (s.node[w, n].halts & reason) == 0:
        return
    s.node[w, n].halts = s.node[w, n].halts & ~reason
    if s.node[w, n].halts == 0:
        for k in range(t.node[n].slot_begin, t.node[n].slot_end):
            left = s.slot[w, k].time_left
            if left >= ZERO:
                s.due[w, t.slot_clock[k]] = s.rep[w].now + left
                s.slot[w, k].time_left = wp.int64(-1)
    run_clock(g, w, n)


@wp.func
def book_servers(g: Line, w: int, n: int):
    t = g[0].tables
    for k in range(t.node[n].slot_begin, t.node[n].slot_end):
        book_server(g, w, n, k)


@wp.func
def set_due(g: Line, w: int, k: int, n: int, duration: wp.int64):
    """The slot's work takes ``duration`` from now on, or from when its node goes on."""
    t = g[0].tables
    s = g[0].state
    if s.node[w, n].halts != 0:
        s.slot[w, k].time_left = duration
        s.due[w, t.slot_clock[k]] = NEVER_US
    else:
        s.due[w, t.slot_clock[k]] = s.rep[w].now + duration


# ---- cycles


@wp.func
def work(g: Line, w: int, k: int, n: int):
    """Set-up is over, or not needed: the cycle starts."""
    t = g[0].tables
    s = g[0].state
    type = t.prototype_type[s.item[w, s.slot[w, k].head].prototype]
    s.slot[w, k].state = WORKING
    s.node[w, n].working = s.node[w, n].working + 1
    set_due(g, w, k, n, draw_us(g, w, n, t.cycle[t.node[n].cycle_begin + type], 1))
    run_clock(g, w, n)
    book_server(g, w, n, k)


@wp.func
def set_up_and_work(g: Line, w: int, k: int, n: int):
    """The server has all it waited for: set up where the type differs from the last one, else work."""
    t = g[0].tables
    s = g[0].state
    type = t.prototype_type[s.item[w, s.slot[w, k].head].prototype]
    last = s.node[w, n].last_type
    setup = ZERO
    if last >= 0 and last != type:
        setup = draw_us(g, w, n, t.node[n].setup, 4)
    s.node[w, n].last_type = type
    if setup > ZERO:
        s.slot[w, k].state = SETUP
        set_due(g, w, k, n, setup)
        book_server(g, w, n, k)
    else:
        work(g, w, k, n)


@wp.func
def ask(g: Line, w: int) -> wp.int64:
    """The number of a new request for people: lower ones are served first."""
    s = g[0].state
    asked = s.rep[w].asked
    s.rep[w].asked = asked + ONE
    return asked


@wp.func
def begin_service(g: Line, w: int, k: int, n: int):
    """The items are there: start, or ask for the people that the work needs."""
    t = g[0].tables
    s = g[0].state
    s.slot[w, k].ready = wp.int64(-1)
    if t.node[n].crew >= 0 and t.node[n].crew_size > 0:
        s.slot[w, k].state = ASKING
        s.slot[w, k].asked = ask(g, w)
        book_server(g, w, n, k)
    else:
        set_up_and_work(g, w, k, n)


@wp.func
def pack(g: Line, w: int, k: int, n: int):
    """What is in slot ``k`` becomes one item that contains its pieces."""
    t = g[0].tables
    s = g[0].state
    whole = new_item(g, w, t.node[n].output)
    if whole < 0:
        return
    pieces = int(0)
    children = int(-1)
    count = s.slot[w, k].count
    for _ in range(count):
        item = pop(g, w, k)
        pieces = pieces + s.item[w, item].pieces
        child = s.item[w, item].child
        if child < 0:
            s.item[w, item].next = children
            children = item
        else:
            while child >= 0:
                following = s.item[w, child].next
                s.item[w, child].next = children
                children = child
                child = following
            free_item(g, w, item)
    s.item[w, whole].child = children
    s.item[w, whole].pieces = pieces
    s.item[w, whole].born = s.rep[w].now
    push_back(g, w, k, whole)
    count_level(g, w, n, 1 - count)


@wp.func
def kept_if_defective(g: Line, n: int) -> bool:
    """Whether something takes the defective items of station ``n`` away: rework, or a router by quality."""
    t = g[0].tables
    if t.node[n].rework >= 0:
        return True
    if t.node[n].routed != 0:
        return t.node[t.next[t.node[n].next_begin]].rule == BY_QUALITY
    return False


@wp.func
def inspect(g: Line, w: int, k: int, n: int):
    """What leaves the cycle in slot ``k`` is defective or not; where nothing takes it away, it is scrapped here."""
    t = g[0].tables
    s = g[0].state
    defective = int(0)
    if draw_uniform(g, w, n, 6) < t.node[n].scrap_rate:
        defective = 1
    item = s.slot[w, k].head
    count = s.slot[w, k].count
    for _ in range(count):
        s.item[w, item].defective = defective
        item = s.item[w, item].next
    if defective == 0:
        return
    s.node[w, n].defective = s.node[w, n].defective + wp.int64(count)
    if kept_if_defective(g, n):
        return
    pieces = int(0)
    for _ in range(count):
        item = pop(g, w, k)
        pieces += s.item[w, item].pieces
        free_with_children(g, w, item)
    s.rep[w].scrapped = s.rep[w].scrapped + wp.int64(pieces)
    count_pieces(g, w, -pieces)
    count_level(g, w, n, -count)
    s.node[w, n].left = s.node[w, n].left + wp.int64(count)
    s.slot[w, k].state = IDLE
    s.slot[w, k].ready = wp.int64(-1)
    offer_room(g, w, n)


@wp.func
def finish(g: Line, w: int, k: int, n: int):
    """The cycle in slot ``k`` is over."""
    t = g[0].tables
    s = g[0].state
    s.node[w, n].working = s.node[w, n].working - 1
    s.due[w, t.slot_clock[k]] = NEVER_US
    s.slot[w, k].state = DONE
    s.slot[w, k].ready = s.rep[w].now
    s.slot[w, k].joined = ZERO
    if t.node[n].crew >= 0 and t.node[n].crew_size > 0:
        crew = t.node[n].crew
        s.crew_free[w, crew] = s.crew_free[w, crew] + t.node[n].crew_size
    if t.node[n].batch > 1 and t.node[n].output >= 0:
        pack(g, w, k, n)
    if t.node[n].scrap_rate > wp.float64(0.0):
        inspect(g, w, k, n)
    if s.slot[w, k].ready >= ZERO:
        look_at(g, w, k)
    run_clock(g, w, n)
    book_server(g, w, n, k)


# ---- failures


@wp.func
def fail_or_repair(g: Line, w: int, n: int):
    """The station's own event: it breaks down, or it is repaired."""
    t = g[0].tables
    s = g[0].state
    now = s.rep[w].now
    c = t.node[n].clock
    crew = t.node[n].repair_crew
    s.due[w, c] = NEVER_US
    if (s.node[w, n].halts & HALT_DOWN) == 0:
        stand_still(g, w, n, HALT_DOWN)
        repair = wp.max(draw_us(g, w, n, t.node[n].time_to_repair, 3), ONE)
        if crew >= 0:
            s.node[w, n].repair = ASKED
            s.node[w, n].asked = ask(g, w)
            s.node[w, n].time_left = repair
        else:
            s.due[w, c] = now + repair
    else:
        if crew >= 0:
            s.node[w, n].repair = 0
            s.crew_free[w, crew] = s.crew_free[w, crew] + 1
        s.node[w, n].time_left = draw_us(g, w, n, t.node[n].time_to_failure, 2)
        if t.node[n].failure_while_working == 0:
            s.due[w, c] = now + s.node[w, n].time_left
        go_on(g, w, n, HALT_DOWN)
    book_servers(g, w, n)


# ---- people


@wp.func
def serve(g: Line, w: int, crew: int):
    """Free people of a crew turn to the requests in the order in which they were made; the first one that they are too few
    for holds up those after it. A station that stands still keeps its place in the order, but nobody waits for it."""
    t = g[0].tables
    s = g[0].state
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
                    set_up_and_work(g, w, slot, node)
                else:
                    s.node[w, node].repair = UNDER_WAY
                    s.due[w, t.node[node].clock] = s.rep[w].now + s.node[w, node].time_left


@wp.func
def crew_is_off(g: Line, w: int, crew: int) -> bool:
    t = g[0].tables
    shift = t.crew_shift[crew]
    if shift < 0:
        return False
    return on_shift(g, w, shift) == 0


@wp.func
def serve_all(g: Line, w: int):
    t = g[0].tables
    s = g[0].state
    for crew in range(t.crews):
        if s.crew_free[w, crew] > 0:
            if not crew_is_off(g, w, crew):
                serve(g, w, crew)


# ---- working hours


@wp.func
def on_shift(g: Line, w: int, shift: int) -> int:
    """1 while work goes on."""
    t = g[0].tables
    s = g[0].state
    return t.shift_on[shift] ^ ((s.shift_at[w, shift] - t.shift_first[shift]) & 1)


@wp.func
def next_switch(g: Line, w: int, shift: int, clock: int):
    """Due time of the calendar's next switch; ``shift_at`` counts the switches of all weeks since the first week's Monday."""
    t = g[0].tables
    s = g[0].state
    begin = t.shift_begin[shift]
    count = t.shift_begin[shift + 1] - begin
    if count == 0:
        s.due[w, clock] = NEVER_US
        return
    at = s.shift_at[w, shift]
    week = wp.int64(at / count) * wp.int64(604800000000)
    s.due[w, clock] = week + t.shift_us[begin + at % count] - t.begin_us


@wp.func
def switch_node(g: Line, w: int, n: int, on: int):
    t = g[0].tables
    kind = t.node[n].kind
    if kind == SOURCE or kind == STATION:
        if on == 0:
            stand_still(g, w, n, HALT_OFF)
        else:
            go_on(g, w, n, HALT_OFF)
    elif kind == CONVEYOR:
        if on == 0:
            stop_belt(g, w, n, HALT_OFF)
        else:
            start_belt(g, w, n, HALT_OFF)
    else:
        return
    if kind == STATION:
        book_servers(g, w, n)
    else:
        book_place(g, w, n, t.node[n].slot_begin)
    if on != 0:
        look_around(g, w, n)


@wp.func
def switch_crew(g: Line, w: int, crew: int, on: int):
    """People leave or come: what they staff stands still meanwhile, and so do the repairs under way."""
    t = g[0].tables
    s = g[0].state
    for u in range(t.crew_begin[crew], t.crew_begin[crew + 1]):
        n = t.crew_user[u]
        if t.node[n].crew == crew and t.node[n].crew_size > 0:
            if on == 0:
                stand_still(g, w, n, HALT_CREW)
            else:
                go_on(g, w, n, HALT_CREW)
            book_servers(g, w, n)
        if t.node[n].repair_crew == crew and s.node[w, n].repair == UNDER_WAY:
            c = t.node[n].clock
            if on == 0:
                s.node[w, n].time_left = s.due[w, c] - s.rep[w].now
                s.due[w, c] = NEVER_US
            else:
                s.due[w, c] = s.rep[w].now + s.node[w, n].time_left


@wp.func
def switch_all(g: Line, w: int, shift: int, on: int):
    """Work begins or ends for all that keep these hours."""
    t = g[0].tables
    for n in range(t.nodes):
        if t.node[n].shift == shift:
            switch_node(g, w, n, on)
    for crew in range(t.crews):
        if t.crew_shift[crew] == shift:
            switch_crew(g, w, crew, on)

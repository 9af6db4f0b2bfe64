"""How items come, move and go: one by one, the one that has waited longest first, then authored order."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.fleets import load, trip_done
from twin.flow.places import (
    ARRIVAL,
    BUFFER,
    COLLECTING,
    DONE,
    FLEET,
    IDLE,
    ITEM_TYPE,
    LIVELOCK,
    NEVER_US,
    ONE,
    OVERFLOW,
    READY,
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
    set_clock,
    want,
)
from twin.flow.routes import (
    goal_of,
    joined_bit,
    look_at,
    offer_room,
    server_for,
    turn_round_robin,
)
from twin.flow.state import FlowState
from twin.flow.stations import begin_service
from twin.flow.tables import FlowTables
from twin.process.rules import pick_by_weight

MOVES_AT_ONCE = wp.constant(1000000)
"""More moves than this without time passing is a line that runs in circles."""


# ---- sources


@wp.func
def arrive(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int):
    """An item turns up in the source: its prototype is drawn and it waits to leave."""
    set_clock(t, s, w, t.slot_clock[k], NEVER_US)
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
    if kind == FLEET:
        pop(s, w, k)
        trip_done(t, s, w, k, n)
        return item
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
    if kind == FLEET:
        load(t, s, w, c, item, origin)
        return
    if kind == BUFFER:
        s.item[w, item].at = s.rep[w].now
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
                    for m in range(t.node[n].path_begin, t.node[n].path_end):
                        if t.path_goal[m] == goal:
                            s.moved[w, m] = s.moved[w, m] + ONE
                    if t.node[n].rework == goal:
                        s.item[w, item].defective = 0
                    put_in(t, s, r, w, goal, item, n)
                moves += 1
                if moves > MOVES_AT_ONCE:
                    s.rep[w].flags = s.rep[w].flags | LIVELOCK
                if (s.rep[w].flags & (LIVELOCK | OVERFLOW)) != ZERO:
                    return moves
    return moves

"""How items come, move and go: one by one, the one that has waited longest first, then authored order."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.fleets import load, trip_done
from twin.flow.places import (
    LIVELOCK,
    OVERFLOW,
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
from twin.flow.routes import goal_now, look_at, offer_room, server_for, turn_round_robin
from twin.flow.state import Replica
from twin.flow.stations import begin_service
from twin.flow.tables import FlowTables
from twin.process.nodes import (
    ARRIVAL,
    BUFFER,
    COLLECTING,
    DONE,
    FLEET,
    IDLE,
    ITEM_TYPE,
    NEVER_US,
    ONE,
    READY,
    SINK,
    SOURCE,
    STATION,
    ZERO,
)
from twin.process.routes import joined_bit
from twin.process.rules import pick_by_weight

MOVES_AT_ONCE = wp.constant(1000000)
"""More moves than this without time passing is a line that runs in circles."""


# ---- sources


@wp.func
def arrive(t: FlowTables, s: Replica, r: Random, k: int, n: int):
    """An item turns up in the source: its prototype is drawn and it waits to leave."""
    set_clock(t, s, t.slot_clock[k], NEVER_US)
    begin = t.node[n].item_begin
    end = t.node[n].item_end
    if end == begin:
        return
    pick = end - 1
    if end - begin > 1:
        pick = pick_by_weight(t.item_cumulative, begin, end, draw_uniform(t, s, r, n, ITEM_TYPE))
    item = new_item(s, t.item_prototype[pick])
    if item >= 0:
        push_back(s, k, item)
        s.slot[k].state = DONE
        s.slot[k].ready = s.rep[0].now
        look_at(s, k)


@wp.func
def wait_for_arrival(t: FlowTables, s: Replica, r: Random, k: int, n: int):
    """The source is empty: when does the next item turn up?"""
    s.slot[k].state = IDLE
    s.slot[k].ready = wp.int64(-1)
    if t.node[n].limit < ZERO or s.node[n].made < t.node[n].limit:
        if t.node[n].saturated != 0:
            arrive(t, s, r, k, n)
        elif t.node[n].interarrival >= 0:
            want(s, k, ARRIVAL)
    book_place(t, s, n, k)


# ---- moves


@wp.func
def take_out(t: FlowTables, s: Replica, r: Random, k: int, n: int) -> int:
    """The first item of slot ``k`` leaves node ``n``."""
    kind = t.node[n].kind
    item = s.slot[k].head
    s.node[n].left = s.node[n].left + ONE
    if kind == SOURCE:
        pop(s, k)
        count_pieces(t, s, 1)
        s.rep[0].spawned = s.rep[0].spawned + ONE
        s.node[n].made = s.node[n].made + ONE
        s.node[n].entered = s.node[n].entered + ONE
        s.item[item].born = s.rep[0].now
        wait_for_arrival(t, s, r, k, n)
        return item
    count_level(s, n, -1)
    if kind == FLEET:
        pop(s, k)
        trip_done(t, s, k, n)
        return item
    if kind == STATION:
        pop(s, k)
        if s.slot[k].count > 0:
            s.slot[k].ready = s.rep[0].now
            look_at(s, k)
        else:
            s.slot[k].ready = wp.int64(-1)
            s.slot[k].state = IDLE
            book_server(s, n, k)
            offer_room(t, s, n)
        return item
    if kind == BUFFER:
        pop(s, k)
        s.slot[k].ready = wp.int64(-1)
        if s.slot[k].count > 0:
            s.slot[k].ready = s.rep[0].now
            look_at(s, k)
    else:
        leave_belt(t, s, n, k)
    book_place(t, s, n, k)
    offer_room(t, s, n)
    return item


@wp.func
def sink(t: FlowTables, s: Replica, n: int, item: int):
    pieces = s.item[item].pieces
    count_pieces(t, s, -pieces)
    if t.node[n].reject != 0:
        s.rep[0].scrapped = s.rep[0].scrapped + wp.int64(pieces)
    else:
        s.rep[0].sunk = s.rep[0].sunk + wp.int64(pieces)
        s.rep[0].sunk_measured = s.rep[0].sunk_measured + wp.int64(pieces)
        bin = s.rep[0].bin
        s.sunk_interval[bin] = s.sunk_interval[bin] + pieces
        child = s.item[item].child
        if child < 0:
            count_lead(s, item)
        while child >= 0:
            count_lead(s, child)
            child = s.item[child].next
    s.node[n].left = s.node[n].left + ONE
    free_with_children(s, item)


@wp.func
def put_in(t: FlowTables, s: Replica, r: Random, c: int, item: int, origin: int):
    """The item enters node ``c``, which has room."""
    kind = t.node[c].kind
    s.node[c].entered = s.node[c].entered + ONE
    if kind == SINK:
        sink(t, s, c, item)
        return
    count_level(s, c, 1)
    k = t.node[c].slot_begin
    if kind == STATION:
        server = k
        if t.node[c].single == 0:
            server = server_for(t, s, r, c, origin)
        push_back(s, server, item)
        if t.node[c].batch > 1:
            s.slot[server].joined = s.slot[server].joined | joined_bit(t, c, origin)
            s.slot[server].state = COLLECTING
        if s.slot[server].count >= t.node[c].batch:
            if t.node[c].blocking_before != 0:
                s.slot[server].state = READY
                s.slot[server].ready = s.rep[0].now
                look_at(s, server)
                book_server(s, c, server)
            else:
                begin_service(t, s, server, c)
        return
    if kind == FLEET:
        load(t, s, c, item, origin)
        return
    if kind == BUFFER:
        s.item[item].at = s.rep[0].now
        if t.node[c].lifo != 0:
            push_front(s, k, item)
            s.slot[k].goal = -1
            s.slot[k].choices = ZERO
            look_at(s, k)
        else:
            push_back(s, k, item)
        if s.slot[k].ready < ZERO:
            s.slot[k].ready = s.rep[0].now
            look_at(s, k)
    else:
        enter_belt(t, s, c, k, item)
    book_place(t, s, c, k)


@wp.func
def settle(t: FlowTables, s: Replica, r: Random) -> int:
    """Move items until none can; returns how many moves that took."""
    moves = int(0)
    while s.rep[0].todo > 0:
        listed = s.rep[0].todo
        best = int(0)
        k = s.todo[0]
        since = s.slot[k].ready
        j = int(1)
        while j < listed:
            other = s.todo[j]
            ready = s.slot[other].ready
            if ready < since or (ready == since and other < k):
                best = j
                k = other
                since = ready
            j += 1
        listed -= 1
        s.rep[0].todo = listed
        s.todo[best] = s.todo[listed]
        s.slot[k].listed = 0
        if since >= ZERO:
            n = t.slot_node[k]
            goal = goal_now(t, s, r, k, n)
            if goal >= 0:
                if t.node[n].kind == STATION and s.slot[k].state == READY:
                    begin_service(t, s, k, n)
                else:
                    item = take_out(t, s, r, k, n)
                    if t.plain[k] < 0:
                        if t.node[n].routed != 0:
                            turn_round_robin(t, s, r, n, goal)
                        for m in range(t.node[n].path_begin, t.node[n].path_end):
                            if t.path_goal[m] == goal:
                                s.moved[m] = s.moved[m] + ONE
                        if t.node[n].rework == goal:
                            s.item[item].defective = 0
                    put_in(t, s, r, goal, item, n)
                moves += 1
                if moves > MOVES_AT_ONCE:
                    s.rep[0].flags = s.rep[0].flags | LIVELOCK
                if (s.rep[0].flags & (LIVELOCK | OVERFLOW)) != ZERO:
                    return moves
    return moves

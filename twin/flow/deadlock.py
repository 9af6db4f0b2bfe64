"""Which items can never move on: found from who waits for whom, however busy the rest of the line is."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.state import Replica
from twin.flow.tables import FlowTables
from twin.process.nodes import ASKING, BUFFER, COLLECTING, CONVEYOR, FLEET, HALT_OFF, IDLE, NEVER_US, ROUTER, SINK, STATION, ZERO
from twin.process.routes import joined_bit


@wp.func
def will_give_room(t: FlowTables, s: Replica, c: int, origin: int) -> bool:
    """Whether node ``c`` takes something from node ``origin`` now or later, as far as is known."""
    kind = t.node[c].kind
    if kind == SINK:
        return True
    if (s.node[c].halts & HALT_OFF) != 0:
        return True
    if kind == BUFFER:
        if t.node[c].capacity < 0 or s.node[c].level < t.node[c].capacity:
            return True
    if kind == CONVEYOR:
        if s.node[c].level == 0 or s.due[t.node[c].clock] != NEVER_US:
            return True
    bit = ZERO
    if kind == STATION:
        bit = joined_bit(t, c, origin)
    for k in range(t.node[c].slot_begin, t.node[c].slot_end):
        if s.stuck[k] == 0:
            return True
        if kind == STATION or kind == FLEET:
            if s.slot[k].state == IDLE:
                return True
            if s.slot[k].state == COLLECTING and (s.slot[k].joined & bit) == ZERO:
                return True
    return False


@wp.func
def may_go(t: FlowTables, s: Replica, k: int, n: int) -> bool:
    """Whether the first item of slot ``k`` has somewhere to go, now or later."""
    goal = s.slot[k].goal
    if goal >= 0:
        return will_give_room(t, s, goal, n)
    if t.node[n].rework >= 0:
        if s.item[s.slot[k].head].defective != 0:
            return will_give_room(t, s, t.node[n].rework, n)
    # its successors, and those of two routers on the way
    for e in range(t.node[n].next_begin, t.node[n].next_end):
        c = t.next[e]
        if t.node[c].kind != ROUTER:
            if will_give_room(t, s, c, n):
                return True
        else:
            for e2 in range(t.node[c].next_begin, t.node[c].next_end):
                c2 = t.next[e2]
                if t.node[c2].kind != ROUTER:
                    if will_give_room(t, s, c2, n):
                        return True
                else:
                    for e3 in range(t.node[c2].next_begin, t.node[c2].next_end):
                        c3 = t.next[e3]
                        if t.node[c3].kind == ROUTER:
                            return True  # deeper: not looked into
                        if will_give_room(t, s, c3, n):
                            return True
    return False


@wp.func
def goes_on(t: FlowTables, s: Replica, k: int) -> bool:
    """Whether something will yet happen in slot ``k``, given what is known of the others."""
    n = t.slot_node[k]
    if (s.node[n].halts & HALT_OFF) != 0 or s.slot[k].time_left >= ZERO:
        return True
    c = t.slot_clock[k]
    if c >= 0:
        if s.due[c] != NEVER_US:
            return True
    state = s.slot[k].state
    if s.slot[k].ready >= ZERO:
        return may_go(t, s, k, n)
    if t.node[n].kind == STATION:
        if state == ASKING:
            return True
        if state == COLLECTING:
            u = t.node[n].up_begin
            while u < t.node[n].up_end:
                ahead = t.up[u]
                if s.stuck[ahead] == 0 and (s.slot[k].joined & joined_bit(t, n, t.slot_node[ahead])) == ZERO:
                    return True
                u += 1
            return False
    if t.node[n].kind == CONVEYOR:
        return s.slot[k].count > 0
    if s.slot[k].count > 0:
        return True
    # empty: something comes when something ahead of it goes on
    u = t.node[n].up_begin
    while u < t.node[n].up_end:
        if s.stuck[t.up[u]] == 0:
            return True
        u += 1
    return False


@wp.func
def find_stuck(t: FlowTables, s: Replica):
    """Mark in ``stuck`` the slots whose items can never move on: 1."""
    waiting = bool(False)
    for k in range(t.slots):
        s.stuck[k] = 0
        if s.slot[k].ready >= ZERO:
            waiting = bool(True)
    if not waiting:
        return
    for k in range(t.slots):
        s.stuck[k] = 1
    found = bool(True)
    while found:
        found = bool(False)
        for i in range(t.slots):
            k = t.slots - 1 - i
            if s.stuck[k] != 0:
                if goes_on(t, s, k):
                    s.stuck[k] = 0
                    found = bool(True)
    # places that merely stay empty are not stuck, nor is what waits for them to deliver
    for k in range(t.slots):
        if s.slot[k].ready < ZERO:
            s.stuck[k] = 0

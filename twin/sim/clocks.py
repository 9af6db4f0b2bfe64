"""What runs down between events, and what passing time counts as (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.sim.belts import belt_item, head_due_us
from twin.sim.places import (
    ASKING,
    BUFFER,
    DONE,
    HALT_DOWN,
    HALT_OFF,
    NEVER_US,
    READY,
    ROUTER,
    S_BLOCKED,
    S_DOWN,
    S_OFF,
    S_SETUP,
    S_STARVED,
    S_WAITING_CREW,
    S_WORKING,
    SETUP,
    SINK,
    SOURCE,
    STATION,
    WAITING,
    WORKING,
    ZERO,
)
from twin.sim.state import LineState
from twin.sim.stations import UNDER_WAY, crew_is_off, switch_us, works
from twin.sim.tables import LineTables


@wp.func
def runs_down(t: LineTables, s: LineState, w: int, n: int) -> bool:
    """Whether the time to the next failure of station ``n`` runs."""
    if s.fail_us[w, n] < ZERO or (s.halts[w, n] & HALT_DOWN) != 0:
        return False
    if t.failure_while_working[n] == 0:
        return True
    return works(t, s, w, n)


@wp.func
def is_repaired(t: LineTables, s: LineState, w: int, n: int) -> bool:
    """Whether a repair of station ``n`` goes on."""
    if (s.halts[w, n] & HALT_DOWN) == 0 or s.repair[w, n] != UNDER_WAY:
        return False
    if t.repair_crew[n] >= 0:
        return not crew_is_off(t, s, w, t.repair_crew[n])
    return True


@wp.func
def next_clock(t: LineTables, s: LineState, w: int):
    """Time until the next event [us], and which it is: servers and sources, then failures and repairs, then calendars."""
    due = NEVER_US
    clock = int(-1)
    for n in range(t.nodes):
        kind = t.kind[n]
        if kind == STATION:
            if s.halts[w, n] == 0:
                for k in range(t.server_begin[n], t.server_begin[n + 1]):
                    state = s.server_state[w, k]
                    if state == SETUP or state == WORKING:
                        if s.server_left_us[w, k] < due:
                            due = s.server_left_us[w, k]
                            clock = k
        elif t.placeless[n] != 0:
            left = head_due_us(t, s, w, n)
            if left < due:
                due = left
                clock = t.all_servers + n
        elif kind == SOURCE:
            if s.halts[w, n] == 0 and s.arrival_us[w, n] >= ZERO and s.arrival_us[w, n] < due:
                due = s.arrival_us[w, n]
                clock = t.all_servers + n
    for n in range(t.nodes):
        if t.kind[n] == STATION:
            if runs_down(t, s, w, n) and s.fail_us[w, n] < due:
                due = s.fail_us[w, n]
                clock = t.all_servers + t.nodes + n
            elif is_repaired(t, s, w, n) and s.repair_us[w, n] < due:
                due = s.repair_us[w, n]
                clock = t.all_servers + t.nodes + n
        elif t.placeless[n] != 0:
            if s.belt_entry_us[w, n] >= ZERO and s.halts[w, n] == 0:
                left = wp.max(s.belt_entry_us[w, n] - s.belt_us[w, n], ZERO)
                if left < due:
                    due = left
                    clock = t.all_servers + t.nodes + n
    for shift in range(t.shifts):
        left = switch_us(t, s, w, shift) - s.time_us[w]
        if left < due:
            due = left
            clock = t.all_servers + 2 * t.nodes + shift
    return due, clock


@wp.func
def share_of(s: LineState, w: int, n: int, k: int) -> int:
    """What server ``k`` of station ``n`` counts as follows from its state and why its station stands."""
    halts = s.halts[w, n]
    state = s.server_state[w, k]
    share = S_STARVED
    if state == WORKING:
        share = S_WORKING
    elif state == SETUP:
        share = S_SETUP
    elif state == DONE or state == READY:
        share = S_BLOCKED
    elif state == ASKING:
        share = S_WAITING_CREW
    if halts != 0:
        if (halts & HALT_OFF) != 0:
            share = S_OFF
        elif (halts & HALT_DOWN) != 0:
            share = S_DOWN
        elif state == WORKING or state == SETUP:
            share = S_WAITING_CREW
    return share


@wp.func
def judge(t: LineTables, s: LineState, w: int, n: int):
    """Which state the node is in from now on; that of a station is what most tells of its servers."""
    kind = t.kind[n]
    state = S_STARVED
    if kind == STATION:
        rank = int(-1)
        begin = t.server_begin[n]
        for k in range(begin, wp.min(begin + t.servers[n], t.server_begin[n + 1])):
            share = share_of(s, w, n, k)
            # off, down, set-up, working, waiting for people, blocked, starved
            order = int(0)
            if share == S_OFF:
                order = 6
            elif share == S_DOWN:
                order = 5
            elif share == S_SETUP:
                order = 4
            elif share == S_WORKING:
                order = 3
            elif share == S_WAITING_CREW:
                order = 2
            elif share == S_BLOCKED:
                order = 1
            if order > rank:
                rank = order
                state = share
    elif (s.halts[w, n] & HALT_OFF) != 0:
        state = S_OFF
    elif kind == SOURCE:
        state = S_WORKING
        if s.waiting[w, n] != -1:
            state = S_BLOCKED
        elif t.limit[n] >= ZERO and s.made[w, n] >= t.limit[n]:
            state = S_STARVED
    elif kind == ROUTER or kind == SINK:
        state = S_WORKING
    elif s.level[w, n] > 0:
        state = S_WORKING
        if t.placeless[n] != 0:
            if s.phase[w, belt_item(s, w, n, 0)] == WAITING:
                state = S_BLOCKED
        elif s.stuck[w, n] > 0:
            state = S_BLOCKED
        elif kind == BUFFER and t.capacity[n] >= 0 and s.level[w, n] >= t.capacity[n]:
            state = S_BLOCKED
    s.state[w, n] = state


@wp.func
def advance(t: LineTables, s: LineState, w: int, dt: wp.int64):
    """Let ``dt`` pass in which nothing happens: run all clocks down and book what every node was in."""
    if dt <= ZERO:
        return
    inside = s.spawned[w] - s.sunk[w] - s.scrapped[w] - s.lost[w]
    s.pieces_us[w] = s.pieces_us[w] + inside * dt
    for n in range(t.nodes):
        s.level_us[w, n] = s.level_us[w, n] + wp.int64(s.level[w, n]) * dt
        kind = t.kind[n]
        if kind == STATION:
            if runs_down(t, s, w, n):
                s.fail_us[w, n] = s.fail_us[w, n] - dt
            elif is_repaired(t, s, w, n):
                s.repair_us[w, n] = s.repair_us[w, n] - dt
            begin = t.server_begin[n]
            for k in range(begin, t.server_begin[n + 1]):
                if k < begin + t.servers[n]:
                    share = share_of(s, w, n, k)
                    s.state_us[w, n, share] = s.state_us[w, n, share] + dt
                state = s.server_state[w, k]
                if (state == SETUP or state == WORKING) and s.halts[w, n] == 0:
                    s.server_left_us[w, k] = s.server_left_us[w, k] - dt
        else:
            judge(t, s, w, n)
            s.state_us[w, n, s.state[w, n]] = s.state_us[w, n, s.state[w, n]] + dt
            if t.placeless[n] != 0 and s.halts[w, n] == 0:
                s.belt_us[w, n] = s.belt_us[w, n] + dt
            if kind == SOURCE and s.arrival_us[w, n] >= ZERO and s.halts[w, n] == 0:
                s.arrival_us[w, n] = s.arrival_us[w, n] - dt
    s.time_us[w] = s.time_us[w] + dt

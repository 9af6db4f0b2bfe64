"""What runs down between events, and what passing time counts as (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.nodes import (
    ARRIVED,
    FETCHING,
    FLEET,
    HALT_DOWN,
    HALT_OFF,
    NEVER_US,
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
    UNDER_WAY,
    WORKING,
    ZERO,
)
from twin.process.states import share_of_place, share_of_server, share_of_source
from twin.sim.belts import belt_item, head_due_us
from twin.sim.places import WAITING
from twin.sim.state import LineState
from twin.sim.stations import crew_is_off, switch_us, works
from twin.sim.tables import LineTables


@wp.func
def runs_down(t: LineTables, s: LineState, w: int, n: int) -> bool:
    """Whether the time to the next failure of station ``n`` runs."""
    if s.fail_us[w, n] < ZERO or (s.halts[w, n] & HALT_DOWN) != 0:
        return False
    if t.node[n].failure_while_working == 0:
        return True
    return works(t, s, w, n)


@wp.func
def is_repaired(t: LineTables, s: LineState, w: int, n: int) -> bool:
    """Whether a repair of station ``n`` goes on."""
    if (s.halts[w, n] & HALT_DOWN) == 0 or s.repair[w, n] != UNDER_WAY:
        return False
    if t.node[n].repair_crew >= 0:
        return not crew_is_off(t, s, w, t.node[n].repair_crew)
    return True


@wp.func
def next_clock(t: LineTables, s: LineState, w: int):
    """Time until the next event [us], and which it is: servers and sources, then failures and repairs, then calendars."""
    due = NEVER_US
    clock = int(-1)
    for n in range(t.nodes):
        kind = t.node[n].kind
        if kind == STATION:
            if s.halts[w, n] == 0:
                for k in range(t.node[n].slot_begin, t.node[n].slot_end):
                    state = s.server_state[w, k]
                    if state == SETUP or state == WORKING:
                        if s.server_left_us[w, k] < due:
                            due = s.server_left_us[w, k]
                            clock = k
        elif kind == FLEET:
            if s.halts[w, n] == 0:
                for k in range(t.node[n].slot_begin, t.node[n].slot_end):
                    if s.server_state[w, k] >= FETCHING and s.server_state[w, k] != ARRIVED:
                        if s.server_left_us[w, k] < due:
                            due = s.server_left_us[w, k]
                            clock = k
        elif t.placeless[n] != 0:
            left = head_due_us(t, s, w, n)
            if left < due:
                due = left
                clock = t.slots + n
        elif kind == SOURCE:
            if s.halts[w, n] == 0 and s.arrival_us[w, n] >= ZERO and s.arrival_us[w, n] < due:
                due = s.arrival_us[w, n]
                clock = t.slots + n
    for n in range(t.nodes):
        if t.node[n].kind == STATION:
            if runs_down(t, s, w, n) and s.fail_us[w, n] < due:
                due = s.fail_us[w, n]
                clock = t.slots + t.nodes + n
            elif is_repaired(t, s, w, n) and s.repair_us[w, n] < due:
                due = s.repair_us[w, n]
                clock = t.slots + t.nodes + n
        elif t.placeless[n] != 0:
            if s.belt_entry_us[w, n] >= ZERO and s.halts[w, n] == 0:
                left = wp.max(s.belt_entry_us[w, n] - s.belt_us[w, n], ZERO)
                if left < due:
                    due = left
                    clock = t.slots + t.nodes + n
    for shift in range(t.shifts):
        left = switch_us(t, s, w, shift) - s.time_us[w]
        if left < due:
            due = left
            clock = t.slots + 2 * t.nodes + shift
    return due, clock


@wp.func
def judge(t: LineTables, s: LineState, w: int, n: int):
    """Which state the node is in from now on; that of a station is what most tells of its servers."""
    kind = t.node[n].kind
    state = S_STARVED
    if kind == STATION or kind == FLEET:
        rank = int(-1)
        begin = t.node[n].slot_begin
        for k in range(begin, wp.min(begin + t.node[n].servers, t.node[n].slot_end)):
            share = share_of_server(s.server_state[w, k], s.halts[w, n])
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
        state = share_of_source(s.waiting[w, n] != -1, t.node[n].limit, s.made[w, n])
    elif kind == ROUTER or kind == SINK:
        state = S_WORKING
    elif s.level[w, n] > 0:
        waits = s.stuck[w, n] > 0
        if t.placeless[n] != 0:
            waits = s.phase[w, belt_item(s, w, n, 0)] == WAITING
        state = share_of_place(kind, s.level[w, n], t.node[n].capacity, waits)
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
        kind = t.node[n].kind
        if kind == STATION or kind == FLEET:
            if runs_down(t, s, w, n):
                s.fail_us[w, n] = s.fail_us[w, n] - dt
            elif is_repaired(t, s, w, n):
                s.repair_us[w, n] = s.repair_us[w, n] - dt
            elif (s.halts[w, n] & (HALT_DOWN | HALT_OFF)) == HALT_DOWN:
                s.unattended_us[w, n] = s.unattended_us[w, n] + dt
            begin = t.node[n].slot_begin
            for k in range(begin, t.node[n].slot_end):
                if k < begin + t.node[n].servers:
                    share = share_of_server(s.server_state[w, k], s.halts[w, n])
                    s.state_us[w, n, share] = s.state_us[w, n, share] + dt
                state = s.server_state[w, k]
                timed = state == SETUP or state == WORKING or (state >= FETCHING and state != ARRIVED)
                if timed and s.halts[w, n] == 0:
                    s.server_left_us[w, k] = s.server_left_us[w, k] - dt
        else:
            judge(t, s, w, n)
            s.state_us[w, n, s.state[w, n]] = s.state_us[w, n, s.state[w, n]] + dt
            if t.placeless[n] != 0 and s.halts[w, n] == 0:
                s.belt_us[w, n] = s.belt_us[w, n] + dt
            if kind == SOURCE and s.arrival_us[w, n] >= ZERO and s.halts[w, n] == 0:
                s.arrival_us[w, n] = s.arrival_us[w, n] - dt
    for crew in range(t.crews):
        if not crew_is_off(t, s, w, crew):
            people = t.crew_people[crew]
            s.crew_on_us[w, crew] = s.crew_on_us[w, crew] + wp.int64(people) * dt
            s.crew_busy_us[w, crew] = s.crew_busy_us[w, crew] + wp.int64(people - s.crew_free[w, crew]) * dt
    s.time_us[w] = s.time_us[w] + dt

"""Conveyors without geometry at physics time: goods on them have no bodies and are timed, as in the flow engine.

``twin.process.belts`` says how. All in microseconds of travel.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.belts import entry_clear_us, head_arrival_us, least_gap_us
from twin.process.nodes import HALT_BLOCKED, HALT_OFF, NEVER_US, ZERO
from twin.sim.places import MOVING, WAITING, Goods
from twin.sim.state import LineState
from twin.sim.tables import LineTables


@wp.func
def belt_item(s: LineState, w: int, n: int, last: int) -> int:
    """The first item on belt ``n``, the last one where ``last`` is not 0; -1 for none."""
    found = int(-1)
    for i in range(s.top[w]):
        if s.node[w, i] == n and (s.phase[w, i] == MOVING or s.phase[w, i] == WAITING):
            better = found < 0
            if not better:
                better = (s.sequence[w, i] > s.sequence[w, found]) == (last != 0)
            if better:
                found = i
    return found


@wp.func
def gap_us(t: LineTables, g: Goods, w: int, n: int, ahead: int, behind: int) -> wp.int64:
    """Least distance between the centres of two items [us of travel], at most the belt's length."""
    return least_gap_us(
        t.node[n].pitch_us,
        t.node[n].us_per_m,
        t.node[n].transit_us,
        t.prototype_length[g.prototype[w, g.first + ahead]],
        t.prototype_length[g.prototype[w, g.first + behind]],
    )


@wp.func
def timed_room(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int) -> bool:
    """Whether item ``i`` may enter belt ``n`` now; if not, when to look again, unless the belt must move on first."""
    last = belt_item(s, w, n, 1)
    if last < 0:
        return s.halts[w, n] == 0
    gap = gap_us(t, g, w, n, last, i)
    coordinate = s.coordinate_us[w, last]
    transit = t.node[n].transit_us
    standing = transit
    if t.node[n].accumulating != 0:
        standing = transit + s.coordinate_us[w, belt_item(s, w, n, 0)] - coordinate
    if standing < gap:
        return False
    clear = entry_clear_us(s.at_us[w, last], coordinate, transit, s.belt_front_us[w, n], gap)
    if clear <= s.belt_us[w, n]:
        return (s.halts[w, n] & HALT_OFF) == 0
    if s.belt_entry_us[w, n] < ZERO or clear < s.belt_entry_us[w, n]:
        s.belt_entry_us[w, n] = clear
    return False


@wp.func
def enter_belt(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int):
    """Item ``i``, which is not yet on belt ``n``, enters it."""
    last = belt_item(s, w, n, 1)
    if last >= 0:
        s.belt_end_us[w, n] = s.belt_end_us[w, n] + gap_us(t, g, w, n, last, i)
    s.coordinate_us[w, i] = s.belt_end_us[w, n]
    s.at_us[w, i] = s.belt_us[w, n]


@wp.func
def leave_belt(t: LineTables, s: LineState, w: int, i: int, n: int):
    """The head leaves: those behind it move on."""
    if t.node[n].accumulating != 0:
        s.belt_front_us[w, n] = wp.max(s.belt_front_us[w, n], s.belt_us[w, n] - s.coordinate_us[w, i])
    s.halts[w, n] = s.halts[w, n] & ~HALT_BLOCKED


@wp.func
def head_due_us(t: LineTables, s: LineState, w: int, n: int) -> wp.int64:
    """Until the first item of a belt that runs is at its end [us]."""
    head = belt_item(s, w, n, 0)
    if head < 0:
        return NEVER_US
    if s.phase[w, head] != MOVING or s.halts[w, n] != 0:
        return NEVER_US
    arrival = head_arrival_us(s.at_us[w, head], s.coordinate_us[w, head], t.node[n].transit_us, s.belt_front_us[w, n])
    return wp.max(arrival - s.belt_us[w, n], ZERO)


@wp.func
def head_arrives(t: LineTables, s: LineState, w: int, n: int):
    """The first item is at the end of the belt."""
    head = belt_item(s, w, n, 0)
    s.phase[w, head] = WAITING
    s.since_us[w, head] = s.time_us[w]
    if t.node[n].accumulating == 0:
        s.halts[w, n] = s.halts[w, n] | HALT_BLOCKED

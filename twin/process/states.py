"""What nodes count as, and when calendars switch (docs/semantics.md, "Stations", "Calendars")."""

from __future__ import annotations

import numpy as np
import warp as wp

from twin.model import shifts
from twin.process.nodes import (
    ARRIVED,
    ASKING,
    BUFFER,
    CHARGING,
    DONE,
    FETCHING,
    HALT_DOWN,
    HALT_OFF,
    HALT_UNATTENDED,
    NEVER_US,
    READY,
    S_BLOCKED,
    S_DOWN,
    S_OFF,
    S_SETUP,
    S_STARVED,
    S_UNATTENDED,
    S_WAITING_CREW,
    S_WORKING,
    SETUP,
    WORKING,
    ZERO,
)

WEEK_US = wp.constant(wp.int64(shifts.WEEK_US))


@wp.func
def share_of_server(state: int, halts: int) -> int:
    """What a server or vehicle in ``state`` counts as, given why its node stands."""
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
            if (halts & HALT_UNATTENDED) != 0:
                share = S_UNATTENDED
        elif state == WORKING or state == SETUP:
            share = S_WAITING_CREW
    return share


def without_unattended(booked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times by what they were booked to, [..., SHARES], as times by NodeState, [..., 7], and the part of the time down in
    which nobody repaired, [...]."""
    unattended = booked[..., S_UNATTENDED]
    out = booked[..., :S_UNATTENDED].copy()
    out[..., S_DOWN] += unattended
    return out, unattended.copy()


@wp.func
def share_of_source(waits: bool, limit: wp.int64, made: wp.int64) -> int:
    """What a source counts as: blocked while an item ``waits`` in it, starved when it has made all it will."""
    if waits:
        return S_BLOCKED
    if limit >= ZERO and made >= limit:
        return S_STARVED
    return S_WORKING


@wp.func
def share_of_place(kind: int, level: int, capacity: int, head_waits: bool) -> int:
    """What a buffer or conveyor with ``level`` items counts as: blocked when full, or when its first item waits."""
    if level == 0:
        return S_STARVED
    if kind == BUFFER:
        if capacity >= 0 and level >= capacity:
            return S_BLOCKED
        return S_WORKING
    if head_waits:
        return S_BLOCKED
    return S_WORKING


@wp.func
def calendar_is_on(on: int, first: int, at: int) -> int:
    """1 while work goes on; ``on`` at time 0, when the next switch is number ``first``; now that is number ``at``."""
    return on ^ ((at - first) & 1)


@wp.func
def switch_due_us(switches: wp.array(dtype=wp.int64), begin: int, end: int, at: int, begin_us: wp.int64) -> wp.int64:
    """When switch number ``at`` of a calendar, all weeks counted, is due [us since time 0]; its times in the week are
    [begin, end) of ``switches``, time 0 is ``begin_us`` in the week."""
    count = end - begin
    if count == 0:
        return NEVER_US
    return wp.int64(at / count) * WEEK_US + switches[begin + at % count] - begin_us

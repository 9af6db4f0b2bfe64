"""Kernels that are run once, where a run does not begin with an empty line. Beside ``kernel.py``, whose one kernel the compiler
makes one function of only as long as nobody else calls its parts."""

from __future__ import annotations

import warp as wp

from twin.flow.forks import Given, place, redraw_all, redraw_node, redraw_slot
from twin.flow.kernel import begin, staff_and_time
from twin.flow.places import Random
from twin.flow.state import FlowState, replica_of
from twin.flow.stations import fail_or_repair
from twin.flow.tables import FlowTables
from twin.process.nodes import ZERO


@wp.kernel
def begin_from(
    # model
    t: FlowTables,
    r: Random,
    given: Given,
    station: wp.array(dtype=wp.int32),
    station_us: wp.array(dtype=wp.int64),
    down_count: int,
    up_count: int,
    # state in/out
    state: FlowState,
):
    """Time 0 of a line on which something stands already; ``station``: first those that are being repaired, and for how long,
    then those whose time to failure has run for some time."""
    s = replica_of(state, wp.tid(), r.first_replication)
    begin(t, s, r)
    staff_and_time(t, s, r)
    for i in range(down_count):
        fail_or_repair(t, s, station[i])
        staff_and_time(t, s, r)
        redraw_node(t, s, r, station[i], station_us[i])
    for i in range(down_count, down_count + up_count):
        redraw_node(t, s, r, station[i], station_us[i])
    for i in range(given.count):
        k = place(t, s, r, given, i)
        staff_and_time(t, s, r)
        if k >= 0 and given.elapsed_us[i] >= ZERO:
            redraw_slot(t, s, r, k, given.elapsed_us[i])


@wp.kernel
def redraw_pending(
    # model
    t: FlowTables,
    r: Random,
    # state in/out
    state: FlowState,
):
    """Make each replication a future of its own."""
    redraw_all(t, replica_of(state, wp.tid(), r.first_replication), r)

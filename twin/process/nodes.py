"""What kernels of both engines call alike: kinds of nodes, states of servers, why nodes stand still (docs/semantics.md)."""

from __future__ import annotations

import warp as wp

from twin.process import draws

SOURCE = wp.constant(0)
STATION = wp.constant(1)
BUFFER = wp.constant(2)
CONVEYOR = wp.constant(3)
ROUTER = wp.constant(4)
SINK = wp.constant(5)
FLEET = wp.constant(6)

IDLE = wp.constant(0)
COLLECTING = wp.constant(1)
READY = wp.constant(2)
SETUP = wp.constant(3)
WORKING = wp.constant(4)
DONE = wp.constant(5)
ASKING = wp.constant(6)
FETCHING = wp.constant(7)
ARRIVED = wp.constant(8)
LOADING = wp.constant(9)
CARRYING = wp.constant(10)
UNLOADING = wp.constant(11)
CHARGING = wp.constant(12)
"""States of a server. READY works only when there is room downstream; ASKING is complete, and waits for people. From FETCHING
on, of a vehicle; ARRIVED: it waits for what it came for, DONE: for room where it goes."""

S_WORKING = wp.constant(0)
S_SETUP = wp.constant(1)
S_BLOCKED = wp.constant(2)
S_STARVED = wp.constant(3)
S_WAITING_CREW = wp.constant(4)
S_DOWN = wp.constant(5)
S_OFF = wp.constant(6)
S_UNATTENDED = wp.constant(7)
"""States of a node (``NodeState``). While it is counted, S_UNATTENDED is the part of S_DOWN in
which nobody repairs."""
SHARES = wp.constant(8)

HALT_DOWN = wp.constant(1)
HALT_OFF = wp.constant(2)
HALT_CREW = wp.constant(4)
HALT_BLOCKED = wp.constant(8)
HALT_UNATTENDED = wp.constant(16)
"""Why a node stands still, as bits: broken down, off shift, its crew off shift, a belt that does not accumulate blocked; with
the first one, that its repair waits for people."""

ASKED = wp.constant(1)
UNDER_WAY = wp.constant(2)
"""A repair that waits for people, or goes on."""

NEVER_US = wp.constant(wp.int64(1 << 62))
LONG_AGO = wp.constant(wp.int64(-(1 << 60)))
ZERO = wp.constant(wp.int64(0))
ONE = wp.constant(wp.int64(1))

ARRIVAL = wp.constant(draws.INTERARRIVAL)
CYCLE = wp.constant(draws.CYCLE)
FAILURE = wp.constant(draws.FAILURE)
REPAIR = wp.constant(draws.REPAIR)
SET_UP = wp.constant(draws.SETUP)
ROUTE = wp.constant(draws.ROUTE)
SCRAP = wp.constant(draws.SCRAP)
ITEM_TYPE = wp.constant(draws.ITEM_TYPE)
LOAD = wp.constant(draws.LOAD)
UNLOAD = wp.constant(draws.UNLOAD)
BATTERY = wp.constant(draws.BATTERY)
CHARGE = wp.constant(draws.CHARGE)

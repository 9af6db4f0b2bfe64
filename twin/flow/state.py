"""The state of R replications of a line: arrays of records, so that one replication's data lies together in the cache."""

from __future__ import annotations

from typing import Any

import warp as wp

from twin.process.dense import make_dense
from twin.process.line import struct
from twin.process.nodes import SHARES

PURPOSES = 12
AHEAD = 8
LEAD_BINS = 512
LEAD_MIN_S = 0.01
LEAD_MAX_S = 1.0e7

_I32 = wp.int32
_I64 = wp.int64

Replication = struct(
    "Replication",
    {
        **dict.fromkeys(
            (
                "now",
                "spawned",
                "sunk",
                "scrapped",
                "sunk_measured",
                "pieces_us",
                "lead_us",
                "lead_least",
                "lead_most",
                "events",
                "flags",
                "bin_end",
                "inside",
            ),
            _I64,
        ),
        **dict.fromkeys(("bin", "free_item", "todo", "wanted"), _I32),
    },
    __name__,
)
"""``pieces_us``: sum of the times at which pieces left minus those at which they came. ``inside``: pieces counted
where they are, when all is over. ``bin``, ``bin_end``: the interval of the time series that ``now`` lies in. ``todo``,
``wanted``: length of those lists."""

NodeState = struct(
    "NodeState",
    {
        **dict.fromkeys(("time_left", "duration", "made", "entered", "left", "level_us", "defective", "asked", "stopped",
                         "halted_at", "front", "coordinate", "gap", "waits", "drawn"), _I64),
        **dict.fromkeys(("halts", "level", "last_type", "round_robin", "working", "repair"), _I32),
    },
    __name__,
)  # fmt: skip
"""``time_left``: of the time to failure or the repair while its clock stands; ``duration``: all of it.
``drawn``: block of ``uniforms`` that is there, counted from 1. ``waits``: how often a slot of it was
blocked or starved for some time. ``level_us``: as ``pieces_us``, for items here.
Conveyors: ``stopped`` is how long the belt has stood, ``halted_at`` the belt's time while it stands, ``front`` and
``coordinate`` see ``places.py``, ``gap`` the least distance between the last item and the one that is about to enter."""

SlotState = struct(
    "SlotState",
    {
        **dict.fromkeys(("ready", "time_left", "duration", "since", "asked", "joined", "choices"), _I64),
        **dict.fromkeys(("state", "booked", "head", "tail", "count", "goal", "listed", "waited"), _I32),
    },
    __name__,
)
"""``ready``: since when its first item waits to leave, -1 it does not. ``since``: when the state being ``booked`` began.
``duration``: of what its clock runs for, as drawn. ``joined``: bit per upstream node whose item an assembly has.
``goal``: a kept choice, ``choices``: those at routers by probability behind a choice by room.
``listed``: is in the todo list. ``waited``: the wait (blocked or starved for some time) that it is in has been counted."""

ItemState = struct(
    "ItemState",
    {
        **dict.fromkeys(("born", "at", "coordinate"), _I64),
        **dict.fromkeys(("next", "child", "prototype", "pieces", "defective"), _I32),
    },
    __name__,
)

VehicleState = struct(
    "VehicleState",
    {**dict.fromkeys(("job", "used", "battery"), _I64), **dict.fromkeys(("stop", "origin", "claim"), _I32)},
    __name__,
)
"""``job``: when its present job began. ``used``: time in use since it was charged, of ``battery``, -1 without end.
``stop``: where it is or drives to. ``origin``: the node that it fetches from, ``claim`` the slot."""

STATE_ARRAYS: dict[str, tuple[str, Any]] = {
    "rep": ("R1", Replication),
    "node": ("RN", NodeState),
    "slot": ("RK", SlotState),
    "item": ("RI", ItemState),
    "vehicle": ("RV", VehicleState),
    "claims": ("RK", _I32),
    "stuck": ("RK", _I32),
    "due": ("RC", _I64),
    "group_due": ("RD", _I64),
    "todo": ("RK", _I32),
    "wanted": ("RW", _I32),
    "state_us": ("RNS", _I64),
    "ordinal": ("RNP", _I64),
    "uniforms": ("RNU", wp.float64),
    "crew_free": ("RG", _I32),
    "crew_busy": ("RG", _I32),
    "crew_us": ("RG", _I64),
    "shift_at": ("RF", _I32),
    "lead_hist": ("RL", _I32),
    "sunk_interval": ("RT", _I32),
    "net_interval": ("RT", _I64),
    "pieces_interval": ("RT", _I64),
    "moved": ("RM", _I64),
}
"""Shape and type of each array. R replications, 1 one, N nodes, K slots, I items, C clocks, S shares that time is booked to,
P purposes of draws, D groups of clocks, V vehicles, G crews, F shifts, W durations to be drawn, L bins of lead time, T intervals
of the time series, M goals of the nodes that have several. ``crew_busy``: people at work, on shift; ``crew_us``: as
``level_us``, for them."""

Replica = struct(
    "Replica",
    {
        **{name: wp.array(dtype=dtype, ndim=len(shape) - 1) for name, (shape, dtype) in STATE_ARRAYS.items()},
        "replication": wp.uint32,
    },
    __name__,
)
"""One replication: its rows of all arrays, and its number, which is part of the key of its draws. Functions work on this: an
element of it takes half the arithmetic to find that one of the whole takes."""

FlowState = struct(
    "FlowState", {name: wp.array(dtype=dtype, ndim=len(shape)) for name, (shape, dtype) in STATE_ARRAYS.items()}, __name__
)


dense_replications = make_dense(Replication)
dense_nodes = make_dense(NodeState)
dense_slots = make_dense(SlotState)
dense_items = make_dense(ItemState)
dense_vehicles = make_dense(VehicleState)
dense_i32 = make_dense(wp.int32)
dense_i64 = make_dense(wp.int64)
dense_shares = make_dense(wp.int64, SHARES)
dense_uniforms = make_dense(wp.float64, AHEAD)
dense_purposes = make_dense(wp.int64, PURPOSES)


@wp.func
def replica_of(state: FlowState, w: int, first: wp.uint32):
    """Row ``w`` of the arrays, the number of whose first row is ``first``."""
    s = Replica()
    s.rep = dense_replications(state.rep[w])
    s.node = dense_nodes(state.node[w])
    s.slot = dense_slots(state.slot[w])
    s.item = dense_items(state.item[w])
    s.vehicle = dense_vehicles(state.vehicle[w])
    s.claims = dense_i32(state.claims[w])
    s.stuck = dense_i32(state.stuck[w])
    s.due = dense_i64(state.due[w])
    s.group_due = dense_i64(state.group_due[w])
    s.todo = dense_i32(state.todo[w])
    s.wanted = dense_i32(state.wanted[w])
    s.state_us = dense_shares(state.state_us[w])
    s.ordinal = dense_purposes(state.ordinal[w])
    s.uniforms = dense_uniforms(state.uniforms[w])
    s.crew_free = dense_i32(state.crew_free[w])
    s.crew_busy = dense_i32(state.crew_busy[w])
    s.crew_us = dense_i64(state.crew_us[w])
    s.shift_at = dense_i32(state.shift_at[w])
    s.lead_hist = dense_i32(state.lead_hist[w])
    s.sunk_interval = dense_i32(state.sunk_interval[w])
    s.net_interval = dense_i64(state.net_interval[w])
    s.pieces_interval = dense_i64(state.pieces_interval[w])
    s.moved = dense_i64(state.moved[w])
    s.replication = first + wp.uint32(w)
    return s


def _sizes(tables: Any, replications: int) -> dict[str, int]:
    """Lengths of the axes that ``STATE_ARRAYS`` names."""
    return {
        **{"R": replications, "1": 1, "N": tables.nodes, "K": tables.slots, "I": tables.items, "C": tables.clocks},
        **{
            "S": SHARES,
            "P": PURPOSES,
            "U": AHEAD,
            "G": tables.crews,
            "F": tables.shifts,
            "V": tables.vehicles,
            "D": tables.groups,
            "W": tables.slots + 2 * tables.nodes,
        },
        **{"L": LEAD_BINS, "T": tables.intervals, "M": tables.paths},
    }


def allocate_state(tables: Any, replications: int, device: wp.Device) -> Any:
    """State of R replications in which nothing has happened."""
    sizes = _sizes(tables, replications)
    state = FlowState()
    for name, (shape, dtype) in STATE_ARRAYS.items():
        setattr(state, name, wp.zeros(tuple(max(sizes[c], 1) for c in shape), dtype=dtype, device=device))
    return state


def bytes_per_replication(tables: Any) -> int:
    """Memory of one replication [bytes]."""
    sizes, total = _sizes(tables, 1), 0
    for shape, dtype in STATE_ARRAYS.values():
        count = 1
        for c in shape:
            count *= max(sizes[c], 1)
        total += count * wp.types.type_size_in_bytes(dtype)
    return total

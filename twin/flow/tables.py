"""The line engine's device tables, and their identity (``twin.process.line`` makes the columns)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import warp as wp

from twin.model.factory import FactoryModel, Node, NodeKind, RouterRule
from twin.model.shifts import switch_times
from twin.process.dense import make_dense
from twin.process.line import (
    COLUMNS,
    NODE_FIELDS,
    NodeRow,
    add_calendars,
    batch_size,
    downstream,
    line_columns,
    struct,
    upload_line,
)

ENGINE_VERSION = 6
"""Raised whenever the same tables and seed would give other numbers; part of every result's identity."""

UNLIMITED_ITEMS = 256
"""Item places granted to an unlimited buffer at first; the engine quadruples them for blocks that need more."""
CLOCK_GROUP = 32
"""Due times whose earliest is kept beside them, where there are many: a line of hundreds of nodes is searched in two steps."""

FlowTables = struct(
    "FlowTables",
    {
        "node": wp.array(dtype=NodeRow),
        **{name: wp.array(dtype=dtype) for name, dtype in COLUMNS.items()},
        "plain": wp.array(dtype=wp.int32),
        **dict.fromkeys(
            (
                "nodes",
                "slots",
                "clocks",
                "timed",
                "types",
                "items",
                "crews",
                "shifts",
                "intervals",
                "fleets",
                "vehicles",
                "groups",
                "paths",
            ),
            int,
        ),
        "interval_us": wp.int64,
        "begin_us": wp.int64,
    },
    __name__,
)


dense_rows = make_dense(NodeRow)
dense_i32 = make_dense(wp.int32)
dense_i64 = make_dense(wp.int64)
dense_f64 = make_dense(wp.float64)


@wp.func
def dense_tables(tables: FlowTables):
    """The same tables as ``advance`` reads them."""
    t = FlowTables()
    t.node = dense_rows(tables.node)
    t.next = dense_i32(tables.next)
    t.route_type = dense_i32(tables.route_type)
    t.route_weight = dense_f64(tables.route_weight)
    t.up = dense_i32(tables.up)
    t.path_goal = dense_i32(tables.path_goal)
    t.join = dense_i32(tables.join)
    t.item_prototype = dense_i32(tables.item_prototype)
    t.item_cumulative = dense_f64(tables.item_cumulative)
    t.cycle = dense_i32(tables.cycle)
    t.plain = dense_i32(tables.plain)
    t.slot_node = dense_i32(tables.slot_node)
    t.slot_clock = dense_i32(tables.slot_clock)
    t.clock_slot = dense_i32(tables.clock_slot)
    t.clock_node = dense_i32(tables.clock_node)
    t.clock_shift = dense_i32(tables.clock_shift)
    t.prototype_type = dense_i32(tables.prototype_type)
    t.prototype_length = dense_f64(tables.prototype_length)
    t.crew_people = dense_i32(tables.crew_people)
    t.crew_shift = dense_i32(tables.crew_shift)
    t.crew_begin = dense_i32(tables.crew_begin)
    t.crew_user = dense_i32(tables.crew_user)
    t.fleet_node = dense_i32(tables.fleet_node)
    t.stop_of = dense_i32(tables.stop_of)
    t.travel_us = dense_i64(tables.travel_us)
    t.shift_begin = dense_i32(tables.shift_begin)
    t.shift_us = dense_i64(tables.shift_us)
    t.shift_first = dense_i32(tables.shift_first)
    t.shift_on = dense_i32(tables.shift_on)
    t.nodes = tables.nodes
    t.slots = tables.slots
    t.clocks = tables.clocks
    t.timed = tables.timed
    t.types = tables.types
    t.items = tables.items
    t.crews = tables.crews
    t.shifts = tables.shifts
    t.intervals = tables.intervals
    t.fleets = tables.fleets
    t.vehicles = tables.vehicles
    t.groups = tables.groups
    t.paths = tables.paths
    t.interval_us = tables.interval_us
    t.begin_us = tables.begin_us
    return t


def flow_paths(model: FactoryModel) -> list[tuple[int, int]]:
    """Pairs (from, to) of nodes between which items move, routers seen through, in the order of nodes."""
    return [(i, j) for i in range(len(model.nodes)) for j in downstream(model, i)]


def leads_defective_away(model: FactoryModel, node: Node) -> bool:
    """Whether a station's defective items go on, to rework or a router by quality; else they are scrapped at the station."""
    following = model.nodes[node.next[0]] if node.next else None
    by_quality = following is not None and following.kind == NodeKind.ROUTER and following.rule == RouterRule.BY_QUALITY
    return node.rework >= 0 or by_quality


def item_places(model: FactoryModel, unlimited: int = UNLIMITED_ITEMS) -> int:
    """Upper bound of items alive in one replication, children of batches included."""
    total, contained = 0, 1
    shortest = min([p.length for p in model.rigid.prototypes if p.length > 0.0] or [0.1])
    for node in model.nodes:
        contained = max(contained, batch_size(node) + 1 if node.output >= 0 else 1)
    for node in model.nodes:
        if node.kind == NodeKind.STATION:
            total += node.servers * max(len(node.joins), node.batch_size, 1)
        elif node.kind == NodeKind.BUFFER:
            total += unlimited if node.capacity < 0 else node.capacity
        elif node.kind == NodeKind.CONVEYOR:
            total += int(node.length / max(node.pitch or shortest, 1e-3)) + 2
        elif node.kind == NodeKind.SOURCE:
            total += 1
        elif node.kind == NodeKind.FLEET:
            total += node.servers
    return total * contained + 8


def tables_hash(model: FactoryModel) -> str:
    """Identity of everything that flow reads: a moved machine alters it only where a length changes."""
    digest = hashlib.sha256(f"flow {ENGINE_VERSION}".encode())
    line = line_columns(model)
    columns = {name: line.array(name) for name in (*NODE_FIELDS, *COLUMNS) if name not in ("shift_first", "shift_on")}
    columns |= model.distributions.arrays()
    columns["shift_always"] = np.array([switch_times(shift.patterns)[1] for shift in model.shifts], np.int32)
    columns["power"] = np.array([n.power for n in model.nodes], float)
    for name in sorted(columns):
        digest.update(name.encode())
        digest.update(columns[name].tobytes())
    digest.update("\n".join(n.path for n in model.nodes).encode())
    return digest.hexdigest()


def plain_goal(model: FactoryModel, index: int) -> int:
    """The one node that items of node ``index`` ever go to, whenever it has room; -1 where there is a choice, or a shift."""
    node = model.nodes[index]
    if len(node.next) != 1 or node.rework >= 0 or node.shift >= 0 or node.kind == NodeKind.FLEET:
        return -1
    return -1 if model.nodes[node.next[0]].kind == NodeKind.ROUTER else node.next[0]


def upload_tables(
    model: FactoryModel, *, intervals: int, interval_us: int, begin_us: int, unlimited: int, device: wp.Device
) -> Any:
    """Device tables of a model; ``begin_us`` is time 0 as microseconds since Monday 00:00."""
    line = line_columns(model)
    add_calendars(line, model, begin_us)
    tables = FlowTables()
    upload_line(tables, line, device)
    tables.plain = wp.array(np.array([plain_goal(model, n) for n in line.columns["slot_node"]] or [-1], np.int32), device=device)
    c = line.columns
    tables.nodes, tables.slots, tables.clocks = len(model.nodes), len(c["slot_node"]), len(c["clock_slot"])
    tables.timed = len(c["clock_slot"]) - len(model.shifts)
    tables.types = max(len(model.item_types), 1)
    tables.items = item_places(model, unlimited)
    tables.crews, tables.shifts = len(model.crews), len(model.shifts)
    tables.paths = len(c["path_goal"])
    tables.fleets = len(c["fleet_node"])
    tables.vehicles = sum(n.servers for n in model.nodes if n.kind == NodeKind.FLEET)
    tables.groups = -(-tables.clocks // CLOCK_GROUP) if tables.clocks > 2 * CLOCK_GROUP else 0
    tables.intervals, tables.interval_us, tables.begin_us = intervals, interval_us, begin_us
    return tables

"""The line engine's device tables, and their identity (``twin.process.line`` makes the columns)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import warp as wp

from twin.model.factory import FactoryModel, Node, NodeKind, RouterRule
from twin.model.shifts import switch_times
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

ENGINE_VERSION = 4
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


def upload_tables(
    model: FactoryModel, *, intervals: int, interval_us: int, begin_us: int, unlimited: int, device: wp.Device
) -> Any:
    """Device tables of a model; ``begin_us`` is time 0 as microseconds since Monday 00:00."""
    line = line_columns(model)
    add_calendars(line, model, begin_us)
    tables = FlowTables()
    upload_line(tables, line, device)
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

"""The line as flat tables, and the state of R replications of it (replication-major)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import warp as wp

from twin.model.factory import FactoryModel, NodeKind
from twin.process import device as _device  # noqa: F401  (sets Warp up)

ENGINE_VERSION = 1
"""Raised whenever the same tables and seed would give other numbers; part of every result's identity."""

NODE_STATES = 7
LEAD_BINS = 512
LEAD_MIN_S = 0.01
LEAD_MAX_S = 1.0e7
PURPOSES = 8
UNLIMITED_ITEMS = 256
"""Item slots granted to an unlimited buffer at first; the engine quadruples them for blocks that need more."""

_I32 = wp.int32
_I64 = wp.int64
_F64 = wp.float64

TABLE_COLUMNS: dict[str, Any] = {
    **dict.fromkeys(
        ("kind", "next_begin", "next", "slot_begin", "slot_node", "interarrival", "saturated", "item_begin", "item_prototype",
         "servers", "cycle", "setup", "time_to_failure", "time_to_repair", "failure_while_working", "rework", "batch", "output",
         "blocking_before", "capacity", "lifo", "accumulating", "rule", "route_type", "reject", "prototype_type"),
        _I32,
    ),
    "stream": wp.uint64,
    **dict.fromkeys(("limit", "transit_us", "pitch_us"), _I64),
    **dict.fromkeys(("item_cumulative", "scrap_rate", "route_weight", "us_per_m", "prototype_length"), _F64),
}  # fmt: skip

STATE_COLUMNS: dict[str, tuple[str, Any]] = {
    # slots: one for a source, buffer and conveyor, one per server of a station
    **dict.fromkeys(("slot_ready", "slot_due", "slot_left"), ("RK", _I64)),
    **dict.fromkeys(("slot_state", "slot_head", "slot_tail", "slot_count", "slot_goal"), ("RK", _I32)),
    # nodes
    **dict.fromkeys(("node_due", "fail_left", "made", "entered", "left", "level_us", "since", "moved"), ("RN", _I64)),
    **dict.fromkeys(("down", "level", "last_type", "round_robin", "working"), ("RN", _I32)),
    "state_us": ("RNS", _I64),
    "ordinal": ("RNP", _I64),
    # items
    **dict.fromkeys(("item_next", "item_child", "item_prototype", "item_pieces", "item_defective"), ("RI", _I32)),
    **dict.fromkeys(("item_born", "item_at"), ("RI", _I64)),
    # replications
    **dict.fromkeys(
        ("now", "spawned", "sunk", "scrapped", "sunk_measured", "pieces_us", "pieces_since", "lead_us", "events", "flags"),
        ("R", _I64),
    ),
    "free_item": ("R", _I32),
    "lead_hist": ("RL", wp.int32),
    "sunk_interval": ("RT", wp.int32),
    "pieces_interval": ("RT", _I64),
}


def _struct(name: str, columns: dict[str, tuple[int, Any]], scalars: dict[str, Any]) -> type:
    """A Warp struct with an array field per column; ``columns`` gives (dimensions, dtype)."""
    fields: dict[str, Any] = dict(scalars)
    fields |= {key: wp.array(dtype=dtype, ndim=ndim) for key, (ndim, dtype) in columns.items()}
    return wp.struct(type(name, (), {"__annotations__": fields, "__module__": __name__}))


FlowTables = _struct(
    "FlowTables",
    {k: (1, v) for k, v in TABLE_COLUMNS.items()},
    {"nodes": int, "slots": int, "types": int, "items": int, "intervals": int, "interval_us": wp.int64},
)
FlowState = _struct("FlowState", {k: (len(shape), dtype) for k, (shape, dtype) in STATE_COLUMNS.items()}, {})


def node_columns(model: FactoryModel) -> dict[str, np.ndarray]:
    """Everything the kernel reads of the model, as numpy columns (no geometry but lengths)."""
    nodes = model.nodes
    types = max(len(model.item_types), 1)
    out: dict[str, list[Any]] = {name: [] for name in TABLE_COLUMNS}
    out["next_begin"], out["slot_begin"], out["item_begin"] = [0], [0], [0]
    for index, node in enumerate(nodes):
        for name in ("kind", "interarrival", "saturated", "servers", "setup", "time_to_failure", "time_to_repair", "rework",
                     "failure_while_working", "output", "blocking_before", "capacity", "lifo", "accumulating", "rule",
                     "reject"):  # fmt: skip
            out[name].append(int(getattr(node, name)))
        out["batch"].append(max(node.batch_size, 1))
        out["stream"].append(node.stream)
        out["limit"].append(node.limit)
        out["scrap_rate"].append(node.scrap_rate)
        out["cycle"] += node.cycle if len(node.cycle) == types else (node.cycle or [0])[:1] * types
        per_metre = 1e6 / node.speed if node.speed > 0.0 else 1e15
        out["us_per_m"].append(per_metre)
        out["transit_us"].append(min(round(node.length * per_metre), 1 << 60) if node.kind == NodeKind.CONVEYOR else 0)
        out["pitch_us"].append(round(node.pitch * per_metre) if node.kind == NodeKind.CONVEYOR and node.pitch > 0.0 else 0)
        out["next"] += node.next
        out["next_begin"].append(len(out["next"]))
        out["route_weight"] += shares(node.router_weights, len(node.next))
        out["route_type"] += (list(node.router_types) + [-1] * len(node.next))[: len(node.next)]
        out["item_prototype"] += node.items
        out["item_cumulative"] += shares(node.weights, len(node.items))
        out["item_begin"].append(len(out["item_prototype"]))
        slots = node.servers if node.kind == NodeKind.STATION else int(node.kind not in (NodeKind.ROUTER, NodeKind.SINK))
        out["slot_node"] += [index] * slots
        out["slot_begin"].append(len(out["slot_node"]))
    out["prototype_type"] = list(model.prototype_type)
    out["prototype_length"] = [p.length for p in model.rigid.prototypes]
    dtypes = {_I32: np.int32, _I64: np.int64, _F64: np.float64, wp.uint64: np.uint64}
    return {name: np.array(values, dtypes[TABLE_COLUMNS[name]]) for name, values in out.items()}


def shares(weights: list[float], n: int) -> list[float]:
    """Cumulative shares of ``n`` choices; equal where no weights are given."""
    if n == 0:
        return []
    w = np.asarray(weights if len(weights) == n and sum(weights) > 0 else [1.0] * n, float)
    return list(np.cumsum(w) / w.sum())


def item_slots(model: FactoryModel, unlimited: int = UNLIMITED_ITEMS) -> int:
    """Upper bound of items alive in one replication, children of batches included."""
    total, contained = 0, 1
    shortest = min([p.length for p in model.rigid.prototypes if p.length > 0.0] or [0.1])
    for node in model.nodes:
        contained = max(contained, node.batch_size + 1 if node.output >= 0 else 1)
    for node in model.nodes:
        if node.kind == NodeKind.STATION:
            total += node.servers * max(node.batch_size, 1)
        elif node.kind == NodeKind.BUFFER:
            total += unlimited if node.capacity < 0 else node.capacity
        elif node.kind == NodeKind.CONVEYOR:
            total += int(node.length / max(node.pitch or shortest, 1e-3)) + 2
        elif node.kind == NodeKind.SOURCE:
            total += 1
    return total * contained + 8


def tables_hash(model: FactoryModel) -> str:
    """Identity of everything that flow reads: a moved machine alters it only where a length changes."""
    digest = hashlib.sha256(f"flow {ENGINE_VERSION}".encode())
    columns = node_columns(model) | model.distributions.arrays()
    columns["power"] = np.array([n.power for n in model.nodes], float)
    for name in sorted(columns):
        digest.update(name.encode())
        digest.update(columns[name].tobytes())
    digest.update("\n".join(n.path for n in model.nodes).encode())
    return digest.hexdigest()


def upload_tables(model: FactoryModel, *, intervals: int, interval_us: int, unlimited: int, device: wp.Device) -> Any:
    """Device tables of a model."""
    tables = FlowTables()
    columns = node_columns(model)
    for name, column in columns.items():
        values = column if len(column) else np.zeros(1, column.dtype)
        setattr(tables, name, wp.array(values, dtype=TABLE_COLUMNS[name], device=device))
    tables.nodes = len(model.nodes)
    tables.slots = len(columns["slot_node"])
    tables.types = max(len(model.item_types), 1)
    tables.items = item_slots(model, unlimited)
    tables.intervals, tables.interval_us = intervals, interval_us
    return tables


def allocate_state(tables: Any, replications: int, device: wp.Device) -> Any:
    """State of R replications in which nothing has happened."""
    sizes = {"R": replications, "K": tables.slots, "N": tables.nodes, "S": NODE_STATES, "P": PURPOSES, "I": tables.items,
             "L": LEAD_BINS, "T": tables.intervals}  # fmt: skip
    state = FlowState()
    for name, (shape, dtype) in STATE_COLUMNS.items():
        setattr(state, name, wp.zeros(tuple(max(sizes[c], 1) for c in shape), dtype=dtype, device=device))
    return state


def bytes_per_replication(tables: Any) -> int:
    """Memory of one replication [bytes]."""
    sizes = {"R": 1, "K": tables.slots, "N": tables.nodes, "S": NODE_STATES, "P": PURPOSES, "I": tables.items,
             "L": LEAD_BINS, "T": tables.intervals}  # fmt: skip
    return sum(int(np.prod([sizes[c] for c in shape])) * (8 if dtype is _I64 else 4) for shape, dtype in STATE_COLUMNS.values())

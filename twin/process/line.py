"""The line as flat tables that both engines read: one record a node, and what belongs to several nodes as ranges of shared
columns.

Slots are the places of a node that have a state of their own: one for a source, a buffer and a conveyor, one for each server of
a station and each vehicle of a fleet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import warp as wp

from twin.core.errors import InputError
from twin.model.factory import FactoryModel, Node, NodeKind, RouterRule
from twin.model.shifts import switch_times
from twin.process import device as _device  # noqa: F401  (sets Warp up)

MAX_JOINS = 62
"""Upstream nodes that one assembly station can name: what has come is a bit each in an int64."""

MAX_CHOICE_BITS = 62
"""Room for the kept choices of one item, an int64: a router with two or three successors takes two."""

_I32 = wp.int32
_I64 = wp.int64
_F64 = wp.float64

NODE_FIELDS: dict[str, Any] = {
    **dict.fromkeys(
        ("kind", "next_begin", "next_end", "up_begin", "up_end", "slot_begin", "slot_end", "clock", "item_begin", "item_end",
         "join_begin", "join_end", "interarrival", "saturated", "servers", "cycle_begin", "setup", "time_to_failure",
         "time_to_repair", "failure_while_working", "rework", "batch", "output", "blocking_before", "capacity", "lifo",
         "accumulating", "rule", "reject", "crew", "crew_size", "repair_crew", "shift", "first", "routed", "single",
         "load_time", "unload_time", "battery_time", "charge_time", "vehicle_begin", "stop_begin", "travel_begin", "stops",
         "path_begin", "path_end", "choice_at", "choice_bits"),
        _I32,
    ),
    "stream": wp.uint64,
    **dict.fromkeys(("limit", "transit_us", "pitch_us"), _I64),
    **dict.fromkeys(("scrap_rate", "us_per_m"), _F64),
}  # fmt: skip
"""One record a node. ``clock``: index of the node's own due time, -1 none. ``first``: its first successor, -1 none, itself
where there are several; ``routed``: that one, or one of those, is a router. ``single``: a station with one server and no
batches. ``choice_at``, ``choice_bits``: where a kept choice of this router lies in what waits; 0 bits: it need not be kept
there. ``stops``: places that a fleet drives to; ``stop_begin``, ``travel_begin``: where its ranges of those columns begin."""


def struct(name: str, fields: dict[str, Any], module: str) -> type:
    """A Warp struct of these fields."""
    return wp.struct(type(name, (), {"__annotations__": fields, "__module__": module}))


NodeRow = struct("NodeRow", NODE_FIELDS, __name__)

COLUMNS: dict[str, Any] = {
    "next": _I32, "route_type": _I32, "route_weight": _F64,  # [E] edges: successors in authored order
    "up": _I32,  # [U] slots that hold items for a node, routers seen through
    "path_goal": _I32,  # [M] nodes that a node with several goals may send to, routers seen through
    "join": _I32,  # [J] nodes of which an assembly takes one item each
    "item_prototype": _I32, "item_cumulative": _F64,  # [G] what sources make
    "cycle": _I32,  # [stations * types] distribution rows
    "slot_node": _I32, "slot_clock": _I32,  # [K] its node, its due time (-1: a buffer has none)
    "clock_slot": _I32, "clock_node": _I32, "clock_shift": _I32,  # [C] whose due time a clock is, -1: not such a thing
    "prototype_type": _I32, "prototype_length": _F64,  # [Q], length [m]
    "crew_people": _I32, "crew_shift": _I32, "crew_begin": _I32, "crew_user": _I32,  # [C], [C], [C + 1], [V] stations it serves
    "fleet_node": _I32,  # [F] nodes that are fleets
    "stop_of": _I32, "travel_us": _I64,  # [F * N] stop of each node, -1 none; from stop (the last: the begin) to stop
    "shift_begin": _I32, "shift_us": _I64,  # [S + 1], [W] switch times in the week, from on to off and back in turn
    "shift_first": _I32, "shift_on": _I32,  # [S] index of the first switch after time 0, whether it is on at time 0
}  # fmt: skip
"""Everything that is not one value a node."""


@dataclass
class LineColumns:
    """The tables in numpy: ``node`` a structured array [N], the columns by name, and counts."""

    node: dict[str, list[Any]]
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def array(self, name: str) -> np.ndarray:
        """A column, or a field of the node records."""
        if name in COLUMNS:
            return np.array(self.columns[name], wp.dtype_to_numpy(COLUMNS[name]))
        return np.array(self.node[name], wp.dtype_to_numpy(NODE_FIELDS[name]))


def line_columns(model: FactoryModel, slots: list[int] | None = None) -> LineColumns:
    """Everything that kernels read of the line, as columns (no geometry but lengths).

    Args:
        slots: Slots of each node where it has others than ``slots_of`` gives it, [N].
    """
    out = LineColumns({name: [] for name in NODE_FIELDS}, {name: [] for name in COLUMNS})
    types = max(len(model.item_types), 1)
    slots = slots or all_slots(model)
    for index, node in enumerate(model.nodes):
        _add_node(out, model, index, node, types, slots[index])
    back = predecessors(model)
    for index in range(len(model.nodes)):
        ahead = upstream(model, index, back)
        waiting = [k for n in ahead for k in range(out.node["slot_begin"][n], out.node["slot_end"][n])]
        _range(out.node, "up", out.columns["up"], sorted(waiting))
        goals = downstream(model, index)
        _range(out.node, "path", out.columns["path_goal"], goals if len(goals) > 1 else [])
    _add_clocks(out, model)
    _add_fleets(out, model)
    _add_crews(out, model)
    c = out.columns
    c["shift_begin"].append(0)
    for shift in model.shifts:
        times, _ = switch_times(shift.patterns)
        c["shift_us"] += times
        c["shift_begin"].append(len(c["shift_us"]))
    _add_choices(out, model, back)
    c["prototype_type"] += model.prototype_type
    c["prototype_length"] += [p.length for p in model.rigid.prototypes]
    return out


def _add_choices(out: LineColumns, model: FactoryModel, back: list[list[int]]) -> None:
    """Bits for the choices of routers by probability that what waits may come to by way of a choice that goes by room."""
    at = 0
    for index, node in enumerate(model.nodes):
        bits = 0
        if node.kind == NodeKind.ROUTER and node.rule == RouterRule.PROBABILITY:
            ahead = [model.nodes[i] for i in back[index]]
            if any(a.kind == NodeKind.ROUTER or len(a.next) > 1 for a in ahead):
                bits = len(node.next).bit_length()
        out.node["choice_at"].append(at)
        out.node["choice_bits"].append(bits)
        at += bits
        if at > MAX_CHOICE_BITS:
            raise InputError(
                "more routers by probability behind other routers than the choices of one item can be kept for",
                prim=node.path,
                allowed=f"about {MAX_CHOICE_BITS // 2} of two successors each",
            )


def _add_node(out: LineColumns, model: FactoryModel, index: int, node: Node, types: int, slots: int) -> None:
    row, c = out.node, out.columns
    for name in ("kind", "interarrival", "saturated", "servers", "setup", "time_to_failure", "time_to_repair", "rework", "output",
                 "failure_while_working", "blocking_before", "capacity", "lifo", "accumulating", "rule", "reject", "crew",
                 "crew_size", "repair_crew", "shift", "limit", "load_time", "unload_time", "battery_time",
                 "charge_time"):  # fmt: skip
        row[name].append(int(getattr(node, name)))
    if _leads_to_fleet(model, node):
        row["blocking_before"][-1] = 0  # a vehicle comes when there is something to fetch
    row["stream"].append(node.stream)
    row["scrap_rate"].append(node.scrap_rate)
    row["batch"].append(batch_size(node))
    moving = node.kind == NodeKind.CONVEYOR
    per_metre = 1e6 / node.speed if node.speed > 0.0 else 1e15
    row["us_per_m"].append(per_metre)
    row["transit_us"].append(min(round(node.length * per_metre), 1 << 60) if moving else 0)
    row["pitch_us"].append(round(node.pitch * per_metre) if moving and node.pitch > 0.0 else 0)
    # several successors without a router: the first that has room, as if the node were its own router
    row["first"].append(index if len(node.next) > 1 and node.kind != NodeKind.ROUTER else node.next[0] if node.next else -1)
    row["single"].append(int(node.servers == 1 and row["batch"][-1] == 1))
    row["routed"].append(int(any(model.nodes[i].kind == NodeKind.ROUTER for i in node.next)))
    _range(row, "next", c["next"], node.next)
    c["route_weight"] += shares(node.router_weights, len(node.next))
    c["route_type"] += (list(node.router_types) + [-1] * len(node.next))[: len(node.next)]
    _range(row, "item", c["item_prototype"], node.items)
    c["item_cumulative"] += shares(node.weights, len(node.items))
    _range(row, "join", c["join"], node.joins)
    _range(row, "slot", c["slot_node"], [index] * slots)
    row["cycle_begin"].append(len(c["cycle"]))
    if node.kind == NodeKind.STATION:
        c["cycle"] += node.cycle if len(node.cycle) == types else (node.cycle or [0])[:1] * types


def batch_size(node: Node) -> int:
    """Items that one cycle of a station works."""
    return len(node.joins) or max(node.batch_size, 1)


def slots_of(node: Node) -> int:
    """Places of a node that have a state of their own."""
    if node.kind in (NodeKind.STATION, NodeKind.FLEET):
        return node.servers
    return int(node.kind not in (NodeKind.ROUTER, NodeKind.SINK))


def all_slots(model: FactoryModel) -> list[int]:
    """Slots of each node, [N]."""
    return [slots_of(node) for node in model.nodes]


def _range(row: dict[str, list[Any]], name: str, column: list[Any], values: list[Any]) -> None:
    row[f"{name}_begin"].append(len(column))
    column += values
    row[f"{name}_end"].append(len(column))


def _add_clocks(out: LineColumns, model: FactoryModel) -> None:
    """Due times in the order in which ties are broken: slots, then nodes, then calendars."""
    c = out.columns
    owners: list[tuple[int, int, int]] = []
    for slot, n in enumerate(c["slot_node"]):
        timed = model.nodes[n].kind != NodeKind.BUFFER
        c["slot_clock"].append(len(owners) if timed else -1)
        if timed:
            owners.append((slot, n, -1))
    for index, node in enumerate(model.nodes):
        fails = node.kind == NodeKind.STATION and node.time_to_failure >= 0
        own = fails or node.kind == NodeKind.CONVEYOR
        out.node["clock"].append(len(owners) if own else -1)
        if own:
            owners.append((-1, index, -1))
    owners += [(-1, -1, shift) for shift in range(len(model.shifts))]
    c["clock_slot"], c["clock_node"], c["clock_shift"] = (list(x) for x in zip(*owners, strict=True)) if owners else ([], [], [])


def _add_crews(out: LineColumns, model: FactoryModel) -> None:
    c = out.columns
    c["crew_people"] += [crew.size for crew in model.crews]
    c["crew_shift"] += [crew.shift for crew in model.crews]
    c["crew_begin"].append(0)
    for crew in range(len(model.crews)):
        c["crew_user"] += [i for i, n in enumerate(model.nodes) if crew in (n.crew, n.repair_crew)]
        c["crew_begin"].append(len(c["crew_user"]))


def _leads_to_fleet(model: FactoryModel, node: Node) -> bool:
    """Whether what leaves a node may go by vehicle, routers seen through."""
    seen: set[int] = set()
    frontier = list(node.next)
    while frontier:
        at = frontier.pop()
        if model.nodes[at].kind == NodeKind.FLEET:
            return True
        if model.nodes[at].kind == NodeKind.ROUTER and at not in seen:
            seen.add(at)
            frontier += model.nodes[at].next
    return False


def _add_fleets(out: LineColumns, model: FactoryModel) -> None:
    """Where vehicles stop, and how long they drive from one stop to another."""
    c = out.columns
    vehicles = 0
    for index, node in enumerate(model.nodes):
        out.node["vehicle_begin"].append(vehicles)
        out.node["stop_begin"].append(len(c["stop_of"]))
        out.node["travel_begin"].append(len(c["travel_us"]))
        out.node["stops"].append(len(node.stops))
        if node.kind != NodeKind.FLEET:
            continue
        vehicles += node.servers
        c["fleet_node"].append(index)
        c["stop_of"] += [node.stops.index(i) if i in node.stops else -1 for i in range(len(model.nodes))]
        c["travel_us"] += [round(metres / node.speed * 1e6) for row in node.ways for metres in row]


def predecessors(model: FactoryModel) -> list[list[int]]:
    """Of each node, those that name it as a successor or for rework, in stage order."""
    back: list[list[int]] = [[] for _ in model.nodes]
    for i, node in enumerate(model.nodes):
        for j in dict.fromkeys([*node.next, *([node.rework] if node.rework >= 0 else [])]):
            back[j].append(i)
    return back


def upstream(model: FactoryModel, index: int, back: list[list[int]] | None = None) -> list[int]:
    """Nodes that hold items which may go to node ``index`` next, routers seen through; ``back``: ``predecessors(model)``."""
    back = predecessors(model) if back is None else back
    found: list[int] = []
    seen, frontier = {index}, [index]
    while frontier:
        at = frontier.pop()
        for i in back[at]:
            if model.nodes[i].kind != NodeKind.ROUTER:
                found.append(i)
            elif i not in seen:
                seen.add(i)
                frontier.append(i)
    return sorted(set(found))


def downstream(model: FactoryModel, index: int) -> list[int]:
    """Nodes that items of node ``index`` may go to next, routers seen through."""
    node = model.nodes[index]
    if node.kind == NodeKind.ROUTER:
        return []
    found: list[int] = []
    seen: set[int] = set()
    frontier = [*node.next, *([node.rework] if node.rework >= 0 else [])]
    while frontier:
        at = frontier.pop()
        if at in seen:
            continue
        seen.add(at)
        if model.nodes[at].kind == NodeKind.ROUTER:
            frontier += model.nodes[at].next
        else:
            found.append(at)
    return sorted(found)


def shares(weights: list[float], n: int) -> list[float]:
    """Cumulative shares of ``n`` choices; equal where no weights are given."""
    if n == 0:
        return []
    w = np.asarray(weights if len(weights) == n and sum(weights) > 0 else [1.0] * n, float)
    return list(np.cumsum(w) / w.sum())


def upload_line(tables: Any, line: LineColumns, device: wp.Device, names: Iterable[str] = COLUMNS) -> None:
    """Set ``node`` and the columns ``names`` of ``tables``; an unused value where a column is empty."""
    count = len(line.node["kind"])
    rows = np.zeros(max(count, 1), NodeRow.numpy_dtype())
    for name in NODE_FIELDS:
        rows[name][:count] = line.array(name)
    tables.node = wp.array(rows, dtype=NodeRow, device=device)
    for name in names:
        column = line.array(name)
        column = column if len(column) else np.zeros(1, column.dtype)
        setattr(tables, name, wp.array(column, dtype=COLUMNS[name], device=device))


def add_calendars(line: LineColumns, model: FactoryModel, begin_us: int) -> None:
    """Where each calendar stands at time 0, ``begin_us`` microseconds since Monday 00:00."""
    line.columns["shift_first"], line.columns["shift_on"] = [], []
    for shift in model.shifts:
        times, on = switch_times(shift.patterns)
        first = int(np.searchsorted(times, begin_us, side="right"))
        line.columns["shift_first"].append(first)
        line.columns["shift_on"].append(int(on) ^ (first & 1))

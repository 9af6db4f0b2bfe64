"""The line of a running simulation as the line engine can take it up: where every piece is, and for how long."""

from __future__ import annotations

import numpy as np

from twin.flow import LineState, Standing
from twin.model.factory import FactoryModel, NodeKind
from twin.process import nodes
from twin.process.line import batch_size
from twin.sim import places
from twin.sim.simulation import Simulation
from twin.sim.state import state_arrays
from twin.sim.tables import entry_poses


def found_line(simulation: Simulation, world: int = 0) -> LineState:
    """What stands on the line of one world now, for futures that begin here.

    Goods that are carried to a belt count at its beginning, goods that a router is still thinking about at the end of the belt
    that brought them, and a finished pack at the beginning of the belt that it waits for. What a vehicle has still stands where
    it was fetched, or, where there is no room any more, where it is to go: vehicles begin anew. What waits in a source is not on
    the line yet. Goods on their way out of the last node, and those that the model has no place for, are left out.
    """
    model = simulation.model
    if not model.nodes:
        return LineState()
    state = {name: array.numpy()[world] for name, array in state_arrays(simulation._state).items()}
    position, _ = simulation.world.poses(world)
    goods = position[len(model.rigid.bodies) :]
    prototype = simulation.world.prototype.numpy()[world, len(model.rigid.bodies) :]
    now_us = int(state["time_us"])
    entry = entry_poses(model)
    order = np.argsort(state["sequence"], kind="stable")
    taken: dict[int, list[int]] = {}
    rows: list[tuple[int, float, int, Standing]] = []
    level = state["level"].astype(int).copy()
    for i in order:
        phase, n = int(state["phase"][i]), int(state["node"][i])
        if phase in (int(places.FREE), int(places.SOURCED), int(places.PACKED)) or n < 0:
            continue
        server = int(state["server"][i])
        node, along, done, elapsed, origin = n, 0.0, False, None, ""
        kind = model.nodes[n].kind
        if kind == NodeKind.STATION and server >= 0:
            at = int(state["server_state"][server])
            done = at == int(nodes.DONE)
            if at == int(nodes.WORKING):
                whole, left = int(state["server_whole_us"][server]), int(state["server_left_us"][server])
                elapsed = max(whole - left, 0) * 1e-6
            if done and model.nodes[n].output >= 0 and batch_size(model.nodes[n]) > 1:
                node, done = _belt_after(model, n), False
            elif model.nodes[n].joins:
                origin = _origin(model, n, int(state["server_joined"][server]), taken.setdefault(server, []))
        elif kind == NodeKind.ROUTER or (kind == NodeKind.STATION and server < 0):
            node, along = _belt_before(model, n), 1.0
        elif kind == NodeKind.CONVEYOR and phase != int(places.PASSING):
            along = _along(model, n, goods[i], entry)
        elif kind == NodeKind.FLEET:
            node, along = _stop_with_room(model, [int(state["vehicle_origin"][server]), int(state["target"][i])], level)
            level[node] += int(node >= 0)
        elif kind not in (NodeKind.BUFFER, NodeKind.CONVEYOR):
            continue
        if node < 0:
            continue
        pieces = int(state["pieces"][i])
        packed = (state["parent"] == i) & (state["phase"] == int(places.PACKED))
        born = int(state["born_us"][i]) + int(state["born_us"][packed].sum())
        standing = Standing(
            node=model.nodes[node].path,
            type=model.item_types[model.prototype_type[int(prototype[i])]],
            pieces=pieces,
            age_s=max(now_us - born / max(pieces, 1), 0.0) * 1e-6,
            along=along,
            done=done,
            elapsed_s=elapsed,
            origin=origin,
        )
        rows.append((node, -along, server, standing))
    rows.sort(key=lambda row: row[:3])  # stable: in a buffer, and in a server, as they came
    down = {
        node.path: max(int(state["repair_whole_us"][n]) - int(state["repair_us"][n]), 0) * 1e-6
        for n, node in enumerate(model.nodes)
        if node.kind == NodeKind.STATION and int(state["halts"][n]) & int(nodes.HALT_DOWN)
    }
    uptime = {
        node.path: max(int(state["fail_whole_us"][n]) - int(state["fail_us"][n]), 0) * 1e-6
        for n, node in enumerate(model.nodes)
        if node.kind == NodeKind.STATION and node.path not in down and int(state["fail_us"][n]) >= 0
    }
    return LineState([row[3] for row in rows], down, uptime)


def _along(model: FactoryModel, n: int, point: np.ndarray, entry: dict[str, np.ndarray]) -> float:
    """How far along conveyor ``n`` a point [3] m is, 0 to 1."""
    node = model.nodes[n]
    for index in node.belt_shapes:
        path = model.rigid.shapes[index].surface_path
        if path >= 0:
            return _share_of_path(np.asarray(model.rigid.paths[path], float), point)
    ahead = float((point - entry["entry"][n]) @ entry["direction"][n])
    return float(np.clip(ahead / max(node.length, 1e-9), 0.0, 1.0))


def _share_of_path(path: np.ndarray, point: np.ndarray) -> float:
    """Where on a polyline [P,3] its nearest point to ``point`` [3] lies, 0 to 1."""
    steps = np.diff(path, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    at = np.clip(((point - path[:-1]) * steps).sum(axis=1) / np.maximum(lengths**2, 1e-18), 0.0, 1.0)
    nearest = int(np.argmin(np.linalg.norm(path[:-1] + steps * at[:, None] - point, axis=1)))
    return float((lengths[:nearest].sum() + at[nearest] * lengths[nearest]) / max(lengths.sum(), 1e-9))


def _stop_with_room(model: FactoryModel, stops: list[int], level: np.ndarray) -> tuple[int, float]:
    """The first of a vehicle's origin and goal that is a buffer with room or a belt, and how far along it: first to leave the
    one, last on the other; -1 for none."""
    for n, along in zip(stops, (1.0, 0.0), strict=True):
        node = model.nodes[n] if n >= 0 else None
        if node is not None and node.kind == NodeKind.CONVEYOR:
            return n, along
        if node is not None and node.kind == NodeKind.BUFFER and (node.capacity < 0 or level[n] < node.capacity):
            return n, along
    return -1, 0.0


def _belt_before(model: FactoryModel, n: int) -> int:
    """The conveyor that leads to node ``n``, -1 where none does."""
    for i, node in enumerate(model.nodes):
        if n in node.next:
            if node.kind == NodeKind.CONVEYOR:
                return i
            if node.kind == NodeKind.ROUTER:
                return _belt_before(model, i)
    return -1


def _belt_after(model: FactoryModel, n: int) -> int:
    """The conveyor that node ``n`` leads to first, -1 where there is none."""
    for i in model.nodes[n].next:
        if model.nodes[i].kind == NodeKind.CONVEYOR:
            return i
    return -1


def _origin(model: FactoryModel, n: int, joined: int, taken: list[int]) -> str:
    """From which upstream node an item of an assembly came: those that have given theirs, in turn."""
    given = [node for bit, node in enumerate(model.nodes[n].joins) if joined >> bit & 1 and node not in taken]
    if not given:
        given = [node for node in model.nodes[n].joins if node not in taken] or model.nodes[n].joins
    taken.append(given[0])
    return model.nodes[given[0]].path

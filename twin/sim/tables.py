"""The line as tables on the device; one row is one node."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from twin.model.factory import FactoryModel, Node, NodeKind
from twin.model.rigid import RigidModel, Shape, ShapeKind
from twin.process import device as _device  # noqa: F401  (sets Warp up)
from twin.process.line import NodeRow, add_calendars, batch_size, line_columns, predecessors, upload_line, upstream

ENGINE_VERSION = 5
"""Raised whenever the same model and seed would give other numbers; part of the identity of a study's results."""

LINE_COLUMNS = (
    "next", "route_type", "route_weight", "up", "join", "item_prototype", "item_cumulative", "cycle", "slot_node",
    "prototype_type", "prototype_length", "crew_people", "crew_shift", "fleet_node", "stop_of", "travel_us",
    "shift_begin", "shift_us", "shift_first", "shift_on",
)  # fmt: skip


@wp.struct
class LineTables:
    """The line; N nodes, E edges, T item types, P prototypes."""

    nodes: int
    types: int
    slots: int  # K: a server of a station, a vehicle, a source, a buffer, a conveyor
    node: wp.array(dtype=NodeRow)  # type: ignore[valid-type]  # [N], and the columns of twin.process.line
    next: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    route_type: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    route_weight: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    up: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    join: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    item_prototype: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    item_cumulative: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    cycle: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    slot_node: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    prototype_type: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    prototype_length: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    crew_people: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    crew_shift: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    fleet_node: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    stop_of: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    travel_us: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    shift_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    shift_us: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    shift_first: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    shift_on: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    predecessors: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # how many nodes' goods come here [N]
    zone_center: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] [N]
    zone_rotation: wp.array(dtype=wp.quat)  # type: ignore[valid-type]  # [N]
    zone_half: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] [N]; negative: no zone
    entry: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] where goods are set down, lowest point [N]
    entry_rotation: wp.array(dtype=wp.quat)  # type: ignore[valid-type]  # [N]
    direction: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # direction of travel at the entry [N]
    exit_direction: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # direction of travel at the end [N]
    carried: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # a belt of its own takes goods on [N]
    in_line: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # works goods one by one where they stand [N]
    crews: int  # C
    fleets: int
    shifts: int  # H
    begin_us: wp.int64  # time 0, counted from a Monday's midnight
    speed: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # [m/s]
    pitch: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # [m], 0: the goods' own length
    placeless: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # a conveyor without geometry: timed, not simulated [N]
    belt_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [N+1]
    belt_shape: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    belt_drive: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # speed of a machine's own belt [m/s]
    prototype_half: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] [P]
    prototype_center: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # bound centre in the frame [m] [P]
    prototype_com: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] [P]
    # fleets: V vehicles; a track is a polyline from one stop to another
    vehicle_body: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # body that is drawn for it, -1 none [V]
    vehicle_com: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # that body's centre of mass in its frame [m] [V]
    vehicle_home: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # where it stands at first [m] [V]
    vehicle_heading: wp.array(dtype=wp.quat)  # type: ignore[valid-type]  # how it is turned there [V]
    deck: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # height of a fleet's decks above its ways [m] [N]
    track_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # by row of travel_us, and one more
    track: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # its points [m]
    # robots: A arms of six hinges, 6A rows of hinges
    robots: int
    hinges: int  # of a robot: a number the compiler does not know, so that it does not unroll
    robot_of: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # robot that stacks for a node, -1 none [N]
    robot_station: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [A]
    robot_speed: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # [rad/s] [A]
    robot_batch: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # places of its stack [A]
    robot_points: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # points that it passes for an item [A]
    robot_grip: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # which of them it takes at [A]
    robot_release: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # and places at [A]
    robot_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # first of its angles [A]
    robot_angle: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # [rad] by prototype, place, point, hinge
    tool_position: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # in the last link's frame [m] [A]
    tool_rotation: wp.array(dtype=wp.quat)  # type: ignore[valid-type]  # [A]
    hinge_body: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [6A]
    hinge_com: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # that body's centre of mass in its frame [m] [6A]
    hinge_position0: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] [6A]
    hinge_rotation0: wp.array(dtype=wp.quat)  # type: ignore[valid-type]  # [6A]
    hinge_position1: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] [6A]
    hinge_rotation1: wp.array(dtype=wp.quat)  # type: ignore[valid-type]  # [6A]
    upward: wp.vec3
    floor: float  # goods below this height along up are lost [m]


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``v`` [3] turned by the unit quaternion ``q`` [4] xyzw."""
    u, w = q[:3], q[3]
    return v + 2.0 * np.cross(u, np.cross(u, v) + w * v)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quaternion product, xyzw: first ``b``, then ``a``."""
    x = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(x, a[3] * b[3] - a[:3] @ b[:3])


def shape_pose(rigid: RigidModel, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """World pose of a shape at the start: [3] m and [4] xyzw."""
    position, rotation = np.asarray(shape.position, float), np.asarray(shape.rotation, float)
    if shape.body < 0:
        return position, rotation
    body = rigid.bodies[shape.body]
    return body.position + rotate(np.asarray(body.rotation), position), multiply(np.asarray(body.rotation), rotation)


def _heading(direction: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Rotation [4] xyzw that stands upright and turns local +X to ``direction``."""
    x = direction - up * (direction @ up)
    x = x / np.linalg.norm(x) if np.linalg.norm(x) > 1e-9 else np.array([1.0, 0.0, 0.0])
    angle = float(np.arctan2(np.cross([1.0, 0.0, 0.0], x) @ up, x[0]))
    return np.append(up * np.sin(angle / 2.0), np.cos(angle / 2.0))


def _belt_line(rigid: RigidModel, node: Node, up: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Where a conveyor begins [3] m (on the belt's top), its direction there and at its end; None without a belt."""
    for index in node.belt_shapes:
        shape = rigid.shapes[index]
        position, rotation = shape_pose(rigid, shape)
        if shape.surface_path >= 0:
            path = np.asarray(rigid.paths[shape.surface_path], float)
            first, last = path[1] - path[0], path[-1] - path[-2]
            return path[0], first / np.linalg.norm(first), last / np.linalg.norm(last)
        along = np.asarray(shape.surface_linear, float)
        if not shape.surface_world:
            along = rotate(rotation, along)
        if np.linalg.norm(along) < 1e-9 or shape.kind != ShapeKind.BOX:
            continue
        along = along / np.linalg.norm(along)
        axes = np.array([rotate(rotation, axis) for axis in np.eye(3)])
        half = np.asarray(shape.size, float)
        reach = float(np.abs(axes @ along) @ half)
        top = float(np.abs(axes @ up) @ half)
        return position - along * reach + up * top, along, along
    return None


def entry_poses(model: FactoryModel) -> dict[str, np.ndarray]:
    """Where goods are set down when they are moved to a node, per node: ``entry`` [N,3] m (lowest point), ``entry_rotation``
    [N,4], ``direction`` and ``exit_direction`` [N,3]: the start of a conveyor's belt, else the zone's floor centre."""
    up = np.eye(3)[model.rigid.up_axis]
    n = len(model.nodes)
    out = {"entry": np.zeros((n, 3)), "entry_rotation": np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))}
    out |= {"direction": np.zeros((n, 3)), "exit_direction": np.zeros((n, 3))}
    for i, node in enumerate(model.nodes):
        belt = _belt_line(model.rigid, node, up) if node.kind == NodeKind.CONVEYOR else None
        if belt is not None:
            out["entry"][i], out["direction"][i], out["exit_direction"][i] = belt
        elif node.zone is not None:
            out["entry"][i] = node.zone.floor
            out["direction"][i] = out["exit_direction"][i] = rotate(np.asarray(node.zone.rotation), np.array([1.0, 0.0, 0.0]))
        if out["direction"][i].any():
            out["entry_rotation"][i] = _heading(out["direction"][i], up)
    return out


def _belts_of(model: FactoryModel, node: Node) -> list[int]:
    """Shapes that run for a node: those that a conveyor drives, and the belts within a machine."""
    if node.kind == NodeKind.CONVEYOR or node.belt_shapes:
        return node.belt_shapes
    below = node.path + "/"
    return [
        i
        for i, s in enumerate(model.rigid.shapes)
        if s.path.startswith(below) and s.surface_drive != 0.0 and (np.any(s.surface_linear) or s.surface_path >= 0)
    ]


def _csr(rows: list[list[Any]]) -> tuple[list[int], list[Any]]:
    begin, flat = [0], []
    for row in rows:
        flat.extend(row)
        begin.append(len(flat))
    return begin, flat


def put_column(t: LineTables, name: str, values: Any, dtype: Any, device: wp.Device) -> None:
    """One array of the tables; an unused value where there are none."""
    array = np.asarray(values)
    if dtype is wp.vec3 or dtype is wp.quat:
        array = array.reshape(-1, 3 if dtype is wp.vec3 else 4).astype(np.float32)
    column = wp.zeros(1, dtype=dtype, device=device) if len(array) == 0 else wp.array(array, dtype=dtype, device=device)
    setattr(t, name, column)


def upload_tables(model: FactoryModel, device: wp.Device, *, begin_us: int = 0, slots: list[int] | None = None) -> LineTables:
    """The model's nodes as device tables.

    Args:
        begin_us: Time 0 as microseconds since a Monday's midnight.
        slots: Slots of each node where there are to be more than it has now: what is in those is still finished.
    """
    nodes, rigid = model.nodes, model.rigid
    t = LineTables()
    line = line_columns(model, slots)
    add_calendars(line, model, begin_us)
    upload_line(t, line, device, LINE_COLUMNS)
    t.nodes, t.types, t.slots = len(nodes), max(len(model.item_types), 1), len(line.columns["slot_node"])
    t.crews, t.shifts, t.begin_us = len(model.crews), len(model.shifts), begin_us
    t.fleets = len(line.columns["fleet_node"])
    up = np.eye(3)[rigid.up_axis]
    t.upward = wp.vec3(*up)
    lowest = [float(np.asarray(n.zone.floor) @ up) for n in nodes if n.zone is not None]
    t.floor = (min(lowest) if lowest else 0.0) - 5.0

    def put(name: str, values: Any, dtype: Any) -> None:
        put_column(t, name, values, dtype, device)

    put("in_line", [int(n.kind == NodeKind.STATION and n.servers == 1 and batch_size(n) == 1 and n.zone is not None)
                    for n in nodes], wp.int32)  # fmt: skip
    put("speed", [n.speed for n in nodes], wp.float32)
    put("pitch", [n.pitch for n in nodes], wp.float32)
    belts = [n.kind == NodeKind.CONVEYOR for n in nodes]
    put("placeless", [int(b and n.zone is None and not n.belt_shapes) for n, b in zip(nodes, belts, strict=True)], wp.int32)
    back = predecessors(model)
    put("predecessors", [len(upstream(model, i, back)) for i in range(len(nodes))], wp.int32)
    own = [_belts_of(model, n) for n in nodes]
    begin, flat = _csr(own)
    put("belt_begin", begin, wp.int32)
    put("belt_shape", flat, wp.int32)
    put("belt_drive", [rigid.shapes[i].surface_drive for i in flat], wp.float32)

    has = [n.zone is not None for n in nodes]
    put("zone_center", [n.zone.center if n.zone else np.zeros(3) for n in nodes], wp.vec3)
    put("zone_rotation", [n.zone.rotation if n.zone else [0, 0, 0, 1] for n in nodes], wp.quat)
    put("zone_half", [n.zone.half_extents if n.zone else -np.ones(3) for n in nodes], wp.vec3)
    poses = entry_poses(model)
    put("entry", poses["entry"], wp.vec3)
    put("entry_rotation", poses["entry_rotation"], wp.quat)
    put("direction", poses["direction"], wp.vec3)
    put("exit_direction", poses["exit_direction"], wp.vec3)
    put("carried", [int((b or bool(o)) and h) for b, o, h in zip(belts, own, has, strict=True)], wp.int32)

    _put_fleets(t, model, put)
    put("prototype_half", [p.half_extents for p in rigid.prototypes], wp.vec3)
    put("prototype_center", [p.bound_center for p in rigid.prototypes], wp.vec3)
    put("prototype_com", [p.body.com for p in rigid.prototypes], wp.vec3)
    return t


DECK_M = 0.4
"""Height of the deck of vehicles that have no bound of their own [m]."""


def _put_fleets(t: LineTables, model: FactoryModel, put: Any) -> None:
    """Where vehicles stand at first and what is drawn of them, and the ways that they drive."""
    up = np.eye(3)[model.rigid.up_axis]
    bodies, deck = [], np.zeros(len(model.nodes))
    home, heading, com = [], [], []
    tracks: list[list[np.ndarray]] = []
    for index, node in enumerate(model.nodes):
        if node.kind != NodeKind.FLEET:
            continue
        rows = node.tracks or [[np.zeros((0, 3)) for _ in row] for row in node.ways]
        tracks += [list(track) for row in rows for track in row]
        begins = [track[0] for track in (node.tracks[-1] if node.tracks else []) if len(track)]
        base = begins[0] if begins else np.zeros(3)
        deck[index] = DECK_M
        if node.zone is not None:
            deck[index] = 2.0 * (np.asarray(node.zone.center) - node.zone.floor) @ up
        for v in range(node.servers):
            body = model.rigid.bodies[node.vehicles[v]] if v < len(node.vehicles) else None
            bodies.append(-1 if body is None else node.vehicles[v])
            home.append(base if body is None else np.asarray(body.position, float))
            heading.append([0.0, 0.0, 0.0, 1.0] if body is None else body.rotation)
            com.append(np.zeros(3) if body is None else body.com)
    begin, flat = _csr(tracks)
    put("vehicle_body", bodies, wp.int32)
    put("vehicle_com", com, wp.vec3)
    put("vehicle_home", home, wp.vec3)
    put("vehicle_heading", heading, wp.quat)
    put("deck", deck, wp.float32)
    put("track_begin", begin, wp.int32)
    put("track", flat, wp.vec3)

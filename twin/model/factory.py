"""FactoryModel: one factory, compiled from a stage. Nodes are rows; both engines read the same rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from twin.core.findings import Finding
from twin.model.distributions import NEVER, ZERO, DistributionTable
from twin.model.rigid import RigidModel
from twin.model.robot import Robot


class NodeKind(IntEnum):
    SOURCE = 0
    STATION = 1
    BUFFER = 2
    CONVEYOR = 3
    ROUTER = 4
    SINK = 5
    FLEET = 6


class RouterRule(IntEnum):
    FIRST = 0
    ROUND_ROBIN = 1
    SHORTEST_QUEUE = 2
    PROBABILITY = 3
    BY_TYPE = 4
    BY_QUALITY = 5


class NodeState(IntEnum):
    """States of a node; shares of the horizon in these sum to 1 (docs/semantics.md)."""

    WORKING = 0
    SETUP = 1
    BLOCKED = 2
    STARVED = 3
    WAITING_CREW = 4
    DOWN = 5
    OFF = 6


@dataclass
class Zone:
    """Where a node acts: an oriented box, SI. ``floor`` is the centre of its lowest face along the up axis."""

    center: np.ndarray
    rotation: np.ndarray
    half_extents: np.ndarray
    floor: np.ndarray


@dataclass
class Node:
    """One node of the line; fields that its kind does not use keep their defaults.

    Attributes:
        path: Prim path. kind: what it is. stream: 64-bit id of its random stream (hash of the path).
        next: Successor node indices in authored order.
        zone: Where it acts in physics; None where nothing gives it a place.
        interarrival: Distribution row; ``NEVER`` where none is authored.
        saturated: The source always has an item. limit: items it makes in all, -1 without end.
        items: Prototype indices; weights: their shares (normalised, same length).
        cycle: Distribution row per item type [T].
        setup, time_to_failure, time_to_repair: Distribution rows.
        failure_while_working: The failure clock runs only while working (else always).
        rework: Node index defective items go to, -1 none. joins: upstream node indices, one item from each.
        output: Prototype index of what leaves a batch or join, -1: the items themselves.
        blocking_before: Starts a cycle only when there is room downstream.
        crew, repair_crew, shift: Indices into the model's ``crews`` and ``shifts``, -1 none; crew_size: people per cycle.
        capacity: Buffer slots, -1 unlimited. lifo: last in first out.
        speed: m/s. length: m. pitch: m, 0: half the sum of the two items' lengths.
        belt_shapes: Shape indices in ``RigidModel.shapes`` that this conveyor drives.
        rule, router_weights, router_types: Router rule; per successor weight, and item type index or -1.
        diverters: Node indices of the conveyors named in ``twin:router:diverter``.
        reject: What this sink takes counts as scrap.
        load_time, unload_time, battery_time, charge_time: Distribution rows of a fleet; its vehicles are ``servers``.
        stops: Nodes that a fleet serves, as indices. ways: Driving distance [m] from each stop, and last from where
            its vehicles begin, to each stop: [S + 1][S]. tracks: the same ways as polylines, each [P,3] m; none without places.
        vehicles: Body indices in ``RigidModel.bodies`` of a fleet's vehicles that are drawn.
        power: [5] W: idle, busy, blocked, setup, down.
    """

    path: str
    kind: NodeKind
    stream: int = 0
    next: list[int] = field(default_factory=list)
    zone: Zone | None = None
    interarrival: int = NEVER
    saturated: bool = False
    limit: int = -1
    items: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    cycle: list[int] = field(default_factory=list)
    servers: int = 1
    setup: int = ZERO
    time_to_failure: int = NEVER
    time_to_repair: int = ZERO
    failure_while_working: bool = True
    scrap_rate: float = 0.0
    rework: int = -1
    batch_size: int = 1
    joins: list[int] = field(default_factory=list)
    output: int = -1
    blocking_before: bool = False
    crew: int = -1
    crew_size: int = 0
    repair_crew: int = -1
    shift: int = -1
    capacity: int = 1
    lifo: bool = False
    speed: float = 0.0
    accumulating: bool = True
    pitch: float = 0.0
    length: float = 0.0
    belt_shapes: list[int] = field(default_factory=list)
    rule: RouterRule = RouterRule.FIRST
    router_weights: list[float] = field(default_factory=list)
    router_types: list[int] = field(default_factory=list)
    diverters: list[int] = field(default_factory=list)
    reject: bool = False
    load_time: int = ZERO
    unload_time: int = ZERO
    battery_time: int = NEVER
    charge_time: int = ZERO
    stops: list[int] = field(default_factory=list)
    ways: list[list[float]] = field(default_factory=list)
    tracks: list[list[np.ndarray]] = field(default_factory=list)
    vehicles: list[int] = field(default_factory=list)
    power: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class Shift:
    """A weekly calendar: ``patterns`` like ``mon-fri 06:00-14:00`` (see ``twin.model.shifts``); none: always on."""

    path: str
    patterns: list[str] = field(default_factory=list)


@dataclass
class Crew:
    """``size`` people with some ``skills`` who staff cycles and repairs while their ``shift`` (index, -1 always) is on."""

    path: str
    size: int = 1
    shift: int = -1
    skills: list[str] = field(default_factory=list)


@dataclass
class Signal:
    """A declared signal: ``prim`` path, ``name``, UCUM ``unit``, ``role``, initial ``value`` (None: not authored)."""

    prim: str
    name: str
    unit: str = ""
    role: str = "measurement"
    value: float | int | bool | str | None = None


@dataclass
class Sensor:
    """A sensor prim: ``kind`` token, pose (position [3] m, rotation [4] xyzw, looks along local +X), ``range`` [m],
    and the signal it writes, as an index into ``FactoryModel.signals`` (-1: none)."""

    path: str
    kind: str
    position: np.ndarray
    rotation: np.ndarray
    range: float
    signal: int = -1


@dataclass
class FactoryModel:
    """A compiled factory.

    Attributes:
        item_types: Type tokens; node tables index them.
        prototype_type: Item type index of each ``rigid.prototypes`` entry.
        crews, shifts: What ``Node.crew``, ``Node.repair_crew`` and ``Node.shift`` index.
        findings: What the compiler had to say.
    """

    name: str = ""
    nodes: list[Node] = field(default_factory=list)
    distributions: DistributionTable = field(default_factory=DistributionTable)
    item_types: list[str] = field(default_factory=list)
    prototype_type: list[int] = field(default_factory=list)
    crews: list[Crew] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    rigid: RigidModel = field(default_factory=RigidModel)
    signals: list[Signal] = field(default_factory=list)
    sensors: list[Sensor] = field(default_factory=list)
    robots: list[Robot] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unread: list[Finding] = field(default_factory=list)
    """Values that are authored but that the line as it is never reads: no fault, but nothing to vary in a study."""
    meters_per_unit: float = 1.0

    def node_index(self, path: str) -> int:
        """Index of the node at ``path``. Raises KeyError."""
        for i, node in enumerate(self.nodes):
            if node.path == path:
                return i
        raise KeyError(path)


def fleet_stops(model: FactoryModel, index: int) -> list[int]:
    """Nodes that fleet ``index`` fetches from or carries to, routers seen through, in stage order."""
    found: set[int] = set()
    for onward in (True, False):
        seen, frontier = {index}, [index]
        while frontier:
            at = frontier.pop()
            for i, node in enumerate(model.nodes):
                linked = i in model.nodes[at].next if onward else at in node.next or node.rework == at
                if not linked:
                    continue
                if node.kind != NodeKind.ROUTER:
                    found.add(i)
                elif i not in seen:
                    seen.add(i)
                    frontier.append(i)
    return sorted(found)


def stream_id(path: str) -> int:
    """64-bit FNV-1a hash of a prim path: the random stream of what stands there, stable across edits elsewhere."""
    value = 0xCBF29CE484222325
    for byte in path.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value

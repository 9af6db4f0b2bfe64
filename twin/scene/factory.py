"""The compiler: a stage to a ``FactoryModel``."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pxr import Sdf, Usd

from twin.core.findings import Findings
from twin.model.distributions import NEVER, ZERO
from twin.model.factory import Crew, FactoryModel, Node, NodeKind, RouterRule, Shift, Zone, stream_id
from twin.model.rigid import BodyKind
from twin.model.shifts import working_hours
from twin.scene.bounds import bound_in, with_room_above, zone_of
from twin.scene.curves import polylines
from twin.scene.distributions import read_distribution
from twin.scene.fleets import network
from twin.scene.frames import array, rigid, split
from twin.scene.prototypes import add_prototypes, item_type, prototype_paths
from twin.scene.rigid import World, load_world
from twin.scene.robots import read_robot
from twin.scene.signals import read_sensor, signals_of
from twin.scene.unread import note_unread

NODE_APIS: dict[str, NodeKind] = {
    "TwinSourceAPI": NodeKind.SOURCE,
    "TwinStationAPI": NodeKind.STATION,
    "TwinBufferAPI": NodeKind.BUFFER,
    "TwinConveyorAPI": NodeKind.CONVEYOR,
    "TwinRouterAPI": NodeKind.ROUTER,
    "TwinSinkAPI": NodeKind.SINK,
    "TwinFleetAPI": NodeKind.FLEET,
}
_RULES = {
    "first": RouterRule.FIRST,
    "roundRobin": RouterRule.ROUND_ROBIN,
    "shortestQueue": RouterRule.SHORTEST_QUEUE,
    "probability": RouterRule.PROBABILITY,
    "byType": RouterRule.BY_TYPE,
    "byQuality": RouterRule.BY_QUALITY,
}
_TYPED = "twin:station:cycleTime:type:"


@dataclass
class Compiler:
    """One compilation; ``model`` grows."""

    stage: Usd.Stage
    world: World
    prototypes: list[Sdf.Path]
    findings: Findings
    model: FactoryModel
    index: dict[str, int] = field(default_factory=dict)
    crews: dict[str, int] = field(default_factory=dict)
    shifts: dict[str, int] = field(default_factory=dict)
    general: dict[int, int] = field(default_factory=dict)
    """Row of the general cycle time of each station, by its index, that has times by type as well."""

    def run(self) -> FactoryModel:
        prims = self._collect()
        for prim, kind in prims:
            self.model.nodes.append(Node(path=str(prim.GetPath()), kind=kind, stream=stream_id(str(prim.GetPath()))))
        self._calendars_and_crews()
        for (prim, kind), node in zip(prims, self.model.nodes, strict=True):
            self._common(prim, node)
            getattr(self, f"_{kind.name.lower()}")(prim, node)
        for index, (prim, kind) in enumerate(prims):
            if kind == NodeKind.FLEET:
                self._ways(prim, index)
        note_unread([prim for prim, _ in prims], self.model, self.general)
        return self.model

    def _collect(self) -> list[tuple[Usd.Prim, NodeKind]]:
        """Nodes, crews, shifts, signals and sensors of the world, in stage order."""
        nodes: list[tuple[Usd.Prim, NodeKind]] = []
        sensors: list[Usd.Prim] = []
        robots: list[Usd.Prim] = []
        skip = set(self.prototypes)
        walk = iter(Usd.PrimRange(self.stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()))
        for prim in walk:
            if prim.GetPath() in skip:
                walk.PruneChildren()
                continue
            applied = prim.GetAppliedSchemas()
            kinds = [NODE_APIS[a] for a in applied if a in NODE_APIS]
            path = str(prim.GetPath())
            if len(kinds) > 1:
                names = " and ".join(k.name.lower() for k in kinds)
                self.findings.error(
                    path, "two-kinds", f"a prim cannot be {names} at once; it is read as a {kinds[0].name.lower()}"
                )
            if kinds:
                self.index[path] = len(nodes)
                nodes.append((prim, kinds[0]))
            if "TwinCrewAPI" in applied:
                self.crews[path] = len(self.crews)
            if "TwinShiftAPI" in applied:
                self.shifts[path] = len(self.shifts)
            if "TwinSensorAPI" in applied:
                sensors.append(prim)
            if "TwinRobotAPI" in applied:
                robots.append(prim)
            self.model.signals += signals_of(prim)
        self.model.sensors = [
            read_sensor(p, self.model.signals, self.world.cache, self.world.unit, self.findings) for p in sensors
        ]  # fmt: skip
        world = self.world
        found = [read_robot(p, self.index, world.rigid, world.cache, world.unit, self.findings) for p in robots]
        self.model.robots = [robot for robot in found if robot is not None]
        return nodes

    def _calendars_and_crews(self) -> None:
        for path in self.shifts:
            where = f"{path}.twin:shift:pattern"
            patterns = [str(p) for p in self.stage.GetPrimAtPath(path).GetAttribute("twin:shift:pattern").Get() or []]
            if not patterns:
                self.findings.warning(where, "no-pattern", "a calendar without a pattern is always on")
            good = []
            for pattern in patterns:
                try:
                    working_hours(pattern)
                    good.append(pattern)
                except ValueError as error:
                    self.findings.error(where, "bad-value", str(error))
            self.model.shifts.append(Shift(path, good))
        for path in self.crews:
            prim = self.stage.GetPrimAtPath(path)
            shift = self._one(prim, "twin:node:shift", self.shifts, "TwinShiftAPI")
            skills = [str(s) for s in prim.GetAttribute("twin:crew:skills").Get() or []]
            self.model.crews.append(Crew(path, self._count(prim, "twin:crew:size", 0), shift, skills))

    def _staff(self, prim: Usd.Prim, rel: str, attribute: str) -> int:
        """The crew that a station names and that has the skill it asks for; unnamed, the first one that has it; -1 none."""
        crew = self._one(prim, rel, self.crews, "TwinCrewAPI")
        skill = str(prim.GetAttribute(attribute).Get() or "")
        if not skill:
            return crew
        skilled = [i for i, c in enumerate(self.model.crews) if skill in c.skills]
        if crew < 0 and skilled and not prim.GetRelationship(rel).GetTargets():
            return skilled[0]
        if crew not in skilled:
            who = f"{self.model.crews[crew].path} does not have" if crew >= 0 else "no crew has"
            able = ", ".join(self.model.crews[i].path for i in skilled) or "none"
            self.findings.error(
                f"{prim.GetPath()}.{attribute}", "missing-skill", f"{who} the skill {skill!r}; crews that have it: {able}"
            )
        return crew

    # ---- what every node has

    def _common(self, prim: Usd.Prim, node: Node) -> None:
        node.next = self._nodes(prim, "twin:next", "unknown-successor")
        node.zone = self._zone(prim)
        node.shift = self._one(prim, "twin:node:shift", self.shifts, "TwinShiftAPI")
        if prim.HasAPI("TwinPowerAPI"):
            idle, busy, blocked, setup, down = (
                float(prim.GetAttribute(f"twin:power:{s}").Get() or 0.0) for s in ("idle", "busy", "blocked", "setup", "down")
            )
            node.power = (idle, busy, blocked, setup, down)

    def _nodes(self, prim: Usd.Prim, name: str, code: str) -> list[int]:
        """Node indices that a relationship names; a finding for each target that is no node."""
        found = []
        for target in prim.GetRelationship(name).GetTargets():
            if str(target) in self.index:
                found.append(self.index[str(target)])
            else:
                named = self.stage.GetPrimAtPath(target)
                what = "does not exist"
                if named:
                    what = "is not a node of the line" if named.IsActive() else "has been deleted"
                self.findings.error(f"{prim.GetPath()}.{name}", code, f"{target} {what}")
        return found

    def _one(self, prim: Usd.Prim, name: str, table: dict[str, int], api: str) -> int:
        targets = prim.GetRelationship(name).GetTargets()
        if not targets:
            return -1
        if str(targets[0]) not in table:
            self.findings.error(f"{prim.GetPath()}.{name}", "unknown-target", f"{targets[0]} is not a prim with {api}")
            return -1
        return table[str(targets[0])]

    def _zone(self, prim: Usd.Prim) -> Zone | None:
        world = self.world
        targets = prim.GetRelationship("twin:node:zone").GetTargets()
        if targets:
            zone_prim = self.stage.GetPrimAtPath(targets[0])
            zone = zone_of(zone_prim, world.cache, world.unit, world.rigid.up_axis, guides=True) if zone_prim else None
            if zone is None:
                what = "has no extent" if zone_prim else "does not exist"
                self.findings.error(f"{prim.GetPath()}.twin:node:zone", "missing-zone", f"{targets[0]} {what}")
            return zone
        zone = zone_of(prim, world.cache, world.unit, world.rigid.up_axis, skip=set(self.prototypes))
        if zone is None:
            if not prim.HasAPI("TwinRouterAPI"):  # a router holds nothing
                self.findings.info(
                    prim.GetPath(), "no-zone", "nothing gives this node a place, so physics cannot use it (flow can)"
                )
        elif prim.HasAPI("TwinConveyorAPI"):
            # Goods ride above the belt: without the room that they take, no centre would ever be inside a bare belt's bound.
            tallest = max((2.0 * float(p.half_extents[world.rigid.up_axis]) for p in world.rigid.prototypes), default=0.0)
            zone = with_room_above(zone, tallest, world.rigid.up_axis)
        return zone

    def _row(self, prim: Usd.Prim, prefix: str, absent: int) -> int:
        row = read_distribution(prim, prefix, self.findings)
        return absent if row is None else self.model.distributions.add(row)

    def _count(self, prim: Usd.Prim, name: str, least: int, *, also: int | None = None) -> int:
        value = int(prim.GetAttribute(name).Get())
        if value < least and value != also:
            extra = f" or {also}" if also is not None else ""
            self.findings.error(f"{prim.GetPath()}.{name}", "bad-value", f"{value} is below {least}{extra}")
            return least
        return value

    def _positive(self, prim: Usd.Prim, name: str) -> float:
        value = float(prim.GetAttribute(name).Get() or 0.0)
        if not 0.0 <= value < float("inf"):
            self.findings.error(f"{prim.GetPath()}.{name}", "bad-value", f"{value:g} is not a finite number >= 0")
            return 0.0
        return value

    def _token(self, prim: Usd.Prim, name: str, allowed: tuple[str, ...]) -> str:
        value = str(prim.GetAttribute(name).Get())
        if value not in allowed:
            self.findings.error(
                f"{prim.GetPath()}.{name}", "bad-token", f"{value!r} is not allowed (allowed: {', '.join(allowed)})"
            )
            return allowed[0]
        return value

    def _weights(self, prim: Usd.Prim, name: str, count: int, of: str) -> list[float]:
        """Normalised shares; equal where none are authored or they are wrong."""
        weights = [float(w) for w in prim.GetAttribute(name).Get() or []]
        if weights and (len(weights) != count or min(weights) < 0.0 or not 0.0 < sum(weights) < float("inf")):
            text = f"{len(weights)} weights for {count} {of}" if len(weights) != count else "weights must be >= 0 and not all 0"
            self.findings.error(f"{prim.GetPath()}.{name}", "weights-mismatch", text)
            weights = []
        weights = weights or [1.0] * count
        return [w / sum(weights) for w in weights]

    def _type(self, where: str, token: str) -> int:
        if token in self.model.item_types:
            return self.model.item_types.index(token)
        known = ", ".join(self.model.item_types) or "none"
        self.findings.error(where, "unknown-type", f"no item has the type {token!r} (there are: {known})")
        return -1

    def _goods(self, prim: Usd.Prim, name: str) -> list[int]:
        found = []
        for target in prim.GetRelationship(name).GetTargets():
            if target in self.prototypes:
                found.append(self.prototypes.index(target))
            else:
                self.findings.error(f"{prim.GetPath()}.{name}", "unknown-prototype", f"{target} does not exist")
        return found

    # ---- kinds

    def _source(self, prim: Usd.Prim, node: Node) -> None:
        node.interarrival = self._row(prim, "twin:source:interarrival", NEVER)
        node.saturated = bool(prim.GetAttribute("twin:source:saturated").Get())
        node.limit = self._count(prim, "twin:source:limit", 0, also=-1)
        node.items = self._goods(prim, "twin:source:items")
        node.weights = self._weights(prim, "twin:source:weights", len(node.items), "items")
        if not node.items:
            self.findings.error(f"{prim.GetPath()}.twin:source:items", "no-items", "a source must name what it makes")

    def _station(self, prim: Usd.Prim, node: Node) -> None:
        base = "twin:station:"
        node.cycle = self._cycles(prim)
        node.servers = self._count(prim, base + "servers", 1)
        node.setup = self._row(prim, base + "setupTime", ZERO)
        node.time_to_failure = self._row(prim, base + "timeToFailure", NEVER)
        node.time_to_repair = self._row(prim, base + "timeToRepair", ZERO)
        node.failure_while_working = self._token(prim, base + "failureMode", ("operation", "time")) == "operation"
        node.scrap_rate = self._positive(prim, base + "scrapRate")
        if node.scrap_rate > 1.0:
            self.findings.error(
                f"{prim.GetPath()}.{base}scrapRate", "bad-value", f"{node.scrap_rate:g} is not a share between 0 and 1"
            )
            node.scrap_rate = 1.0
        node.rework = next(iter(self._nodes(prim, base + "rework", "unknown-target")), -1)
        node.batch_size = self._count(prim, base + "batchSize", 1)
        node.joins = self._nodes(prim, base + "joins", "unknown-target")
        node.output = next(iter(self._goods(prim, base + "output")), -1)
        node.blocking_before = self._token(prim, base + "blocking", ("afterService", "beforeService")) == "beforeService"
        node.crew = self._staff(prim, base + "crew", base + "skill")
        node.crew_size = self._count(prim, base + "crewSize", 0)
        node.repair_crew = self._staff(prim, base + "repairCrew", base + "repairSkill")

    def _cycles(self, prim: Usd.Prim) -> list[int]:
        """Distribution row per item type."""
        common = self._row(prim, "twin:station:cycleTime", ZERO)
        rows = [common] * max(len(self.model.item_types), 1)
        typed = {n[len(_TYPED) :].rpartition(":")[0] for n in prim.GetAuthoredPropertyNames() if n.startswith(_TYPED)}
        if typed:
            self.general[self.index[str(prim.GetPath())]] = common
        for token in sorted(typed):
            at = self._type(f"{prim.GetPath()}.{_TYPED}{token}", token)
            if at >= 0:
                rows[at] = self._row(prim, _TYPED + token, common)
        return rows

    def _buffer(self, prim: Usd.Prim, node: Node) -> None:
        node.capacity = self._count(prim, "twin:buffer:capacity", 1, also=-1)
        node.lifo = self._token(prim, "twin:buffer:discipline", ("fifo", "lifo")) == "lifo"

    def _conveyor(self, prim: Usd.Prim, node: Node) -> None:
        unit = self.world.unit
        belt = self.world.belts[node.path]
        node.speed = self._positive(prim, "twin:conveyor:speed") * unit
        node.accumulating = bool(prim.GetAttribute("twin:conveyor:accumulating").Get())
        node.pitch = self._positive(prim, "twin:conveyor:pitch") * unit
        node.belt_shapes = belt.shapes
        node.length = self._positive(prim, "twin:conveyor:length") * unit or belt.length or self._extent_along_x(prim)
        if node.length == 0.0:
            self.findings.error(
                f"{node.path}.twin:conveyor:length", "no-length", "neither a length nor a path nor geometry says how long it is"
            )
        if node.speed == 0.0:
            self.findings.warning(f"{node.path}.twin:conveyor:speed", "stands-still", "a conveyor without speed never delivers")

    def _extent_along_x(self, prim: Usd.Prim) -> float:
        """Extent [m] along the prim's X of its belts, else of all that is drawn."""
        frame = rigid(split(array(self.world.cache.GetLocalToWorldTransform(prim))))
        back = np.linalg.inv(frame)
        paths = [self.world.rigid.shapes[i].path for i in self.world.belts[str(prim.GetPath())].shapes] or [str(prim.GetPath())]
        skip = set(self.prototypes)
        bounds = [
            b for p in paths if (b := bound_in(self.stage.GetPrimAtPath(p), self.world.cache, back, skip=skip, guides=True))
        ]
        if not bounds:
            return 0.0
        return float(max(high[0] for _, high in bounds) - min(low[0] for low, _ in bounds)) * self.world.unit

    def _router(self, prim: Usd.Prim, node: Node) -> None:
        node.rule = _RULES[self._token(prim, "twin:router:rule", tuple(_RULES))]
        node.router_weights = self._weights(prim, "twin:router:weights", len(node.next), "successors")
        where = f"{prim.GetPath()}.twin:router:types"
        tokens = [str(t) for t in prim.GetAttribute("twin:router:types").Get() or []]
        if tokens and len(tokens) != len(node.next):
            self.findings.error(where, "weights-mismatch", f"{len(tokens)} types for {len(node.next)} successors")
        node.router_types = [self._type(where, t) if t else -1 for t in (tokens + [""] * len(node.next))[: len(node.next)]]
        node.diverters = self._nodes(prim, "twin:router:diverter", "unknown-target")

    def _sink(self, prim: Usd.Prim, node: Node) -> None:
        node.reject = bool(prim.GetAttribute("twin:sink:reject").Get())

    def _fleet(self, prim: Usd.Prim, node: Node) -> None:
        node.servers = self._count(prim, "twin:fleet:size", 1)
        node.speed = self._positive(prim, "twin:fleet:speed") * self.world.unit
        node.load_time = self._row(prim, "twin:fleet:loadTime", ZERO)
        node.unload_time = self._row(prim, "twin:fleet:unloadTime", ZERO)
        node.battery_time = self._row(prim, "twin:fleet:batteryTime", NEVER)
        node.charge_time = self._row(prim, "twin:fleet:chargeTime", ZERO)
        if node.speed == 0.0:
            self.findings.error(f"{node.path}.twin:fleet:speed", "no-speed", "a fleet without speed never arrives")

    def _ways(self, prim: Usd.Prim, index: int) -> None:
        """Distances between a fleet's stops, once every node has its place and successors."""
        node = self.model.nodes[index]
        where = f"{node.path}.twin:fleet:paths"
        ways: list[np.ndarray] = []
        for target in prim.GetRelationship("twin:fleet:paths").GetTargets():
            curve = self.stage.GetPrimAtPath(target)
            found = polylines(curve, array(self.world.cache.GetLocalToWorldTransform(curve)), self.world.unit) if curve else []
            if not found:
                self.findings.error(where, "unknown-target", f"{target} {'has no curve' if curve else 'does not exist'}")
            ways += found
        driven = network(self.model, index, ways)
        node.stops, node.ways, node.tracks = driven.stops, driven.ways, driven.tracks
        vehicles = [
            i
            for i, body in enumerate(self.model.rigid.bodies)
            if body.kind == BodyKind.KINEMATIC and (body.path == node.path or body.path.startswith(node.path + "/"))
        ]
        node.vehicles = vehicles[: node.servers]
        for i in driven.lost:
            self.findings.error(self.model.nodes[i].path, "no-zone", f"{node.path} serves it, but nothing gives it a place")
        for i, stop in enumerate(node.stops):
            if not all(np.isfinite(row[i]) for row in node.ways):
                self.findings.error(where, "no-way", f"no way leads to {self.model.nodes[stop].path}")
        if node.ways and not ways:
            self.findings.info(where, "no-paths", "without twin:fleet:paths vehicles drive in straight lines")


def compile_factory(stage: Usd.Stage) -> FactoryModel:
    """Compile a stage as it stands, session layer included.

    Returns:
        The model; ``findings`` says what is wrong or not simulated. Wrong values are replaced by harmless ones, so check
        for findings that are errors before trusting figures.

    Raises:
        SceneError: metersPerUnit is not positive.
    """
    findings = Findings()
    paths = prototype_paths(stage)
    world = load_world(stage, findings, exclude=paths)
    add_prototypes(world, paths)
    name = stage.GetDefaultPrim().GetName() if stage.GetDefaultPrim() else stage.GetRootLayer().GetDisplayName()
    model = FactoryModel(name=name, rigid=world.rigid, meters_per_unit=world.unit)
    types = [item_type(stage.GetPrimAtPath(p)) for p in paths]
    model.item_types = list(dict.fromkeys(types))
    model.prototype_type = [model.item_types.index(t) for t in types]
    Compiler(stage, world, paths, findings, model).run()
    model.findings = findings.items
    return model

"""Simulation: a factory model that runs, in one world or in many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import warp as wp

from twin.core.errors import InputError
from twin.core.findings import Finding
from twin.model.factory import FactoryModel, Node, NodeKind
from twin.model.frame import Counts, StateFrame
from twin.physics import World
from twin.physics.kernels.data import LARGE_ISLAND
from twin.process.device import CUDA_BLOCK, load_modules, resolve_device
from twin.process.line import all_slots, batch_size
from twin.process.tables import upload_distributions
from twin.sim import kernels
from twin.sim.arms import GRIPPED, LOOSE
from twin.sim.moves import NO_SLOT
from twin.sim.places import FREE, PACKED, SOURCED, Goods, Random
from twin.sim.robots import put_robots
from twin.sim.sensors import simulated_signals
from twin.sim.state import (
    ITEM_ARRAYS,
    KEPT_ARRAYS,
    LEAD_BINS,
    LEAD_MAX_S,
    LEAD_MIN_S,
    NODE_ARRAYS,
    SERVER_ARRAYS,
    WORLD_ARRAYS,
    allocate_state,
    state_arrays,
)
from twin.sim.tables import upload_tables

DEFAULT_ITEM_CAPACITY = 192
"""Item slots of one world where nothing else is said; buffers add theirs."""


def item_capacity(model: FactoryModel) -> int:
    """Slots for goods: enough for every finite buffer and batch beside what rides the belts; 0 without a source."""
    if not any(n.kind == NodeKind.SOURCE for n in model.nodes):
        return 0
    stored = sum(max(n.capacity, 0) for n in model.nodes if n.kind == NodeKind.BUFFER)
    return min(DEFAULT_ITEM_CAPACITY + stored + sum(n.batch_size for n in model.nodes), 4096)


class Simulation:
    """Rigid bodies with the line's process logic, stepped at a fixed rate.

    Args:
        model: The compiled factory.
        hz: Steps per second of simulated time. substeps: solver substeps of each.
        device: Warp device. seed: Key of all random draws. worlds: Independent replications, numbered from
            ``first_replication``.
        capacity: Item slots of one world; default from the model.
        begin_s: Time 0, counted from a Monday's midnight, for the working hours [s].

    Raises:
        InputError: No such device.
    """

    def __init__(
        self,
        model: FactoryModel,
        *,
        hz: float = 60.0,
        substeps: int = 4,
        device: str = "cpu",
        seed: int = 1,
        worlds: int = 1,
        first_replication: int = 0,
        capacity: int | None = None,
        begin_s: float = 0.0,
    ) -> None:
        self.device = resolve_device(device)
        self.hz, self.substeps, self.seed, self.worlds = hz, substeps, seed, worlds
        self.first_replication = first_replication
        self.capacity = item_capacity(model) if capacity is None else capacity
        if model.nodes:
            modules = ["twin.physics.kernels.launch", "twin.sim.kernels"]
            if len(model.rigid.bodies) + self.capacity > LARGE_ISLAND:
                modules.append("twin.physics.kernels.launch_parts")
            load_modules(modules, self.device)
        self._begin_us = round(begin_s * 1e6)
        self.tick = 0
        self._build(model, all_slots(model))

    def _build(self, model: FactoryModel, slots: list[int]) -> None:
        self.model = model
        self.world = World(
            model.rigid,
            worlds=self.worlds,
            item_capacity=self.capacity,
            device=str(self.device),
            hz=self.hz,
            substeps=self.substeps,
        )
        self._slots = slots
        self._bind(model)
        self._state = allocate_state(self._tables, self.worlds, self.capacity, self.device)
        for name in ("robot_at", "robot_from"):
            rest = np.concatenate([p.angles[0, 0, 0] for p in self._plans] or [np.zeros(6)])
            getattr(self._state, name).assign(np.tile(rest.astype(np.float32), (self.worlds, 1)))
        if model.nodes:
            args = [self._tables, self._random, self._state, self._goods]
            wp.launch(kernels.start_line, self.worlds, args, device=self.device, block_dim=CUDA_BLOCK)
        self._record()

    def _bind(self, model: FactoryModel) -> None:
        """Tables and random streams of ``model`` on the device; the state stays."""
        self.model = model
        self._tables = upload_tables(model, self.device, begin_us=self._begin_us, slots=self._slots)
        self._plans, self._robot_findings = put_robots(self._tables, model, self.device)
        self._random = Random()
        self._random.table = upload_distributions(model.distributions, self.device)
        self._random.seed = self.seed
        self._random.first_replication = self.first_replication
        self._goods = Goods()
        self._goods.first = len(model.rigid.bodies)
        self._goods.slots = self.capacity
        for name in ("position", "rotation", "linear_velocity", "angular_velocity", "alive", "held", "prototype", "generation"):
            setattr(self._goods, name, getattr(self.world, name))

    def _record(self) -> None:
        """The launch of a step, its arguments packed once."""
        args = [self._tables, self._random, 0, self._state, self._goods, self.world.surface_drive]
        self._step_line: Any = wp.launch(
            kernels.step_line, self.worlds, args, device=self.device, record_cmd=True, block_dim=CUDA_BLOCK
        )

    @property
    def time(self) -> float:
        """Simulated time [s]."""
        return self.tick / self.hz

    @property
    def findings(self) -> list[Finding]:
        """What of the model is not simulated, from the compiler, the bodies and the line."""
        out = [*self.model.findings, *self.world.findings, *self._robot_findings]
        for node in self.model.nodes:
            if node.diverters:
                text = "twin:router:diverter belts do not divert yet; goods are carried over to the successor"
                out.append(Finding("info", node.path, "not-simulated", text))
            if node.tracks and len(node.vehicles) < node.servers:
                text = (
                    f"{len(node.vehicles)} of {node.servers} vehicles are seen: each that is to be is a kinematic rigid body, "
                    "the fleet's prim itself or one below it"
                )
                out.append(Finding("info", node.path, "not-drawn", text))
        return out

    def step(self, steps: int = 1) -> None:
        """Advance every world by ``steps`` steps."""
        for _ in range(steps):
            self.tick += 1
            if self.model.nodes:
                now_us = round(self.tick * 1_000_000 / self.hz)
                self._step_line.set_param_by_name("now_us", now_us)
                self._step_line.launch()
            self.world.step(1)

    def update(self, model: FactoryModel, now: Callable[[str], str] = str) -> bool:
        """Take over an edited model while running.

        Values (speeds, cycle times, distributions) change in place. Where bodies, shapes, nodes or prototypes were added,
        removed or moved, the world is rebuilt and the goods on it carried over; goods whose node is gone are counted lost.

        Args:
            now: What a prim of the model so far is called in the new one: a new name alone loses nothing.

        Returns:
            True if the world was rebuilt.
        """
        if _same_layout(self.model, model):
            self._bind(model)
            self._record()
            return False
        old_model, old_world, old_slots = self.model, self.world, self._slots
        before = {name: array.numpy() for name, array in state_arrays(self._state).items()}
        kept = {now(n.path): i for i, n in enumerate(old_model.nodes)}
        came_from = [kept.get(n.path, -1) for n in model.nodes]
        came_from = [
            j if j >= 0 and old_model.nodes[j].kind == n.kind else -1 for n, j in zip(model.nodes, came_from, strict=True)
        ]
        # a server that is there no more still finishes what it has
        slots = [max(s, old_slots[j] if j >= 0 else 0) for s, j in zip(all_slots(model), came_from, strict=True)]
        bodies = [now(b.path) for b in old_model.rigid.bodies]
        prototypes = {p.path: i for i, p in enumerate(model.rigid.prototypes)}
        goods = {name: getattr(old_world, name).numpy()[:, len(bodies) :] for name in _GOODS_ARRAYS}
        self._build(model, slots)
        after = {name: array.numpy().copy() for name, array in state_arrays(self._state).items()}
        new_node = np.full(len(old_model.nodes) + 1, -1, np.int32)
        new_server = np.full(sum(old_slots) + 1, -1, np.int32)
        begin, old_begin = np.cumsum([0, *slots]), np.cumsum([0, *old_slots])
        for i, j in enumerate(came_from):
            if j < 0:
                continue
            new_node[j] = i
            for name in NODE_ARRAYS:
                after[name][:, i] = before[name][:, j]
            here, there = int(begin[i]), int(old_begin[j])
            new_server[there : there + old_slots[j]] = np.arange(here, here + old_slots[j])
            for name in SERVER_ARRAYS:
                after[name][:, here : here + old_slots[j]] = before[name][:, there : there + old_slots[j]]
        for name in (*ITEM_ARRAYS, *WORLD_ARRAYS):
            after[name][...] = before[name]
        for name, things, old_things in (
            *((name, model.crews, old_model.crews) for name in ("crew_free", "crew_busy_us", "crew_on_us")),
            ("shift_at", model.shifts, old_model.shifts),
        ):
            if [x.path for x in things] == [now(x.path) for x in old_things]:
                after[name][...] = before[name]
                if name == "crew_free":  # more or fewer people than before; those at work stay there
                    after[name][:, : len(model.crews)] += _people(model) - _people(old_model)
        new_prototype = np.array([prototypes.get(now(p.path), -1) for p in old_model.rigid.prototypes] + [-1], np.int32)
        after["node"][...] = new_node[before["node"]]
        after["target"][...] = new_node[before["target"]]
        after["server"][...] = new_server[before["server"]]
        after["choices"][...] = 0  # routers may have other successors now
        goods["prototype"][...] = new_prototype[goods["prototype"]]
        present = before["phase"] != FREE
        packed = before["phase"] == PACKED
        sourced = before["phase"] == SOURCED
        homeless = present & (((after["node"] < 0) & ~packed) | (goods["prototype"] < 0))
        # what is in a pack shares its fate, and is counted with it
        if self.capacity:
            homeless = np.where(packed, np.take_along_axis(homeless, np.maximum(before["parent"], 0), axis=1), homeless)
        after["lost"] += np.where(homeless & ~packed & ~sourced, before["pieces"], 0).sum(axis=1)
        for name in ("phase", "pieces"):
            after[name][homeless] = 0
        for name in ("node", "server", "target", "parent"):
            after[name][homeless] = -1
        after["stacked"][after["stacked"] == GRIPPED] = LOOSE
        goods["alive"][homeless] = 0
        for i, node in enumerate(model.nodes):
            if node.kind == NodeKind.SOURCE and came_from[i] >= 0 and self.capacity:
                lost_its_item = np.take_along_axis(homeless, np.maximum(after["waiting"][:, i : i + 1], 0), axis=1)[:, 0]
                after["waiting"][:, i][lost_its_item & (after["waiting"][:, i] >= 0)] = NO_SLOT
        for name, array in state_arrays(self._state).items():
            array.assign(after[name])
        first = len(model.rigid.bodies)
        where = {path: i for i, path in enumerate(bodies)}
        for name in _GOODS_ARRAYS:
            array = getattr(self.world, name)
            values, previous = array.numpy().copy(), getattr(old_world, name).numpy()
            values[:, first:] = goods[name]
            if name in ("position", "rotation", "linear_velocity", "angular_velocity"):
                for i, body in enumerate(model.rigid.bodies):
                    j = where.get(body.path)
                    if j is not None and np.allclose(body.position, old_model.rigid.bodies[j].position):
                        values[:, i] = previous[:, j]
            array.assign(values)
        return True

    def frame(self, world: int = 0) -> StateFrame:
        """The state of one world now."""
        position, rotation = self.world.poses(world)
        first = len(self.model.rigid.bodies)
        s = {name: getattr(self._state, name).numpy()[world] for name in ("id", "pieces", "state", "level", "entered", "left")}
        n = len(self.model.nodes)
        alive = self.world.alive.numpy()[world, first : len(position)] != 0
        frame = StateFrame(
            sim_time=self.time,
            tick=self.tick,
            body_position=position[:first],
            body_rotation=rotation[:first],
            item_alive=alive,
            item_id=s["id"][: len(alive)],
            item_prototype=self.world.prototype.numpy()[world, first : len(position)].copy(),
            item_position=position[first:],
            item_rotation=rotation[first:],
            item_pieces=s["pieces"][: len(alive)],
            node_state=s["state"][:n].astype(np.int8),
            node_level=s["level"][:n],
            node_in=s["entered"][:n],
            node_out=s["left"][:n],
            counts=self.counts(world),
        )
        frame.signals = simulated_signals(self.model, frame)
        return frame

    def counts(self, world: int = 0) -> Counts:
        """Pieces since the run's begin."""
        c = {name: int(getattr(self._state, name).numpy()[world]) for name in ("spawned", "sunk", "scrapped", "lost")}
        return Counts(inside=c["spawned"] - c["sunk"] - c["scrapped"] - c["lost"], **c)

    def refused(self, world: int = 0) -> int:
        """Steps in which a source had an item and no slot was free for it."""
        return int(self._state.full.numpy()[world])

    def statistics(self, world: int = 0) -> dict[str, np.ndarray]:
        """Integrals since the run's begin, to be subtracted from one another for any window.

        ``time_us`` [], ``state_us`` [N,7] averaged over servers, ``unattended_us`` [N] of the time down, that in which nobody
        repaired, ``crew_busy_us``, ``crew_on_us`` [C] people at work and on shift, ``level_us`` [N], ``entered``, ``left``,
        ``defects`` [N] items,
        ``pieces_us``, ``lead_us``, ``sunk``,
        ``spawned``, ``scrapped`` [], ``lead_hist`` [bins] pieces by logarithmic lead time (edges: ``lead_edges_s``).
        """
        n = len(self.model.nodes)
        out = {name: getattr(self._state, name).numpy()[world].copy() for name in _STATISTICS}
        lengths = {"state_us": n, "unattended_us": n, "level_us": n, "entered": n, "left": n, "defects": n}
        lengths |= dict.fromkeys(("crew_busy_us", "crew_on_us"), len(self.model.crews))
        out = {k: v[: lengths[k]] if k in lengths else v for k, v in out.items()}
        servers = np.array(
            [max(m.servers, 1) if m.kind in (NodeKind.STATION, NodeKind.FLEET) else 1 for m in self.model.nodes], np.int64
        )
        out["state_us"] = out["state_us"] // servers.reshape(-1, 1)
        return out

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to continue bit for bit."""
        out = {f"line.{name}": array.numpy().copy() for name, array in state_arrays(self._state).items()}
        out |= {f"world.{name}": array for name, array in self.world.snapshot().items()}
        return out | {"tick": np.array(self.tick)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of the same model.

        Raises:
            InputError: It was taken by a version that kept other things.
        """
        if lacking := [name for name in KEPT_ARRAYS if f"line.{name}" not in snapshot]:
            raise InputError(f"the snapshot was taken by another version: it has no {', '.join(lacking)}")
        self.tick = int(snapshot["tick"])
        for name, array in state_arrays(self._state).items():
            array.assign(snapshot[f"line.{name}"])
        self.world.restore({k.removeprefix("world."): v for k, v in snapshot.items() if k.startswith("world.")})


def lead_edges_s() -> np.ndarray:
    """Edges of the lead-time histogram [s], [bins + 1]."""
    return np.geomspace(LEAD_MIN_S, LEAD_MAX_S, LEAD_BINS + 1)


_GOODS_ARRAYS = ("position", "rotation", "linear_velocity", "angular_velocity", "alive", "held", "prototype", "generation")
_STATISTICS = (
    "time_us", "state_us", "unattended_us", "crew_busy_us", "crew_on_us", "level_us", "entered", "left", "defects",
    "pieces_us", "lead_us", "lead_hist", "sunk", "spawned", "scrapped",
)  # fmt: skip


def _people(model: FactoryModel) -> np.ndarray:
    """Size of each crew, int32 [C]."""
    return np.array([crew.size for crew in model.crews], np.int32)


def _structure(node: Node) -> tuple[object, ...]:
    """What of a node the state depends on."""
    return (node.path, node.kind, node.next, node.servers, batch_size(node), node.joins, node.rework)


def _same_layout(a: FactoryModel, b: FactoryModel) -> bool:
    """Whether ``b`` differs from ``a`` only in values that tables hold."""
    if [_structure(n) for n in a.nodes] != [_structure(n) for n in b.nodes]:
        return False
    if [(r.path, r.station, r.joints) for r in a.robots] != [(r.path, r.station, r.joints) for r in b.robots]:
        return False
    if [c.path for c in a.crews] != [c.path for c in b.crews] or a.crews != b.crews or a.shifts != b.shifts:
        return False
    ra, rb = a.rigid, b.rigid
    if len(ra.bodies) != len(rb.bodies) or len(ra.shapes) != len(rb.shapes) or len(ra.prototypes) != len(rb.prototypes):
        return False
    if any(p.path != q.path or p.body.mass != q.body.mass or not np.array_equal(p.half_extents, q.half_extents)
           for p, q in zip(ra.prototypes, rb.prototypes, strict=True)):  # fmt: skip
        return False
    if ra.materials != rb.materials or not np.array_equal(ra.gravity, rb.gravity):
        return False
    for p, q in zip(ra.bodies, rb.bodies, strict=True):
        if (
            p.path != q.path
            or p.mass != q.mass
            or not np.array_equal(p.position, q.position)
            or not np.array_equal(p.rotation, q.rotation)
        ):
            return False
    conveyor_shapes = {s for n in b.nodes for s in n.belt_shapes}
    for i, (p, q) in enumerate(zip(ra.shapes, rb.shapes, strict=True)):
        same = (
            (p.path, p.kind, p.body, p.material, p.mesh, p.trigger, p.group)
            == (q.path, q.kind, q.body, q.material, q.mesh, q.trigger, q.group)
            and all(
                np.array_equal(getattr(p, f), getattr(q, f))
                for f in ("position", "rotation", "size", "surface_linear", "surface_angular")
            )
            and (i in conveyor_shapes or p.surface_drive == q.surface_drive)
        )
        if not same:
            return False
    return all(np.array_equal(p, q) for p, q in zip(ra.paths, rb.paths, strict=False)) and len(ra.paths) == len(rb.paths)

"""World: rigid bodies and the goods that come and go among them, in W independent worlds."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import warp as wp

from twin.core.cores import usable_cores
from twin.core.errors import InputError
from twin.core.findings import Finding
from twin.model.rigid import BodyKind, RigidModel
from twin.physics.graphs import Graphs
from twin.physics.joints import CARRIED, allocate_joints, stands_at, upload_joints
from twin.physics.kernels import launch, launch_parts, stages
from twin.physics.kernels.data import (
    CANDIDATES,
    LARGE_ISLAND,
    PART,
    POINTS,
    SCRATCH,
    Bodies,
    Contacts,
    Naps,
    Parts,
    Scratch,
    Work,
)
from twin.physics.lanes import WORTH_IT, Lanes
from twin.physics.tables import upload
from twin.process.device import CUDA_BLOCK, resolve_device

REBUILD_STEPS = 8
"""The tree of moving bodies is built anew every so many steps, and refitted between."""

_STATE = (
    "position", "rotation", "linear_velocity", "angular_velocity", "alive", "held", "prototype", "generation",
    "surface_drive", "gravity", "friction_scale", "restitution_scale", "belt_scale",
)  # fmt: skip
_NAPS = ("nap", "rest", "seen", "seen_position", "seen_drive")
_OF_CONTACTS = ("count", "owner_generation")
_OF_POINT = (
    "partner", "partner_body", "partner_generation", "collider", "normal", "anchor", "partner_anchor", "separation",
    "partner_velocity", "surface", "static_friction", "dynamic_friction", "restitution", "normal_impulse", "tangent_impulse",
)  # fmt: skip
BOUNDS_ALONE = 4096
"""Bodies whose bounds are found faster by one thread than handed to several."""
TEAM_PAUSE = 60
"""Steps that one thread solves alone after one of several was kept waiting: the machine has other work."""
TEAM_PARTS = 6
"""Parts of large islands in a world from which on several threads solve them faster than one."""
SLEEP_S = 0.5
"""An island that has been still for so long falls asleep [s]."""


@dataclass(frozen=True)
class Stats:
    """What happened in one world: contact points of the last step, deepest overlap of it [m], and since the start: contact
    points or neighbours that found no place, bodies dropped because their state was not finite. ``asleep``: bodies that sleep."""

    contacts: int
    penetration: float
    overflow: int
    invalid: int
    asleep: int


class World:
    """Rigid bodies stepped at a fixed rate. SI units; every array is [worlds, slots, ...].

    Args:
        model: Bodies, shapes, materials and prototypes.
        worlds: Independent worlds in the same arrays; they never meet.
        item_capacity: Slots for goods, beside the model's own bodies.
        device: Warp device. hz: steps per second. substeps: solver substeps of each.
        threads: CPU threads that share the work of many bodies; all cores, up to four, where not given. The result is the same.
        sleeping: Islands that have been still for ``SLEEP_S`` are left out until something stirs them.
        capture: A step is recorded once as a graph and replayed: on a GPU where not given. The result is the same.

    Attributes:
        position: [W,M,3] m, centre of mass. rotation: [W,M,4] xyzw of the prim's frame.
        linear_velocity: [W,M,3] m/s. angular_velocity: [W,M,3] rad/s, world axes.
        alive: [W,M]. held: [W,M] moved by somebody else. prototype: [W,M] of goods. generation: [W,M], raised by whoever puts
            another body into a slot or puts it elsewhere.
        surface_drive: [W,S] multiplier of each shape's surface velocity.
        gravity: [W,3] m/s2. friction_scale, restitution_scale, belt_scale: [W] factors on what the stage says (set_parameters).

    Raises:
        InputError: No such device, or a rate or capacity that makes no sense.
    """

    def __init__(
        self,
        model: RigidModel,
        *,
        worlds: int = 1,
        item_capacity: int = 0,
        device: str = "cpu",
        hz: float = 60.0,
        substeps: int = 4,
        threads: int | None = None,
        sleeping: bool = True,
        capture: bool | None = None,
    ) -> None:
        threads = min(usable_cores(), 4) if threads is None else threads
        for name, value in (("worlds", worlds), ("hz", hz), ("substeps", substeps), ("threads", threads)):
            if value <= 0:
                raise InputError(f"{name} must be above 0, is {value}", attribute=name)
        self.device = resolve_device(device)
        self.model, self.worlds, self.hz, self.substeps = model, worlds, hz, substeps
        self.slots = len(model.bodies) + item_capacity
        self._lanes = Lanes(self.device, 1 if capture else threads)
        self._stages = stages.count(substeps)
        self._graphs = Graphs(self.device) if capture or (capture is None and self.device.is_cuda) else None
        self._swapped = False
        self._team_again = 0
        self._recorded: dict[Hashable, list[wp.Launch]] = {}
        self._uploaded = upload(model, self.device)
        self._tables = self._uploaded.tables
        self._joint_tables = upload_joints(model, self.device)
        self._joints = allocate_joints(model, worlds, self.device)
        self._steps = 0
        self._bodies = self._allocate_bodies()
        for name in _STATE:
            setattr(self, name, getattr(self._bodies, name))
        self._naps = self._allocate_naps(sleeping)
        self._contacts = [self._allocate_contacts() for _ in range(2)]
        self._work = self._allocate(Work)
        self._parts = self._allocate_parts()
        self._scratch = self._allocate(Scratch)
        self._scratch.shared = int(self.device.is_cpu)
        self._work.lower = wp.zeros(worlds * max(self.slots, 1), dtype=wp.vec3, device=self.device)
        self._work.upper = wp.zeros(worlds * max(self.slots, 1), dtype=wp.vec3, device=self.device)
        groups: wp.array = wp.array(
            np.repeat(np.arange(worlds, dtype=np.int32), max(self.slots, 1)), dtype=wp.int32, device=self.device
        )
        if self.slots:
            self._launch_bounds(notice=False)
        self._bvh = wp.Bvh(self._work.lower, self._work.upper, groups=groups)

    position: wp.array
    rotation: wp.array
    linear_velocity: wp.array
    angular_velocity: wp.array
    alive: wp.array
    held: wp.array
    prototype: wp.array
    generation: wp.array
    surface_drive: wp.array
    gravity: wp.array
    friction_scale: wp.array
    restitution_scale: wp.array
    belt_scale: wp.array

    @property
    def findings(self) -> list[Finding]:
        """What of the model is not simulated, or only approximately."""
        return list(self._uploaded.findings)

    def _allocate_bodies(self) -> Bodies:
        model, w, m = self.model, self.worlds, max(self.slots, 1)
        position = np.zeros((w, m, 3), np.float32)
        rotation = np.tile(np.array([0, 0, 0, 1], np.float32), (w, m, 1))
        linear = np.zeros((w, m, 3), np.float32)
        angular = np.zeros((w, m, 3), np.float32)
        alive = np.zeros((w, m), np.int32)
        for i, body in enumerate(model.bodies):
            q = np.asarray(body.rotation, float)
            position[:, i] = np.asarray(body.position, float) + _turn(q[None], np.asarray(body.com, float)[None])[0]
            rotation[:, i] = q
            linear[:, i] = body.linear_velocity
            angular[:, i] = body.angular_velocity
            alive[:, i] = 1
        b = Bodies()
        for name, values, dtype in (
            ("position", position, wp.vec3),
            ("rotation", rotation, wp.quat),
            ("linear_velocity", linear, wp.vec3),
            ("angular_velocity", angular, wp.vec3),
            ("alive", alive, wp.int32),
        ):
            setattr(b, name, wp.array(values, dtype=dtype, device=self.device))
        for name in ("held", "prototype", "generation"):
            setattr(b, name, wp.zeros((w, m), dtype=wp.int32, device=self.device))
        drive = np.tile(np.array([s.surface_drive for s in model.shapes] or [0.0], np.float32), (w, 1))
        b.surface_drive = wp.array(drive, dtype=wp.float32, device=self.device)
        b.gravity = wp.array(np.tile(np.asarray(model.gravity, np.float32), (w, 1)), dtype=wp.vec3, device=self.device)
        for name in ("friction_scale", "restitution_scale", "belt_scale"):
            setattr(b, name, wp.full(w, 1.0, dtype=wp.float32, device=self.device))
        return b

    def _allocate_parts(self) -> Parts:
        """Room for the parts of large islands; none where there are too few bodies for one."""
        p = Parts()
        room = self.slots > LARGE_ISLAND
        p.most = self.slots // PART + self.slots // LARGE_ISLAND + 1 if room else 0
        bodies = self.slots if room else 1
        half_edges = 2 * (self.slots * POINTS + len(self.model.joints)) if room else 1
        lengths = dict.fromkeys(("order", "level", "edge"), bodies)
        lengths |= dict.fromkeys(("edge_next", "edge_other"), half_edges)
        for name, var in Parts.vars.items():  # type: ignore[attr-defined]
            if wp.types.is_array(var.type):
                rows = 1 if name == "some" else self.worlds
                shape = (rows,) if var.type.ndim == 1 else (rows, lengths.get(name, max(p.most, 1)))
                setattr(p, name, wp.zeros(shape, dtype=wp.int32, device=self.device))
        return p

    def _allocate_naps(self, sleeping: bool) -> Naps:
        z = self._allocate(Naps)
        z.steps = max(round(SLEEP_S * self.hz), 1) if sleeping else 0
        # as it is now: the first step sees nothing that was done to a body
        code = self._bodies.generation.numpy() * 4 + 2 * (self._bodies.alive.numpy() != 0) + (self._bodies.held.numpy() != 0)
        z.seen.assign(code.astype(np.int32))
        z.seen_position.assign(self._bodies.position)
        z.seen_drive = wp.clone(self._bodies.surface_drive)
        asleep = [i for i, body in enumerate(self.model.bodies) if body.starts_asleep and body.kind == BodyKind.DYNAMIC]
        if sleeping and asleep:
            nap, rest = z.nap.numpy().copy(), z.rest.numpy().copy()
            # what touches what is not known yet: one that is stirred wakes them all
            nap[:, asleep], rest[:, asleep] = 1 + asleep[0], -1
            z.nap.assign(nap)
            z.rest.assign(rest)
            for array in (self._bodies.linear_velocity, self._bodies.angular_velocity):
                values = array.numpy().copy()
                values[:, asleep] = 0.0
                array.assign(values)
        return z

    def _allocate(self, struct: type) -> Any:
        """Arrays for every field of a struct; their shape follows from their name or number of dimensions."""
        w, m = self.worlds, max(self.slots, 1)
        named = {
            "candidate": (CANDIDATES,),
            "polygon": (3, SCRATCH),
            **dict.fromkeys(("found", "found_depth", "found_normal"), (SCRATCH,)),
        }
        out = struct()
        for name, var in struct.vars.items():  # type: ignore[attr-defined]
            if name == "point":
                shape: tuple[int, ...] = (w * m * POINTS,)
            elif name in named:
                shape = (w * m, *named[name])
            elif wp.types.is_array(var.type):
                shape = {1: (w,), 2: (w, m)}[var.type.ndim]
            else:
                continue
            setattr(out, name, wp.zeros(shape, dtype=var.type.dtype, device=self.device))
        return out

    def _allocate_contacts(self) -> Contacts:
        out = self._allocate(Contacts)
        out.slots = max(self.slots, 1)
        return out

    def _launch_bounds(self, *, notice: bool = True) -> None:
        every = self.worlds * self.slots
        worth = every if every < BOUNDS_ALONE else WORTH_IT
        args = [self._tables, self._bodies, self.slots, 1.0 / self.hz, int(notice), self._work, self._naps]
        self._launch(launch.bounds, every, lambda: args, form=notice, worth=worth)

    def _launch(
        self, kernel: wp.Kernel, total: int, args: Callable[[], list[Any]], *, form: Hashable = None, worth: int = WORTH_IT
    ) -> None:
        """Launch ``kernel(0, *args())``, recorded once for each ``form`` of its arguments."""
        if (kernel, form) not in self._recorded:
            self._recorded[kernel, form] = self._lanes.record(kernel, total, args(), worth=worth)
        self._lanes.run(self._recorded[kernel, form])

    def step(self, steps: int = 1) -> None:
        """Advance every world by ``steps`` steps of 1 / hz seconds."""
        if self.slots == 0:
            self._steps += steps
            return
        for _ in range(steps):
            rebuild = self._steps % REBUILD_STEPS == 0
            if self._graphs is None:
                self._enqueue(rebuild)
            else:
                self._graphs.launch((rebuild, self._swapped), partial(self._enqueue, rebuild))
            self._contacts.reverse()
            self._swapped = not self._swapped
            self._steps += 1

    def _enqueue(self, rebuild: bool) -> None:
        """The launches of one step, in order; on a GPU nothing of it waits for the device or reads from it."""
        dt = 1.0 / self.hz
        every = self.worlds * self.slots
        tables, bodies, joints, work, naps = self._tables, self._bodies, self._joints, self._work, self._naps
        old, new = self._contacts
        self._launch_bounds()
        if rebuild:
            self._bvh.rebuild()
        else:
            self._bvh.refit()
        form = self._swapped
        self._launch(
            launch.collide,
            every,
            lambda: [tables, bodies, old, self._bvh.id, self.slots, dt, work, self._scratch, naps, new],
            form=form,
        )
        if self._parts.most > 0:
            self._parts.some.zero_()
        self._launch(
            launch.islands,
            self.worlds,
            lambda: [tables, self._joint_tables, bodies, joints, new, self.slots, work, naps, self._parts],
            form=form,
            worth=-(-WORTH_IT // self.slots),
        )
        self._launch(
            launch.solve,
            every,
            lambda: [tables, self._joint_tables, self.slots, dt, self.substeps, bodies, joints, work, naps, new],
            form=form,
        )
        if self._parts.most > 0:
            if self._graphs is None and self.device.is_cpu:
                self._solve_large()
            elif wp.is_conditional_graph_supported() or self.device.is_cpu:
                wp.capture_if(self._parts.some, on_true=self._solve_parts)
            else:
                self._solve_parts()

    def _parts_arguments(self, team: int, stage: int, until: int) -> list[Any]:
        which = [self._tables, self._joint_tables, 1.0 / self.hz, self.substeps, team, stage, until]
        return [*which, self._bodies, self._joints, self._work, self._naps, self._parts, self._contacts[1]]

    def _solve_large(self) -> None:
        """Large islands on a CPU: one thread a world, or several for each of few worlds. The order is the same."""
        counts = self._parts.count.numpy()
        crowded = np.count_nonzero(counts)
        if not crowded:
            return
        threads = self._lanes.threads
        if threads > 1 and crowded < 2 * threads and counts.max() >= TEAM_PARTS and self._steps >= self._team_again:
            form = (launch_parts.solve, ("team", self._swapped))
            if form not in self._recorded:
                args = self._parts_arguments(threads, 0, self._stages)
                self._recorded[form] = self._lanes.record_team(launch_parts.solve, self.worlds, args)
            if self._lanes.run_team(self._recorded[form]):
                if self._parts.slow.numpy().any():
                    self._team_again = self._steps + TEAM_PAUSE
                return
        alone = partial(self._parts_arguments, 1, 0, self._stages)
        self._launch(launch_parts.solve, self.worlds, alone, form=self._swapped, worth=1)

    def _solve_parts(self) -> None:
        """Large islands, a thread for each part, one launch for each stage of the step."""
        for stage in range(self._stages):
            args = self._parts_arguments(0, stage, stage + 1)
            wp.launch(launch_parts.solve, self.worlds * self._parts.most, [0, *args], device=self.device, block_dim=CUDA_BLOCK)

    # ---- goods

    def spawn(
        self,
        prototype: int,
        position: np.ndarray,
        rotation: np.ndarray | None = None,
        linear_velocity: np.ndarray | None = None,
        angular_velocity: np.ndarray | None = None,
        *,
        world: int = 0,
    ) -> int:
        """Put a body of ``prototype`` into a free slot; ``position`` and ``rotation`` are those of its frame.

        Returns:
            The slot, -1 when none is free.

        Raises:
            InputError: A number that is not finite.
        """
        for name, vector in (
            ("position", position),
            ("rotation", rotation),
            ("velocity", linear_velocity),
            ("spin", angular_velocity),
        ):
            if vector is not None and not np.isfinite(vector).all():
                raise InputError(f"the {name} of goods must be finite, is {vector}", attribute=name)
        first = len(self.model.bodies)
        free = np.flatnonzero(self.alive.numpy()[world, first:] == 0)
        if len(free) == 0:
            return -1
        i = first + int(free[0])
        q = np.array([0.0, 0.0, 0.0, 1.0]) if rotation is None else np.asarray(rotation, float)
        com = np.asarray(self.model.prototypes[prototype].body.com, float)
        values = {
            "position": np.asarray(position, float) + _turn(q[None], com[None])[0],
            "rotation": q,
            "linear_velocity": np.zeros(3) if linear_velocity is None else linear_velocity,
            "angular_velocity": np.zeros(3) if angular_velocity is None else angular_velocity,
            "prototype": prototype,
            "held": 0,
            "alive": 1,
        }
        for name, value in values.items():
            self._write(name, world, i, value)
        self._write("generation", world, i, int(self.generation.numpy()[world, i]) + 1)
        return i - first

    def despawn(self, slot: int, *, world: int = 0) -> None:
        """Take the goods in ``slot`` off the world."""
        i = len(self.model.bodies) + slot
        self._write("alive", world, i, 0)
        self._write("generation", world, i, int(self.generation.numpy()[world, i]) + 1)

    def set_surface_drive(self, shape: int, drive: float, *, world: int = 0) -> None:
        """Multiplier of a shape's surface velocity from the next step on; 0 stops the belt."""
        if not np.isfinite(drive):
            raise InputError(f"the drive of a belt must be finite, is {drive}", attribute="drive")
        self._write("surface_drive", world, shape, drive)

    def set_gravity(self, gravity: np.ndarray, *, world: int | None = None) -> None:
        """Gravity [3] m/s2 of one world, or of all, from the next step on; wakes what sleeps there.

        Raises:
            InputError: A number that is not finite.
        """
        if np.shape(gravity) != (3,) or not np.isfinite(gravity).all():
            raise InputError(f"gravity must be three finite numbers, is {gravity}", attribute="gravity")
        values = self.gravity.numpy().copy()
        values[slice(None) if world is None else world] = gravity
        self.gravity.assign(values)
        self.wake(world=world)

    def set_parameters(
        self,
        *,
        friction: float | None = None,
        restitution: float | None = None,
        belts: float | None = None,
        world: int | None = None,
    ) -> None:
        """Factors of one world, or of all, on the friction, restitution and belt speeds that the stage says, from the next step
        on; wakes what sleeps there. What is not given stays.

        Raises:
            InputError: A factor that is not finite, or below 0 for friction and restitution.
        """
        for name, value, least in (("friction", friction, 0.0), ("restitution", restitution, 0.0), ("belts", belts, -np.inf)):
            if value is not None and not (np.isfinite(value) and value >= least):
                allowed = "a finite factor" if least < 0.0 else "a finite factor of at least 0"
                raise InputError(f"the factor of {name} must be {allowed}, is {value}", attribute=name, allowed=allowed)
        for array, value in ((self.friction_scale, friction), (self.restitution_scale, restitution), (self.belt_scale, belts)):
            if value is not None:
                values = array.numpy().copy()
                values[slice(None) if world is None else world] = value
                array.assign(values)
        self.wake(world=world)

    def wake(self, *, world: int | None = None) -> None:
        """Wake everything in one world, or in all."""
        for array in (self._naps.nap, self._naps.rest):
            values = array.numpy().copy()
            values[slice(None) if world is None else world] = 0
            array.assign(values)

    @property
    def asleep(self) -> np.ndarray:
        """[W,M] bodies that sleep, a copy."""
        return (self._naps.nap.numpy() != 0)[:, : self.slots]

    # ---- joints

    def set_drive(
        self, joint: int, axis: int, *, position: float | None = None, velocity: float | None = None, world: int = 0
    ) -> None:
        """Target of a joint's drive from the next step on [m and m/s, or rad and rad/s]; axes are X, Y, Z, then rotations.

        Raises:
            InputError: The joint has no drive there, or the target is not a number.
        """
        if axis not in self.model.joints[joint].drives:
            allowed = sorted(self.model.joints[joint].drives)
            raise InputError(f"{self.model.joints[joint].path} has no drive on axis {axis}", attribute="axis", allowed=allowed)
        for array, value in ((self._joints.target, position), (self._joints.target_velocity, velocity)):
            if value is None:
                continue
            if not np.isfinite(value):
                raise InputError(f"the target of a drive must be finite, is {value}", attribute="drive")
            values = array.numpy()
            values[world, joint, axis] = value
            if not array.device.is_cpu:
                array.assign(values)

    def joint_coordinates(self, joint: int, *, world: int = 0) -> np.ndarray:
        """Where a joint stands [6]: m along and rad about X, Y, Z of its frame on body 0."""
        of = self.model.joints[joint]
        positions, rotations = self.poses(world)
        still = (np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
        poses = [still if i < 0 else (positions[i].astype(float), rotations[i].astype(float)) for i in (of.body0, of.body1)]
        return stands_at(of, poses[0], poses[1])

    def broken_joints(self, world: int = 0) -> list[int]:
        """Joints that came apart."""
        return np.flatnonzero(self._joints.broken.numpy()[world, : len(self.model.joints)]).tolist()

    def _write(self, name: str, world: int, i: int, value: object) -> None:
        array = getattr(self, name)
        values = array.numpy()
        values[world, i] = value
        if not array.device.is_cpu:
            array.assign(values)

    # ---- looking at it

    def poses(self, world: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Position [M,3] m of each prim's origin, and rotation [M,4] xyzw, float32 copies."""
        rotation = self.rotation.numpy()[world].copy()
        arm = _turn(rotation, self._com(world))
        return (self.position.numpy()[world] - arm).astype(np.float32)[: self.slots], rotation[: self.slots]

    def frame_velocity(self, world: int = 0) -> np.ndarray:
        """Velocity [M,3] m/s of each prim's origin, float32 copy."""
        arm = _turn(self.rotation.numpy()[world], self._com(world))
        spin = np.cross(self.angular_velocity.numpy()[world], arm)
        return (self.linear_velocity.numpy()[world] - spin).astype(np.float32)[: self.slots]

    def _com(self, world: int) -> np.ndarray:
        """Centre of mass [M,3] m of every slot's body in its frame."""
        first = len(self.model.bodies)
        com = np.zeros(self.position.numpy()[world].shape, np.float32)
        if first:
            com[:first] = [b.com for b in self.model.bodies]
        if self.model.prototypes and self.slots > first:
            table = np.array([p.body.com for p in self.model.prototypes], np.float32)
            com[first:] = table[self.prototype.numpy()[world, first:]]
        return com

    def stats(self, world: int = 0) -> Stats:
        """Counters of one world."""
        work = self._work
        return Stats(
            int(work.points.numpy()[world]),
            float(work.penetration.numpy()[world].max()),
            int(work.overflow.numpy()[world].sum()),
            int(work.invalid.numpy()[world].sum()),
            int(np.count_nonzero(self._naps.nap.numpy()[world])),
        )

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to continue bit for bit, contact impulses included."""
        out = {name: getattr(self, name).numpy().copy() for name in _STATE}
        out |= {f"nap.{name}": getattr(self._naps, name).numpy().copy() for name in _NAPS}
        out |= {f"contact.{name}": getattr(self._contacts[0], name).numpy().copy() for name in _OF_CONTACTS}
        used = np.arange(POINTS) < out["contact.count"][:, :, None]
        points = self._contacts[0].point.numpy().reshape(used.shape)
        out |= {f"contact.{name}": points[name][used] for name in _OF_POINT}
        out |= {f"joint.{name}": getattr(self._joints, name).numpy().copy() for name in CARRIED}
        return out | {"steps": np.array(self._steps)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of a world of the same model and capacity."""
        for name in _STATE:
            getattr(self, name).assign(snapshot[name])
        for name in _NAPS:
            getattr(self._naps, name).assign(snapshot[f"nap.{name}"])
        # what sleepers rest on is in one of the two buffers only
        rest = snapshot["nap.rest"].copy()
        rest[snapshot["nap.nap"] != 0] = -1
        self._naps.rest.assign(rest)
        for name in _OF_CONTACTS:
            getattr(self._contacts[0], name).assign(snapshot[f"contact.{name}"])
        used = np.arange(POINTS) < snapshot["contact.count"][:, :, None]
        points = self._contacts[0].point.numpy().copy().reshape(used.shape)
        for name in _OF_POINT:
            points[name][used] = snapshot[f"contact.{name}"]
        self._contacts[0].point.assign(points.reshape(-1))
        for name in CARRIED:
            getattr(self._joints, name).assign(snapshot[f"joint.{name}"])
        self._steps = int(snapshot["steps"])
        if self.slots:
            self._launch_bounds(notice=False)
            self._bvh.rebuild()


def _turn(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rows of ``v`` [n,3] turned by rows of ``q`` [n,4] xyzw."""
    u, w = q[:, :3], q[:, 3:]
    return v + 2.0 * np.cross(u, np.cross(u, v) + w * v)

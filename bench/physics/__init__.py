"""Cartons on running belts: this engine beside MuJoCo and Rapier, speed and quality in one run.

Every engine moves the same cartons (0.4 x 0.3 x 0.3 m, 5 kg, friction 0.5) at 60 frames a second on belts at 0.5 m/s. Ours
are belts with a surface velocity; the peers, which have none, get slabs that move, long enough for the run.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from twin.model.rigid import Body, RigidModel, Shape, ShapeKind

SIZES = (200, 1_000, 5_000, 10_000)
SPEED = 0.5
"""[m/s] of the belts."""
HALF = np.array([0.2, 0.15, 0.15])
MASS = 5.0
ON_A_BELT = 50
PITCH = 0.6
SETTLE = 60
"""Frames before the clock starts."""
SECONDS = 8.0
"""Time that one engine may take to be measured [s]."""


@dataclass
class Running:
    """An engine with the scene loaded.

    Attributes:
        step: Advance by one frame of 1/60 s.
        state: Positions [N,3] m and velocities [N,3] m/s of the cartons.
    """

    step: Callable[[], None]
    state: Callable[[], tuple[np.ndarray, np.ndarray]]


def places(cartons: int) -> np.ndarray:
    """Where the cartons stand at the start [N,3] m: their undersides at height 0."""
    k = np.arange(cartons)
    return np.stack([PITCH * (k % ON_A_BELT), 1.0 * (k // ON_A_BELT), np.full(cartons, HALF[2])], axis=1)


def belts(cartons: int) -> np.ndarray:
    """Centres of the belts [B,3] m; each is 60 m long, from 15 m before the first carton."""
    count = -(-cartons // ON_A_BELT)
    return np.stack([np.full(count, 15.0), np.arange(count, dtype=float), np.full(count, -0.05)], axis=1)


BELT_HALF = np.array([30.0, 0.4, 0.05])


def ours(cartons: int) -> Running:
    """This engine, four substeps, all cores."""
    from twin.physics import World

    h = HALF
    inertia = MASS / 3.0 * np.array([h[1] ** 2 + h[2] ** 2, h[0] ** 2 + h[2] ** 2, h[0] ** 2 + h[1] ** 2])
    model = RigidModel()
    for i, position in enumerate(places(cartons)):
        model.bodies.append(Body("/carton", position=position, mass=MASS, inertia=inertia))
        model.shapes.append(Shape("/carton/box", ShapeKind.BOX, body=i, size=h))
    for position in belts(cartons):
        model.shapes.append(
            Shape("/belt", ShapeKind.BOX, position=position, size=BELT_HALF, surface_linear=np.array([1.0, 0.0, 0.0]),
                  surface_drive=SPEED)
        )  # fmt: skip
    world = World(model)
    return Running(lambda: world.step(1), lambda: (world.position.numpy()[0], world.linear_velocity.numpy()[0]))


def mujoco(cartons: int) -> Running:
    """MuJoCo, two steps a frame, elliptic friction cones; each belt is a slab on a slide whose speed is set."""
    import mujoco as mj

    spec = mj.MjSpec()
    spec.option.timestep = 1.0 / 120.0
    spec.option.cone = mj.mjtCone.mjCONE_ELLIPTIC
    friction = [0.5, 0.005, 0.0001]
    for position in belts(cartons):
        body = spec.worldbody.add_body(pos=position, gravcomp=1.0)
        body.add_joint(type=mj.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0])
        body.add_geom(type=mj.mjtGeom.mjGEOM_BOX, size=BELT_HALF, mass=1e6, friction=friction)
    for position in places(cartons):
        body = spec.worldbody.add_body(pos=position)
        body.add_freejoint()
        body.add_geom(type=mj.mjtGeom.mjGEOM_BOX, size=HALF, mass=MASS, friction=friction)
    model = spec.compile()
    data = mj.MjData(model)
    slides = len(belts(cartons))

    def step() -> None:
        for _ in range(2):
            data.qvel[:slides] = SPEED
            mj.mj_step(model, data)

    def state() -> tuple[np.ndarray, np.ndarray]:
        return data.qpos[slides:].reshape(-1, 7)[:, :3], data.qvel[slides:].reshape(-1, 6)[:, :3]

    return Running(step, state)


def rapier(cartons: int) -> Running:
    """Rapier, one step a frame with its four internal substeps, all cores, no sleeping; belts are kinematic slabs."""
    import rapier3d as r

    world = r.PhysicsWorld(gravity=r.Vec3(0.0, 0.0, -9.81))
    world.set_num_threads(len(os.sched_getaffinity(0)))
    world.integration_parameters.dt = 1.0 / 60.0
    for position in belts(cartons):
        slab = r.RigidBody.kinematic_velocity_based().translation(r.Vec3(*position)).linvel(r.Vec3(SPEED, 0.0, 0.0))
        world.add_body(slab, [r.Collider.cuboid(*BELT_HALF).friction(0.5)])
    bodies = []
    for position in places(cartons):
        carton = r.RigidBody.dynamic().translation(r.Vec3(*position)).can_sleep(False)
        bodies.append(world.add_body(carton, [r.Collider.cuboid(*HALF).friction(0.5).mass(MASS)]))

    def state() -> tuple[np.ndarray, np.ndarray]:
        cartons_now = [world.rigid_bodies[b] for b in bodies]
        position = np.array([[b.translation.x, b.translation.y, b.translation.z] for b in cartons_now])
        return position, np.array([[b.linvel.x, b.linvel.y, b.linvel.z] for b in cartons_now])

    return Running(world.step, state)


ENGINES: dict[str, tuple[str, Callable[[int], Running]]] = {
    "twin": ("twin", ours),
    "mujoco": ("mujoco", mujoco),
    "rapier": ("rapier3d", rapier),
}


def measure(engine: str, cartons: int) -> dict[str, Any]:
    """One row: speed and quality of an engine with so many cartons."""
    package, load = ENGINES[engine]
    started = time.perf_counter()
    running = load(cartons)
    running.step()
    ready = time.perf_counter() - started
    settle = 0
    while settle < SETTLE and (settle < 10 or time.perf_counter() - started - ready < SECONDS):
        running.step()
        settle += 1
    before, _ = running.state()
    before = before.copy()
    frames, begin = 0, time.perf_counter()
    while frames < 10 or (frames < 240 and time.perf_counter() - begin < SECONDS):
        running.step()
        frames += 1
    spent = time.perf_counter() - begin
    position, velocity = running.state()
    speed = (position[:, 0] - before[:, 0]) / (frames / 60.0)
    return {
        "engine": engine,
        "version": importlib.metadata.version(package),
        "cartons": cartons,
        "ms_per_frame": round(1000.0 * spent / frames, 3),
        "times_real_time": round(frames / 60.0 / spent, 2),
        "frames": frames,
        "ready_s": round(ready, 2),
        "overlap_mm": round(1000.0 * float(np.maximum(HALF[2] - position[:, 2], 0.0).max()), 3),
        "speed_error_percent": round(100.0 * float(np.abs(speed / SPEED - 1.0).max()), 3),
        "rattle_mm_s": round(1000.0 * float(np.abs(velocity[:, 2]).max()), 3),
    }


def row(m: dict[str, Any]) -> dict[str, Any]:
    """A measurement as a line of the benchmark's table."""
    note = (
        f"{m['times_real_time']:g} times real time, overlap {m['overlap_mm']:g} mm, speed error {m['speed_error_percent']:g} %, "
        f"rattle {m['rattle_mm_s']:g} mm/s, {m['frames']} frames"
    )
    name = f"{m['cartons']:,} cartons on belts, {m['engine']} {m['version']}"
    return {"name": name, "value": m["ms_per_frame"], "unit": "ms/frame", "note": note}


def run(sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    """Measure every engine that is installed at every size, one after the other in this process."""
    rows = []
    for cartons in sizes:
        for engine, (package, _) in ENGINES.items():
            if importlib.util.find_spec(package) is None:
                name = f"{cartons:,} cartons on belts, {engine}"
                rows.append({"name": name, "value": float("nan"), "unit": "ms/frame", "note": "not installed"})
            else:
                rows.append(row(measure(engine, cartons)))
    return rows

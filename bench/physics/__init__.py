"""Rigid bodies beside MuJoCo and Rapier: boxes at rest on a plane, and cartons that ride a belt."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import numpy as np

from twin.model.rigid import Body, Material, RigidModel, Shape, ShapeKind
from twin.physics import World

HALF = np.array([0.15, 0.2, 0.15])
MASS = 5.0
FRAMES = 60


def places(count: int) -> np.ndarray:
    """A grid of boxes that do not touch, [n,3] m."""
    side = int(np.ceil(np.sqrt(count)))
    return np.array([[0.6 * (i % side), 0.6 * (i // side), HALF[2]] for i in range(count)])


def model(count: int, belt_speed: float = 0.0) -> RigidModel:
    """Boxes of 5 kg on the ground, or on one wide belt."""
    rigid = RigidModel(materials=[Material("", 0.5, 0.5)])
    if belt_speed:
        rigid.shapes.append(Shape("/belt", ShapeKind.BOX, position=np.array([0.0, 0.0, -0.5]), size=np.array([200.0, 200.0, 0.5]),
                                  surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=belt_speed))  # fmt: skip
    else:
        rigid.shapes.append(Shape("/ground", ShapeKind.PLANE))
    h = HALF
    inertia = MASS / 3.0 * np.array([h[1] ** 2 + h[2] ** 2, h[0] ** 2 + h[2] ** 2, h[0] ** 2 + h[1] ** 2])
    for i, place in enumerate(places(count)):
        rigid.bodies.append(Body(f"/box{i}", position=place, mass=MASS, inertia=inertia))
        rigid.shapes.append(Shape(f"/box{i}/shape", ShapeKind.BOX, body=i, size=HALF))
    return rigid


def ours(count: int, belt_speed: float = 0.0) -> tuple[float, World]:
    """Milliseconds a 60 Hz frame, and the world afterwards."""
    world = World(model(count, belt_speed))
    world.step(60)
    begin = time.perf_counter()
    world.step(FRAMES)
    return (time.perf_counter() - begin) / FRAMES * 1000.0, world


def mujoco(count: int) -> float:
    """MuJoCo on the same boxes at rest: two steps of 1/120 s a frame."""
    import mujoco

    boxes = "".join(
        f'<body pos="{x} {y} {z}"><freejoint/><geom type="box" size="{HALF[0]} {HALF[1]} {HALF[2]}" mass="{MASS}"/></body>'
        for x, y, z in places(count)
    )
    world = mujoco.MjModel.from_xml_string(
        f'<mujoco><option timestep="{1 / 120}"/><size memory="2G"/><worldbody><geom type="plane" size="0 0 1"/>{boxes}'
        "</worldbody></mujoco>"
    )
    data = mujoco.MjData(world)
    for _ in range(20):
        mujoco.mj_step(world, data)
    begin = time.perf_counter()
    for _ in range(2 * FRAMES):
        mujoco.mj_step(world, data)
    return (time.perf_counter() - begin) / FRAMES * 1000.0


def run() -> list[dict[str, Any]]:
    """Milliseconds a frame of 1/60 s, and the quality reached."""
    rows: list[dict[str, Any]] = []
    resting, world = ours(1000)
    note = f"deepest overlap {world.stats().penetration * 1000:.2f} mm"
    rows.append({"name": "1,000 boxes at rest, twin", "value": resting, "unit": "ms/frame", "note": note})
    if importlib.util.find_spec("mujoco") is None:
        rows.append({"name": "1,000 boxes at rest, MuJoCo", "value": float("nan"), "unit": "ms/frame", "note": "not installed"})
    else:
        theirs = mujoco(1000)
        rows.append({"name": "1,000 boxes at rest, MuJoCo", "value": theirs, "unit": "ms/frame", "note": "2 substeps"})
        rows.append({"name": "ratio to MuJoCo", "value": theirs / resting, "unit": "1", "note": "above 1: twin is faster"})
    for count in (200, 1000, 5000):
        took, world = ours(count, belt_speed=0.5)
        speed = world.linear_velocity.numpy()[0, :, 0]
        error, overlap = np.abs(speed - 0.5).max() / 0.5 * 100, world.stats().penetration * 1000
        note = f"belt-speed error {error:.3f} %, deepest overlap {overlap:.2f} mm"
        rows.append({"name": f"{count:,} cartons on a belt, twin", "value": took, "unit": "ms/frame", "note": note})
    return rows

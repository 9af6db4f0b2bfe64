"""Rigid bodies against closed forms: ``python -m bench.physics.validation`` writes docs/physics-validation.md, 1 if one fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ellipk

from twin.model.rigid import Body, Drive, Joint, Material, Prototype, RigidModel, Shape, ShapeKind
from twin.physics import World
from twin.physics.geometry import rotation_matrix

G = 9.81
HALF = np.array([0.2, 0.15, 0.15])
MANY = 3
"""Worlds of the second run."""
PAGE = Path(__file__).parents[2] / "docs" / "physics-validation.md"


@dataclass(frozen=True)
class Row:
    """One line of the table: ``measured`` differs from ``expected`` by at most ``tolerance``, all in ``unit``."""

    test: str
    what: str
    expected: float
    measured: float
    tolerance: float
    unit: str

    @property
    def passed(self) -> bool:
        return abs(self.measured - self.expected) <= self.tolerance


def box(position: Any, half: np.ndarray = HALF, mass: float = 5.0, **fields: Any) -> Body:
    inertia = mass / 3.0 * np.array([half[1] ** 2 + half[2] ** 2, half[0] ** 2 + half[2] ** 2, half[0] ** 2 + half[1] ** 2])
    return Body("/box", position=np.array(position, float), mass=mass, inertia=inertia, **fields)


def boxes(*bodies: Body, half: np.ndarray = HALF, mu: float = 0.5, ground: bool = True) -> RigidModel:
    """Boxes of one size, on a plane where asked for."""
    model = RigidModel(materials=[Material("", mu, mu)], shapes=[Shape("/ground", ShapeKind.PLANE)] if ground else [])
    for body in bodies:
        model.bodies.append(body)
        model.shapes.append(Shape("/box/shape", ShapeKind.BOX, body=len(model.bodies) - 1, size=half))
    return model


def balls(places: np.ndarray, radius: float = 0.1, mass: float = 4.2, mu: float = 0.5, bounce: float = 0.0) -> RigidModel:
    """Balls on a plane."""
    model = RigidModel(materials=[Material("", mu, mu, bounce)], shapes=[Shape("/ground", ShapeKind.PLANE)])
    for i, place in enumerate(places):
        model.bodies.append(Body("/ball", position=place, mass=mass, inertia=np.full(3, 0.4 * mass * radius**2)))
        model.shapes.append(Shape("/ball/shape", ShapeKind.SPHERE, body=i, size=np.array([radius, 0.0, 0.0])))
    return model


def belt(speed: float, y: float = 0.0, half_y: float = 0.4) -> Shape:
    return Shape("/belt", ShapeKind.BOX, position=np.array([5.0, y, -0.05]), size=np.array([10.0, half_y, 0.05]),
                 surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=speed)  # fmt: skip


WORLDS = [1]
"""How many worlds the cases run in; what is measured is the last of them."""


def begin(model: RigidModel, **options: Any) -> World:
    """A model in as many worlds as are asked for; nobody sleeps, so that nothing at rest is hidden."""
    return World(model, worlds=WORLDS[0], sleeping=False, **options)


def place(world: World, i: int = 0) -> np.ndarray:
    return np.asarray(world.position.numpy()[-1, i], float)


def speed(world: World, i: int = 0) -> np.ndarray:
    return np.asarray(world.linear_velocity.numpy()[-1, i], float)


def falling() -> Iterator[Row]:
    world = begin(boxes(box((0, 0, 50), linear_velocity=np.array([3.0, 0.0, 4.0])), ground=False))
    world.step(120)
    yield Row("T1", "projectile, height after 2 s", 50.0 + 8.0 - 2.0 * G, place(world)[2], 0.5 * G * 2.0 / 240 + 1e-3, "m")
    yield Row("T1", "projectile, way after 2 s", 6.0, place(world)[0], 1e-3, "m")


def sliding() -> Iterator[Row]:
    flat = np.array([0.2, 0.2, 0.02])
    for mu in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0):
        critical = np.degrees(np.arctan(mu))
        slips = []
        for degrees in np.arange(critical - 1.5, critical + 1.6, 0.25):
            model = boxes(box((0, 0, 0.02), flat), half=flat, mu=mu)
            a = np.radians(degrees)
            model.gravity = G * np.array([np.sin(a), 0.0, -np.cos(a)])
            world = begin(model)
            world.step(30)
            start = place(world)[0]
            world.step(120)
            if place(world)[0] - start > 0.01:
                slips.append(degrees)
        yield Row("T2", f"slips from this slope on, friction {mu:g}", critical, min(slips, default=90.0), 1.0, "degrees")
    for mu in (0.2, 0.4, 0.8):
        world = begin(boxes(box((0, 0, 0.15), linear_velocity=np.array([3.0, 0.0, 0.0])), mu=mu))
        world.step(300)
        want = 9.0 / (2.0 * mu * G)
        yield Row("T3", f"stops from 3 m/s, friction {mu:g}", want, place(world)[0], 0.02 * want, "m")


def riding() -> Iterator[Row]:
    for mu in (0.2, 0.5, 0.8):
        model = boxes(box((0, 0, 0.15)), mu=mu, ground=False)
        model.shapes.append(belt(2.0))
        world = begin(model)
        world.step(180)
        want = 4.0 / (2.0 * mu * G)
        yield Row("T4", f"carried at belt speed, friction {mu:g}", 2.0, speed(world)[0], 0.02, "m/s")
        yield Row("T4", f"slip until then, friction {mu:g}", want, 6.0 - place(world)[0], 0.03 * want, "m")
    for what, mass, substeps, hz in (("50 g", 0.05, 4, 60.0), ("500 kg", 500.0, 4, 60.0), ("8 substeps", 5.0, 8, 60.0),
                                     ("240 steps a second", 5.0, 4, 240.0)):  # fmt: skip
        model = boxes(box((0, 0, 0.15), mass=mass), ground=False)
        model.shapes.append(belt(0.5))
        world = begin(model, substeps=substeps, hz=hz)
        world.step(int(2 * hz))
        yield Row("T4", f"carried at belt speed, {what}", 0.5, speed(world)[0], 0.005, "m/s")
    for what, drive, degrees in (("reversed", -0.5, 0.0), ("turned by 30 degrees", 0.5, 30.0)):
        model = boxes(box((0, 0, 0.15)), ground=False)
        model.shapes.append(belt(drive))
        a = np.radians(degrees)
        turned = np.array([0.0, 0.0, np.sin(a / 2.0), np.cos(a / 2.0)])
        model.shapes[-1].rotation, model.shapes[-1].position = turned, np.array([0.0, 0.0, -0.05])
        world = begin(model)
        world.step(120)
        along = float(speed(world) @ np.array([np.cos(a), np.sin(a), 0.0]))
        yield Row("T5", f"belt {what}, speed along it", drive, along, 0.005, "m/s")
    model = boxes(box((0, 0, 0.15)), ground=False)
    model.shapes += [belt(0.6, 0.25, 0.25), belt(0.2, -0.25, 0.25)]
    world = begin(model)
    world.step(60)
    yield Row(
        "T5",
        "between belts at 0.6 and 0.2 m/s, sense of its yaw",
        -1.0,
        np.sign(world.angular_velocity.numpy()[-1, 0, 2]),
        0.0,
        "1",
    )
    model = boxes(box((0.5, 0, 0.15)), ground=False)
    for k, carried in enumerate((0.5, 0.3, 0.8)):
        model.shapes.append(belt(carried))
        model.shapes[-1].position, model.shapes[-1].size = np.array([1.0 + 2.0 * k, 0.0, -0.05]), np.array([1.0, 0.4, 0.05])
    world = begin(model)
    for until, carried in ((1.5, 0.5), (3.5, 0.3), (5.0, 0.8)):
        while place(world)[0] < until:
            world.step(1)
        yield Row("T5", f"handed over to a belt at {carried} m/s", carried, speed(world)[0], 0.01 * carried, "m/s")
    disc = boxes(box((1.0, 0, 0.1), np.full(3, 0.1)), half=np.full(3, 0.1), mu=0.8, ground=False)
    disc.shapes.append(Shape("/table", ShapeKind.CYLINDER, position=np.array([0, 0, -0.05]), size=np.array([1.5, 0.05, 0.0]),
                             surface_angular=np.array([0.0, 0.0, 0.5]), surface_drive=1.0))  # fmt: skip
    world = begin(disc)
    world.step(120)
    angle = np.arctan2(place(world)[1], place(world)[0])
    yield Row("T5", "turntable at 0.5 rad/s carries in 2 s", 1.0, angle, 0.03, "rad")


def bouncing() -> Iterator[Row]:
    for e in (0.0, 0.5, 1.0):
        world = begin(balls(np.array([[0.0, 0.0, 1.1]]), bounce=e))
        heights = []
        for _ in range(100):
            world.step(1)
            heights.append(place(world)[2] - 0.1)
        rebound = max(heights[int(np.argmin(heights[:40])) :])
        yield Row("T6", f"rebound from 1 m, restitution {e:g}", e * e, rebound, 0.02 * e * e + 0.004, "m")


def spinning() -> Iterator[Row]:
    moments = np.array([1.0, 2.0, 3.0])
    model = RigidModel(gravity=np.zeros(3))
    model.bodies.append(Body("/t", inertia=moments, angular_velocity=np.array([0.01, 5.0, 0.01])))
    world = begin(model)
    energy, momentum, spins = [], [], []
    for _ in range(600):
        world.step(1)
        r = rotation_matrix(world.rotation.numpy()[-1, 0].astype(float))
        o = r.T @ world.angular_velocity.numpy()[-1, 0]
        energy.append(0.5 * (moments * o * o).sum())
        momentum.append(r @ (moments * o))
        spins.append(o[1])
    drift = np.abs(np.array(momentum) - momentum[0]).max() / np.linalg.norm(momentum[0])
    yield Row("T7", "free top, drift of momentum in 10 s", 0.0, 100.0 * drift, 0.1, "%")
    yield Row("T7", "free top, drift of energy in 10 s", 0.0, 100.0 * np.ptp(energy) / energy[0], 1.0, "%")
    yield Row("T7", "it flips over (least spin)", -5.0, min(spins), 0.2, "rad/s")


def standing() -> Iterator[Row]:
    world = begin(boxes(*(box((0, 0, 0.15 + 0.3 * i)) for i in range(10))))
    world.step(240)
    start = place(world, 9)
    world.step(600)
    yield Row("T8", "stack of 10, top moves in 10 s", 0.0, 1000.0 * np.linalg.norm(place(world, 9) - start), 1.0, "mm")
    pyramid = [box((0.42 * (c - (7 - r) / 2.0), 0, 0.15 + 0.3 * r)) for r in range(8) for c in range(8 - r)]
    world = begin(boxes(*pyramid))
    world.step(120)
    before = world.position.numpy()[-1].copy()
    world.step(600)
    moved = np.linalg.norm(world.position.numpy()[-1] - before, axis=1).max()
    yield Row("T8", "pyramid of 36, most that one moves in 10 s", 0.0, 1000.0 * moved, 1.0, "mm")


def rolling() -> Iterator[Row]:
    model = balls(np.array([[-0.6, y, 0.1] for y in (-0.2, 0.2)] + [[0.0, y, 0.1] for y in (-0.2, 0.2)]), mu=0.8)
    half = np.array([1.0, 0.4, 0.05])
    model.bodies.append(box((-0.3, 0, 0.25), half, mass=10.0, linear_velocity=np.array([0.5, 0.0, 0.0])))
    model.shapes.append(Shape("/plank", ShapeKind.BOX, body=4, size=half))
    for body in model.bodies[:4]:
        body.linear_velocity, body.angular_velocity = np.array([0.25, 0.0, 0.0]), np.array([0.0, 2.5, 0.0])
    world = begin(model)
    start = world.position.numpy()[-1].copy()
    world.step(90)
    way = world.position.numpy()[-1, :, 0] - start[:, 0]
    yield Row("T9", "plank on balls: ball's way over plank's", 0.5, way[:4].mean() / way[4], 0.01, "1")
    slope = np.radians(10.0)
    for name, kind, share in (("cylinder", ShapeKind.CYLINDER, 0.5), ("ball", ShapeKind.SPHERE, 0.4)):
        model = RigidModel(materials=[Material("", 0.8, 0.8)], shapes=[Shape("/ground", ShapeKind.PLANE)])
        lying = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])
        model.bodies.append(
            Body("/r", position=np.array([0, 0, 0.0996]), rotation=lying, mass=5.0, inertia=np.full(3, share * 0.05))
        )
        model.shapes.append(Shape("/r/s", kind, body=0, size=np.array([0.1, 0.15, 0.0])))
        model.gravity = G * np.array([np.sin(slope), 0.0, -np.cos(slope)])
        world = begin(model)
        world.step(90)
        want = 1.5 * G * np.sin(slope) / (1.0 + share)
        yield Row("T9", f"{name} rolls down 10 degrees, speed after 1.5 s", want, speed(world)[0], 0.01 * want, "m/s")


def crowding() -> Iterator[Row]:
    k = np.arange(216)
    grid = np.stack([(k % 6 - 2.5) * 0.2, (k // 6 % 6 - 2.5) * 0.2, 0.1 + 0.2 * (k // 36)], axis=1)
    model = balls(grid)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        size = np.array([0.1 if x else 0.8, 0.1 if y else 0.8, 1.0])
        model.shapes.append(Shape("/wall", ShapeKind.BOX, position=np.array([0.7 * x, 0.7 * y, 1.0]), size=size))
    world = begin(model)
    world.step(300)
    p = world.position.numpy()[-1].astype(float)
    apart = np.linalg.norm(p[:, None] - p[None], axis=2)[np.triu_indices(216, 1)]
    overlap = np.concatenate([np.maximum(0.2 - apart[apart < 0.2005], 0.0), np.maximum(0.1 - p[p[:, 2] < 0.12, 2], 0.0)])
    yield Row("T10", "6 x 6 x 6 balls in a box, mean overlap over radius", 0.0, 100.0 * overlap.mean() / 0.1, 1.0, "%")
    rng = np.random.default_rng(0)
    k = np.arange(49)
    world = begin(balls(np.stack([0.25 * (k % 7), 0.25 * (k // 7), rng.uniform(1.0, 1.5, 49)], axis=1), mu=0.0, bounce=1.0))

    def energy() -> float:
        v, z = world.linear_velocity.numpy()[-1].astype(float), world.position.numpy()[-1, :, 2].astype(float)
        return float((G * (z - 0.1) + 0.5 * (v * v).sum(axis=1)).sum())

    first, most = energy(), 0.0
    for _ in range(600):
        world.step(1)
        most = max(most, energy() / first - 1.0)
    yield Row("T11", "49 bouncing balls, most energy gained in 10 s", 0.0, 100.0 * most, 1.0, "%")


def jointed() -> Iterator[Row]:
    across = np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])
    for degrees in (5, 60):
        a = np.radians(degrees)
        model = RigidModel(bodies=[Body("/bob", position=np.array([np.sin(a), 0.0, -np.cos(a)]), inertia=np.full(3, 1e-3))])
        model.joints.append(
            Joint("/hinge", -1, 0, rotation0=across, position1=-model.bodies[0].position, rotation1=across).free(3)
        )
        world = begin(model)
        x = []
        for _ in range(600):
            world.step(1)
            x.append(place(world)[0])
        way = np.array(x)
        down = np.flatnonzero((way[:-1] > 0) & (way[1:] <= 0))
        period = np.diff((down + way[down] / (way[down] - way[down + 1])) / 60.0).mean()
        want = 4.0 * np.sqrt(1.001 / G) * ellipk(np.sin(a / 2.0) ** 2)
        yield Row("T12", f"pendulum from {degrees} degrees, period", want, period, 0.01 * want, "s")
    for name, axis in (("slide", 0), ("hinge", 3)):
        model = RigidModel(gravity=np.zeros(3), bodies=[Body("/b")])
        model.joints.append(Joint("/j", -1, 0, drives={axis: Drive(100.0, 5.0, position=1.0)}).free(axis))
        world = begin(model)
        seen = []
        for _ in range(240):
            world.step(1)
            seen.append(world.joint_coordinates(0, world=world.worlds - 1)[axis])
        want = 1.0 + np.exp(-np.pi * 0.25 / np.sqrt(1.0 - 0.25**2))
        yield Row("T12", f"drive of a {name}, peak of its step response", want, max(seen), 0.01 * want, "m or rad")
        yield Row("T12", f"drive of a {name}, after 4 s", 1.0, seen[-1], 0.01, "m or rad")


def goods(capacity: int) -> World:
    model = RigidModel(shapes=[Shape("/ground", ShapeKind.PLANE)])
    shape = Shape("/carton/box", ShapeKind.BOX, 0, size=HALF)
    model.prototypes.append(Prototype("/carton", "carton", box((0, 0, 0)), [shape], HALF, np.zeros(3)))
    return begin(model, item_capacity=capacity)


def repeating() -> Iterator[Row]:
    worlds = []
    for _ in range(2):
        world = goods(30)
        for k in range(30):
            world.spawn(0, np.array([0.11 * (k % 3), 0.07 * (k % 5), 0.2 + 0.33 * k]), world=world.worlds - 1)
        worlds.append(world)
    a, b = worlds
    a.step(100)
    b.step(100)
    differ = np.abs(a.position.numpy() - b.position.numpy()).max()
    yield Row("T13", "the same run again, difference", 0.0, differ, 0.0, "m")
    kept = a.snapshot()
    a.step(60)
    b.step(10)
    b.restore(kept)
    b.step(60)
    differ = np.abs(a.position.numpy() - b.position.numpy()).max()
    yield Row("T13", "restored and continued, difference", 0.0, differ, 0.0, "m")
    world = goods(100)
    made = taken = ghosts = 0
    for _ in range(100):
        for k in range(100):
            made += world.spawn(0, np.array([0.6 * (k % 10), 0.6 * (k // 10), 0.16]), world=world.worlds - 1) >= 0
        world.step(1)
        ghosts += world.stats(world.worlds - 1).contacts - 400
        for k in range(100):
            world.despawn(k, world=world.worlds - 1)
            taken += 1
    yield Row("T14", "10,000 goods through 100 slots, made less taken", 0.0, made - taken, 0.0, "goods")
    yield Row("T14", "contacts that should not be", 0.0, ghosts, 0.0, "contacts")


CASES = (falling, sliding, riding, bouncing, spinning, standing, rolling, crowding, jointed, repeating)


def page(single: list[Row], many: list[Row]) -> str:
    """The table as Markdown: the same cases in one world and in the last of several."""
    lines = [
        "# Physics validation",
        "",
        "Written by `python -m bench.physics.validation`: rigid bodies at 60 steps a second with four substeps each, on the CPU,",
        f"against closed forms, in one world and in the last of {MANY} worlds. Nobody sleeps here.",
        "",
        f"| | what | expected | one world | {MANY} worlds | tolerance | | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r, m in zip(single, many, strict=True):
        verdict = "pass" if r.passed and m.passed else "**fail**"
        figures = " | ".join(f"{x:.4g}" for x in (r.expected, r.measured, m.measured))
        lines.append(f"| {r.test} | {r.what} | {figures} | {r.tolerance:.2g} | {r.unit} | {verdict} |")
    lines += [
        "",
        "What the engine simulates: [physics.md](physics.md).",
        "T13 on a GPU: see [benchmarks.md](benchmarks.md#gpu).",
        "Oracles: `tests/physics/test_oracles.py` and `test_joints.py` compare with Rapier and MuJoCo where these are installed.",
    ]
    return "\n".join(lines) + "\n"


def measure() -> list[Row]:
    """Every case in as many worlds as ``WORLDS`` says."""
    rows = []
    for case in CASES:
        for row in case():
            verdict = "pass" if row.passed else "FAIL"
            print(f"{verdict}  {row.test:4} {row.what}: {row.measured:.5g} ({row.expected:.5g} {row.unit})", flush=True)
            rows.append(row)
    return rows


def main() -> int:
    """Measure everything and write the page; 1 if something fails."""
    runs = []
    for worlds in (1, MANY):
        WORLDS[0] = worlds
        runs.append(measure())
    PAGE.write_text(page(*runs))
    return int(not all(row.passed for run in runs for row in run))


if __name__ == "__main__":
    sys.exit(main())

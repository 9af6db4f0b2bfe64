"""The packaging line, simulated as if it were the plant, drives its shadow: late and disordered values and all."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from twin.core.samples import GOOD, Sample, SignalKey
from twin.live.places import belts_of, eyes_of
from twin.live.shadow import ShadowFeed, ShadowLine
from twin.model.factory import FactoryModel, NodeState
from twin.model.frame import StateFrame
from twin.scene import compile_factory, open_stage
from twin.sim import Simulation

HERO = Path(__file__).parents[2] / "scenes" / "packaging_line" / "scene.usda"
S = 10**9
T0 = 1_700_000_000 * S
HZ = 20
STEPS = 3  # of the simulation, 60 a second, to each that is recorded
SECONDS = 45
EYE_A = SignalKey("/World/Sensors/EyeInfeedA", "blocked")
INFEED_A = "/World/Line/InfeedA"
CHECKWEIGHER = SignalKey("/World/Line/Checkweigher", "state")


@dataclass
class Recorded:
    """What the plant said, every change once, and how it stood at each step."""

    model: FactoryModel
    samples: list[Sample] = field(default_factory=list)
    frames: list[StateFrame] = field(default_factory=list)


@pytest.fixture(scope="module")
def plant() -> Recorded:
    model = compile_factory(open_stage(HERO))
    out, told = Recorded(model), {}
    simulation = Simulation(model, hz=HZ * STEPS, seed=3)
    for step in range(1, HZ * SECONDS + 1):
        simulation.step(STEPS)
        frame = simulation.frame()
        out.frames.append(frame)
        for number, value in frame.signals.items():
            signal = model.signals[number]
            if told.get(number) != value:
                told[number] = value
                time = T0 + step * S // HZ
                out.samples.append(Sample(SignalKey(signal.prim, signal.name), value, GOOD, time, None, time))
    return out


def shadowed(plant: Recorded, delay_s, *, seed: int = 1) -> tuple[ShadowLine, dict[int, StateFrame]]:
    """The shadow, stepped in real time while the values arrive ``delay_s(rng)`` after their stamps; a frame each second."""
    rng = random.Random(seed)
    arriving = sorted(((s.time + round(delay_s(rng) * S), i, s) for i, s in enumerate(plant.samples)), key=lambda a: a[:2])
    feed, now = ShadowFeed(), T0
    shadow = ShadowLine(plant.model, feed, hz=HZ, window_s=1.0, clock=lambda: T0)
    frames = {}
    for step in range(1, HZ * (SECONDS + 1) + 1):
        now = T0 + step * S // HZ
        while arriving and arriving[0][0] <= now:
            feed.append([arriving.pop(0)[2]])
        shadow.step(1)
        if step % HZ == 0:
            frames[round((shadow.shown_ns - T0) / S)] = shadow.frame()
    return shadow, frames


def goods(frame: StateFrame) -> np.ndarray:
    return frame.item_position[frame.item_alive]


def rising(plant: Recorded, key: SignalKey) -> list[float]:
    """Seconds at which an eye's beam was broken."""
    return [(s.time - T0) / S for s in plant.samples if s.key == key and s.value]


def test_goods_are_where_the_plant_has_them_behind_its_eyes(plant):
    shadow, frames = shadowed(plant, lambda rng: rng.uniform(0.0, 0.9))
    belt = belts_of(plant.model)[next(i for i, n in enumerate(plant.model.nodes) if n.path == INFEED_A)]
    eye = eyes_of(plant.model, belts_of(plant.model))[EYE_A]
    assert shadow.late == 0
    assert shadow.appeared >= len(rising(plant, EYE_A)) >= 5
    compared = 0
    for second, frame in frames.items():
        if not 5 <= second < SECONDS:
            continue
        truth = goods(plant.frames[second * HZ - 1])
        for at in (float((p - belt.start) @ belt.direction) for p in truth if abs((p - belt.start)[1]) < 0.4):
            # between the eye and the belt's end, where the shadow knows of it
            if eye.at + 0.1 < at < belt.length - 0.1:
                known = [float((p - belt.start) @ belt.direction) for p in goods(frame)]
                assert min(abs(k - at) for k in known) < 0.25, (second, at, known)
                compared += 1
    assert compared >= 5


def test_states_and_counts_are_those_of_the_plant(plant):
    _, frames = shadowed(plant, lambda rng: rng.uniform(0.0, 0.9))
    told: dict[SignalKey, list[tuple[int, object]]] = {}
    for s in plant.samples:
        told.setdefault(s.key, []).append((s.time, s.value))
    node = next(i for i, n in enumerate(plant.model.nodes) if n.path == CHECKWEIGHER.prim)
    seen = set()
    for second, frame in frames.items():
        if held := [v for t, v in told[CHECKWEIGHER] if t <= T0 + second * S]:
            assert frame.node_state[node] == held[-1]
            seen.add(NodeState(int(held[-1])))
    assert len(seen) > 1
    counts = [v for _, v in told[SignalKey(CHECKWEIGHER.prim, "count")]]
    assert frames[SECONDS].node_out[node] == counts[-1] > 0


def test_disorder_within_the_window_changes_nothing_and_what_is_later_is_counted(plant):
    shadow, ordered = shadowed(plant, lambda rng: 0.0)
    other, disordered = shadowed(plant, lambda rng: rng.choice([0.0, 0.05, 0.5, 0.95]), seed=2)
    for second, frame in ordered.items():
        assert np.array_equal(goods(frame), goods(disordered[second]))
        assert np.array_equal(frame.node_state, disordered[second].node_state)
    assert (shadow.late, other.late) == (0, 0)
    assert (shadow.appeared, shadow.corrected, shadow.vanished) == (other.appeared, other.corrected, other.vanished)
    later, _ = shadowed(plant, lambda rng: 3.0 if rng.random() < 0.05 else 0.2)
    assert 0 < later.late < 0.1 * len(plant.samples)

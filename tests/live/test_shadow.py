"""Shadow mode: belts, photo-eyes, states and poses as the plant says, however late and disordered within the window."""

from __future__ import annotations

import random

import numpy as np
import pytest

from twin.core.samples import BAD, GOOD, Sample, SignalKey
from twin.live.shadow import ShadowFeed, ShadowLine
from twin.model.factory import FactoryModel, Node, NodeKind, NodeState, Sensor, Signal, Zone
from twin.model.rigid import Body, BodyKind, Joint, Prototype, RigidModel

S = 10**9
T0 = 1_700_000_000 * S
LENGTH = 0.4
LEVEL = np.array([0.0, 0.0, 0.0, 1.0])
ACROSS = np.array([0.0, 0.0, np.sin(np.pi / 4), np.cos(np.pi / 4)])  # looks along +Y


def belt(path: str, begin: float, end: float, following: list[int]) -> Node:
    middle = np.array([(begin + end) / 2, 0.0, 0.95])
    zone = Zone(middle, LEVEL, np.array([(end - begin) / 2, 0.3, 0.05]), middle)
    return Node(path, NodeKind.CONVEYOR, next=following, zone=zone, speed=0.5)


def eye(path: str, x: float, signal: int) -> Sensor:
    return Sensor(path, "photoEye", np.array([x, -0.5, 1.1]), ACROSS, 1.0, signal)


def line() -> FactoryModel:
    """Two belts, 0 to 4 m and 4 to 8 m, then a sink; eyes at 1, 3 and 6 m; a cart and an arm of two joints."""
    carton = Prototype("/Carton", "carton", Body("/Carton"), [], np.array([LENGTH / 2, 0.1, 0.15]), np.zeros(3))
    bodies = [
        Body("/Cart", BodyKind.KINEMATIC, np.array([1.0, 2.0, 0.3])),
        Body("/Arm/Upper", BodyKind.KINEMATIC, np.array([0.0, 5.0, 1.0])),
        Body("/Arm/Lower", BodyKind.KINEMATIC, np.array([1.0, 5.0, 1.0])),
    ]
    joints = [
        Joint("/Arm/J1", -1, 1, position0=np.array([0.0, 5.0, 1.0])).free(5),
        Joint("/Arm/J2", 1, 2, position0=np.array([1.0, 0.0, 0.0])).free(5),
    ]
    signals = [
        Signal("/A/Eye1", "seen", role="measurement"),
        Signal("/A/Eye2", "seen", role="measurement"),
        Signal("/B/Eye3", "seen", role="measurement"),
        Signal("/A", "speed", "m/s"),
        Signal("/B", "speed", "m/s"),
        Signal("/A", "state", role="state"),
        Signal("/Out", "count", "1", role="count"),
        Signal("/Cart", "x", "mm", role="pose"),
        Signal("/Cart", "theta", "deg", role="pose"),
        Signal("/Arm/J1", "angle", "deg", role="pose"),
        Signal("/Arm/J2", "angle", "deg", role="pose"),
    ]
    nodes = [belt("/A", 0.0, 4.0, [1]), belt("/B", 4.0, 8.0, [2]), Node("/Out", NodeKind.SINK)]
    sensors = [eye("/A/Eye1", 1.0, 0), eye("/A/Eye2", 3.0, 1), eye("/B/Eye3", 6.0, 2)]
    return FactoryModel(
        nodes=nodes, signals=signals, sensors=sensors, rigid=RigidModel(bodies=bodies, prototypes=[carton], joints=joints)
    )


def at(seconds: float, prim: str, name: str, value, quality: int = GOOD) -> Sample:
    stamp = T0 + round(seconds * S)
    return Sample(SignalKey(prim, name), value, quality, stamp, None, stamp)


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> int:
        return self.now


def shadow(**options) -> tuple[ShadowLine, ShadowFeed]:
    feed = ShadowFeed()
    return ShadowLine(line(), feed, hz=50.0, window_s=0.0, clock=Clock(), **options), feed


def positions(made: ShadowLine) -> list[float]:
    frame = made.frame()
    return sorted(float(x) for x in frame.item_position[frame.item_alive][:, 0])


def pass_eyes(start: float) -> list[Sample]:
    """An item whose front is at the first eye at ``start``, on belts of 0.5 m/s."""
    out = []
    for prim, when in (("/A/Eye1", start), ("/A/Eye2", start + 4.0), ("/B/Eye3", start + 10.0)):
        out += [at(when, prim, "seen", True), at(when + 0.8, prim, "seen", False)]
    return out


def test_an_item_appears_where_the_eye_saw_it_and_is_carried_to_the_sink() -> None:
    made, feed = shadow()
    feed.append(pass_eyes(1.0))
    made.step(50)
    assert positions(made) == pytest.approx([0.8], abs=1e-6)  # its front is at the eye
    made.step(50 * 3)
    assert positions(made) == pytest.approx([0.8 + 1.5], abs=1e-6)
    assert made.frame().node_state.tolist() == [NodeState.WORKING, NodeState.STARVED, NodeState.STARVED]
    made.step(50 * 10)
    assert positions(made) == pytest.approx([7.3], abs=1e-6)
    made.step(50 * 4)
    counts = made.counts()
    assert (counts.spawned, counts.inside, counts.sunk, counts.lost) == (1, 0, 1, 0)
    assert (made.appeared, made.corrected, made.vanished) == (1, 2, 0)
    height = made._belts[0].start[2] + 0.15
    assert height == pytest.approx(0.95 + 0.15)


def test_the_next_eye_corrects_and_takes_away_what_did_not_come() -> None:
    made, feed = shadow()
    slipped = [at(1.0, "/A/Eye1", "seen", True), at(1.5, "/A/Eye1", "seen", False), at(5.3, "/A/Eye2", "seen", True)]
    feed.append([at(0.0, "/A/Eye2", "seen", False), *slipped])
    made.step(round(5.3 * 50))
    assert positions(made) == pytest.approx([2.8], abs=1e-6)
    assert made.corrected == 1
    stolen, feed = shadow()
    feed.append([at(0.0, "/A/Eye2", "seen", False), at(1.0, "/A/Eye1", "seen", True)])
    stolen.step(50 * 7)
    assert positions(stolen) == []
    assert stolen.counts().lost == 1


def test_belts_run_as_the_plant_says() -> None:
    made, feed = shadow()
    feed.append([at(1.0, "/A/Eye1", "seen", True), at(2.0, "/A", "speed", 0.0), at(4.0, "/A", "speed", 0.25)])
    made.step(50 * 3)
    assert positions(made) == pytest.approx([0.8 + 0.5], abs=1e-6)
    assert made.frame().node_state[0] == NodeState.BLOCKED
    feed.append([at(3.5, "/A", "state", "down"), at(3.6, "/A", "speed", None, BAD)])
    made.step(50 * 3)
    assert positions(made) == pytest.approx([0.8 + 0.5 + 0.5], abs=1e-6)
    assert made.frame().node_state[0] == NodeState.DOWN


def test_late_and_disordered_values_within_the_window_change_nothing() -> None:
    """The same values in any order and any delay below the window give the same goods at the same places."""
    values = [s for start in (1.0, 2.5, 5.0) for s in pass_eyes(start)]
    values += [at(3.3, "/A", "speed", 0.2), at(4.1, "/A", "speed", 0.5), at(6.0, "/B", "speed", 0.0), at(6.7, "/B", "speed", 0.5)]
    rng = random.Random(3)

    def run(delay: float) -> list[list[float]]:
        feed, clock = ShadowFeed(), Clock()
        made = ShadowLine(line(), feed, hz=50.0, window_s=1.0, clock=clock)
        arriving = sorted(((s.time / S + rng.uniform(0.0, delay), i, s) for i, s in enumerate(values)), key=lambda a: a[:2])
        seen = []
        for tick in range(50 * 12):
            now = T0 / S + tick / 50.0
            while arriving and arriving[0][0] <= now:
                feed.append([arriving.pop(0)[2]])
            made.step(1)
            if tick % 10 == 0:
                seen.append(positions(made))
        assert made.late == 0
        return seen

    punctual = run(0.0)
    assert max(map(len, punctual)) == 3
    assert run(0.9) == punctual
    feed = ShadowFeed()
    made = ShadowLine(line(), feed, hz=50.0, window_s=1.0, clock=Clock())
    made.step(50 * 5)
    feed.append([at(0.5, "/A/Eye1", "seen", True)])
    made.step(1)
    assert made.late == 1
    assert positions(made) == []


def test_poses_and_joints_follow() -> None:
    made, feed = shadow()
    feed.append([at(0.1, "/Cart", "x", 2500.0), at(0.1, "/Cart", "theta", 90.0)])
    feed.append([at(0.1, "/Arm/J1", "angle", 90.0), at(0.1, "/Arm/J2", "angle", -90.0)])
    made.step(50)
    frame = made.frame()
    assert frame.body_position[0] == pytest.approx([2.5, 2.0, 0.3])
    assert frame.body_rotation[0] == pytest.approx(ACROSS, abs=1e-6)
    assert frame.body_position[1] == pytest.approx([0.0, 5.0, 1.0])
    assert frame.body_position[2] == pytest.approx([0.0, 6.0, 1.0], abs=1e-6)  # the upper arm points along +Y
    assert frame.body_rotation[2] == pytest.approx([0, 0, 0, 1], abs=1e-6)


def test_a_count_of_the_plant_stands_whatever_was_tracked() -> None:
    made, feed = shadow()
    feed.append([at(0.1, "/Out", "count", 41), *pass_eyes(1.0), at(15.4, "/Out", "count", 42)])
    made.step(50 * 16)
    assert made.frame().node_in.tolist()[2] == 42
    assert made.counts().sunk == 1
    assert made.statistics()["state_us"].sum(axis=1).tolist() == [16_000_000] * 3
    assert made.update(line()) is True


def test_more_goods_than_there_is_room_for_are_counted() -> None:
    made, feed = shadow(tolerance=0.001)
    for i in range(200):
        feed.append([at(0.01 * i, "/A/Eye1", "seen", True), at(0.01 * i + 0.005, "/A/Eye1", "seen", False)])
    made.step(150)
    assert made.counts().inside == made.capacity
    assert made.appeared == made.capacity
    assert made.appeared + made.corrected + made.refused == 200


def palletised(batch: int) -> tuple[ShadowLine, ShadowFeed]:
    """Belt A ends at a machine that says what it has let go: one by one, or a pallet of ``batch``; belt B is behind it."""
    model = line()
    pallet = Prototype("/Pallet", "pallet", Body("/Pallet"), [], np.array([0.6, 0.4, 0.2]), np.zeros(3))
    model.rigid.prototypes.append(pallet)
    model.nodes[0].next = [3]
    model.nodes.append(Node("/Machine", NodeKind.STATION, next=[1], batch_size=batch, output=1 if batch > 1 else -1))
    model.signals.append(Signal("/Machine", "count", "1", role="count"))
    feed = ShadowFeed()
    made = ShadowLine(model, feed, hz=50.0, window_s=0.0, clock=Clock())
    feed.append([at(0.0, "/Machine", "count", 0)])
    for start in (1.0, 3.0, 5.0):
        feed.append([at(start, "/A/Eye1", "seen", True), at(start + 0.8, "/A/Eye1", "seen", False)])
    return made, feed


def test_goods_stand_in_a_row_before_a_machine_and_move_up_when_it_takes_one() -> None:
    made, feed = palletised(1)
    made.step(50 * 14)
    assert positions(made) == pytest.approx([4.0 - 2 * LENGTH, 4.0 - LENGTH, 4.0], abs=1e-6)
    feed.append([at(14.5, "/Machine", "count", 1)])
    made.step(50 * 2)
    assert positions(made) == pytest.approx([4.0 - LENGTH, 4.0, 4.0 + 1.5 * 0.5], abs=1e-6)


def test_a_palletiser_takes_goods_in_and_lets_a_pallet_go() -> None:
    made, feed = palletised(3)
    made.step(50 * 14)
    assert positions(made) == []
    assert made.frame().node_level[3] == 3
    assert made.counts().inside == 3
    feed.append([at(14.5, "/Machine", "count", 1)])
    made.step(50 * 1)
    frame = made.frame()
    assert frame.node_level[3] == 0
    assert frame.item_prototype[frame.item_alive].tolist() == [1]

"""Time travel: what was seen is what was recorded, and a moment is simulated again exactly; exports for others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twin.core.errors import InputError
from twin.core.samples import GOOD, Sample, SignalKey
from twin.history import Historian
from twin.history.track import Track
from twin.live.keyframes import Keyframe, Keyframes, layout_of, resimulate
from twin.protocol.messages import BodyTable
from twin.scene import compile_factory, open_stage
from twin.server.replay import TrackRecorder
from twin.sim import Simulation
from twin.sim.warm import smallest_line

T0, S = 1_700_000_000 * 10**9, 10**9
HZ = 60.0
FALLING = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    def Cube "Floor" (prepend apiSchemas = ["PhysicsCollisionAPI"])
    {
        double size = 1
        float3 xformOp:scale = (20, 20, 1)
        double3 xformOp:translate = (0, 0, -0.5)
        uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
    }
    def Cube "Box" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsCollisionAPI"])
    {
        double size = 0.4
        double3 xformOp:translate = (1, 2, 1.5)
        float3 xformOp:rotateXYZ = (20, 35, 10)
        vector3f physics:velocity = (0.8, -0.3, 0)
        uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:rotateXYZ"]
    }
}
"""


@pytest.fixture
def clock(monkeypatch):
    """Wall time of the recorder, set by hand."""
    now = [T0]
    monkeypatch.setattr("twin.server.replay.now_ns", lambda: now[0])
    return now


def run(simulation: Simulation, track: TrackRecorder, clock: list[int], seconds: float) -> dict[int, object]:
    """Frames by wall time, recorded ten times a second."""
    shown = {}
    for _ in range(round(seconds * 10)):
        simulation.step(6)
        clock[0] += S // 10
        frame = simulation.frame()
        shown[clock[0]] = frame
        track.publish(frame)
    return shown


def begin(simulation: Simulation, folder: Path) -> TrackRecorder:
    track = TrackRecorder(folder)
    track.start()
    rigid = simulation.model.rigid
    track.publish(BodyTable(1, [b.path for b in rigid.bodies], [p.path for p in rigid.prototypes], simulation.capacity))
    return track


def degrees(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(2.0 * np.arccos(np.clip(np.abs(np.sum(a * b, axis=-1)), 0.0, 1.0))).max(initial=0.0))


def test_looking_back_shows_poses_within_two_millimetres_and_half_a_degree(tmp_path, clock):
    stage = tmp_path / "falling.usda"
    stage.write_text(FALLING)
    for model in (smallest_line(), compile_factory(open_stage(stage))):
        simulation = Simulation(model, hz=HZ)
        folder = tmp_path / f"track{len(model.nodes)}"
        track = begin(simulation, folder)
        shown = run(simulation, track, clock, 14.0)
        track.close()
        assert track.lost == 0
        back = list(Track(folder).moments(0, 2**62))
        assert [m.time_ns for m in back] == list(shown)
        goods = 0
        for moment in back:
            frame = shown[moment.time_ns]
            assert moment.sim_time == frame.sim_time
            assert np.abs(moment.position - frame.body_position).max(initial=0.0) < 0.002
            assert degrees(moment.rotation, frame.body_rotation) < 0.5
            alive = {int(k) for k in np.flatnonzero(frame.item_alive)}
            assert {slot for slot, _ in moment.goods} == alive
            for (slot, _), (_, position, rotation) in moment.goods.items():
                assert np.abs(position - frame.item_position[slot]).max() < 0.002
                assert degrees(rotation, frame.item_rotation[slot]) < 0.5
            goods += len(alive)
        assert goods > 0 or len(model.nodes) == 0


def test_a_moment_is_simulated_again_bit_for_bit(tmp_path):
    kept = Keyframes(tmp_path / "keyframes")
    simulation = Simulation(smallest_line(), hz=HZ, seed=5)
    simulation.step(400)
    about = Keyframe(T0, "run-1", simulation.tick, HZ, 5, "e", 3, layout_of(simulation.model))
    kept.save(about, simulation.snapshot())
    simulation.step(500)
    seen = simulation.frame()
    found, snapshot = kept.at(T0 + 10 * S)
    assert found == about
    again = resimulate(smallest_line(), found, snapshot, 500).frame()
    assert (again.sim_time, again.counts) == (seen.sim_time, seen.counts)
    for name in (
        "body_position",
        "body_rotation",
        "item_alive",
        "item_id",
        "item_position",
        "item_rotation",
        "node_state",
        "node_in",
    ):
        assert np.array_equal(getattr(again, name), getattr(seen, name), equal_nan=True), name
    with pytest.raises(InputError, match="no keyframe"):
        kept.at(T0 - 1)
    other = smallest_line()
    other.nodes.pop()
    with pytest.raises(InputError, match="edited since"):
        resimulate(other, found, snapshot, 1)


def test_keyframes_stay_within_their_bound_and_a_damaged_one_is_named(tmp_path):
    simulation = Simulation(smallest_line(), hz=HZ)
    snapshot = simulation.snapshot()
    first = Keyframes(tmp_path)
    first.save(Keyframe(T0, "r", 0, HZ, 1, "e", 0, ""), snapshot)
    size = next(tmp_path.glob("*.npz")).stat().st_size
    kept = Keyframes(tmp_path, max_bytes=3 * size + size // 2)
    for i in range(1, 8):
        kept.save(Keyframe(T0 + i, "r", 0, HZ, 1, "e", 0, ""), snapshot)
    assert kept.times() == [T0 + 5, T0 + 6, T0 + 7]
    (tmp_path / f"{T0 + 7}.npz").write_bytes(b"damaged")
    with pytest.raises(Exception, match=f"{T0 + 7}.npz: cannot be read"):
        kept.at(2**62)


def test_a_span_is_exported_as_usd_as_mcap_and_as_arrays(tmp_path, clock):
    from mcap.reader import make_reader
    from pxr import Usd, UsdGeom

    stage, project = tmp_path / "falling.usda", tmp_path / "project"
    stage.write_text(FALLING)
    simulation = Simulation(compile_factory(open_stage(stage)), hz=HZ)
    track = begin(simulation, project / "track")
    shown = run(simulation, track, clock, 3.0)
    track.close()
    history, key = Historian(project / "history.db"), SignalKey("/World/Box", "load")
    history.declare(key, "kg")
    history.append([Sample(key, float(i), GOOD, T0 + i * S, None, T0 + i * S + 5) for i in range(4)])
    history.close()

    def twin(*arguments) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "twin.cli.main", "track", str(stage), "--project", str(project), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    usd, mcap, npz = tmp_path / "out.usda", tmp_path / "out.mcap", tmp_path / "out.npz"
    for out in (usd, mcap, npz):
        done = twin("--out", out, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["moments"] == 30
    times, frames = list(shown), list(shown.values())
    opened = Usd.Stage.Open(str(usd))
    rate = opened.GetTimeCodesPerSecond()
    for i in (0, 7, 29):
        at = UsdGeom.XformCache((times[i] - times[0]) / S * rate).GetLocalToWorldTransform(opened.GetPrimAtPath("/World/Box"))
        assert np.allclose(at.ExtractTranslation(), frames[i].body_position[0], atol=0.002)
    with np.load(npz) as arrays:
        assert arrays["path"].tolist() == ["/World/Box"]
        assert np.allclose(arrays["position"][:, 0], [f.body_position[0] for f in frames], atol=0.002)
    with mcap.open("rb") as file:
        messages = [(c.topic, m.log_time, json.loads(m.data)) for _, c, m in make_reader(file).iter_messages()]
    moved = [(t, body["transforms"][0]["translation"]["z"]) for topic, t, body in messages if topic == "/tf"]
    assert [t for t, _ in moved] == times
    assert np.allclose([z for _, z in moved], [f.body_position[0][2] for f in frames], atol=0.002)
    loads = [(body["value"], body["unit"]) for topic, _, body in messages if topic == "/World/Box/load"]
    assert loads == [(float(i), "kg") for i in range(1, 4)]  # those of the span, which begins after the first
    outside = twin("--out", npz, "--begin", "2001-01-01", "--end", "2001-01-02")
    assert (outside.returncode, "nothing was recorded" in outside.stderr) == (1, True)
    assert twin("--out", tmp_path / "x.txt").returncode == 2


def test_goods_of_a_span_are_prims_that_appear_and_vanish_in_usd(tmp_path):
    from pxr import Usd, UsdGeom

    from twin.cli.track import _goods
    from twin.history.track import Moment
    from twin.scene.samples import write_samples

    def moment(t, *goods):
        seen = {(slot, life): ("/World/Box", np.array([x, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0])) for slot, life, x in goods}
        return Moment(T0 + t * S, float(t), [], np.zeros((0, 3)), np.zeros((0, 4)), seen)

    stage, out = tmp_path / "falling.usda", tmp_path / "out.usda"
    stage.write_text(FALLING)
    # the second item takes the slot of the first
    moments = [moment(0, (4, 1, 0.0)), moment(1, (4, 1, 0.5), (2, 1, 7.0)), moment(2, (4, 2, 3.0), (2, 1, 8.0))]
    write_samples(stage, out, np.arange(3.0), [], np.zeros((3, 0, 3)), np.zeros((3, 0, 4)), _goods(moments))
    opened = Usd.Stage.Open(str(out))
    rate = opened.GetTimeCodesPerSecond()
    seen = {}
    for prim in opened.GetPrimAtPath("/World/TwinGoods").GetChildren():
        shown = [UsdGeom.Imageable(prim).ComputeVisibility(t * rate) != "invisible" for t in range(3)]
        places = [UsdGeom.XformCache(t * rate).GetLocalToWorldTransform(prim).ExtractTranslation()[0] for t in range(3)]
        seen[prim.GetName()] = [round(x, 6) if there else None for x, there in zip(places, shown, strict=True)]
    assert seen == {"Item_0_Box": [0.0, 0.5, None], "Item_1_Box": [None, 7.0, 8.0], "Item_2_Box": [None, None, 3.0]}

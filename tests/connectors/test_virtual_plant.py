"""An emulated plant from a scene: over four protocols, with faults, and called emulated wherever it shows."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from twin.connectors.emulated.faults import Fault, Faults, parse_fault
from twin.connectors.mapping import load
from twin.core.errors import InputError
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, Sample, SignalKey, is_bad, is_good

OVEN = SignalKey("/Line/Oven", "t")
T0, S = 1_700_000_000 * 10**9, 10**9
STAGE = """#usda 1.0
(
    defaultPrim = "Line"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "Line"
{
    def Xform "Oven" (prepend apiSchemas = ["TwinSignalAPI:t", "TwinSignalAPI:hot", "TwinSignalAPI:mode"])
    {
        custom double twin:signal:t:value = 180
        string twin:signal:t:unit = "Cel"
        custom bool twin:signal:hot:value = 1
        custom string twin:signal:mode:value = "auto"
    }
    def Cube "Crate" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsCollisionAPI"])
    {
        bool physics:kinematicEnabled = 1
    }
}
"""


def series(*faults: Fault, count: int = 40) -> list[Sample]:
    made = Faults(list(faults))
    return [made.apply(Sample(OVEN, float(i), GOOD, T0 + i * S, None, T0 + i * S, "emulated"), float(i)) for i in range(count)]


def test_each_fault_does_what_it_says_while_it_lasts():
    stuck = series(parse_fault("/Line/Oven:t=stuck@10+5"))
    assert [s.value for s in stuck[8:17]] == [8, 9, 10, 10, 10, 10, 10, 15, 16]
    drift = series(parse_fault("/Line/Oven:t=drift@10+10*5"))
    assert [s.value - i for i, s in enumerate(drift)][9:21] == [0, *(0.5 * k for k in range(10)), 0]
    spikes = series(parse_fault("/Line/Oven:t=spike@5*100"))
    assert [i for i, s in enumerate(spikes) if s.value != i] == [5, 15, 25, 35]
    offline = series(parse_fault("/Line/Oven:t=offline@3+2"))
    assert [(i, s.quality) for i, s in enumerate(offline) if s.value is None] == [
        (3, BAD_NO_COMMUNICATION),
        (4, BAD_NO_COMMUNICATION),
    ]
    skew = series(parse_fault("/Line/Oven:t=skew@1+1*-30"))
    assert [s.source_time - T0 for s in skew[:3]] == [0, -29 * S, 2 * S]
    made = Faults([parse_fault("/Line/Oven:t=stuck@10+5")])
    for i in range(20):
        made.apply(Sample(OVEN, float(i), GOOD, T0, None, T0), float(i))
    assert list(made.told.values()) == [4]


@pytest.mark.parametrize(
    "text", ["t=stuck", "/Line/Oven:t=melt", "/Line/Oven:t=drift*5", "/Line/Oven:t=spike", "/L:t=skew*x", ""]
)
def test_what_is_no_fault_is_refused(text):
    with pytest.raises(InputError):
        parse_fault(text)


def test_a_scene_s_plant_is_read_over_four_protocols_with_its_faults(tmp_path, broker, make_plant, wait_for):
    stage = tmp_path / "line.usda"
    stage.write_text(STAGE)
    command = [
        sys.executable, "-m", "twin.cli.main", "plant", str(stage), "--opcua", "0", "--modbus", "0",
        "--mqtt", f"mqtt://127.0.0.1:{broker.port}", "--sparkplug", f"mqtt://127.0.0.1:{broker.port}",
        "--mapping", str(tmp_path / "maps"), "--fault", "/Line/Oven:hot=offline",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        assert (ready["event"], ready["origin"], ready["signals"]) == ("ready", "emulated", 3)
        state: dict[str, dict[SignalKey, Sample]] = {}
        for kind in ("opcua", "modbus", "mqtt", "sparkplug"):
            file = tmp_path / "maps" / f"emulated-{kind}.mapping.yaml"
            assert load(file).connections[0].origin == "emulated"
            seen = state[kind] = {}
            plant = make_plant(file.read_text(), file=str(file))

            def now(name: str, plant=plant, seen=seen) -> Sample | None:
                seen.update(plant.drain_state())
                return seen.get(SignalKey("/Line/Oven", name))

            wait_for(lambda now=now: (s := now("t")) is not None and is_good(s.quality), 40.0, f"{kind} good")
            assert now("t").value == pytest.approx(180.0, abs=30.0), kind
            assert now("t").origin == "emulated"
            wait_for(lambda now=now: (s := now("hot")) is not None and is_bad(s.quality), 40.0, f"{kind} bad")
            if kind != "modbus":
                wait_for(lambda now=now: (s := now("mode")) is not None and s.value == "auto", 40.0, f"{kind} text")
    finally:
        process.terminate()
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert json.loads(out.splitlines()[-1])["faults"]["/Line/Oven:hot=offline"] > 0


def test_a_fault_of_a_signal_that_is_not_there_is_one_line(tmp_path):
    stage = tmp_path / "line.usda"
    stage.write_text(STAGE)
    for more, reason in ((["--opcua", "0", "--fault", "/X:y=stuck"], "no such signal"), ([], "nothing to speak")):
        command = [sys.executable, "-m", "twin.cli.main", "plant", str(stage), *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert reason in done.stderr

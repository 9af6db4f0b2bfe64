"""The emulated plant: a line that behaves like one, served by a real OPC UA server that does not outlive its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from twin.connectors import Plant
from twin.connectors.emulated import EmulatedPlant, emulated_mapping, spawn_emulated
from twin.connectors.emulated.line import SETPOINT_C, VARIABLES, PackagingLine
from twin.core.samples import GOOD, SignalKey

PACKAGING_LINE = Path(__file__).parents[2] / "scenes" / "packaging_line" / "scene.usda"


def test_the_sealing_bar_cycles_around_its_setpoint():
    line = PackagingLine(seed=3)
    seen = []
    for _ in range(36_000):
        line.step(0.1)
        seen.append((line.temperature, line.heating, line.motor, line.pressure, line.speed))
    temperature, heating, motor, pressure, speed = np.array(seen, float).T
    assert SETPOINT_C - 4.0 < temperature.min() < temperature.max() < SETPOINT_C + 4.0
    assert np.abs(np.diff(heating)).sum() > 100
    assert 40.0 < motor.min() < motor.max() < 62.0
    assert 5.0 < pressure.min() < pressure.max() < 7.0
    assert speed.min() == pytest.approx(0.0, abs=0.01)
    assert speed.max() == pytest.approx(0.5, abs=0.001)
    assert 30.0 < line.count / 60.0 < 45.0


def test_the_same_seed_gives_the_same_line():
    lines = [PackagingLine(seed=9), PackagingLine(seed=9)]
    for line in lines:
        for _ in range(500):
            line.step(0.1)
    assert [v.read(lines[0]) for v in VARIABLES] == [v.read(lines[1]) for v in VARIABLES]


@pytest.fixture(scope="module")
def plant_process():
    endpoint, process = spawn_emulated()
    yield endpoint, process
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


def test_the_hero_line_gets_good_values(plant_process, history, wait_for):
    endpoint, _ = plant_process
    plant = Plant(emulated_mapping(endpoint), history)
    plant.start()
    try:
        wait_for(lambda: plant.statuses()[0].good == 6, what="six good signals")
        time.sleep(1.5)
        status = plant.statuses()[0]
        assert (status.state, status.origin, status.stale) == ("live", "emulated", 0)
        assert plant.losses() == {}
    finally:
        plant.stop()
    history.flush()
    key = SignalKey("/World/Line/Sealer", "temperature")
    sample = history.samples(key, 0, 2**62)[0]
    assert sample.quality == GOOD
    assert sample.origin == "emulated"
    assert abs(sample.value - SETPOINT_C) < 6.0
    assert sample.source_time is not None
    assert sample.server_time is not None
    assert history.units()[SignalKey("/World/Line/Palletiser", "pressure")] == "bar"
    assert {s.name for s in history.signals()} == {"temperature", "speed", "weight", "pressure"}


def test_only_signals_of_the_stage_are_mapped(plant_process):
    key = SignalKey("/World/Line/Sealer", "speed")
    assert emulated_mapping(plant_process[0], {key}).targets() == {key}


_PARENT = """
import os, sys
from pathlib import Path
from twin.connectors.emulated import EmulatedPlant
plant = EmulatedPlant(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
plant.start()
assert plant.wait(240)
print(plant.pid, flush=True)
os._exit(1)
"""


@pytest.mark.parametrize("stage", [(), (PACKAGING_LINE,)], ids=["made for a scene", "derived from a stage"])
def test_it_ends_with_its_parent(wait_for, stage):
    parent = subprocess.run([sys.executable, "-c", _PARENT, *stage], stdout=subprocess.PIPE, text=True, timeout=250)
    pid = int(parent.stdout.splitlines()[-1])

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"

    wait_for(gone, 60.0, "end of the emulated plant")


def test_a_killed_plant_is_started_again_and_its_values_come_back(history, wait_for):
    emulated = EmulatedPlant()
    plant = Plant(emulated_mapping(emulated.endpoint), history)
    plant.start()
    try:
        wait_for(lambda: plant.statuses()[0].state == "backoff", what="nobody there: nobody has waited for it either")
        assert "nobody listens there" in plant.statuses()[0].error
        emulated.start(lambda: plant.restart("packaging-line"))
        wait_for(lambda: plant.statuses()[0].good == 6, 60.0, "six good signals")
        first = emulated.pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: plant.statuses()[0].good == 0, what="the loss noticed")
        wait_for(lambda: plant.statuses()[0].good == 6, 60.0, "six good signals again")
        assert emulated.pid != first
    finally:
        emulated.stop()
        plant.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(emulated.pid, 0)

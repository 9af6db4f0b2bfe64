"""Fits of durations: the kind that made them, intervals that hold it, and a test that refuses what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from twin.core.samples import GOOD, Sample, SignalKey
from twin.history import Historian
from twin.history.fits import _bootstrap, _distance, cycles, empirical, fit, frozen, spells

T0, S = 1_700_000_000 * 10**9, 10**9
TRUE = {
    "exponential": {"mean": 120.0},
    "lognormal": {"mean": 30.0, "cv": 0.6},
    "gamma": {"mean": 45.0, "cv": 0.3},
    "weibull": {"mean": 60.0, "shape": 3.5},
    "normal": {"mean": 20.0, "cv": 0.05},
}
STAGE = """#usda 1.0
(
    defaultPrim = "Line"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "Line"
{
    class Xform "Part" (prepend apiSchemas = ["TwinItemAPI"])
    {
    }
    def Xform "In" (prepend apiSchemas = ["TwinSourceAPI"])
    {
        bool twin:source:saturated = 1
        rel twin:source:items = </Line/Part>
        rel twin:next = </Line/Press>
    }
    def Xform "Press" (prepend apiSchemas = ["TwinStationAPI", "TwinSignalAPI:count", "TwinSignalAPI:state"])
    {
        double twin:station:cycleTime:mean = 10
        rel twin:next = </Line/Out>
        custom int twin:signal:count:value = 0
        token twin:signal:count:role = "count"
        custom int twin:signal:state:value = 0
        token twin:signal:state:role = "state"
    }
    def Xform "Out" (prepend apiSchemas = ["TwinSinkAPI"])
    {
    }
}
"""


@pytest.mark.parametrize("kind", list(TRUE))
def test_the_kind_that_made_the_durations_fits_and_its_parameters_are_within_the_intervals(kind):
    x = frozen(kind, TRUE[kind]).rvs(600, random_state=7)
    found = {f.kind: f for f in fit(x, rounds=32)}
    mine = found[kind]
    assert mine.fits
    best = next(iter(found.values()))
    assert best.bic <= mine.bic < best.bic + 6.0  # the best, or not to be told from it
    for name, value in TRUE[kind].items():
        assert mine.low[name] * 0.97 <= value <= mine.high[name] * 1.03, name


def test_what_no_candidate_fits_is_told_so():
    rng = np.random.default_rng(1)
    two_humps = np.concatenate([rng.normal(10.0, 0.2, 300), rng.normal(40.0, 0.5, 300)])
    assert not fit(two_humps, rounds=40)[0].fits
    assert len(empirical(two_humps)) == 200
    assert np.mean(empirical(two_humps)) == pytest.approx(25.0, abs=0.5)
    assert fit(np.full(30, 4.0))[0].kind == "constant"
    for bad in (np.ones(5), np.array([1.0] * 30 + [0.0]), np.array([1.0] * 30 + [np.nan])):
        with pytest.raises(ValueError, match="durations"):
            fit(bad)


def test_a_refused_fit_is_refused_as_often_as_it_should_be():
    """Of exponential samples about 5 % fail at p < 0.05: the bootstrap does not favour its own estimate."""
    rng = np.random.default_rng(3)
    ps = []
    for seed in range(60):
        x = np.sort(rng.exponential(50.0, 80))
        parameters = {"mean": float(x.mean())}
        ps.append(_bootstrap("exponential", parameters, 80, _distance(x, frozen("exponential", parameters)), 60, seed)[2])
    assert sum(p < 0.05 for p in ps) <= 8
    assert 0.35 < float(np.mean(ps)) < 0.65


def test_cycles_leave_out_stops_resets_and_jumps():
    time = np.array([0.0, 10, 20, 31, 400, 410, 420, 425, 435])
    count = np.array([0.0, 1, 2, 3, 4, 5, 0, 2, 3])
    assert cycles(time, count).tolist() == [10.0, 11.0, 10.0]


def test_spells_count_working_time_and_whole_ones_only():
    state = ["down", "work", "idle", "work", "down", "work", "down", "work"]
    time = np.array([0.0, 5, 15, 20, 30, 34, 44, 50])
    found = spells(time, np.array([s == "down" for s in state]), np.array([s == "work" for s in state]))
    assert found.up.tolist() == [20.0, 10.0]  # 10 + 10 s of work, idling left out; then 10 s
    assert found.down.tolist() == [4.0, 6.0]  # the first repair began before the record


def test_the_verb_writes_a_layer_that_the_line_engine_runs(tmp_path):
    rng = np.random.default_rng(11)
    stage, history, out = tmp_path / "line.usda", tmp_path / "h.db", tmp_path / "fitted.usda"
    stage.write_text(STAGE)
    recorded = Historian(history)
    count, state = SignalKey("/Line/Press", "count"), SignalKey("/Line/Press", "state")
    at, pieces, samples = 0.0, 0, []
    for _ in range(150):
        samples.append(Sample(state, 0, GOOD, T0 + int(at * S), None, T0))
        end = at + rng.exponential(400.0)
        while (step := rng.gamma(16.0, 12.0 / 16.0)) and at + step < end:
            at, pieces = at + step, pieces + 1
            samples.append(Sample(count, pieces, GOOD, T0 + int(at * S), None, T0))
        at = end
        samples.append(Sample(state, 5, GOOD, T0 + int(at * S), None, T0))
        at += rng.lognormal(np.log(60.0), 0.4)
    recorded.append(samples)
    recorded.flush()
    recorded.close()
    command = [sys.executable, "-m", "twin.cli.main", "fit", str(history), "--stage", str(stage), "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    fits = {f["attribute"]: f for f in json.loads(done.stdout)["fits"]}
    assert fits["twin:station:cycleTime"]["parameters"]["mean"] == pytest.approx(12.0, rel=0.03)
    assert fits["twin:station:timeToFailure"]["parameters"]["mean"] == pytest.approx(400.0, rel=0.25)
    assert fits["twin:station:timeToRepair"]["parameters"]["mean"] == pytest.approx(65.0, rel=0.15)
    both = tmp_path / "both.usda"
    both.write_text(
        STAGE.replace('upAxis = "Z"\n', 'upAxis = "Z"\n    subLayers = [@fitted.usda@]\n').replace(
            "double twin:station:cycleTime:mean = 10\n", ""
        )
    )
    from twin.model.distributions import NEVER
    from twin.scene import compile_factory, open_stage

    press = next(n for n in compile_factory(open_stage(both)).nodes if n.path == "/Line/Press")
    assert press.time_to_failure != NEVER
    empty = tmp_path / "empty.db"
    Historian(empty).close()
    nothing = subprocess.run([*command[:4], str(empty), *command[5:]], capture_output=True, text=True, timeout=60, check=False)
    assert nothing.returncode == 1
    assert "nothing could be fitted" in nothing.stderr

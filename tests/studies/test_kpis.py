"""Key figures from state times, and planned cycle times from distributions."""

import json
from pathlib import Path

import numpy as np
import pytest

from twin.model.build import LineBuilder
from twin.model.distributions import Distribution, DistributionRow, DistributionTable
from twin.model.factory import NodeState
from twin.model.kpis import STATE_SHARES, kpi_names, line_kpis, mean_of, planned_cycle_s, station_kpis
from twin.studies.outcome import run_flow
from twin.studies.results import observation


def states(**seconds):
    out = np.zeros((1, 7))
    for name, value in seconds.items():
        out[0, NodeState[name.upper()]] = value
    return out


def test_oee_is_availability_times_effectiveness_times_quality(two_machines):
    model = two_machines()
    node = model.nodes[1]
    node.scrap_rate = 0.1
    # an hour on shift: 1,800 s working on 170 items of 10 s planned, the rest waiting, failing, setting up
    t = states(working=1800, setup=300, blocked=600, starved=400, down=500, off=3600)
    k = {name: float(v[0]) for name, v in station_kpis(node, planned_cycle_s(model, node), t, np.array([170])).items()}
    assert k["availability"] == pytest.approx(1800 / 3600)
    assert k["effectiveness"] == pytest.approx(1700 / 1800)
    assert k["quality"] == pytest.approx(0.9)
    assert k["oee"] == pytest.approx(0.5 * 1700 / 1800 * 0.9)
    # alone it would not have been blocked or starved
    assert k["oee_standalone"] == pytest.approx(1800 / 2600 * 1700 / 1800 * 0.9)
    # shares are of the whole horizon, time off shift included
    assert k["utilisation"] == pytest.approx(0.25)
    assert k["down"] == pytest.approx(500 / 7200)


ISO = Path(__file__).parents[2].parent / "shared" / "data" / "iso22400_kpis.json"


@pytest.mark.skipif(not ISO.is_file(), reason="the formulas of ISO 22400-2 are not beside the project")
def test_figures_follow_the_formulas_of_iso_22400(two_machines):
    formulas = json.loads(ISO.read_text())["kpis"]
    model = two_machines()
    node = model.nodes[1]
    t = states(working=1700, setup=300, blocked=600, starved=400, waiting_crew=100, down=500, off=3600)
    k = {name: float(v[0]) for name, v in station_kpis(node, 10.0, t, np.array([160]), np.array([12.0])).items()}
    # the standard's times and quantities, by hand
    known = {
        "PBT": 3600.0, "APT": 1700.0, "ASUT": 300.0, "AUPT": 2000.0, "ADET": 1600.0, "PRU": 10.0, "PQ": 160.0,
        "GQ": 148.0, "SQ": 12.0,
    }  # fmt: skip
    ours = {"quality_ratio": "quality"}
    known |= {name: k[ours.get(name, name)] for name in ("availability", "effectiveness", "quality_ratio")}
    for name in (
        "availability",
        "effectiveness",
        "quality_ratio",
        "oee",
        "nee",
        "setup_rate",
        "technical_efficiency",
        "scrap_ratio",
    ):
        assert k[ours.get(name, name)] == pytest.approx(eval(formulas[name], {}, known)), name


def test_servers_share_the_work(two_machines):
    model = two_machines(servers=2)
    k = station_kpis(model.nodes[1], planned_cycle_s(model, model.nodes[1]), states(working=500, starved=500), np.array([100]))
    assert k["effectiveness"][0] == pytest.approx(1.0)


def test_a_station_that_did_nothing_has_no_effectiveness(two_machines):
    model = two_machines()
    k = station_kpis(model.nodes[1], planned_cycle_s(model, model.nodes[1]), states(starved=100), np.array([0]))
    assert np.isnan(k["effectiveness"][0])
    assert np.isnan(k["oee"][0])
    assert k["starved"][0] == 1.0
    off = station_kpis(model.nodes[1], planned_cycle_s(model, model.nodes[1]), states(off=100), np.array([0]))
    assert np.isnan(off["availability"][0])


def test_waiting_for_people_is_told_apart(two_machines):
    t = states(working=1800, setup=100, blocked=200, starved=300, waiting_crew=400, down=500, off=300)
    node = two_machines().nodes[1]
    k = {name: float(v[0]) for name, v in station_kpis(node, 10.0, t, np.array([170]), None, np.array([150.0])).items()}
    assert k["waiting_crew"] == pytest.approx(400 / 3600)
    # of the 500 s down nobody repaired for 150 s
    assert (k["down"], k["waiting_repair"]) == pytest.approx((500 / 3600, 150 / 3600))
    assert sum(k[name] for name in STATE_SHARES) == pytest.approx(1.0)
    assert k["technical_efficiency"] == pytest.approx(1800 / (1800 + 200 + 300 + 400 + 500))
    assert np.isnan(station_kpis(node, 10.0, t, np.array([170]))["waiting_repair"][0]), "where nobody knows, it is no zero"


def test_crews_and_fleets_have_figures_of_their_own():
    line = LineBuilder()
    crew = line.crew(2, shift=line.shift("mon 00:00-00:01"))
    line.source("S", interarrival=line.constant(40.0), limit=2)
    line.station("M", cycle=line.constant(10.0), crew=crew, crew_size=1)
    line.sink("K")
    ways = {("Robots", "M"): 0.0, ("M", "K"): 10.0}
    line.fleet("Robots", 2, speed=1.0, ways=ways, load_time=line.constant(1.0), unload_time=line.constant(2.0))
    line.chain("S", "M", "Robots", "K")
    model = line.model
    seen = observation(run_flow(model, horizon_s=120.0, warmup_s=0.0, seed=1, first=0, count=1))
    figures = line_kpis(model, seen)
    assert list(figures) == kpi_names(model)
    # works from 40 to 50 s, and from 80 s on it waits: the shift of both people ended at 60 s
    assert figures[f"{model.crews[0].path}:utilisation"] == pytest.approx([10.0 / 120.0])
    assert figures["/M:waiting_crew"] == pytest.approx([40.0 / 120.0])
    # one trip of 13 s; the other vehicle has none, and comes back to the station only when it is asked
    assert figures["/Robots:utilisation"] == pytest.approx([13.0 / 240.0])
    assert figures["/Robots:starved"] == pytest.approx([227.0 / 240.0])


def test_names_are_those_of_the_contract(two_machines):
    names = kpi_names(two_machines())
    for figure in ("utilisation", "blocked", "starved", "down", "setup", "oee", "availability", "effectiveness", "quality"):
        assert f"/Line/M1:{figure}" in names
    assert "/Line/B1:mean_level" in names
    assert names[:5] == ["throughput", "wip", "lead_time", "lead_time_p95", "energy_per_item"]


@pytest.mark.parametrize(
    ("row", "mean"),
    [
        (DistributionRow(Distribution.CONSTANT, mean=7.0), 7.0),
        (DistributionRow(Distribution.LOGNORMAL, mean=4.0, cv=0.5), 4.0),
        (DistributionRow(Distribution.UNIFORM, low=2.0, high=6.0), 4.0),
        (DistributionRow(Distribution.TRIANGULAR, low=1.0, mode=2.0, high=6.0), 3.0),
        (DistributionRow(Distribution.EMPIRICAL, values=(1.0, 5.0), weights=(3.0, 1.0)), 2.0),
        (DistributionRow(Distribution.NORMAL, mean=10.0, cv=0.1), 10.0),
        # truncated: an exponential of mean 3 kept between 1 and 4
        (DistributionRow(Distribution.EXPONENTIAL, mean=3.0, low=1.0, high=4.0), 2.254),
        (DistributionRow(Distribution.GAMMA, mean=5.0, cv=0.0), 5.0),
    ],
)
def test_planned_times_are_the_means_of_what_is_drawn(row, mean):
    assert mean_of(row) == pytest.approx(mean, rel=1e-3)


def test_the_mean_of_a_truncated_row_agrees_with_the_draws():
    from twin.process.draws import draw

    for row in (
        DistributionRow(Distribution.WEIBULL, mean=5.0, shape=1.5, low=2.0, high=9.0),
        DistributionRow(Distribution.NORMAL, mean=2.0, cv=1.0),
        DistributionRow(Distribution.ERLANG, mean=4.0, k=3, high=6.0),
    ):
        table = DistributionTable()
        drawn = draw(table, table.add(row), count=40_000)
        assert mean_of(row) == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 200)


def test_the_planned_cycle_follows_the_mix_that_comes(two_machines):
    model = two_machines()
    model.item_types, model.prototype_type = ["a", "b"], [0, 1]
    model.nodes[0].items, model.nodes[0].weights = [0, 1], [3.0, 1.0]
    model.nodes[1].cycle = [model.distributions.add(DistributionRow(Distribution.CONSTANT, mean=m)) for m in (10.0, 20.0)]
    assert planned_cycle_s(model, model.nodes[1]) == pytest.approx(12.5)

"""What a report adds: what speed is worth, one replication in full, and the line as a network."""

import numpy as np
import pytest

from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import Crew, FactoryModel, Node, NodeKind, RouterRule, stream_id
from twin.model.rigid import Body, Prototype
from twin.studies import read_study, run_study, summarise
from twin.studies.network import SCRAP, flow_network
from twin.studies.report import render

LINE = [
    ("/Src", NodeKind.SOURCE, {"items": [0], "next": [1]}),
    ("/Cut", NodeKind.STATION, {"scrap_rate": 0.1, "next": [2]}),
    ("/Shelf", NodeKind.BUFFER, {"capacity": 400, "next": [3]}),
    ("/Test", NodeKind.STATION, {"scrap_rate": 0.2, "rework": 4, "next": [5]}),
    ("/Mend", NodeKind.STATION, {"next": [2]}),
    ("/Pack", NodeKind.STATION, {"batch_size": 4, "output": 0, "next": [9]}),
    ("/Router", NodeKind.ROUTER, {"rule": RouterRule.ROUND_ROBIN, "next": [7, 8]}),
    ("/Left", NodeKind.SINK, {}),
    ("/Right", NodeKind.SINK, {}),
    ("/Lane", NodeKind.BUFFER, {"capacity": 4, "next": [6]}),
]


def packing_line(*_):
    model = FactoryModel(name="line", item_types=["part"], prototype_type=[0])
    model.rigid.prototypes.append(Prototype("/Part", "part", Body("/Part"), [], np.full(3, 0.1), np.zeros(3)))
    for path, kind, fields in LINE:
        if kind == NodeKind.STATION:
            fields = {"cycle": [model.distributions.add(DistributionRow(Distribution.CONSTANT, mean=10.0))], **fields}
        if kind == NodeKind.SOURCE:
            fields = {"interarrival": model.distributions.add(DistributionRow(Distribution.EXPONENTIAL, mean=15.0)), **fields}
        model.nodes.append(Node(path, kind, stream=stream_id(path), **fields))
    return model


def test_speed_is_worth_most_where_the_line_is_slow(make_study, compile_line, tmp_path):
    study = make_study(run={"horizon": "4 h", "warmup": "30 min", "seed": 3})
    results = run_study(study, tmp_path / "r", compile=compile_line)
    assert results.computed == 40
    levers = {v.path: v for v in results.insight.levers}
    assert set(levers) == {"/Line/M1", "/Line/M2"}
    assert all(v.step == 0.05 for v in levers.values())
    assert levers["/Line/M2"].elasticity > levers["/Line/M1"].elasticity > 0.0
    assert levers["/Line/M2"].difference.significant
    # two machines share what there is to gain: no speed of one brings more than its own share
    assert sum(v.elasticity for v in levers.values()) == pytest.approx(1.0, abs=0.1)
    again = run_study(study, tmp_path / "r", compile=compile_line)
    assert (again.computed, again.cached) == (0, 40)
    assert again.insight.levers == results.insight.levers
    shown = read_study(study, tmp_path / "r", compile=compile_line)
    assert summarise(shown)["sensitivity"] == summarise(results)["sensitivity"]
    trace = shown.insight.traces[0]
    assert np.array_equal(trace.stretch_s, results.insight.traces[0].stretch_s)
    assert trace.begin_s == 1800.0
    none = run_study(make_study(sensitivity="none"), tmp_path / "none", compile=compile_line)
    assert none.insight.levers == []
    assert not (tmp_path / "none" / "sensitivity").exists()


def crewed_line(*_):
    """Two machines that one operator staffs, and plenty of work: the operator is what is short."""
    model = FactoryModel(name="line", item_types=["part"], prototype_type=[0])
    model.rigid.prototypes.append(Prototype("/Part", "part", Body("/Part"), [], np.full(3, 0.1), np.zeros(3)))
    model.crews.append(Crew("/People", 1))
    cycle = model.distributions.add(DistributionRow(Distribution.EXPONENTIAL, mean=10.0))
    arrival = model.distributions.add(DistributionRow(Distribution.EXPONENTIAL, mean=22.0))
    staffed = {"cycle": [cycle], "crew": 0, "crew_size": 1}
    for path, kind, fields in (
        ("/Src", NodeKind.SOURCE, {"items": [0], "interarrival": arrival, "next": [1]}),
        ("/Shelf", NodeKind.BUFFER, {"capacity": 50, "next": [2]}),
        ("/Cut", NodeKind.STATION, {**staffed, "next": [3]}),
        ("/Lane", NodeKind.BUFFER, {"capacity": 50, "next": [4]}),
        ("/Test", NodeKind.STATION, {**staffed, "next": [5]}),
        ("/Out", NodeKind.SINK, {}),
    ):
        model.nodes.append(Node(path, kind, stream=stream_id(path), **fields))
    return model


def test_who_waits_for_people_is_not_active_and_one_more_of_them_is_tried(make_study, tmp_path):
    study = make_study(kpis=["lead_time", "throughput"], run={"horizon": "2 h", "warmup": "20 min", "seed": 3}, replications=32)
    results = run_study(study, tmp_path / "r", compile=crewed_line)
    document = summarise(results)
    (point,) = document["points"]
    for b in point["bottlenecks"]:
        waiting = point["kpis"][f"{b['path']}:waiting_crew"]["mean"]
        assert waiting > 0.1
        assert b["waiting_crew"] == pytest.approx(waiting)
        assert b["active"] == pytest.approx(point["kpis"][f"{b['path']}:utilisation"]["mean"])
    first = min(document["sensitivity"], key=lambda v: v["difference"])
    assert (first["change"], first["kind"], first["kpi"], first["significant"]) == ("People 1 → 2", "people", "lead_time", True)
    assert {v["path"] for v in document["sensitivity"]} == {"/Cut", "/Test", "/People"}
    page = render(results)
    assert "Most for lead time brings <b>People 1 → 2</b>" in page
    assert "Stations wait for people of <b>People</b>" in page
    assert "money buys" not in page


def test_a_place_that_only_passes_goods_on_is_left_out(make_study, two_machines, tmp_path):
    results = run_study(make_study(sensitivity="none", replications=2), tmp_path / "r", compile=lambda *_: two_machines())
    network = flow_network(results.points[0])
    # source, M1, M2, sink; the buffer between the machines is not drawn
    assert network.columns == [[0], [1], [3], [4]]
    assert [(v.begin, v.end) for v in network.links] == [(0, 1), (3, 4), (1, 3)]


def test_goods_are_followed_in_pieces(make_study, tmp_path):
    results = run_study(make_study(sensitivity="none"), tmp_path / "r", compile=packing_line)
    (point,) = results.points
    network = flow_network(point)
    names = {n: "scrap" if n == SCRAP else LINE[n][0][1:] for column in network.columns for n in column}
    links = {(names[v.begin], names[v.end]): v for v in network.links}
    assert set(links) == {
        ("Src", "Cut"), ("Cut", "scrap"), ("Cut", "Shelf"), ("Mend", "Shelf"), ("Shelf", "Test"), ("Test", "Mend"),
        ("Test", "Pack"), ("Pack", "Lane"), ("Lane", "Left"), ("Lane", "Right"),
    }  # fmt: skip
    assert [k for k, v in links.items() if v.backward] == [("Mend", "Shelf")]
    pieces = {k: v.pieces for k, v in links.items()}
    # a pallet counts as the four pieces on it: what was sunk, to the piece
    sunk = (point.kpis["throughput"] * results.plan.study.run.horizon_s / 3600.0).mean()
    assert pieces["Lane", "Left"] + pieces["Lane", "Right"] == pytest.approx(sunk)
    assert pieces["Cut", "scrap"] / pieces["Src", "Cut"] == pytest.approx(0.1, abs=0.03)
    assert pieces["Test", "Mend"] / (pieces["Test", "Mend"] + pieces["Test", "Pack"]) == pytest.approx(0.2, abs=0.04)
    columns = {name: k for k, column in enumerate(network.columns) for name in (names[n] for n in column)}
    assert columns["Src"] < columns["Cut"] < columns["Test"] < columns["Pack"] < columns["Lane"] < columns["Left"]
    page = render(results)
    for words in ("What flows where", "Cut to scrapped", "One replication in full", "Mend to Shelf"):
        assert words in page


def test_active_periods_are_time_between_waits(make_study, two_machines, tmp_path):
    results = run_study(make_study(sensitivity="none"), tmp_path / "r", compile=lambda *_: two_machines(mean_2=1.0, mean_1=20.0))
    bottlenecks = {b["path"]: b for b in summarise(results)["points"][0]["bottlenecks"]}
    # M1 never waits for a saturated source, and hardly ever for the fast M2, which works for seconds at a time
    assert bottlenecks["/Line/M1"]["active_period_s"] is None or bottlenecks["/Line/M1"]["active_period_s"] > 300.0
    assert 0.5 < bottlenecks["/Line/M2"]["active_period_s"] < 5.0

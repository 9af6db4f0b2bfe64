"""Studies that begin with a line as it was found."""

import zlib

import numpy as np
import pytest

from twin.core.errors import InputError, StudyError
from twin.flow import simulate
from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import FactoryModel, Node, NodeKind, NodeState, stream_id
from twin.model.rigid import Body, Prototype
from twin.protocol.messages import Clock, LineFound, LineItem, NodeStates, encode
from twin.protocol.track import FORMAT, RECORD
from twin.studies import read_study, run_study, summarise
from twin.studies.start import carried_types, find_start

T0 = 1_764_057_600_000_000_000
"""2025-11-25T08:00:00Z [ns]"""
W, B, S, D = NodeState.WORKING, NodeState.BLOCKED, NodeState.STARVED, NodeState.DOWN


def chunk(folder, begin_s, *states):
    """A chunk of the track with a state a second."""
    rows = []
    for k, (state, level) in enumerate(states):
        time_ns = T0 + round((begin_s + k) * 1e9)
        none = [0] * len(level)
        for message in (
            NodeStates(float(k), [int(s) for s in state], level, none, none),
            Clock("running", 1.0, 1.0, 1.0, "r", time_ns),
        ):
            payload = encode(message)
            rows.append(RECORD.pack(time_ns, len(payload)) + payload)
    end_ns = T0 + round((begin_s + len(states) - 1) * 1e9)
    (folder / "track").mkdir(exist_ok=True)
    (folder / "track" / f"{T0 + begin_s * 10**9}-{end_ns}.{FORMAT}").write_bytes(zlib.compress(b"".join(rows)))


@pytest.fixture
def project(tmp_path):
    """A recording of the line of ``two_machines``: it fills up, and at last M2 is down."""
    folder = tmp_path / "project"
    folder.mkdir()
    chunk(folder, 0, ((W, W, S, S, W), [0, 1, 0, 0, 0]), ((W, W, W, W, W), [0, 1, 1, 1, 0]))
    chunk(folder, 10, ((W, W, W, W, W), [0, 1, 2, 1, 0]), ((B, B, B, D, W), [0, 1, 3, 1, 0]))
    return folder


def test_where_every_piece_was_counts_more_than_levels(tmp_path):
    """Types, ages, places and repairs come out as they were recorded; the calendar is the twin's own."""
    project = tmp_path / "project"
    project.mkdir()
    item = LineItem("/L/B", "blue", 3, 40.0, 0.25, False, None, "")
    worked = LineItem("/L/M", "red", 1, 9.0, 0.0, False, 4.0, "")
    line = encode(LineFound(90_000.0, [worked, item, item], {"/L/M": 12.0, "/L/Gone": 1.0}))
    chunk(project, 0, ((W, W), [0, 1]))
    [file] = (project / "track").iterdir()
    plain = zlib.decompress(file.read_bytes()) + RECORD.pack(T0 + 10**8, len(line)) + line
    file.write_bytes(zlib.compress(plain))
    found = find_start("live", str(project))
    assert found.wall_ns == T0 + 10**8
    assert found.local == "2026-11-24T01:00:00"
    kinds = {"/L/B": NodeKind.BUFFER, "/L/M": NodeKind.STATION}
    nodes = [Node(path, kind, stream_id(path), capacity=1, time_to_failure=0) for path, kind in kinds.items()]
    model = FactoryModel(name="L", item_types=["red", "blue"], nodes=nodes)
    state = found.line_state(model, model)
    assert [(i.node, i.type, i.pieces, i.age_s, i.elapsed_s) for i in state.items] == [
        ("/L/M", "red", 1, 9.0, 4.0),
        ("/L/B", "blue", 3, 40.0, None),  # the second one has no room in this scenario
    ]
    assert state.down == {"/L/M": 12.0}


def test_a_moment_is_found_in_a_project(project):
    assert find_start("live", str(project)).level == [0, 1, 3, 1, 0]
    first = find_start("history@2025-11-25T08:00:01Z", str(project))
    assert (first.level, first.wall_ns) == ([0, 1, 1, 1, 0], T0 + 10**9)
    # between two chunks the last that is known
    assert find_start("history@2025-11-25T09:00:05+01:00", str(project)).level == [0, 1, 1, 1, 0]
    with pytest.raises(InputError, match="2025-11-25T08:00:00Z to 2025-11-25T08:00:11Z"):
        find_start("history@2025-11-25T07:00:00Z", str(project))
    with pytest.raises(InputError, match="not the folder of a project"):
        find_start("live", str(project / "nothing"))


def test_a_study_goes_on_from_the_line_that_was_found(make_study, compile_line, project, tmp_path):
    short = {"horizon": "30 s", "seed": 3}
    study = make_study(start="live", run=short, replications=64, sensitivity="none")
    with pytest.raises(InputError, match="--from"):
        run_study(study, tmp_path / "r", compile=compile_line)
    found = run_study(study, tmp_path / "r", compile=compile_line, source=str(project))
    empty = run_study(make_study(run=short, replications=64, sensitivity="none"), tmp_path / "empty", compile=compile_line)
    # five items stood there, M2 was under repair: in half a minute there is more inside, and M2 is down to begin with
    assert found.points[0].kpis["wip"].mean() > empty.points[0].kpis["wip"].mean() + 1.0
    assert found.points[0].kpis["/Line/M2:down"].mean() > 0.5
    assert empty.points[0].kpis["/Line/M2:down"].mean() < 0.2
    document = summarise(found)
    assert document["start"]["items"] == 5
    assert document["start"]["time"] == "2025-11-25T08:00:11+00:00"
    pieces = document["points"][0]["pieces"]
    assert pieces["spawned"] == pieces["inside"] + pieces["sunk"] + pieces["scrapped"]
    # it is kept: the same command without --from goes on with the same line, and so does show
    again = run_study(study, tmp_path / "r", compile=compile_line)
    assert (again.computed, again.cached) == (0, 64)
    assert read_study(study, tmp_path / "r", compile=compile_line).points[0].kpis.keys() == found.points[0].kpis.keys()
    other = run_study(make_study(start="history@2025-11-25T08:00:00Z", run=short, replications=64, sensitivity="none"),
                      tmp_path / "r", compile=compile_line, source=str(project))  # fmt: skip
    assert other.computed == 64


def test_the_start_is_what_the_engine_is_told(make_study, compile_line, two_machines, project, tmp_path):
    study = make_study(start="live", run={"horizon": "10 min", "seed": 3, "begin": "2026-11-23T06:00"}, replications=8)
    results = run_study(study, tmp_path / "r", compile=compile_line, source=str(project))
    point = results.points[0].point
    standing = [(s.node, s.done) for s in point.start.items]
    assert standing == [("/Line/M1", True), ("/Line/B1", False), ("/Line/B1", False), ("/Line/B1", False), ("/Line/M2", False)]
    assert point.start.down == {"/Line/M2": 0.0}
    direct = simulate(two_machines(), horizon_s=600.0, begin_s=6 * 3600.0, seed=3, replications=8, start=point.start)
    assert np.array_equal(results.points[0].kpis["throughput"], direct.throughput_per_h)
    assert results.insight.levers


def test_mistakes_are_named(make_study, compile_line, project, tmp_path):
    chunk(project, 60, ((W, W), [0, 1]))
    study = make_study(start="live", replications=2)
    with pytest.raises(StudyError, match="2 nodes, the stage 5"):
        run_study(study, tmp_path / "r", compile=compile_line, source=str(project))
    with pytest.raises(InputError, match="starts empty"):
        run_study(make_study(replications=2), tmp_path / "r", compile=compile_line, source=str(project))
    physics = make_study(start="live", fidelity="physics", replications=2)
    with pytest.raises(StudyError, match="fidelity: flow"):
        run_study(physics, tmp_path / "r", compile=compile_line, source=str(project))
    with pytest.raises(InputError, match="no address of a twin"):
        find_start("live", "ftp://somewhere")


def test_types_and_pieces_follow_the_line():
    model = FactoryModel(item_types=["a", "b", "pallet"], prototype_type=[0, 1, 2])
    for name in ("A", "B", "Pallet"):
        model.rigid.prototypes.append(Prototype(f"/{name}", name, Body(f"/{name}"), [], np.full(3, 0.1), np.zeros(3)))
    cycle = [model.distributions.add(DistributionRow(Distribution.CONSTANT, mean=1.0))]

    def add(path, kind, **fields):
        model.nodes.append(Node(path, kind, stream=stream_id(path), **fields))

    add("/Src", NodeKind.SOURCE, saturated=True, items=[0, 1], weights=[3.0, 1.0], next=[1])
    add("/Lane", NodeKind.BUFFER, capacity=8, next=[2])
    add("/Pack", NodeKind.STATION, cycle=cycle, batch_size=6, output=2, next=[3])
    add("/Dock", NodeKind.BUFFER, capacity=4, next=[4])
    add("/Sink", NodeKind.SINK)
    carried = carried_types(model)
    assert carried[1][0].tolist() == [0.75, 0.25, 0.0]
    assert carried[1][1] == 1
    assert carried[3][0].tolist() == [0.0, 0.0, 1.0]
    assert carried[3][1] == 6

"""A trace is the replication that ``simulate`` counts, seen event by event."""

import numpy as np
import pytest

from twin.flow import simulate, trace
from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import FactoryModel, Node, NodeKind, NodeState, stream_id
from twin.model.rigid import Body, Prototype


def line():
    model = FactoryModel(name="line", item_types=["part"], prototype_type=[0])
    model.rigid.prototypes.append(Prototype("/Part", "part", Body("/Part"), [], np.full(3, 0.1), np.zeros(3)))

    def random(mean):
        return model.distributions.add(DistributionRow(Distribution.EXPONENTIAL, mean=mean))

    def add(path, kind, **fields):
        model.nodes.append(Node(path, kind, stream=stream_id(path), **fields))

    add("/Src", NodeKind.SOURCE, interarrival=random(5.0), items=[0], next=[1])
    add("/M1", NodeKind.STATION, cycle=[random(8.0)], servers=2, next=[2])
    add("/B", NodeKind.BUFFER, capacity=3, next=[3])
    add("/M2", NodeKind.STATION, cycle=[random(4.0)], time_to_failure=random(90.0), time_to_repair=random(20.0), next=[4])
    add("/Sink", NodeKind.SINK)
    return model


def test_stretches_and_levels_add_up_to_what_is_counted():
    model = line()
    counted = simulate(model, horizon_s=600.0, warmup_s=300.0, seed=5, first_replication=2, replications=1)
    seen = trace(model, from_s=300.0, span_s=600.0, warmup_s=300.0, seed=5, replication=2)
    assert seen.complete
    assert (seen.begin_s, seen.end_s) == (300.0, 900.0)
    assert seen.place_node.tolist() == [0, 1, 1, 2, 3]
    length = seen.stretch_s[:, 1] - seen.stretch_s[:, 0]
    for node, servers in ((0, 1), (1, 2), (2, 1), (3, 1)):
        for state in NodeState:
            mine = (seen.place_node[seen.place] == node) & (seen.state == state)
            assert length[mine].sum() / servers == pytest.approx(counted.state_time_s[0, node, state], abs=1e-9)
    assert counted.state_time_s[0, 3, NodeState.DOWN] > 0.0
    for place in range(5):
        stretches = seen.stretch_s[seen.place == place]
        assert stretches[0, 0] == 300.0
        assert stretches[-1, 1] == 900.0
        assert np.array_equal(stretches[1:, 0], stretches[:-1, 1])
    for node in (1, 2, 3):
        mine = seen.level_node == node
        times = np.append(seen.level_s[mine], 900.0)
        mean = (np.diff(times) * seen.level[mine]).sum() / 600.0
        assert mean == pytest.approx(counted.level_mean[0, node], abs=1e-6)


def test_a_window_in_which_too_much_happens_is_cut():
    seen = trace(line(), from_s=0.0, span_s=3600.0, most_moments=50)
    assert not seen.complete
    assert 0.0 < seen.end_s < 3600.0
    assert seen.stretch_s.max() == seen.end_s

"""What holds on any line: pieces balance, times add up, levels keep their bounds, and runs can be cut anywhere."""

import numpy as np
import pytest

from twin.core.errors import WorkError
from twin.flow import simulate
from twin.model.build import LineBuilder
from twin.model.distributions import Distribution
from twin.model.factory import NodeKind, RouterRule

HORIZON_S = 900.0


def random_factory(seed):
    """Two to five stations in a row with everything that the engine knows thrown in at random."""
    rng = np.random.default_rng(seed)
    line = LineBuilder(item_length=float(rng.uniform(0.2, 0.6)))

    def chance(p):
        return bool(rng.random() < p)

    def duration(low, high):
        mean = float(rng.uniform(low, high))
        kind = rng.choice(
            [Distribution.CONSTANT, Distribution.EXPONENTIAL, Distribution.LOGNORMAL, Distribution.GAMMA, Distribution.ERLANG]
        )
        return line.distribution(Distribution(int(kind)), mean=mean, cv=0.6, k=3)

    # shifts of minutes, so that a short run sees many of them
    shifts = [line.shift(*(f"{h:02}:{m:02}-{h:02}:{m + 3:02}" for h in range(2) for m in range(0, 60, 4))) for _ in range(2)]
    crews = [line.crew(int(rng.integers(2, 4)), shift=shifts[1] if chance(0.3) else -1)]
    types = ("a", "b") if chance(0.5) else ("a",)
    pallet = line.item("pallet", 0.8)
    line.source("S0", interarrival=duration(1.0, 4.0), types=types, shift=shifts[0] if chance(0.3) else -1)
    line.source("S1", saturated=True, types=types[:1], limit=int(rng.integers(10, 500)))
    line.sink("Good")
    line.sink("Bad", reject=True)
    stations = int(rng.integers(2, 6))
    names = []
    for i in range(stations):
        fields = {"servers": int(rng.integers(1, 4)), "blocking_before": chance(0.2), "scrap_rate": 0.1 if chance(0.4) else 0.0}
        if chance(0.4):
            fields |= {"time_to_failure": duration(20.0, 60.0), "time_to_repair": duration(2.0, 9.0)}
            fields |= {"failure_while_working": chance(0.5), "repair_crew": crews[0] if chance(0.5) else -1}
        if chance(0.3):
            fields |= {"crew": crews[0], "crew_size": int(rng.integers(1, 3))}
        if chance(0.3):
            fields["setup"] = duration(0.2, 1.0)
        if chance(0.3):
            fields["batch_size"] = int(rng.integers(2, 5))
            fields["output"] = pallet if chance(0.6) else -1
        if chance(0.25):
            fields["shift"] = shifts[int(rng.integers(0, 2))]
        line.station(f"M{i}", cycle=[duration(0.5, 3.0)] * 3, **fields)
        if chance(0.5):
            line.buffer(f"X{i}", int(rng.integers(1, 6)), lifo=chance(0.3))
        else:
            line.conveyor(
                f"X{i}",
                length=float(rng.uniform(0.3, 5.0)),
                speed=float(rng.uniform(0.2, 1.0)),
                accumulating=chance(0.6),
                pitch=0.6 if chance(0.3) else 0.0,
                shift=shifts[0] if chance(0.2) else -1,
            )
        names += [f"M{i}", f"X{i}"]
    if chance(0.4):
        line.buffer("Dock", int(rng.integers(1, 6)))
        carried = line.fleet(
            "Fleet",
            int(rng.integers(1, 4)),
            speed=float(rng.uniform(0.5, 2.0)),
            ways={("Fleet", names[-1]): 3.0, (names[-1], "Dock"): float(rng.uniform(1.0, 9.0))},
            load_time=duration(0.1, 1.0),
            unload_time=duration(0.1, 1.0),
            shift=shifts[0] if chance(0.2) else -1,
        )
        if chance(0.5):
            carried.battery_time, carried.charge_time = duration(30.0, 60.0), duration(5.0, 9.0)
        names += ["Fleet", "Dock"]
    line.router("R", rule=RouterRule(int(rng.integers(0, 6))), router_weights=[0.7, 0.3], router_types=[0, -1])
    line.chain("S0", *names, "R", "Good")
    line.chain("R", "Bad")
    if chance(0.3):
        line.station("Join", cycle=[duration(0.5, 2.0)] * 3, output=pallet if chance(0.5) else -1)
        line.model.nodes[line.index("Join")].joins = [line.index("S1"), line.index(names[-1])]
        line.model.nodes[line.index(names[-1])].next = [line.index("Join")]
        line.chain("S1", "Join", "R")
    else:
        line.chain("S1", names[int(rng.integers(0, len(names)))])
    for node in line.model.nodes:
        if node.cycle:
            node.cycle = (node.cycle * len(line.model.item_types))[: len(line.model.item_types)]
    return line.model


@pytest.mark.parametrize("seed", range(40))
def test_any_line(seed):
    model = random_factory(seed)
    try:
        result = simulate(model, horizon_s=HORIZON_S, replications=6, seed=seed + 1, intervals=7)
    except WorkError as error:
        pytest.fail(str(error))
    assert (result.spawned == result.inside + result.sunk + result.scrapped).all()
    assert result.spawned.sum() > 0
    np.testing.assert_allclose(result.state_time_s.sum(axis=2), HORIZON_S, rtol=1e-9)
    assert (result.sunk_per_interval.sum(axis=1) == result.sunk).all()
    assert (result.lead_hist.sum(axis=1) == result.sunk).all()
    np.testing.assert_allclose(result.wip_per_interval.mean(axis=1), result.wip_mean, rtol=1e-5, atol=1e-5)
    for i, node in enumerate(model.nodes):
        room = {
            NodeKind.BUFFER: node.capacity,
            NodeKind.STATION: node.servers * (len(node.joins) or node.batch_size),
            NodeKind.FLEET: node.servers,
        }
        assert (result.level_mean[:, i] >= 0.0).all()
        assert (result.level_mean[:, i] <= room.get(node.kind, np.inf)).all()
        assert (result.node_defective[:, i] <= result.node_out[:, i] + room.get(node.kind, np.inf)).all()
    # what moved between nodes is what came to each
    for i, node in enumerate(model.nodes):
        if node.kind not in (NodeKind.SOURCE, NodeKind.ROUTER):
            came = sum(result.moved[:, m] for m, (_, goal) in enumerate(result.paths) if goal == i)
            np.testing.assert_array_equal(came, result.node_in[:, i], err_msg=node.path)
    late = simulate(model, horizon_s=HORIZON_S, first_replication=4, replications=2, seed=seed + 1, intervals=7, threads=1)
    for name in ("sunk", "inside", "wip_mean", "state_time_s", "node_out", "events"):
        np.testing.assert_array_equal(getattr(result, name)[4:], getattr(late, name), err_msg=name)
    # the statistics of warm-up and horizon add up to those of the whole
    part = simulate(model, horizon_s=HORIZON_S - 300.0, warmup_s=300.0, replications=6, seed=seed + 1)
    first = simulate(model, horizon_s=300.0, replications=6, seed=seed + 1)
    assert (part.sunk == result.sunk).all()
    np.testing.assert_array_equal(part.node_out + first.node_out, result.node_out)
    np.testing.assert_array_equal(part.moved + first.moved, result.moved)
    np.testing.assert_array_equal(part.node_waits + first.node_waits, result.node_waits)
    np.testing.assert_allclose(part.state_time_s + first.state_time_s, result.state_time_s, atol=1e-6)
    np.testing.assert_allclose(
        part.level_mean * (HORIZON_S - 300.0) + first.level_mean * 300.0, result.level_mean * HORIZON_S, atol=1e-6
    )

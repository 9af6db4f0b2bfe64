"""Figures of the running line over the last minutes."""

import numpy as np

from twin.live.figures import SlidingFigures
from twin.model.build import LineBuilder
from twin.model.factory import NodeState


def line(*stations):
    built = LineBuilder()
    built.source("S", interarrival=built.constant(5.0))
    for name in stations:
        built.station(name, cycle=built.constant(4.0))
    built.sink("K")
    built.chain("S", *stations, "K")
    return built.model


def seen(model, seconds):
    n = len(model.nodes)
    zeros = {"level_us": n, "left": n, "entered": n, "defects": n}
    out = {name: np.zeros(size, np.int64) for name, size in zeros.items()}
    out |= {name: np.int64(0) for name in ("sunk", "pieces_us", "lead_us", "spawned", "scrapped")}
    return out | {
        "time_us": np.int64(seconds * 1e6),
        "state_us": np.zeros((n, 7), np.int64),
        "lead_hist": np.zeros(512, np.int64),
    }


def test_figures_go_on_when_a_machine_is_added_renamed_or_taken_away():
    before, after = line("A"), line("B", "New")
    figures = SlidingFigures()
    figures.add(seen(before, 0.0), before)
    counted = seen(before, 100.0)
    counted["sunk"], counted["state_us"][1, NodeState.WORKING] = np.int64(10), 60_000_000
    counted["state_us"][1, NodeState.STARVED] = 40_000_000
    figures.add(counted, before)
    assert figures.kpis(after) == [], "whoever joins between an edit and its taking over is told nothing yet"
    figures.relaid(after, lambda path: path.replace("/A", "/B"))

    def told(model):
        return {k.name: k.value for k in figures.kpis(model)}

    found = told(after)
    assert (found["throughput"], found["/B:utilisation"], found["/New:utilisation"]) == (360.0, 0.6, None)
    later = seen(after, 200.0)
    later["sunk"], later["state_us"][1, NodeState.WORKING] = np.int64(10), 60_000_000
    later["state_us"][1, NodeState.STARVED], later["state_us"][2, NodeState.WORKING] = 140_000_000, 50_000_000
    figures.add(later, after)
    found = told(after)
    assert (found["throughput"], found["/B:utilisation"], found["/New:utilisation"]) == (180.0, 0.3, 1.0)
    alone = line("New")
    figures.relaid(alone, str)
    assert told(alone).keys() & {"/B:utilisation", "/New:utilisation"} == {"/New:utilisation"}


def test_figures_go_on_where_only_a_number_was_edited():
    before, after = line("A"), line("A")
    figures = SlidingFigures()
    for at in (1.0, 2.0):
        figures.add(seen(before, at), before)
    assert figures.kpis(after)

"""Figures of the running line over the last minutes."""

import numpy as np

from twin.live.figures import SlidingFigures
from twin.model.build import LineBuilder


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


def test_a_line_with_another_machine_begins_its_figures_anew():
    before, after = line("A"), line("A", "B")
    figures = SlidingFigures()
    for at in (1.0, 2.0):
        figures.add(seen(before, at), before)
    assert figures.kpis(before)
    assert figures.kpis(after) == [], "whoever joins between an edit and the next count is told nothing yet"
    figures.add(seen(after, 3.0), after)
    assert figures.kpis(after) == []
    figures.add(seen(after, 4.0), after)
    assert {k.name for k in figures.kpis(after)} > {"throughput", "/B:utilisation"}


def test_figures_go_on_where_only_a_number_was_edited():
    before, after = line("A"), line("A")
    figures = SlidingFigures()
    for at in (1.0, 2.0):
        figures.add(seen(before, at), before)
    assert figures.kpis(after)

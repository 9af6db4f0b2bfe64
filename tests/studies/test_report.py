"""What the report says in words, on a cell whose figures can be worked out by hand."""

import re

import pytest

from twin.model.build import LineBuilder
from twin.studies import run_study
from twin.studies.report import render


def cell(people):
    """Two stations of 300 s each need a person for every cycle; a part comes every 700 s and is worked in both."""
    line = LineBuilder()
    crew = line.crew(people)
    line.source("S", interarrival=line.constant(700.0))
    line.buffer("B1", -1)
    line.station("Left", cycle=line.constant(300.0), crew=crew, crew_size=1, power=(0.0, 2000.0, 0.0, 0.0, 0.0))
    line.buffer("B2", -1)
    line.station("Right", cycle=line.constant(300.0), crew=crew, crew_size=1)
    line.source("Other", interarrival=line.constant(700.0))
    line.buffer("B3", -1)
    line.station("Aside", cycle=line.constant(90.0), crew=crew, crew_size=1)
    line.sink("K")
    line.chain("S", "B1", "Left", "B2", "Right", "K")
    line.chain("Other", "B3", "Aside", "K")
    return line.model


@pytest.fixture
def page(make_study, tmp_path):
    study = make_study(
        scenarios={"one-person": {}, "two-people": {}},
        run={"horizon": "28 h", "warmup": "7000 s"},
        replications=4,
        kpis=["throughput", "lead_time", "energy_per_item", "/Aside:waiting_crew"],
        sensitivity="none",
    )
    models = {"one-person": cell(1), "two-people": cell(2)}
    results = run_study(study, tmp_path / "r", compile=lambda _study, scenario, _values: models[scenario.name])
    return render(results).replace("\u00a0", " ")


def test_it_says_who_is_short(page):
    # every 700 s one person works 300 + 300 + 90 s; Left and Aside ask at once, and Right when Left is done
    assert "Stations wait for people of <b>Crew0</b>, at work 99 % of their time on shift: Aside 43 %" in page
    assert page.count("Stations wait for people") == 1, "nobody waits for one of two"
    crew = re.search(r"<h2>People and vehicles</h2>.*?</section>", page)[0]
    assert re.findall(r"<td>(\d\d\.\d %)</td>", crew) == ["98.6 %", "49.3 %"]
    assert "Vehicles</th>" not in crew


def test_it_names_the_best_in_other_figures_and_uses_readable_units(page):
    assert "Against one-person, <b>two-people</b> has the best lead time" in page
    assert "waiting for people" in page
    # 345 s, and 495 s where parts of Other wait 300 s for the person: not ten minutes
    assert "lead time<br>seconds" in page
    assert "energy per item<br>kilojoule" in page
    assert "28 h each" in page

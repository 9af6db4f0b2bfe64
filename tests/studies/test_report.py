"""What the report says in words, on a cell whose figures can be worked out by hand."""

import re

import pytest

from twin.core.errors import InputError
from twin.model.build import LineBuilder
from twin.studies import run_study, summarise
from twin.studies.compare import compare_points
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


def ordered_cell(people, every):
    """Two staffed stations in a row, a part every so many seconds, and little room before the first."""
    line = LineBuilder()
    crew = line.crew(people)
    line.source("S", interarrival=line.constant(every))
    line.buffer("B1", 2)
    line.station("Left", cycle=line.constant(100.0), crew=crew, crew_size=1)
    line.buffer("B2", 2)
    line.station("Right", cycle=line.constant(100.0), crew=crew, crew_size=1)
    line.sink("K")
    line.chain("S", "B1", "Left", "B2", "Right", "K")
    return line.model


def run_orders(make_study, tmp_path, scenarios, sweep, **more):
    study = make_study(
        scenarios={name: {} for name in scenarios},
        sweep=sweep,
        run={"horizon": "10 h", "warmup": "1 h"},
        replications=2,
        kpis=["throughput", "lead_time", "/Left:utilisation"],
        **more,
    )

    def compile(_study, scenario, values):
        every, people = scenarios[scenario.name]
        return ordered_cell(values.get(PEOPLE, people), values.get(EVERY, every))

    return run_study(study, tmp_path / "r", compile=compile)


EVERY, PEOPLE = "/S.twin:source:interarrival:mean", "/Crew0.twin:crew:size"


def words(page):
    return " ".join(re.sub(r"<[^>]+>", "", page).replace("\u00a0", " ").split())


def test_designs_are_compared_at_the_same_demand(make_study, tmp_path):
    # one person does 200 s of work on each part: 18 parts an hour; two do 36
    results = run_orders(make_study, tmp_path, {"one": (400.0, 1), "two": (400.0, 2)}, {EVERY: [400.0, 125.0]})
    page = words(render(results))
    assert re.search(r"S interarrival mean = 125: two is best in throughput: 28\.8\S* ± \S+ pieces per hour, \+60\.0 %", page)
    assert "against one [S interarrival mean = 400]." not in page.split("Key figures")[0]
    # an order every 400 s: whatever is chosen, nine leave an hour
    assert re.search(r"S interarrival mean = 400: .{0,90}The throughput is what comes in, 9\.000", page)
    assert "In one [S interarrival mean = 400], throughput is what comes in from S" in page
    assert {v.kpi for v in results.insight.levers} == {"lead_time"}
    # where orders pile up before the one person, that is who holds the line back, not a station
    assert "In one [S interarrival mean = 125], the crew Crew0 holds the line back: 1 at work 100 %" in page
    assert "best Left utilisation" not in page
    within = [c for c in summarise(results)["within"] if c["scenario"] == "two"]
    assert [c["reference"] for c in within] == [{"scenario": "two", "parameters": {EVERY: 400.0}}]
    found = compare_points(results, "two")
    pairs = {(c.point.point.label, c.reference.point.scenario) for c in found}
    assert ("one [S interarrival mean = 125]", "two") in pairs
    one = compare_points(results, "one [S interarrival mean = 125]")
    assert len(one) == 3
    assert {c.reference.point.label for c in one} == {"one [S interarrival mean = 125]"}
    with pytest.raises(InputError, match="no scenario and no point 'three'"):
        compare_points(results, "three")


def test_scenarios_of_another_demand_are_no_rivals(make_study, tmp_path):
    results = run_orders(make_study, tmp_path, {"today": (250.0, 1), "busy": (125.0, 1)}, {PEOPLE: [1, 2]}, sensitivity="none")
    answer = words(render(results)).split("Key figures")[0]
    assert re.search(r"Busy: Crew0 size = 2 is best in throughput: 28\.8\S* ± \S+ pieces per hour, \+60\.0 %", answer)
    assert "against today" not in answer

"""What is set to no effect is said before anyone believes the figures."""

from pathlib import Path

from twin.studies import parse_study, plan_study

SCENES = Path(__file__).resolve().parents[2] / "scenes" / "machining_cell"
MILL = "/World/Cell/Mill.twin:station"


def warnings(**changes):
    document = {"stage": "scene.usda", "run": {"horizon": "8 h"}, "replications": 4}
    return plan_study(parse_study(document | changes, SCENES / "none.study.yaml")).warnings


def test_a_value_that_the_machine_never_reads_is_named_with_the_reason():
    scenarios = {
        "as-is": {},
        "quick-cycle": {"set": {f"{MILL}:cycleTime:mean": 20}},
        "quick-setup": {"set": {f"{MILL}:setupTime:mean": 20}},
        "half": {"set": {f"{MILL}:servers": 2}},
        "nothing": {"set": {f"{MILL}:servers": 1}},
        "real": {"set": {f"{MILL}:setupTime:min": 50, f"{MILL}:setupTime:mode": 60, f"{MILL}:setupTime:max": 90}},
    }
    said = warnings(scenarios=scenarios)
    assert any(
        "'quick-cycle': Mill cycle time mean has no effect" in t
        and "overruled by cycleTime:type:shaft, cycleTime:type:housing" in t
        for t in said
    )
    # no flange comes to the mill: its missing time of its own does not bring the general one back
    assert any("'quick-setup': Mill setup time mean has no effect" in t and "it takes min, mode, max" in t for t in said)
    for same in ("quick-setup", "nothing"):
        assert any(f"scenario '{same}' is the same line as 'as-is'" in t for t in said)
    assert not any("servers" in t or "'real'" in t for t in said)


def test_what_needs_something_else_to_be_read_is_named():
    wash, drill = "/World/Cell/Wash.twin:station", "/World/Cell/Drill.twin:station"
    values = {f"{wash}:servers": 2, f"{wash}:timeToRepair:mean": 50, f"{wash}:crewSize": 1, f"{drill}:setupTime:mean": 20}
    said = warnings(scenarios={"as-is": {}, "more": {"set": values}})
    assert len(said) == 2
    assert any("Wash time to repair mean has no effect: without twin:station:timeToFailure it never fails" in t for t in said)
    assert any("Wash crew size has no effect: no twin:station:crew is named" in t for t in said)


def test_a_sweep_without_effect_is_named_and_one_with_effect_is_not():
    sweep = {
        f"{MILL}:setupTime:mean": {"min": 10, "max": 90},
        "/World/Cell/Operators.twin:crew:size": {"min": 2, "max": 4, "type": "int"},
    }
    said = warnings(sweep=sweep, design="lhs(3)")
    assert len(said) == 1
    assert "Mill setup time mean has no effect: triangular does not take mean" in said[0]
    wash = "/World/Cell/Wash.twin:station:timeToRepair:mean"
    assert warnings(sweep={wash: [10, 20]}) == [
        "Wash time to repair mean has no effect: without twin:station:timeToFailure it never fails"
    ]


def test_a_line_built_in_python_is_looked_at_as_well(make_study, compile_line):
    study = make_study(scenarios={"as-is": {}, "same": {"set": {"/Line/B1.twin:buffer:capacity": 3}}})
    assert any("'same' is the same line as 'as-is'" in t for t in plan_study(study, compile_line).idle)
    study = make_study(sweep={"/Line/B1.twin:buffer:capacity": [3, 3]})
    assert plan_study(study, compile_line).idle == ["B1 capacity is swept to no effect: the line is the same whatever its value"]

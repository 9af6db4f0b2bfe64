"""What people can do decides who staffs what: two machines, two crews, worked out by hand and once more in SimPy."""

import pytest

from twin.flow import simulate
from twin.model.factory import NodeState
from twin.scene import compile_factory

simpy = pytest.importorskip("simpy")

CYCLE_S, HORIZON_S = 10.0, 100.0
MACHINE = """def "S{name}" (apiSchemas = ["TwinSourceAPI"]) {{
    bool twin:source:saturated = true
    rel twin:source:items = </Part>
    rel twin:next = </{name}>
}}
def "{name}" (apiSchemas = ["TwinStationAPI"]) {{
    double twin:station:cycleTime:mean = 10
    int twin:station:crewSize = 1
    token twin:station:skill = "{skill}"
    rel twin:next = </Out>
}}
"""
CREW = """def "{name}" (apiSchemas = ["TwinCrewAPI"]) {{
    int twin:crew:size = 1
    token[] twin:crew:skills = {skills}
}}
"""


def shop(stage_of, millers, turners, *extra):
    text = MACHINE.format(name="Mill", skill="milling") + MACHINE.format(name="Lathe", skill="turning")
    text += 'class Xform "Part" (apiSchemas = ["TwinItemAPI"]) {\n    token twin:item:type = "part"\n}\n'
    text += 'def "Out" (apiSchemas = ["TwinSinkAPI"]) {\n}\n'
    text += CREW.format(name="Millers", skills=millers) + CREW.format(name="Turners", skills=turners)
    return compile_factory(stage_of(text + "".join(extra)))


def cycles(model):
    result = simulate(model, horizon_s=HORIZON_S, replications=1)
    at = {node.path: i for i, node in enumerate(model.nodes)}
    done = [int(result.node_out[0, at[f"/{name}"]]) for name in ("Mill", "Lathe")]
    return done, result.state_time_s[0, at["/Lathe"], NodeState.WAITING_CREW]


def in_simpy(people):
    """Cycles of the mill and the lathe when each asks for one of these people."""
    env, done = simpy.Environment(), [0, 0]

    def machine(i, crew):
        while True:
            with crew.request() as turn:
                yield turn
                yield env.timeout(CYCLE_S)
            done[i] += 1

    crews = [simpy.Resource(env, 1) for _ in range(people)]
    for i in range(2):
        env.process(machine(i, crews[i % people]))
    env.run(until=HORIZON_S + 1e-6)
    return done


def test_each_machine_gets_the_people_who_have_its_skill(stage_of):
    model = shop(stage_of, '["milling"]', '["turning"]')
    assert [n.crew for n in model.nodes if n.crew_size] == [0, 1]
    done, waited_s = cycles(model)
    assert (done, waited_s) == ([10, 10], 0.0)
    assert done == in_simpy(2)


def test_a_crew_that_can_do_both_comes_first_and_is_shared(stage_of):
    """The millers can turn as well, and are named first: mill and lathe take turns, and the lathe waits every other 10 s."""
    model = shop(stage_of, '["milling", "turning"]', '["turning"]')
    assert [n.crew for n in model.nodes if n.crew_size] == [0, 0]
    done, waited_s = cycles(model)
    assert (done, waited_s) == ([5, 5], pytest.approx(50.0))
    assert done == in_simpy(1)


def test_repairs_ask_for_their_own_skill(stage_of):
    press = """def "Press" (apiSchemas = ["TwinStationAPI"]) {
    token twin:station:repairSkill = "maintenance"
}
"""
    fitters = CREW.format(name="Fitters", skills='["maintenance"]')
    model = shop(stage_of, '["milling"]', '["turning"]', press, fitters)
    assert next(n for n in model.nodes if n.path == "/Press").repair_crew == 2
    assert not [f for f in model.findings if f.code == "missing-skill"]


def test_a_skill_that_nobody_has_is_an_error_that_names_who_has_it(stage_of):
    grinder = """def "Grinder" (apiSchemas = ["TwinStationAPI"]) {
    token twin:station:skill = "grinding"
}
def "Saw" (apiSchemas = ["TwinStationAPI"]) {
    token twin:station:skill = "milling"
    rel twin:station:crew = </Turners>
}
"""
    model = shop(stage_of, '["milling"]', '["turning"]', grinder)
    found = {f.path: (f.severity, f.message) for f in model.findings if f.code == "missing-skill"}
    assert found["/Grinder.twin:station:skill"] == (
        "error",
        "no crew has the skill 'grinding'; crews that have it: none",
    )
    assert found["/Saw.twin:station:skill"] == (
        "error",
        "/Turners does not have the skill 'milling'; crews that have it: /Millers",
    )

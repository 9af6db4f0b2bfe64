"""The running twin: real time, control, edits taken over, failures survived."""

import copy
import time

import pytest

from twin.core.errors import InputError, Rejected
from twin.core.samples import GOOD, Sample, SignalKey
from twin.live import Failure, Runtime
from twin.live.shadow import ShadowFeed
from twin.live.signals import SignalBoard
from twin.model.factory import FactoryModel, Signal
from twin.model.frame import StateFrame
from twin.protocol.messages import BodyTable, Clock, KpiBatch, LineFound, NodeStates
from twin.sim.warm import smallest_line


class Running:
    """A runtime on the smallest line, with what it told."""

    def __init__(self, **options):
        self.model = smallest_line()
        self.model.signals.append(Signal("/belt", "speed", "m/s"))
        self.compiled = 0
        self.events = []
        self.runtime = Runtime(self._compile, **options)
        self.runtime.subscribe(self.events.append)
        self.runtime.start()

    def _compile(self):
        self.compiled += 1
        return copy.deepcopy(self.model)

    def of(self, kind):
        return [e for e in self.events if isinstance(e, kind)]


@pytest.fixture
def run():
    started = []

    def start(**options):
        started.append(Running(**options))
        return started[-1]

    yield start
    for running in started:
        running.runtime.stop()


def wait(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.01)


def test_simulated_time_follows_the_wall_clock(run):
    running = run(rate=2.0)
    begin, sim = time.monotonic(), running.runtime.simulation.time
    wait(lambda: running.runtime.simulation.time > sim + 2.0)
    took = time.monotonic() - begin
    assert took > 0.8, "two seconds at twice the speed take one, or longer on a busy machine, never less"
    assert len(running.of(StateFrame)) > 3
    assert {type(e) for e in running.events} >= {StateFrame, NodeStates, Clock, KpiBatch}


def test_pause_step_speed_and_reset(run):
    running = run(paused=True)
    runtime = running.runtime
    time.sleep(0.2)
    at = runtime.simulation.tick
    time.sleep(0.2)
    assert runtime.simulation.tick == at
    runtime.control("step", 5).result(5)
    assert runtime.simulation.tick == at + 5
    runtime.control("speed", 10.0).result(5)
    runtime.control("play").result(5)
    wait(lambda: runtime.simulation.time > 3.0)
    runtime.control("pause").result(5)  # or it would be far again before one has looked
    before = runtime.run
    runtime.control("reset").result(5)
    assert runtime.run != before
    assert runtime.simulation.time < 3.0
    assert running.of(BodyTable)[-1].version > 1
    for action, value in (("jump", 0.0), ("speed", 0.0), ("speed", 1e9)):
        with pytest.raises(InputError):
            runtime.control(action, value)


def test_an_edit_is_taken_over_before_the_next_step(run):
    running = run(rate=20.0)
    wait(lambda: running.runtime.simulation.counts().spawned > 2)
    running.model.nodes[1].speed = 1.0
    running.runtime.call(lambda: running.runtime.edited()).result(5)
    wait(lambda: running.compiled == 2)
    wait(lambda: running.runtime.signals.latest[SignalKey("/belt", "speed")].value == 1.0)
    assert running.runtime.simulation.counts().spawned > 2, "the goods stay"


def test_an_edit_that_cannot_be_compiled_is_told_and_the_twin_goes_on(run):
    running = run()

    def broken():
        raise InputError("twin:conveyor:speed must be a number", prim="/belt")

    running.runtime.call(lambda: (setattr(running.runtime, "_compile", broken), running.runtime.edited())).result(5)
    wait(lambda: any("must be a number" in getattr(e, "text", "") for e in running.events))
    at = running.runtime.simulation.tick
    wait(lambda: running.runtime.simulation.tick > at)


def test_a_failure_goes_back_to_the_last_keyframe_and_the_third_ends_the_run(run):
    running = run()
    runtime = running.runtime

    def fail():
        raise RuntimeError("kernel died")

    for count in range(1, 4):
        runtime.call(lambda: setattr(runtime.simulation, "step", lambda steps=1: fail())).result(5)
        wait(lambda c=count: len(running.of(Failure)) == c)
    assert running.of(Failure)[-1].fatal
    assert runtime.state == "failed"
    with pytest.raises(Rejected):
        runtime.call(lambda: None)


def test_a_connected_signal_belongs_to_the_plant():
    board = SignalBoard()
    model = FactoryModel(signals=[Signal("/M", "speed"), Signal("/M", "count")])
    assert len(board.from_simulation(model, {0: 1.0, 1: 5})) == 2
    assert board.from_simulation(model, {0: 1.0, 1: 5}) == [], "only changes are recorded"
    key = SignalKey("/M", "speed")
    board.from_plant({key: Sample(key, 7.5, GOOD, 1, None, 2)})
    assert [s.key.name for s in board.from_simulation(model, {0: 2.0, 1: 6})] == ["count"]
    assert board.driven(key)
    batch = board.batch(everything=True)
    assert {(v.name, v.value, v.origin) for v in batch.values} == {("speed", 7.5, "plant"), ("count", 6, "simulated")}


def test_a_shadow_keeps_running_and_records_no_line_that_it_does_not_know(run):
    running = run(shadow=ShadowFeed())
    wait(lambda: running.runtime.simulation.time > 0.5)
    assert running.of(Failure) == []
    assert running.of(LineFound) == []
    assert running.runtime.call(running.runtime.line).result(5) is None

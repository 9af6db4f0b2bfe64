"""Compiling beside: the process comes to the same model as whoever owns the stage, and its loss is told."""

import dataclasses
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest

from twin.core.errors import Rejected, WorkError
from twin.protocol.messages import Op
from twin.scene import beside as beside_module
from twin.scene import compile_factory, open_stage
from twin.scene.beside import ProcessBeside
from twin.scene.edits import apply_txn, layer_to_text, make_edit_layer


def same(a: object, b: object) -> bool:
    """Whether two models say the same."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


@pytest.fixture
def edited(line: Path):
    """A stage, its edit layer, and the process beside."""
    stage = open_stage(line)
    layer = make_edit_layer(stage)
    beside = ProcessBeside(line, line.parent, lambda: layer_to_text(layer))
    yield stage, layer, beside
    beside.close()


def test_it_comes_to_the_same_model_as_the_owner(edited) -> None:
    stage, layer, beside = edited
    draw = random.Random(3)
    beside.start()
    compiled = 0
    for i in range(80):
        path = draw.choice([str(p.GetPath()) for p in stage.Traverse()])
        txn = draw.choice(
            [
                [Op("set_field", path, "xformOp:translate", ["double3", [draw.random(), float(i), 0.0]])],
                [Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", draw.uniform(0.1, 2.0)])],
                [Op("add_prim", f"/Line/N{i}", "", {"copy": path}), Op("set_metadata", f"/Line/N{i}", "kind", "x")],
                [Op("remove_prim", path)] if draw.random() < 0.2 else [Op("set_relationship", "/Line/M", "twin:next", [])],
            ]
        )
        try:
            apply_txn(stage, layer, txn)
        except Rejected:
            continue
        beside.applied(txn)
        if i % 8 == 7:
            assert same(beside.compile().result(60), compile_factory(stage)), txn
            compiled += 1
    assert compiled > 3


def test_what_was_taken_back_is_forgotten(edited) -> None:
    stage, layer, beside = edited
    txn = [Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", 1.75])]
    done = apply_txn(stage, layer, txn)
    beside.applied(txn)
    beside.compile().result(60)
    apply_txn(stage, layer, done.inverse, internal=True)
    beside.forget()
    assert same(beside.compile().result(60), compile_factory(stage))


def test_whoever_waits_for_a_lost_process_is_told_and_the_next_compilation_begins_anew(edited) -> None:
    stage, _, beside = edited
    beside.compile().result(60)
    beside.applied([Op("remove_prim", "/Nowhere")])  # what does not apply there shows that the two have come apart
    with pytest.raises(WorkError, match="lost"):
        beside.compile().result(60)
    assert same(beside.compile().result(60), compile_factory(stage))


def test_what_waits_for_a_slow_process_is_bounded_and_nothing_is_missed(edited, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, layer, beside = edited
    monkeypatch.setattr(beside_module, "MOST_UNTOLD", 10_000)
    monkeypatch.setattr(beside_module, "TOLD_AT_ONCE", 5)
    beside.compile().result(60)
    process = beside._talk._process
    os.kill(process.pid, signal.SIGSTOP)
    try:
        compiled = beside.compile()  # the process is busy, as far as can be told from outside
        most = 0
        for i in range(400):
            txn = [Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", 0.5 + i]),
                   Op("set_metadata", "/Line/Belt", "comment", f"{i} {'x' * 200}")]  # fmt: skip
            apply_txn(stage, layer, txn)
            beside.applied(txn)
            most = max(
                most, beside._bytes + beside._talk.bytes + sum(len(item[0].text or "") for item in beside._talk._requests.queue)
            )
    finally:
        os.kill(process.pid, signal.SIGCONT)
    compiled.result(60)
    assert most <= 10_000
    assert same(beside.compile().result(60), compile_factory(stage))
    txn = [Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", 0.25])]
    apply_txn(stage, layer, txn)
    beside.applied(txn)
    assert same(beside.compile().result(60), compile_factory(stage))
    assert beside._talk._process is process


def test_a_line_that_leads_to_what_was_deleted_says_so(edited) -> None:
    stage, layer, _ = edited
    belt = next(p for p in stage.Traverse() if p.HasAPI("TwinConveyorAPI") and p.GetRelationship("twin:next").GetTargets())
    target = str(belt.GetRelationship("twin:next").GetTargets()[0])
    apply_txn(stage, layer, [Op("remove_prim", target)])
    assert f"{target} has been deleted" in [finding.message for finding in compile_factory(stage).findings]

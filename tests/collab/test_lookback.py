"""Looking back: each moment as it was, whichever way somebody comes to it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from twin.collab import Document
from twin.collab.lookback import Answer, Lookback, Question, serve
from twin.core.pipes import read_message, write_message
from twin.protocol.documents import PrimDetail, SceneDoc
from twin.protocol.messages import Op

MESH = [
    Op("add_prim", "/World/Roof", "", {"type": "Mesh"}),
    Op("set_field", "/World/Roof", "points", ["point3f[]", [[0, 0, 0], [1, 0, 0], [0, 1, 0]]]),
    Op("set_field", "/World/Roof", "faceVertexCounts", ["int[]", [3]]),
    Op("set_field", "/World/Roof", "faceVertexIndices", ["int[]", [0, 1, 2]]),
]
EDITS = [
    [Op("set_field", "/World/A", "size", ["double", 2.0])],
    [
        Op("set_field", "/World/A", "size", ["double", 3.0]),
        Op("set_field", "/World/A", "xformOp:translate", ["double3", [5, 0, 0]]),
    ],
    MESH,
    [Op("remove_prim", "/World/B")],
]


def edited(document: Document) -> None:
    for number, txn in enumerate(EDITS, start=1):
        assert document.submit("s", number, "Ann", txn).entry is not None


def scene(lookback: Lookback, seq: int) -> SceneDoc:
    answer = lookback.answer(Question("scene", seq))
    assert answer.error == ""
    blobs = lookback.answer(Question("blobs", keys=answer.keys)).blobs
    assert sorted(blobs) == sorted(answer.keys)
    doc = msgspec.json.decode(answer.doc, type=SceneDoc)
    assert {p.geometry.mesh for p in doc.prims if p.geometry and p.geometry.mesh} <= set(blobs)
    return doc


def seen(doc: SceneDoc) -> tuple[list[float], float, list[str]]:
    """Size and place of A, and what there is."""
    a = next(p for p in doc.prims if p.path == "/World/A")
    return a.geometry.size, a.matrix[12], sorted(p.path.removeprefix("/World/") for p in doc.prims if p.path.count("/") == 2)


@pytest.fixture
def look(stage: Path, tmp_path: Path, opened: Callable[[], Document]) -> Callable[[], Lookback]:
    return lambda: Lookback(stage, tmp_path / "project", tmp_path, "stage.usda")


FOUND = [
    ([1, 1, 1], 1, ["A", "B", "Group"]),
    ([2, 2, 2], 1, ["A", "B", "Group"]),
    ([3, 3, 3], 5, ["A", "B", "Group"]),
    ([3, 3, 3], 5, ["A", "B", "Group", "Roof"]),
    ([3, 3, 3], 5, ["A", "Group", "Roof"]),
]


@pytest.mark.parametrize("way", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 1, 3, 0, 4]])
def test_a_moment_is_as_it_was_whichever_way_one_comes(opened, look, way: list[int]) -> None:
    document = opened()
    edited(document)
    lookback = look()
    for seq in way:
        doc = scene(lookback, seq)
        assert (doc.seq, doc.epoch, seen(doc)) == (seq, document.epoch, FOUND[seq])
    assert scene(lookback, 10**9).seq == 4
    assert document.submit("s", 99, "Ann", [Op("set_field", "/World/A", "size", ["double", 9.0])]).entry is not None
    assert seen(scene(lookback, 5))[0] == [9, 9, 9]


def test_a_checkpoint_shortens_the_way(opened, look) -> None:
    document = opened()
    edited(document)
    document.journal.checkpoint(2, "#usda 1.0\n")  # says something else, so that it shows which way was taken
    assert seen(scene(look(), 2))[0] == [1, 1, 1]
    assert seen(scene(look(), 1))[0] == [2, 2, 2]


def test_edits_from_before_an_epoch_are_no_part_of_it(stage: Path, opened, look) -> None:
    edited(opened())
    stage.write_text(stage.read_text().replace("double size = 1", "double size = 7"))
    document = opened()
    assert document.submit("s", 50, "Ann", [Op("set_field", "/World/A", "xformOp:translate", ["double3", [6, 0, 0]])]).entry
    document.journal.write("delete from checkpoints")  # as three of a later day would
    lookback = look()
    assert seen(scene(lookback, 5)) == ([7, 7, 7], 6, ["A", "B", "Group"])
    assert seen(scene(lookback, 4)) == ([7, 7, 7], 1, ["A", "B", "Group"])
    assert seen(scene(lookback, 2)) == ([3, 3, 3], 5, ["A", "B", "Group"])  # on the base of now


def test_questions_are_answered_one_by_one_and_errors_are_answers(opened, look) -> None:
    edited(opened())
    asked, answered = io.BytesIO(), io.BytesIO()
    for question in (Question("prim", 1, "/World/A"), Question("prim", 1, "/World/Roof"), Question("part", path="../x.usda")):
        write_message(asked, msgspec.msgpack.encode(question))
    asked.seek(0)
    serve(look(), asked, answered)
    answered.seek(0)
    a, roof, part = (msgspec.msgpack.decode(read_message(answered) or b"", type=Answer) for _ in range(3))
    size = next(p for p in msgspec.json.decode(a.doc, type=PrimDetail).properties if p.name == "size")
    assert size.value == 2.0
    assert "/World/Roof" in roof.error
    assert "no such part" in part.error
    assert read_message(answered) is None

"""A document that several people edit: order, repetition, undo of one's own, recovery."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twin.cli.user import _users
from twin.collab import Document, stored
from twin.collab import document as document_module
from twin.collab.checkpoints import write_checkpoint
from twin.core.errors import InputError, Rejected, WorkError
from twin.protocol.messages import Op
from twin.scene.edits import layer_to_text

A, B = "/World/A", "/World/B"


def size(path: str, value: float) -> Op:
    return Op("set_field", path, "size", ["double", value])


def move(path: str, x: float, y: float = 0.0) -> Op:
    return Op("set_field", path, "xformOp:translate", ["double3", [x, y, 0.0]])


def value(document: Document, path: str, name: str = "size") -> object:
    return document.stage.GetPrimAtPath(path).GetAttribute(name).Get()


def text(document: Document) -> str:
    return layer_to_text(document.layer)


def test_an_edit_is_numbered_applied_and_listed(opened) -> None:
    document = opened()
    outcome = document.submit("s1", 1, "Ann", [size(A, 2.0)])
    assert outcome.entry is not None
    assert (outcome.entry.seq, outcome.entry.user, outcome.entry.label) == (1, "Ann", "Set size of A")
    assert outcome.changed == ["/World/A.size"]
    assert value(document, A) == 2.0


def test_a_refused_edit_says_why_and_leaves_nothing(opened) -> None:
    document = opened()
    before = text(document)
    bad: list[tuple[list[Op], str]] = [
        ([size("/World/Nobody", 1.0)], "gone"),
        ([Op("set_field", A, "size", ["double", float("nan")])], "lossy"),
        ([Op("set_field", A, "size", ["double", "wide"])], "type"),
        ([], "type"),
        ([size(A, 1.0)] * 20_001, "limit"),
        ([Op("add_prim", f"/World/N{i}", "", {"type": "Cube"}) for i in range(5001)], "limit"),
        ([Op("restore_spec", A, "", {"text": "", "index": -1})], "type"),
        ([Op("add_prim", "/World/Out", "", {"reference": "../../etc/passwd"})], "asset"),
    ]
    for opid, (txn, code) in enumerate(bad):
        outcome = document.submit("s1", opid, "Ann", txn)
        assert outcome.refusal is not None, txn[:1]
        assert outcome.refusal.code == code, outcome.refusal
    assert text(document) == before
    assert document.seq == 0


def test_a_transaction_is_applied_whole_or_not_at_all(opened) -> None:
    document = opened()
    before = text(document)
    outcome = document.submit(
        "s1", 1, "Ann", [size(A, 9.0), Op("add_prim", "/World/C", "", {"type": "Cube"}), size("/World/Nobody", 1.0)]
    )
    assert outcome.refusal is not None
    assert text(document) == before
    assert not document.stage.GetPrimAtPath("/World/C")


def test_the_same_operation_sent_again_gets_the_same_answer_and_is_not_applied_again(opened) -> None:
    document = opened()
    first = document.submit("s1", 7, "Ann", [size(A, 2.0)])
    assert first.entry is not None, first.refusal
    document.submit("s2", 7, "Bob", [size(A, 3.0)])
    again = document.submit("s1", 7, "Ann", [size(A, 2.0)])
    assert again.again
    assert again.entry is not None
    assert again.entry.seq == first.entry.seq
    assert value(document, A) == 3.0
    refused = document.submit("s1", 8, "Ann", [size("/World/C", 1.0)])
    document.submit("s1", 9, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    repeated = document.submit("s1", 8, "Ann", [size("/World/C", 1.0)])
    assert refused.refusal == repeated.refusal  # although it would apply by now
    document = opened()
    assert document.submit("s1", 7, "Ann", [size(A, 2.0)]).again  # also after a restart
    for opid, txn in ((3, [size(A, 4.0)]), (19, [size("/World/Nobody", 1.0)]), (18, [size(A, 5.0)]), (20, [size(A, 6.0)])):
        assert not document.submit("s1", opid, "Ann", txn).again, "numbers may come in any order"
        assert document.submit("s1", opid, "Ann", txn).again
    assert document.submit("s1", 8, "Ann", [size("/World/C", 1.0)]).refusal == refused.refusal


def test_undo_and_redo_are_each_users_own(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 2.0)], "Widen A")
    document.submit("s2", 1, "Bob", [size(B, 5.0)])
    assert document.undo_labels("s1") == ("Widen A", "")
    undone = document.undo("s1", 2, "Ann")
    assert (value(document, A), value(document, B)) == (1.0, 5.0)
    assert undone.entry is not None
    assert (undone.entry.kind, undone.entry.label, undone.entry.skipped) == ("undo", "Undo Widen A", [])
    assert document.undo_labels("s1") == ("", "Widen A")
    assert document.redo("s1", 3, "Ann").entry is not None
    assert value(document, A) == 2.0
    assert document.undo("s1", 4, "Ann").entry is not None
    assert document.undo("s1", 5, "Ann").refusal.code == "nothing"
    assert value(document, B) == 5.0


def test_undo_survives_a_restart(opened) -> None:
    document = opened()
    empty = text(document)
    document.submit("s1", 1, "Ann", [move(B, 4.0)])
    document.submit("s1", 2, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    document = opened()
    for opid in (3, 4):
        assert document.undo("s1", opid, "Ann").entry is not None
    assert text(document) == empty


def test_undo_leaves_what_someone_else_wrote_since_and_says_so(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 3.0), size(B, 3.0)])
    document.submit("s2", 1, "Bob", [size(A, 7.0)])
    outcome = document.undo("s1", 2, "Ann")
    assert outcome.entry.skipped == ["/World/A.size"]
    assert (value(document, A), value(document, B)) == (7.0, 2.0)


def test_undo_leaves_what_someone_else_wrote_also_after_one_s_own_later_step_over_it_is_undone(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 5.0)])
    document.submit("s2", 1, "Bob", [size(A, 7.0)])
    document.submit("s1", 2, "Ann", [size(A, 6.0)])
    assert document.undo("s1", 3, "Ann").entry is not None
    assert value(document, A) == 7.0
    refusal = document.undo("s1", 4, "Ann").refusal
    assert refusal is not None
    assert refusal.code == "overwritten"
    assert value(document, A) == 7.0
    assert document.redo("s1", 5, "Ann").entry is not None
    assert value(document, A) == 6.0


def test_an_undo_that_would_change_nothing_is_refused_and_what_lies_under_it_can_be_undone(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(B, 3.0)])
    document.submit("s1", 2, "Ann", [size(A, 3.0)])
    document.submit("s2", 1, "Bob", [size(A, 7.0)])
    assert document.undo("s1", 3, "Ann").refusal.code == "overwritten"
    assert document.undo("s1", 4, "Ann").entry is not None
    assert (value(document, A), value(document, B)) == (7.0, 2.0)


def test_undo_does_not_disturb_a_transform_that_someone_else_completed(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [move(B, 4.0)])
    document.submit("s2", 1, "Bob", [Op("set_field", B, "xformOp:scale", ["float3", [2.0, 2.0, 2.0]])])
    outcome = document.undo("s1", 2, "Ann")
    assert outcome.entry is not None
    order = list(document.stage.GetPrimAtPath(B).GetAttribute("xformOpOrder").Get())
    assert "xformOp:scale" in order


def test_undo_follows_what_someone_else_has_renamed_since(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    joined = [Op("add_prim", "/World/D", "", {"type": "Cube"}), Op("set_relationship", "/World/C", "proxyPrim", ["/World/D"])]
    assert document.submit("s2", 1, "Bob", joined).entry is not None
    document.submit("s2", 2, "Bob", [size("/World/C", 4.0), Op("set_relationship", "/World/C", "proxyPrim", [B])])
    document.submit("s1", 2, "Ann", [Op("move_prim", "/World/C", "", "/World/Spur")])
    document.submit("s1", 3, "Ann", [Op("move_prim", "/World/D", "", "/World/Dock")])
    document = opened()  # also after a restart
    spur = document.stage.GetPrimAtPath("/World/Spur")

    def next_of() -> list[str]:
        return [str(p) for p in spur.GetRelationship("proxyPrim").GetTargets()]

    undone = document.undo("s2", 3, "Bob")
    assert undone.entry.skipped == []
    assert (next_of(), spur.GetAttribute("size").IsAuthored()) == (["/World/Dock"], False)
    # what Ann called it stays: the dock is not taken away under its new name
    assert document.undo("s2", 4, "Bob").entry.skipped == ["/World/Dock"]
    assert next_of() == []
    assert document.redo("s2", 5, "Bob").entry is not None
    assert document.redo("s2", 6, "Bob").entry is not None
    assert (next_of(), value(document, "/World/Spur")) == ([B], 4.0)
    # and along when Ann takes the name back
    assert document.undo("s1", 7, "Ann").entry.txn[-1].value == "/World/D"
    assert document.undo("s2", 8, "Bob").entry is not None
    assert next_of() == ["/World/D"]


def test_a_name_is_taken_back_although_someone_else_has_worked_inside_and_only_by_whoever_gave_it_last(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    document.submit("s1", 2, "Ann", [move("/World/C", 2.0)])
    document.submit("s1", 3, "Ann", [Op("move_prim", "/World/C", "", "/World/Spur")])
    document.submit("s2", 1, "Bob", [size("/World/Spur", 4.0)])
    document.submit("s2", 2, "Bob", [Op("add_prim", "/World/Spur/Eye", "", {"type": "Cube"})])
    undone = document.undo("s1", 4, "Ann")
    assert (undone.entry.skipped, value(document, "/World/C")) == ([], 4.0)
    assert document.stage.GetPrimAtPath("/World/C/Eye")
    assert document.undo("s2", 3, "Bob").entry is not None
    assert document.undo("s2", 4, "Bob").entry is not None
    # Bob's name stands, and what Ann did before she gave hers can be taken back in it
    assert document.redo("s1", 5, "Ann").entry is not None
    document.submit("s2", 5, "Bob", [Op("move_prim", "/World/Spur", "", "/World/Dock")])
    assert document.undo("s1", 6, "Ann").refusal.code == "overwritten"
    assert document.undo("s1", 7, "Ann").entry.skipped == []
    assert not document.stage.GetPrimAtPath("/World/Dock").GetAttribute("xformOp:translate").IsAuthored()


def test_what_was_meant_for_a_prim_by_its_earlier_name_reaches_it(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [Op("add_prim", f"/World/{name}", "", {"type": "Cube"}) for name in ("C", "Bay")])
    seen = document.seq
    document.submit("s1", 2, "Ann", [Op("move_prim", "/World/C", "", "/World/Bay/Spur")])
    document.submit("s1", 3, "Ann", [Op("move_prim", "/World/Bay", "", "/World/Hall")])
    # all that Bob has under way when the new names reach him
    under_way = [
        size("/World/C", 4.0),
        Op("set_relationship", B, "proxyPrim", ["/World/C"]),
        Op("list_edit", B, "proxyPrim", {"append": ["/World/Bay"]}),
        Op("add_prim", "/World/C/Eye", "", {"type": "Cube"}),
        size("/World/C/Eye", 5.0),
        Op("add_prim", "/World/Twin", "", {"copy": "/World/C"}),
        Op("move_prim", "/World/Bay", "", "/World/Room"),
    ]
    done = document.submit("s2", 1, "Bob", under_way, seen=seen)
    assert done.refusal is None
    spur = "/World/Room/Spur"
    assert [value(document, path) for path in (spur, f"{spur}/Eye", "/World/Twin")] == [4.0, 5.0, 4.0]
    targets = document.stage.GetPrimAtPath(B).GetRelationship("proxyPrim").GetTargets()
    assert [str(target) for target in targets] == [spur, "/World/Room"]
    assert document.undo("s2", 2, "Bob").entry is not None
    # a prim that is called so now is meant, and who knows of the new name means nothing by the old one
    assert document.submit("s2", 3, "Bob", [size("/World/C", 6.0)], seen=document.seq).refusal.code == "gone"
    document.submit("s1", 4, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    assert document.submit("s2", 4, "Bob", [size("/World/C", 7.0)], seen=seen).refusal is None
    assert (value(document, "/World/C"), value(document, "/World/Hall/Spur")) == (7.0, 2.0)
    # what was taken away stays away, and nonsense is refused as ever
    document.submit("s1", 5, "Ann", [Op("remove_prim", "/World/Hall")])
    assert document.submit("s2", 5, "Bob", [size("/World/Bay", 1.0)], seen=seen).refusal.code == "gone"
    for opid, op in enumerate((Op("list_edit", B, "proxyPrim", ["x"]), Op("add_prim", "/World/Bay/No name", "", 3)), 6):
        assert document.submit("s2", opid, "Bob", [op], seen=seen).refusal is not None


def test_undo_of_an_addition_leaves_what_someone_else_put_inside(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    document.submit("s2", 1, "Bob", [size("/World/C", 4.0)])
    assert document.undo("s1", 2, "Ann").refusal.code == "overwritten"
    assert value(document, "/World/C") == 4.0


def test_deleting_a_prim_beats_edits_inside_it_and_their_undo_does_not_bring_it_back(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    document.submit("s2", 1, "Bob", [size("/World/C", 4.0)])
    document.submit("s1", 2, "Ann", [Op("remove_prim", "/World/C")])
    assert document.submit("s2", 2, "Bob", [size("/World/C", 5.0)]).refusal.code == "gone"
    assert document.undo("s2", 3, "Bob").refusal is not None
    assert not document.stage.GetPrimAtPath("/World/C")
    assert document.undo("s1", 3, "Ann").entry is not None
    assert value(document, "/World/C") == 4.0


def test_what_a_guard_forbids_is_refused_but_not_what_was_accepted_before(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 2.0)])

    def guard(op: Op) -> None:
        raise Rejected("driven", "a connection writes it", prim=op.path)

    document.guard = guard
    assert document.submit("s1", 1, "Ann", [size(A, 2.0)]).again
    assert document.submit("s1", 2, "Ann", [size(A, 3.0)]).refusal.code == "driven"


def test_a_restart_keeps_epoch_number_and_edits(opened) -> None:
    document = opened()
    for i in range(5):
        document.submit("s1", i, "Ann", [size(A, 2.0 + i), move(B, float(i))])
    epoch, before = document.epoch, text(document)
    document = opened()
    assert (document.epoch, document.seq, text(document)) == (epoch, 5, before)


def test_the_journal_replayed_from_the_beginning_gives_the_same_layer(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    document = opened()
    monkeypatch.setattr(document_module, "CHECKPOINT_EVERY", 20)
    for i in range(25):
        document.submit("s1", i, "Ann", [size(A, 2.0 + i)])
    document.submit("s1", 205, "Ann", [Op("move_prim", B, "", "/World/D")])
    document.submit("s1", 206, "Ann", [Op("remove_prim", A)])
    document.undo("s1", 207, "Ann")
    before = text(document)
    assert document.checkpoints.wait() == 0  # made by a process of its own
    assert 20 <= document.journal.last_checkpoint()[0] <= document.seq
    document.close = lambda: document.journal.close()  # a loss of power: the last one counts
    document = opened()
    assert text(document) == before
    document.journal.write("delete from checkpoints")
    document._seq = document.journal.last_checkpoint()[0]  # so that closing writes none
    assert text(opened()) == before


def test_a_checkpoint_of_another_epoch_is_not_kept(opened, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 4.0)])
    project = tmp_path / "project"
    read = stored.edits_of
    monkeypatch.setattr(stored, "edits_of", lambda *a, **k: (read(*a, **k), document.journal.new_epoch())[0])
    assert write_checkpoint(stage, project, stage.parent) == 0
    assert document.journal.last_checkpoint() == (0, "")
    monkeypatch.setattr(stored, "edits_of", read)
    assert write_checkpoint(stage, project, stage.parent) == 1
    assert document.journal.last_checkpoint() == (1, text(document))


def test_a_changed_base_file_begins_a_new_epoch_and_keeps_the_old_edits_as_a_version(opened, stage: Path, tmp_path: Path) -> None:
    document = Document(stage, tmp_path / "project")
    document.submit("s1", 1, "Ann", [size(A, 4.0)])
    document.submit("s1", 2, "Ann", [size(B, 4.0)])
    epoch, before = document.epoch, text(document)
    document.close()
    del document  # USD keeps a layer as long as somebody holds its stage
    stage.write_text(stage.read_text().replace('def Cube "B"', 'def Cube "Other"'))
    document = opened()
    assert document.epoch != epoch
    assert value(document, A) == 4.0
    [version] = document.journal.versions()
    assert version["label"] == "before a change of stage.usda"
    assert document.journal.version(version["id"])[1] == before
    dangling = [(f.path, f.code) for f in document.findings if f.severity == "warning"]
    assert dangling == [("/World/B", "edit-dangles")]
    second, after = document.epoch, text(document)
    document = opened()
    assert (document.epoch, text(document)) == (second, after)
    assert [(f.path, f.code) for f in document.findings if f.severity == "warning"] == dangling


def test_a_second_process_is_turned_away(opened, stage: Path, tmp_path: Path) -> None:
    opened()
    with pytest.raises(InputError, match="another process serves this project") as caught:
        Document(stage, tmp_path / "project")
    assert caught.value.exit_code == 2


def test_a_journal_that_is_no_database_is_bad_input(stage: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "journal.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(InputError, match=r"journal.db.*backup"):
        Document(stage, project)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--project: cannot be written"):
        Document(stage, tmp_path / "file" / "project")


def test_a_damaged_journal_is_said_to_be_one_with_a_way_out(stage: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    document = Document(stage, project)
    for n in range(30):
        document.save_version(f"{n}" * 200, "Ann")
    document.close()
    file = project / "journal.db"
    data = bytearray(file.read_bytes())
    data[8192:] = b"\xa5" * len(data[8192:])
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"journal.db.*recover") as caught, _users(stage, project, None) as users:
        users.all()
    assert caught.value.exit_code == 2


def test_a_disk_that_takes_no_more_makes_the_document_read_only_with_memory_as_on_disk(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 4.0)])
    before = text(document)
    document.journal.write("pragma max_page_count = 1")  # SQLite then reports a full disk
    big = [Op("set_metadata", A, "documentation", "x" * 100_000)] * 20
    with pytest.raises(WorkError, match="full"):
        document.submit("s1", 2, "Ann", big)
    assert text(document) == before
    refused = document.submit("s1", 3, "Ann", [size(A, 5.0)])
    assert refused.refusal.code == "read-only"
    assert document.read_only
    document = opened()
    assert text(document) == before
    assert document.submit("s1", 3, "Ann", [size(A, 5.0)]).entry is not None


def test_edits_of_a_group_are_all_taken_back_when_their_commit_fails(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 4.0)])
    before = text(document)
    with pytest.raises(WorkError), document.group():  # noqa: PT012
        assert document.submit("s1", 2, "Ann", [size(A, 5.0)]).entry is not None
        assert document.submit("s2", 1, "Bob", [Op("add_prim", "/World/C", "", {"type": "Cube"})]).entry is not None
        document.journal._db.execute("rollback")  # as SQLite itself does when the disk is full
    assert (text(document), document.seq) == (before, 1)
    assert document.submit("s1", 3, "Ann", [size(A, 6.0)]).refusal.code == "read-only"
    document = opened()
    assert (text(document), document.seq) == (before, 1)


def test_someone_who_missed_a_little_is_told_what_changed(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 4.0)])
    document.submit("s1", 2, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    assert document.changes_since(0) == (["/World/A.size"], ["/World/C"])
    assert document.changes_since(1) == ([], ["/World/C"])
    assert document.changes_since(2) == ([], [])
    assert document.changes_since(3) is None


_WRITER = """
import sys
from pathlib import Path
from twin.collab import Document
from twin.collab import document as document_module
from twin.protocol.messages import Op
document = Document(Path(sys.argv[1]), Path(sys.argv[2]))
print("open", document.seq, flush=True)
for i in range(document.seq + 1, 1_000_000):
    path = ("/World/A", "/World/B")[i % 2]
    outcome = document.submit("s1", i, "Ann", [Op("set_field", path, "size", ["double", float(i)])])
    print(outcome.entry.seq, flush=True)
"""


def test_no_acknowledged_edit_is_lost_when_the_process_is_killed(stage: Path, tmp_path: Path) -> None:
    """Killed at random moments, checkpoints among them; after each the document holds all that was acknowledged."""
    draw = random.Random(5)
    project = tmp_path / "project"
    epochs = set()
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(stage), str(project)], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("open")
        first = int(process.stdout.readline())
        time.sleep(draw.uniform(0.02, 0.3))
        process.send_signal(signal.SIGKILL)
        acknowledged = [first, *(int(line) for line in process.stdout.read().split("\n")[:-1])]
        process.stdout.close()
        process.wait()
        document = Document(stage, project)
        assert document.seq in (acknowledged[-1], acknowledged[-1] + 1)
        last = document.seq
        assert {value(document, A), value(document, B)} == {float(last), float(last - 1)}
        epochs.add(document.epoch)
        document.close()
    assert len(epochs) == 1


def test_the_acknowledgement_comes_after_the_commit(opened, tmp_path: Path) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 4.0)])
    other = sqlite3.connect(tmp_path / "project" / "journal.db")
    assert other.execute("select count(*) from ops").fetchone() == (1,)
    assert document.journal.read("pragma synchronous") == [(2,)]
    other.close()

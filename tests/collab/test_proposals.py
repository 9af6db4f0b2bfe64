"""Versions, proposals and export: looking back, putting aside, bringing together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pxr import Usd, UsdValidation

from twin.collab import Document, Proposals
from twin.collab.stored import open_with_edits
from twin.core.errors import InputError, Rejected
from twin.protocol.messages import Op
from twin.scene import open_stage
from twin.scene.edits import difference

A, B = "/World/A", "/World/B"


def size(path: str, value: float) -> Op:
    return Op("set_field", path, "size", ["double", value])


def value(stage, path: str) -> object:
    return stage.GetPrimAtPath(path).GetAttribute("size").Get()


def test_a_version_is_restored_as_an_edit_that_can_be_undone(opened) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 3.0)])
    version = document.save_version("good", "Ann")
    then = document.text()
    document.submit("s2", 1, "Bob", [size(A, 8.0), Op("add_prim", "/World/C", "", {"type": "Cube"}), Op("remove_prim", B)])
    later = document.text()
    assert [(o.path, o.field, o.change) for o in difference(then, later)] == [
        (A, "size", "changed"),
        ("/World/C", "", "added"),
        (B, "", "added"),
    ]
    outcome = document.restore("s1", 2, "Ann", version)
    assert (outcome.entry.kind, outcome.entry.label) == ("restore", "Restore good")
    assert document.text() == then
    assert document.restore("s1", 2, "Ann", version).again
    assert document.restore("s1", 3, "Ann", version).refusal.code == "nothing"
    assert document.undo("s1", 4, "Ann").entry is not None
    assert document.text() == later
    with pytest.raises(InputError, match="no version 99"):
        document.restore("s1", 5, "Ann", 99)
    document = opened()
    assert document.text() == later
    assert document.text_of(version) == then


def test_a_proposal_is_put_aside_compared_and_merged_as_one_step(opened) -> None:
    document = opened()
    proposals = Proposals(document)
    document.submit("s1", 1, "Ann", [size(A, 3.0)])
    agreed = document.save_version("agreed", "Ann")
    document.submit("s1", 2, "Ann", [size(B, 5.0)])
    document.submit("s1", 3, "Ann", [Op("add_prim", "/World/C", "", {"type": "Cube"})])
    id = proposals.make("bigger B", "Ann", since=agreed)
    assert proposals.take_back(id, "s1", 4, "Ann").entry is not None
    assert (value(document.stage, A), value(document.stage, B)) == (3.0, 2.0)
    document.submit("s2", 1, "Bob", [size(A, 4.0)])
    compared = proposals.compare(id)
    assert [(o.path, o.change) for o in compared.opinions] == [(B, "added"), ("/World/C", "added")]
    assert compared.conflicts == []
    merged = proposals.merge(id, "s2", 2, "Bob")
    assert (merged.entry.kind, merged.entry.label) == ("merge", "Merge bigger B")
    assert (value(document.stage, A), value(document.stage, B)) == (4.0, 5.0)
    assert document.stage.GetPrimAtPath("/World/C")
    assert document.journal.versions()[0]["label"] == "before merging bigger B"
    assert proposals.all()[0]["state"] == "merged"
    with pytest.raises(Rejected, match="merged already"):
        proposals.merge(id, "s2", 3, "Bob")
    document.undo("s2", 4, "Bob")
    assert (value(document.stage, A), value(document.stage, B)) == (4.0, 2.0)


def test_a_merge_over_what_others_changed_needs_to_be_asked_for(opened) -> None:
    document = opened()
    proposals = Proposals(document)
    document.submit("s1", 1, "Ann", [size(A, 3.0), size(B, 3.0)])
    agreed = document.save_version("agreed", "Ann")
    document.submit("s1", 2, "Ann", [size(A, 5.0), size(B, 5.0)])
    id = proposals.make("five", "Ann", since=agreed)
    assert proposals.take_back(id, "s1", 7, "Ann").entry is not None
    document.submit("s2", 1, "Bob", [size(A, 6.0)])
    compared = proposals.compare(id)
    assert [(o.path, o.field) for o in compared.conflicts] == [(A, "size")]
    assert compared.since == ["others have set 6.0 since"]
    before = document.text()
    with pytest.raises(Rejected, match=r"/World/A\.size") as caught:
        proposals.merge(id, "s1", 3, "Ann")
    assert caught.value.code == "conflict"
    assert document.text() == before
    assert proposals.merge(id, "s1", 4, "Ann", conflicts="keep").entry is not None
    assert (value(document.stage, A), value(document.stage, B)) == (6.0, 5.0)
    document.undo("s1", 5, "Ann")
    assert document.text() == before
    proposals.reopen(id)
    assert proposals.merge(id, "s1", 6, "Ann", conflicts="overwrite").entry is not None
    assert (value(document.stage, A), value(document.stage, B)) == (5.0, 5.0)


def test_what_others_deleted_meanwhile_comes_back_whole_or_stays_away(opened) -> None:
    document = opened()
    proposals = Proposals(document)
    document.submit(
        "s1", 1, "Ann", [Op("add_prim", path, "", {"type": "Cube"}) for path in ("/World/C", "/World/C/Eye", "/World/D")]
    )
    version = document.save_version("as built", "Ann")
    asked = [size("/World/C", 2.0), size("/World/C/Eye", 3.0), size(A, 4.0), Op("remove_prim", "/World/D")]
    document.submit("s1", 2, "Ann", asked)
    id = proposals.make("bigger", "Ann", since=version)
    assert proposals.take_back(id, "s1", 3, "Ann").entry is not None
    # one is of the edits, one of the stage's own file; and Bob works in what the proposal would delete
    document.submit("s2", 1, "Bob", [Op("remove_prim", "/World/C"), Op("remove_prim", A), size("/World/D", 6.0)])
    before = document.text()
    compared = proposals.compare(id)
    told = dict(zip([(o.path, o.field) for o in compared.conflicts], compared.since, strict=True))
    deleted = "others have deleted it since"
    assert told == {
        (A, "size"): deleted,
        ("/World/C", "size"): deleted,
        ("/World/C/Eye", "size"): deleted,
        ("/World/D", ""): "others have changed in it since: size",
    }
    assert proposals.merge(id, "s1", 4, "Ann", conflicts="keep").refusal.code == "nothing"
    assert proposals.merge(id, "s1", 5, "Ann", conflicts="overwrite").entry is not None
    assert [value(document.stage, path) for path in (A, "/World/C", "/World/C/Eye")] == [4.0, 2.0, 3.0]
    prim = document.stage.GetPrimAtPath
    assert [prim(path).GetTypeName() for path in ("/World/C", "/World/C/Eye")] == ["Cube", "Cube"]
    assert prim(A).IsActive()
    assert not prim("/World/D")
    document.undo("s1", 6, "Ann")
    assert document.text() == before


def test_a_proposal_is_about_prims_whatever_they_are_called_since(opened) -> None:
    document = opened()
    proposals = Proposals(document)
    document.submit("s1", 1, "Ann", [Op("add_prim", path, "", {"type": "Cube"}) for path in ("/World/K", "/World/Hall")])
    version = document.save_version("as built", "Ann")
    asked = [size("/World/K", 2.0), Op("set_relationship", "/World/Hall", "proxyPrim", ["/World/K"])]
    document.submit("s1", 2, "Ann", asked)
    id = proposals.make("bigger", "Ann", since=version)
    assert proposals.take_back(id, "s1", 3, "Ann").entry is not None
    for opid, (source, target) in enumerate((("/World/K", "/World/Oven"), ("/World/Oven", "/World/Hall/Oven")), 1):
        assert document.submit("s2", opid, "Bob", [Op("move_prim", source, "", target)]).entry is not None
    compared = proposals.compare(id)
    assert [(o.path, o.field) for o in compared.opinions] == [("/World/Hall", "proxyPrim"), ("/World/Hall/Oven", "size")]
    assert compared.conflicts == []
    assert proposals.merge(id, "s1", 4, "Ann").entry is not None
    assert document.stage.GetPrimAtPath("/World/Hall/Oven").GetAttribute("size").Get() == 2.0
    targets = document.stage.GetPrimAtPath("/World/Hall").GetRelationship("proxyPrim").GetTargets()
    assert [str(target) for target in targets] == ["/World/Hall/Oven"]
    assert not document.layer.GetPrimAtPath("/World/K")


def test_a_discarded_proposal_stays_readable(opened) -> None:
    document = opened()
    proposals = Proposals(document)
    with pytest.raises(Rejected, match="nothing has been edited"):
        proposals.make("empty", "Ann")
    document.submit("s1", 1, "Ann", [size(A, 3.0)])
    id = proposals.make("three", "Ann")
    proposals.discard(id, "Bob")
    assert (proposals.all()[0]["state"], proposals.all()[0]["closed_by"]) == ("discarded", "Bob")
    assert len(proposals.compare(id).opinions) == 1
    with pytest.raises(Rejected, match="discarded already"):
        proposals.merge(id, "s1", 2, "Ann")
    # discarded by mistake: it comes back as it was
    proposals.reopen(id)
    assert (proposals.all()[0]["state"], proposals.all()[0]["closed_by"]) == ("open", "")
    with pytest.raises(Rejected, match="open already"):
        proposals.reopen(id)
    document.submit("s1", 3, "Ann", [Op("clear", A, "size")])
    assert proposals.merge(id, "s1", 4, "Ann").entry is not None
    assert value(document.stage, A) == 3.0
    # the merge is undone, and thought better of
    assert document.undo("s1", 5, "Ann").entry is not None
    proposals.reopen(id)
    assert proposals.merge(id, "s1", 6, "Ann").entry is not None
    assert value(document.stage, A) == 3.0
    with pytest.raises(InputError, match="no proposal 7"):
        proposals.compare(7)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twin.cli.main", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def complaints(file: Path) -> list[str]:
    """What usdchecker says of a stage, with all validators that USD has."""
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 10
    found = UsdValidation.ValidationContext(validators).Validate(Usd.Stage.Open(str(file)))
    return [f"{each.GetName()}: {each.GetMessage()}" for each in found]


def test_export_writes_the_stage_with_its_edits_while_the_project_is_open(opened, stage: Path, tmp_path: Path) -> None:
    part = '#usda 1.0\n(\n    defaultPrim = "P"\n)\ndef Xform "P"\n{\n    def Sphere "S"\n    {\n    }\n}\n'
    (tmp_path / "part.usda").write_text(part)
    document: Document = opened()
    document.submit("s1", 1, "Ann", [size(A, 3.0), Op("add_prim", "/World/Part", "", {"reference": "part.usda"})])
    version = document.save_version("three", "Ann")
    document.submit("s1", 2, "Ann", [size(A, 7.0)])
    folder = tmp_path / "out"
    folder.mkdir()
    project = tmp_path / "project"
    done = run(stage, "--project", project, "--out", folder / "now.usda", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"out": str(folder / "now.usda"), "findings": []}
    written = (folder / "now.usda").read_text()
    assert "@../part.usda@" in written
    now = open_stage(folder / "now.usda", tmp_path)
    assert value(now, A) == 7.0
    assert now.GetPrimAtPath("/World/Part/S")
    assert (now.GetDefaultPrim().GetName(), now.GetMetadata("metersPerUnit")) == ("World", 1.0)

    assert run(stage, "--project", f"{project}@{version}", "--out", folder / "then.usdc", "--flatten").returncode == 0
    then = open_stage(folder / "then.usdc")
    assert complaints(folder / "now.usda") + complaints(folder / "then.usdc") == []
    assert value(then, A) == 3.0
    assert then.GetPrimAtPath("/World/Part/S")
    assert [layer.identifier for layer in then.GetUsedLayers() if layer.identifier.endswith("part.usda")] == []


def test_the_edits_can_be_exported_as_a_layer_of_their_own(opened, stage: Path, tmp_path: Path) -> None:
    (tmp_path / "part.usda").write_text('#usda 1.0\n(\n    defaultPrim = "P"\n)\ndef Xform "P"\n{\n}\n')
    document: Document = opened()
    document.submit("s1", 1, "Ann", [size(A, 3.0), Op("add_prim", "/World/Part", "", {"reference": "part.usda"})])
    out = tmp_path / "out" / "plant.usda"
    out.parent.mkdir()
    done = run(stage, "--project", tmp_path / "project", "--out", out, "--own-layer")
    assert done.returncode == 0, done.stderr
    # with nothing of Twin: any program that reads USD
    look = (
        "import sys; from pxr import Usd, UsdGeom; s = Usd.Stage.Open(sys.argv[1]); p = s.GetPrimAtPath(sys.argv[2]);"
        "print(p.GetAttribute('size').Get(), p.GetPrimStack()[0].layer.GetDisplayName(), len(p.GetPrimStack()),"
        "bool(s.GetPrimAtPath('/World/Part').GetPrimStack()[1:]), UsdGeom.GetStageMetersPerUnit(s), s.GetDefaultPrim().GetName())"
    )
    found = subprocess.run([sys.executable, "-c", look, out, A], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout.split() == ["3.0", "plant.edits.usda", "2", "True", "1.0", "World"], found.stderr
    assert complaints(out) == []
    assert run(stage, "--project", tmp_path / "project", "--out", out, "--own-layer", "--flatten").returncode == 2


def test_what_cannot_be_exported_is_one_clear_line(opened, stage: Path, tmp_path: Path) -> None:
    opened()
    project = tmp_path / "project"
    for arguments, text in (
        ((stage, "--project", tmp_path / "none", "--out", tmp_path / "x.usda"), "no project"),
        ((stage, "--project", f"{project}@9", "--out", tmp_path / "x.usda"), "no version 9"),
        ((stage, "--project", project, "--out", tmp_path / "x.obj"), ".usda"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert text in done.stderr
        assert "Traceback" not in done.stderr


def test_reading_a_project_needs_no_lock_and_sees_edits_after_the_checkpoint(opened, stage: Path, tmp_path: Path) -> None:
    document = opened()
    document.submit("s1", 1, "Ann", [size(A, 3.0)])
    document = opened()  # closing wrote a checkpoint
    document.submit("s1", 2, "Ann", [size(A, 9.0)])
    stage_now, findings = open_with_edits(stage, tmp_path / "project")
    assert value(stage_now, A) == 9.0
    assert not list(findings)

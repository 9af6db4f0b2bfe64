"""The running twin behind the server, in this process."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from twin.collab import Identity
from twin.core.errors import Rejected, WorkError
from twin.core.samples import GOOD, Sample, SignalKey
from twin.model.frame import StateFrame
from twin.protocol.messages import BodyTable, Op, ScenePatch
from twin.server import commits as commits_module
from twin.server import host as host_module
from twin.server.host import Host
from twin.server.settings import Settings

ADMIN = Identity("test", "admin")
STAGE = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    def Cube "A"
    {
    }
    def Cube "Body" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsCollisionAPI"])
    {
        bool physics:kinematicEnabled = 1
    }
}
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    stage = tmp_path / "stage.usda"
    stage.write_text(STAGE)
    running = Host(Settings(stage, tmp_path / "project", paused=True))
    running.start()
    yield running
    running.stop()


def edit(host: Host, opid: int, *ops: Op):
    return host.on_owner(lambda: host.edit(ADMIN, "s", opid, "Ann", list(ops), "")).result()


def test_a_stage_does_not_grow_without_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.on_owner(host.scene).result()
    monkeypatch.setattr(host_module, "MAX_PRIMS", 4)
    add = [Op("add_prim", f"/World/N{i}", "", {"type": "Cube"}) for i in range(3)]
    assert edit(host, 1, add[0])[0].entry is not None
    refused = edit(host, 2, add[1])[0].refusal
    assert (refused.code, refused.path) == ("limit", "/World/N1")


def settled(host: Host) -> bool:
    """Whether the simulation comes to run with all edits."""
    end = time.monotonic() + 60.0
    while host.on_owner(lambda: host.runtime.behind).result(60):
        assert time.monotonic() < end, "the edits are not taken over"
        time.sleep(0.01)
    return True


def half_size(host: Host) -> float:
    return float(host.on_owner(lambda: host.runtime.model.rigid.shapes[0].size[0]).result(60))


def test_only_edits_that_matter_are_compiled_and_beside_the_running_twin(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, events = [], []
    monkeypatch.setattr(host.runtime, "_compile_beside", lambda: begun.append(1) or host._compile_beside())
    monkeypatch.setattr(host.runtime, "_compile", lambda: pytest.fail("the owner thread stood still"))
    host.runtime.subscribe(events.append)
    for opid, x in enumerate((1.0, 2.0)):
        edit(host, opid, Op("set_field", "/World/A", "xformOp:translate", ["double3", [x, 0.0, 0.0]]))
    assert settled(host)
    assert not begun
    edit(host, 7, Op("set_field", "/World/Body", "size", ["double", 3.0]))
    assert settled(host)
    assert (len(begun), half_size(host)) == (1, 1.5)
    add = Op("add_prim", "/World/Aa", "", {"type": "Cube"})
    edit(host, 8, add, Op("apply_api", "/World/Aa", "PhysicsRigidBodyAPI", True))
    assert settled(host)
    assert [e for e in events if isinstance(e, BodyTable)][-1].bodies == ["/World/Body", "/World/Aa"]


def test_a_lost_compiler_costs_no_edit(host: Host) -> None:
    assert settled(host)
    for opid, size in enumerate((3.0, 5.0)):
        talk = host._compiler._talk
        talk._process.kill()
        talk._process.wait()
        edit(host, opid, Op("set_field", "/World/Body", "size", ["double", size]))
        assert settled(host)
        assert half_size(host) == size / 2


def test_a_line_is_told_anew_once_it_runs(host: Host) -> None:
    events = []
    host.runtime.subscribe(events.append)
    add = Op("add_prim", "/World/Out", "", {"type": "Cube"})
    _, told = edit(host, 1, add, Op("apply_api", "/World/Out", "TwinSinkAPI", True))
    assert (told[-1].nodes, [p.path for p in told[-1].prims]) == ([], ["/World/Out"])
    assert settled(host)
    [patch] = [e for e in events if isinstance(e, ScenePatch)]
    assert [(n.path, n.kind) for n in patch.nodes] == [("/World/Out", "sink")]
    assert patch.seq == 1


def test_edits_that_wait_are_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits_module, "MAX_WAITING", 3)
    held = threading.Event()
    host.on_owner(lambda: held.wait(30))
    cube = [Op("set_field", "/World/A", "size", ["double", float(i)]) for i in range(4)]
    waiting = [
        host.commits.commit(lambda i=i: host.edit(ADMIN, "s", i, "Ann", [cube[i]], ""), lambda *told: None) for i in range(3)
    ]
    with pytest.raises(Rejected) as refused:
        host.commits.commit(lambda: host.edit(ADMIN, "s", 3, "Ann", [cube[3]], ""), lambda *told: None)
    assert refused.value.code == "busy"
    held.set()
    assert [future.result(30).entry.seq for future in waiting] == [1, 2, 3]


def test_after_a_restart_residuals_are_judged_at_once_and_their_alarms_are_known(host: Host) -> None:
    ended, lasting = SignalKey("/World/A", "ended"), SignalKey("/World/A", "lasting")

    def disagree(on: Host, seconds: range) -> list[float | None]:
        residuals = on.runtime.signals.residuals
        for second in seconds:
            for key, until in ((ended, 80), (lasting, 100)):
                value = 20.0 + second % 3 + (50.0 if 60 <= second < until else 0.0)
                residuals.plant(Sample(key, value, GOOD, second * 10**9, None, second * 10**9))
                residuals.simulated(key, 20.0, second * 10**9)
        return [r.score for r in residuals.rows()]

    def alarms(of: Host) -> list[tuple[str, int, int]]:
        kept = of.alarms.log.between(0, 2**62, kind="residual")
        return [(a.key.rpartition(":")[2], a.begin_ns // 10**9, a.end_ns // 10**9) for a in kept]

    host.on_owner(lambda: disagree(host, range(100))).result(60)
    assert sorted(host.on_owner(lambda: alarms(host)).result(60)) == [("ended", 60, 80), ("lasting", 60, 0)]
    host.stop()
    # as an earlier version left it: one alarm is in its table alone, one in both
    old = sqlite3.connect(host.settings.project / "journal.db")
    old.execute("create table residual_alarms (prim text, name text, begin_ns integer, end_ns integer, worst real)")
    rows = [("/World/A", "early", 10**9, 2 * 10**9, 7.0), ("/World/A", "ended", 60 * 10**9, 80 * 10**9, 9.0)]
    old.executemany("insert into residual_alarms values (?, ?, ?, ?, ?)", rows)
    old.commit()
    old.close()
    again = Host(host.settings)
    try:
        again.start()
        scores = again.on_owner(lambda: disagree(again, range(100, 101))).result(60)
        assert None not in scores
        assert sorted(again.on_owner(lambda: alarms(again)).result(60)) == [
            ("early", 1, 2), ("ended", 60, 80), ("lasting", 60, 100),
        ]  # fmt: skip
    finally:
        again.stop()


def test_somebody_who_leaves_while_edits_are_committed_hides_nothing_from_the_others(host: Host) -> None:
    """Their edits are given up as long as nobody has begun with them; from then on they are done, and told, like the others'."""
    told: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(number: int):
        if number == 0:
            begun.set()
            assert go_on.wait(30)
        return host.edit(ADMIN, "s", number, "Ann", [Op("set_field", "/World/A", "size", ["double", float(number)])], "")

    def tell(outcome, events) -> None:
        told.append(outcome.entry.opid)

    futures = [host.commits.commit(lambda i=i: work(i), tell) for i in range(4)]
    assert begun.wait(30)
    given_up = [futures[0].cancel(), futures[2].cancel()]
    go_on.set()
    for i in (0, 1, 3):
        assert futures[i].result(30).entry.opid == i
    assert given_up == [False, True]
    assert told == [0, 1, 3]
    assert host.commits.commit(lambda: work(9), tell).result(30).entry.seq == 4


def test_the_twin_runs_on_while_the_disk_keeps_an_edit_waiting_and_nobody_sees_that_edit(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, told = [], []
    host.runtime.subscribe(lambda event: frames.append(event) if isinstance(event, StateFrame) else None)
    host.runtime.control("play").result(60)
    slow, begun = threading.Event(), threading.Event()
    commit = host.document.journal.commit

    def wait_and_commit() -> None:
        begun.set()
        assert slow.wait(60)
        commit()

    monkeypatch.setattr(host.document.journal, "commit", wait_and_commit)
    size = Op("set_field", "/World/A", "size", ["double", 7.0])
    edited = host.commits.commit(lambda: host.edit(ADMIN, "s", 1, "Ann", [size], ""), lambda outcome, _: told.append(outcome))
    assert begun.wait(60)
    asked = host.on_owner(lambda: (host.document.seq, len(told)))
    before = len(frames)
    end = time.monotonic() + 60.0
    while len(frames) < before + 10:
        assert time.monotonic() < end, "the view stands"
        time.sleep(0.01)
    assert (edited.done(), asked.done(), told) == (False, False, [])
    slow.set()
    assert edited.result(60).entry.seq == 1
    assert asked.result(60) == (1, 1)


def test_a_commit_that_fails_takes_the_edits_back_and_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise WorkError("the disk is full")

    monkeypatch.setattr(host.document.journal, "commit", fail)
    size = [Op("set_field", "/World/A", "size", ["double", float(i)]) for i in range(3)]
    held = threading.Event()
    host.on_owner(lambda: held.wait(30))
    futures = [
        host.commits.commit(lambda i=i: host.edit(ADMIN, "s", i, "Ann", [size[i]], ""), lambda *told: pytest.fail("told"))
        for i in range(3)
    ]
    held.set()
    for future in futures:
        with pytest.raises(WorkError, match="full"):
            future.result(60)
    assert host.on_owner(lambda: (host.document.seq, host.document.layer.empty, bool(host.document.read_only))).result(60) == (
        0,
        True,
        True,
    )
    refused = edit(host, 9, size[0])[0].refusal
    assert refused.code == "read-only"


def grid(side: int) -> str:
    """A flat mesh of ``side`` x ``side`` squares, as USDA."""
    points = ", ".join(f"({i % (side + 1)}, {i // (side + 1)}, 0)" for i in range((side + 1) ** 2))
    corners = ((y * (side + 1) + x) for y in range(side) for x in range(side))
    indices = ", ".join(f"{a}, {a + 1}, {a + side + 2}, {a + side + 1}" for a in corners)
    return (
        '#usda 1.0\n(\n    defaultPrim = "Part"\n    metersPerUnit = 1\n    upAxis = "Z"\n)\n'
        'def Xform "Part"\n{\n    def Mesh "Grid"\n    {\n'
        f"        int[] faceVertexCounts = [{', '.join(['4'] * side**2)}]\n        int[] faceVertexIndices = [{indices}]\n"
        f"        point3f[] points = [{points}]\n    }}\n}}\n"
    )


def test_a_large_mesh_is_drawn_beside_while_others_go_on(host: Host, tmp_path: Path) -> None:
    (tmp_path / "grid.usda").write_text(grid(160))
    host.on_owner(host.scene).result()
    patches: list[ScenePatch] = []
    host.runtime.subscribe(lambda event: patches.append(event) if isinstance(event, ScenePatch) else None)
    begun = []
    draw = host.drawing.beside.draw

    def stopped(path: str):
        """The process exists, but does nothing yet."""
        host.drawing.beside.start()
        os.kill(host.drawing.beside._talk._process.pid, signal.SIGSTOP)
        begun.append(path)
        return draw(path)

    host.drawing.beside.draw = stopped
    add = Op("add_prim", "/World/Part", "", {"reference": "grid.usda"})
    _, told = edit(host, 1, add)
    [mesh] = [doc for doc in told[-1].prims if doc.path == "/World/Part/Grid"]
    assert (begun, mesh.geometry.kind, mesh.geometry.size) == (["/World/Part/Grid"], "bounds", [160.0, 160.0, 0.0])
    # others are answered, and what they do to it counts
    assert edit(host, 2, Op("set_field", "/World/A", "size", ["double", 2.0]))[0].entry is not None
    assert edit(host, 3, Op("set_field", "/World/Part", "xformOp:translate", ["double3", [1.0, 0.0, 0.0]]))[0].entry is not None
    assert patches == []
    os.kill(host.drawing.beside._talk._process.pid, signal.SIGCONT)
    until(lambda: patches, "the mesh")
    [doc] = patches[0].prims
    assert (doc.path, doc.geometry.kind, patches[0].seq) == ("/World/Part/Grid", "mesh", 3)
    assert len(host.assets.get(doc.geometry.mesh)) > 160 * 160 * 6 * 4
    # whoever has the scene of before is told on joining
    told = host.on_owner(lambda: host.join("", "Bo", ADMIN, host.document.epoch, 3)).result().messages
    assert doc in [p for message in told if isinstance(message, ScenePatch) for p in message.prims]
    # what is gone meanwhile does not come back, and a lost process is asked once more
    patches.clear()
    host.on_owner(lambda: host.undo(ADMIN, "s", 4, "Ann")).result()
    host.on_owner(lambda: host.undo(ADMIN, "s", 5, "Ann")).result()
    host.on_owner(lambda: host.undo(ADMIN, "s", 6, "Ann")).result()
    host.on_owner(lambda: host.redo(ADMIN, "s", 7, "Ann")).result()
    lost = host.drawing.beside._talk._process.pid
    host.on_owner(lambda: host.undo(ADMIN, "s", 8, "Ann")).result()
    host.drawing.beside.draw = draw
    host.on_owner(lambda: host.redo(ADMIN, "s", 9, "Ann")).result()
    os.kill(lost, signal.SIGKILL)
    until(lambda: patches, "the mesh again")
    assert [(d.path, d.geometry.kind) for p in patches for d in p.prims] == [("/World/Part/Grid", "mesh")]


def until(condition, what: str) -> None:
    end = time.monotonic() + 120.0
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)

"""The running twin behind the server, in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from twin.collab import Identity
from twin.protocol.messages import Op
from twin.server import host as host_module
from twin.server.host import Host, Settings

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


def test_only_edits_that_matter_are_compiled(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(host.runtime, "_compile", lambda: compiled.append(1) or host._compile())
    for opid, x in enumerate((1.0, 2.0)):
        edit(host, opid, Op("set_field", "/World/A", "xformOp:translate", ["double3", [x, 0.0, 0.0]]))
    host.on_owner(lambda: None).result()
    assert not compiled
    edit(host, 7, Op("set_field", "/World/Body", "size", ["double", 1.0]))
    host.on_owner(lambda: None).result()
    for _ in range(200):
        if compiled:
            break
        host.on_owner(lambda: None).result()
    assert compiled

"""Looking back beside the server: what it costs the others, and what happens when the process is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from twin.protocol.messages import Edited, Op

SIGN = "/Line/Sign"
PART = '#usda 1.0\n(\n    defaultPrim = "Box"\n)\ndef Xform "Box"\n{\n    def Cube "C"\n    {\n    }\n}\n'


def children(pid: int, what: str) -> list[int]:
    """Processes below one whose command line names ``what``."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            if what.encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def test_an_earlier_scene_and_a_part_come_from_beside(server) -> None:
    assets = Path(server.stage).parent / "_assets"
    assets.mkdir()
    (assets / "box.usda").write_text(PART)
    ann = server.client("Ann")
    ann.welcome()
    first = ann.edit(Op("set_field", SIGN, "size", ["double", 1.5]))
    second = ann.edit(Op("set_field", SIGN, "size", ["double", 2.5]))
    assert isinstance(second, Edited)

    def size(seq: int) -> list[float]:
        doc = http.get("/api/scene", params={"seq": seq}).json()
        assert doc["seq"] == seq
        return next(p for p in doc["prims"] if p["path"] == SIGN)["geometry"]["size"]

    with server.http() as http:
        assert [size(first.seq), size(second.seq), size(first.seq)] == [[1.5] * 3, [2.5] * 3, [1.5] * 3]
        detail = http.get("/api/prim", params={"seq": first.seq, "path": SIGN}).json()
        assert next(p for p in detail["properties"] if p["name"] == "size")["value"] == 1.5
        assert [p["path"] for p in http.get("/api/part", params={"asset": "_assets/box.usda"}).json()["prims"]] == [
            "/Box",
            "/Box/C",
        ]
        for wrong in ("_assets/none.usda", "line.usda", "../../etc/passwd", "\x00"):
            assert http.get("/api/part", params={"asset": wrong}).status_code == 404
        [pid] = children(server.process.pid, "twin.collab.lookback")
        # the server answers, and takes edits, while the process does not come on
        os.kill(pid, signal.SIGSTOP)
        try:
            assert isinstance(ann.edit(Op("set_field", SIGN, "size", ["double", 3.5])), Edited)
        finally:
            os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        lost = http.get("/api/prim", params={"seq": first.seq, "path": SIGN})
        assert (lost.status_code, "try again" in lost.json()["error"]) == (500, True)
        assert http.get("/api/prim", params={"seq": first.seq, "path": SIGN}).status_code == 200

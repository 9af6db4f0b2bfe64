"""What people bring along: taken in, listed, placed; and what is kept out."""

from __future__ import annotations

import http.client
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from twin.protocol.messages import Changed, Edited, Op

STL = b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1000 0 0\nvertex 0 1000 0\nendloop\nendfacet\nendsolid x\n"
PART = b'#usda 1.0\n(\n    defaultPrim = "P"\n)\ndef Xform "P"\n{\n    def Cube "C"\n    {\n    }\n}\n'


def test_a_part_is_uploaded_and_put_into_the_scene(server) -> None:
    ann = server.client("Ann", server.share("editor", user="Ann"))
    ann.welcome()
    with server.http() as web:
        answer = web.post("/api/uploads", params={"name": "my part.stl", "unit": "mm", "up": "Y"}, content=STL)
        assert answer.status_code == 201, answer.text
        asset = answer.json()["asset"]
        assert ann.wait(Changed).what == "library"
        assert asset in [part["asset"] for part in web.get("/api/scene").json()["library"]]
        again = web.post("/api/uploads", params={"name": "my part.stl", "unit": "mm", "up": "Y"}, content=STL)
        assert again.json()["asset"] == asset  # the same file is the same part
        assert isinstance(ann.edit(Op("add_prim", "/Line/Mine", "", {"type": "Xform", "reference": asset})), Edited)
        assert web.get("/api/prim", params={"path": "/Line/Mine/Mesh"}).json()["type"] == "Mesh"
        assert "upload" in [entry["action"] for entry in web.get("/api/audit").json()]
    folder = Path(server.stage).parent / "_uploads"
    assert [each.name for each in folder.iterdir() if each.name.startswith(".")] == []


def test_what_cannot_be_used_is_refused_with_the_reason_and_leaves_nothing(server) -> None:
    folder = Path(server.stage).parent / "_uploads"
    before = sorted(folder.rglob("*"))
    bad = [
        ({"name": "x.usda"}, b"#usda 1.0\n" + b"(" * 1000, "not a readable USD layer"),
        ({"name": "x.usda"}, PART.replace(b"def Cube", b"asset t = @/etc/passwd@\n    def Cube"), "outside the asset root"),
        ({"name": "x.usdc"}, b"PXR-USDC" + bytes(500), "x.usdc"),
        ({"name": "x.png"}, b"<script>", "not a PNG"),
        ({"name": "../../x.sh"}, b"#!/bin/sh", "not a kind of file"),
        ({"name": "x.stl", "unit": "furlong"}, STL, "unit is one of"),
        ({"name": "..."}, STL, "a name"),
    ]
    with server.http(server.share("editor")) as web:
        for params, data, words in bad:
            answer = web.post("/api/uploads", params=params, content=data)
            assert answer.status_code == 422, params
            assert words in answer.text
    assert sorted(folder.rglob("*")) == before
    with server.http(server.share("operator")) as web:
        assert web.post("/api/uploads", params={"name": "x.usda"}, content=PART).status_code == 403


def test_a_file_that_is_too_large_is_refused_before_it_is_read(server) -> None:
    address = urlsplit(server.url)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=20)) as connection:
        connection.putrequest("POST", "/api/uploads?name=x.stl")
        connection.putheader("Authorization", f"Bearer {server.token}")
        connection.putheader("Content-Length", str(200 << 20))
        connection.endheaders()
        assert connection.getresponse().status == 413

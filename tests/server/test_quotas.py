"""What one person may take of a server that many share, and how a refusal reads."""

from __future__ import annotations

from twin.protocol.messages import Edit, Op, Refused

STL = b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1000 0 0\nvertex 0 1000 0\nendloop\nendfacet\nendsolid x\n"


def size(value: float) -> Op:
    return Op("set_field", "/Line/Sign", "size", ["double", value])


def test_a_person_has_a_share_and_others_have_theirs(make_server) -> None:
    server = make_server("--paused", "--quota-connections", "2", "--quota-edits", "4", "--quota-uploads", "0").start()
    anns = [server.share("editor", user="Ann") for _ in range(2)]
    tabs = [server.client("Ann", token) for token in anns]  # two links, one person
    for tab in tabs:
        tab.welcome()
    third = server.client("Ann", anns[0])
    assert third.wait_closed() == 1013
    assert third.reason == "Ann has 2 connections open already"

    for n in range(60):
        tabs[n % 2].send(Edit(n, 0, [size(1.0 + n)]))
    refused = tabs[1].wait(Refused)
    assert (refused.code, refused.reason) == ("limit", "one person may make 4 changes a second, on all connections together")
    with server.http(anns[1]) as web:
        answers = [web.post("/api/comments", json={"path": "/Line", "text": "hello"}) for _ in range(30)]
        assert {answer.status_code for answer in answers} <= {201, 429}
        assert "4 changes a second" in next(a.text for a in answers if a.status_code == 429)
        assert web.get("/api/comments").status_code == 200, "looking is free"

    bob = server.client("Bob", server.share("editor", user="Bob"))
    bob.welcome()
    assert not isinstance(bob.edit(size(99.0)), Refused)
    with server.http(server.share("editor", user="Bob")) as web:
        answer = web.post("/api/uploads", params={"name": "x.stl"}, content=STL)
        assert answer.status_code == 507
        assert answer.json()["detail"] == "uploads of one person may take 0 MiB together; yours take 0.0 MiB"
    with server.http() as web:  # the project's own token: an admin's, for scripts
        assert web.post("/api/uploads", params={"name": "x.stl"}, content=STL).status_code == 201
    assert server.stop() == 0

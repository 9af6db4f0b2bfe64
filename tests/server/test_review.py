"""Versions, proposals, comments and export, as two people meet them."""

from __future__ import annotations

from pathlib import Path

from twin.protocol.messages import Changed, Commented, Edited, History, Op, ScenePatch
from twin.scene import open_stage

SIGN = "/Line/Sign"


def size(value: float) -> Op:
    return Op("set_field", SIGN, "size", ["double", value])


def test_a_version_is_saved_compared_and_restored_in_front_of_everyone(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    me = ann.welcome()
    bob.welcome()
    ann.edit(size(1.5))
    with server.http() as http:
        version = http.post("/api/versions", json={"label": "agreed"}).json()["id"]
        assert bob.wait(Changed).what == "versions"
        ann.edit(size(2.5))
        assert http.get("/api/versions/diff", params={"before": version}).json() == [
            {"path": SIGN, "field": "size", "change": "changed", "before": "1.5", "after": "2.5"}
        ]
        body = {"session": me.session, "opid": 77}
        answer = http.post(f"/api/versions/{version}/restore", json=body)
        assert answer.status_code == 200
        told = bob.wait(Edited, lambda m: m.kind == "restore")
        assert (told.seq, told.user, told.label) == (answer.json()["seq"], "Ann", "Restore agreed")
        assert SIGN in [p.path for p in bob.wait(ScenePatch, lambda m: m.seq == told.seq).prims]
        assert http.post(f"/api/versions/{version}/restore", json=body).json() == answer.json()  # sent twice, done once
        again = http.post(f"/api/versions/{version}/restore", json={})
        assert (again.status_code, again.json()["code"]) == (409, "nothing")
        assert ann.undo().label == "Undo Restore agreed"
        first = http.get("/api/activity").json()
        assert [row["kind"] for row in first[:2]] == ["undo", "restore"]
        older = http.get("/api/activity", params={"before": first[1]["seq"], "limit": 1}).json()
        assert [row["seq"] for row in older] == [first[2]["seq"]]
        assert http.get("/api/audit").json()[0]["action"] == "restore"


def test_a_proposal_goes_round_from_making_to_merging(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    me, other = ann.welcome(), bob.welcome()
    ann.edit(size(1.0))
    with server.http() as http:
        for odd in ("  ", "two\nlines", "\x00", "gnp\u202e.exe"):  # lists have a line each, in reading order
            refused = http.post("/api/versions", json={"label": odd})
            assert (refused.status_code, "characters that show" in refused.text) == (422, True), odd
        version = http.post("/api/versions", json={"label": " base 👩\u200d🔧 "}).json()["id"]
        assert http.get("/api/versions").json()[0]["label"] == "base 👩\u200d🔧"
        ann.edit(size(3.0))
        body = {"label": "a bigger sign", "since": version, "take_back": True, "session": me.session, "opid": 99}
        id = http.post("/api/proposals", json=body).json()["id"]
        assert bob.wait(Edited, lambda m: m.label == "Put aside a bigger sign").kind == "restore"
        assert bob.wait(Changed, lambda m: m.what == "proposals")
        compared = http.get(f"/api/proposals/{id}").json()
        assert [(o["field"], o["before"], o["after"]) for o in compared["opinions"]] == [("size", "1.0", "3.0")]
        bob.edit(size(4.0))
        assert http.get(f"/api/proposals/{id}").json()["conflicts"]
        refused = http.post(f"/api/proposals/{id}/merge", json={"session": other.session})
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        merged = http.post(f"/api/proposals/{id}/merge", json={"session": other.session, "overwrite": True})
        assert merged.status_code == 200
        assert ann.wait(Edited, lambda m: m.kind == "merge").user == "Bob"
        assert bob.wait(History, lambda m: m.undo.startswith("Merge")), "it can be undone at once"
        assert bob.undo().label == "Undo Merge a bigger sign"
        assert http.delete(f"/api/proposals/{id}").status_code == 409


def test_comments_are_told_to_everyone_and_answered_and_settled(server) -> None:
    ann = server.client("Ann")
    me = ann.welcome()
    operator = server.share("operator", user="Olga")
    with server.http() as http, server.http(operator) as olga:
        body = {"path": SIGN, "text": "  Is this high enough?  ", "session": me.session}
        first = http.post("/api/comments", json=body).json()
        assert (first["text"], first["user"], first["path"]) == ("Is this high enough?", "Ann", SIGN)
        assert ann.wait(Commented).comment.text == "Is this high enough?"
        reply = olga.post("/api/comments", json={"parent": first["id"], "text": "Yes"}).json()
        assert (reply["user"], reply["parent"], reply["path"]) == ("Olga", first["id"], SIGN)
        assert olga.patch(f"/api/comments/{first['id']}", json={"text": "No!"}).status_code == 403
        assert olga.delete(f"/api/comments/{first['id']}").status_code == 403
        assert olga.patch(f"/api/comments/{reply['id']}", json={"text": "Yes, it is"}).json()["text"] == "Yes, it is"
        settled = olga.patch(f"/api/comments/{first['id']}", json={"resolved": True}).json()
        assert (settled["resolved_by"], settled["resolved_ns"] != "0") == ("Olga", True)
        assert http.post("/api/comments", json={"path": SIGN, "text": "   "}).status_code == 409
        mine = [c["id"] for c in http.get("/api/comments").json()]
        assert mine[-2:] == [first["id"], reply["id"]]
        assert http.delete(f"/api/comments/{first['id']}").status_code == 204
        gone = {ann.wait(Commented, lambda m: m.comment.deleted).comment.id for _ in range(2)}
        assert gone == {first["id"], reply["id"]}
        assert not [c for c in http.get("/api/comments").json() if c["id"] in gone]


def test_what_is_exported_is_the_stage_as_everyone_sees_it(server, tmp_path: Path) -> None:
    ann = server.client("Ann")
    ann.welcome()
    ann.edit(size(6.5))
    with server.http(server.share("viewer")) as http:
        answer = http.get("/api/export")
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    out = tmp_path / "export.usda"
    out.write_bytes(answer.content)
    stage = open_stage(out)
    assert stage.GetPrimAtPath(SIGN).GetAttribute("size").Get() == 6.5
    assert stage.GetPrimAtPath("/Line/Belt").GetAttribute("twin:conveyor:speed").Get() == 0.5

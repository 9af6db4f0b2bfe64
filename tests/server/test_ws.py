"""Two tabs and one twin: what each is told, in which order, and what nobody may do."""

from __future__ import annotations

import time
from typing import get_args

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from twin.protocol.messages import (
    PROTOCOL_VERSION,
    BodyTable,
    ClientMessage,
    Clock,
    Control,
    Edit,
    Edited,
    Op,
    Ping,
    Pong,
    Presence,
    Preview,
    Redo,
    Refused,
    ScenePatch,
    Undo,
)
from twin.protocol.messages import History as UndoState
from twin.scene.edits.apply import _SINGLE, _STRUCTURE, _VALUES

HUGE = msgspec.msgpack.encode({"t": "undo", "opid": 2**64 - 1})
"""More than the journal could hold."""
SIGN, LAMP, CRATE, BELT = "/Line/Sign", "/Line/Lamp", "/Line/Crate", "/Line/Belt"


def move(path: str, x: float) -> Op:
    return Op("set_field", path, "xformOp:translate", ["double3", [x, 3.0, 2.0]])


def test_a_newcomer_is_welcomed_and_told_all_there_is(server) -> None:
    ann = server.client("Ann")
    welcome = ann.welcome()
    assert (welcome.protocol, welcome.name, welcome.role, welcome.resumed) == (PROTOCOL_VERSION, "Ann", "admin", False)
    assert welcome.stage == "line.usda"
    assert welcome.color.startswith("#")
    table = ann.wait(BodyTable)
    assert CRATE in table.bodies
    assert ann.wait(Clock).state == "running"
    deadline = time.monotonic() + 5
    while not ann.frames and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ann.frames[0].base == 0
    assert ann.frames[0].version == table.version


def test_an_edit_reaches_everyone_and_its_echo_is_the_acknowledgement(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    ann.welcome()
    bob.welcome()
    echo = ann.edit(move(SIGN, 1.0), label="Move the sign")
    assert isinstance(echo, Edited)
    assert (echo.session, echo.user, echo.label) == (ann.seen[0].session, "Ann", "Move the sign")
    told = bob.wait(Edited, lambda m: m.seq == echo.seq)
    assert told.txn == [move(SIGN, 1.0)]
    patch = bob.wait(ScenePatch, lambda m: m.seq == echo.seq)
    [prim] = [p for p in patch.prims if p.path == SIGN]
    assert prim.matrix[12:15] == [1.0, 3.0, 2.0]
    assert ann.patch(echo.seq).prims == patch.prims
    order = [m.seq for m in bob.seen if isinstance(m, (Edited, ScenePatch)) and m.seq == echo.seq]
    assert order == [echo.seq, echo.seq]


def test_a_refusal_goes_to_its_author_alone(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    ann.welcome()
    bob.welcome()
    refused = ann.edit(move("/Line/Nobody", 1.0))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.path) == ("gone", "/Line/Nobody")
    done = ann.edit(move(SIGN, 2.0))
    bob.wait(Edited, lambda m: m.seq == done.seq)
    assert not [m for m in bob.seen if isinstance(m, Refused)]


def test_the_same_edit_sent_twice_is_applied_once(server) -> None:
    ann = server.client("Ann")
    ann.welcome()
    edit = Edit(ann.opid(), 0, [move(SIGN, 4.0)])
    ann.send(edit)
    ann.send(edit)
    first, second = ann.wait(Edited), ann.wait(Edited)
    assert first.seq == second.seq


def test_undo_and_redo_say_what_comes_next_and_leave_others_work_alone(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    ann.welcome()
    bob.welcome()
    ann.edit(move(SIGN, 5.0), label="Put it there")
    assert ann.wait(UndoState).undo == "Put it there"
    bob.edit(Op("set_field", SIGN, "size", ["double", 1.5]))
    undone = ann.undo()
    assert (undone.kind, undone.label) == ("undo", "Undo Put it there")
    assert ann.wait(UndoState).redo == "Put it there"
    assert ann.redo().kind == "redo"
    bob.edit(move(SIGN, 6.0))
    assert ann.undo().code == "overwritten"
    assert bob.undo().kind == "undo"


def test_a_tab_that_comes_back_misses_nothing_and_keeps_its_session(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    first = ann.welcome()
    bob.welcome()
    seen = ann.edit(move(SIGN, 7.0)).seq
    ann.close()
    ann.wait_closed()
    missed = [bob.edit(move(SIGN, 8.0)).seq, bob.edit(Op("add_prim", "/Line/New", "", {"type": "Cube"})).seq]
    back = server.client("Ann", session=first.session, epoch=first.epoch, last_seq=seen, tab=ann.hello.tab)
    welcome = back.welcome()
    assert (welcome.session, welcome.resumed, welcome.color) == (first.session, True, first.color)
    assert [back.wait(Edited).seq for _ in missed] == missed
    patch = back.wait(ScenePatch)
    assert patch.seq == missed[-1]
    assert {"/Line/New", SIGN} <= {p.path for p in patch.prims}
    assert back.undo().code == "overwritten"


def test_an_edit_whose_answer_was_lost_is_not_applied_again_when_resent(server) -> None:
    ann = server.client("Ann")
    first = ann.welcome()
    edit = Edit(ann.opid(), 0, [Op("add_prim", "/Line/Once", "", {"type": "Cube"})])
    ann.send(edit)
    done = ann.wait(Edited)
    ann.close()
    ann.wait_closed()
    back = server.client("Ann", session=first.session, epoch=first.epoch, last_seq=done.seq, tab=ann.hello.tab)
    back.welcome()
    back.send(edit)
    assert back.wait(Edited).seq == done.seq


def test_a_client_of_another_epoch_is_told_to_start_afresh(server) -> None:
    ann = server.client("Ann")
    first = ann.welcome()
    ann.edit(move(SIGN, 7.5))
    other = server.client("Ann", epoch="another", last_seq=1)
    assert not other.welcome().resumed
    ahead = server.client("Ann", epoch=first.epoch, last_seq=10**9)
    assert not ahead.welcome().resumed


def test_a_duplicated_tab_gets_a_session_of_its_own(server) -> None:
    ann = server.client("Ann")
    first = ann.welcome()
    twin = server.client("Ann", session=first.session)
    assert twin.welcome().session != first.session
    assert isinstance(ann.edit(move(SIGN, 9.0)), Edited)


def test_a_connection_that_hangs_gives_way_to_a_new_one_of_the_same_tab(server) -> None:
    ann = server.client("Ann")
    first = ann.welcome()
    again = server.client("Ann", session=first.session, tab=ann.hello.tab)
    assert again.welcome().session == first.session
    assert ann.wait_closed() == 4410


def test_a_session_belongs_to_the_token_that_it_was_issued_to(server) -> None:
    """Session ids are seen by everybody, so knowing one must not be enough to undo in another's name."""
    ann = server.client("Ann")
    first = ann.welcome()
    ann.close()
    ann.wait_closed()
    thief = server.client("Eve", server.share("editor"), session=first.session)
    assert thief.welcome().session != first.session


def test_presence_and_previews_reach_the_others_only(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    me = ann.welcome()
    bob.welcome()
    ann.send(Presence(selection=[SIGN], camera=[1, 2, 3, 4, 5, 6], name="Mallory", session="forged", role="admin"))
    seen = bob.wait(Presence, lambda m: m.selection == [SIGN])
    assert (seen.session, seen.name, seen.color) == (me.session, "Ann", me.color)
    ann.send(Preview(SIGN, [1.0] * 16, session="forged"))
    preview = bob.wait(Preview)
    assert (preview.path, preview.session) == (SIGN, me.session)
    # others' pages calculate with these
    for wrong in ([float("nan")] * 16, [1.0] * 15 + [float("inf")], [1.0] * 3):
        ann.send(Preview(SIGN, wrong))
    ann.send(Presence(selection=[], camera=[float("nan")] * 6))
    assert bob.wait(Presence, lambda m: m.session == me.session).camera == []
    ann.send(Preview(SIGN, [2.0] * 16))
    assert bob.wait(Preview).matrix == [2.0] * 16
    ann.close()
    assert bob.wait(Presence, lambda m: m.session == me.session and m.gone)


def test_a_sign_of_life_is_answered_at_once(server) -> None:
    ann = server.client("Ann")
    ann.welcome()
    ann.send(Ping())
    ann.wait(Pong)


def test_of_two_who_hold_the_same_prim_the_first_keeps_it(server) -> None:
    ann, bob, cid = server.client("Ann"), server.client("Bob"), server.client("Cid")
    a, b = ann.welcome(), bob.welcome()
    cid.welcome()
    ann.send(Presence(holding=[SIGN]))
    cid.wait(Presence, lambda m: m.session == a.session and m.holding == [SIGN])
    bob.send(Presence(holding=[SIGN, LAMP]))
    assert cid.wait(Presence, lambda m: m.session == b.session and m.holding).holding == [LAMP]
    assert isinstance(bob.edit(move(SIGN, 1.25)), Edited)  # advice, not a lock
    ann.close()
    cid.wait(Presence, lambda m: m.session == a.session and m.gone)
    bob.send(Presence(holding=[SIGN, LAMP]))
    cid.wait(Presence, lambda m: m.session == b.session and m.holding == [SIGN, LAMP])


def test_the_clock_is_everybodys(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    ann.welcome()
    bob.welcome()
    ann.send(Control("pause"))
    bob.wait(Clock, lambda m: m.state == "paused")
    ann.send(Control("speed", 2.0))
    assert bob.wait(Clock, lambda m: m.rate == 2.0).state == "paused"
    ann.send(Control("speed", 1e9))
    assert ann.wait(Refused).code == "control"
    ann.send(Control("fly"))
    assert ann.wait(Refused).code == "control"
    ann.send(Control("play"))
    bob.wait(Clock, lambda m: m.state == "running")
    ann.send(Control("speed", 1.0))
    bob.wait(Clock, lambda m: m.rate == 1.0)


def test_a_body_moved_while_paused_is_shown_where_it_is(server) -> None:
    ann, bob = server.client("Ann"), server.client("Bob")
    ann.welcome()
    bob.welcome()
    crate = bob.wait(BodyTable).bodies.index(CRATE)
    ann.send(Control("pause"))
    bob.wait(Clock, lambda m: m.state == "paused")
    time.sleep(0.2)
    count = len(bob.frames)
    assert isinstance(ann.edit(Op("set_field", CRATE, "xformOp:translate", ["double3", [2.0, 7.0, 0.5]])), Edited)
    deadline = time.monotonic() + 5
    where = None
    while where is None and time.monotonic() < deadline:
        for frame in bob.frames[count:]:
            for block in frame.blocks:
                if block.kind == 0 and crate in block.id:
                    where = block.position[list(block.id).index(crate)]
        time.sleep(0.01)
    ann.send(Control("play"))
    assert where is not None
    assert where.tolist() == pytest.approx([2.0, 7.0, 0.5], abs=0.002)


def test_roles_decide_what_each_may_do(server) -> None:
    viewer = server.client("Vic", server.share("viewer"))
    operator = server.client("Olga", server.share("operator"))
    editor = server.client("Ed", server.share("editor"))
    for client, role in ((viewer, "viewer"), (operator, "operator"), (editor, "editor")):
        assert client.welcome().role == role
    assert viewer.edit(move(SIGN, 1.0)).code == "role"
    assert viewer.undo().code == "role"
    viewer.send(Control("pause"))
    assert viewer.wait(Refused).code == "role"
    viewer.send(Preview(SIGN, [1.0] * 16))
    assert operator.edit(move(SIGN, 1.0)).code == "role"
    operator.send(Control("pause"))
    editor.wait(Clock, lambda m: m.state == "paused")
    operator.send(Control("play"))
    editor.wait(Clock, lambda m: m.state == "running")
    assert isinstance(editor.edit(move(SIGN, 1.0)), Edited)
    assert not [m for m in editor.seen if isinstance(m, Preview)]


MESSAGES = {
    "edit": lambda client, op: Edit(client.opid(), 0, [op]),
    "undo": lambda client, op: Undo(client.opid()),
    "redo": lambda client, op: Redo(client.opid()),
    "control": lambda client, op: Control("play"),
}
"""Everything that a client may send and that changes something; presence and previews reach others only (above)."""
OPS = [
    Op("set_field", SIGN, "size", ["double", 2.0]),
    Op("block", SIGN, "size"),
    Op("clear", SIGN, "size"),
    Op("set_relationship", BELT, "twin:next", ["/Line/Out"]),
    Op("list_edit", BELT, "twin:next", {"append": ["/Line/Out"]}),
    Op("set_metadata", SIGN, "kind", "component"),
    Op("apply_api", SIGN, "TwinPowerAPI"),
    Op("set_variant", SIGN, "look", "plain"),
    Op("add_prim", "/Line/Made", "", {"type": "Cube"}),
    Op("move_prim", "/Line/Made", "", "/Line/Moved"),
    Op("remove_prim", "/Line/Moved"),
]


def test_every_operation_by_every_role(server) -> None:
    """Nobody below editor gets any through, whatever it is; the only refusals of the others are about the thing itself."""
    assert {op.kind for op in OPS} | {"restore_spec"} == set(_VALUES) | set(_STRUCTURE) | set(_SINGLE)
    told = {m.__struct_config__.tag for m in get_args(ClientMessage)}
    assert told == set(MESSAGES) | {"hello", "presence", "preview", "seen", "ping"}, "a new message needs a row"
    for role in ("viewer", "operator", "editor", "admin"):
        client = server.client(role, server.token if role == "admin" else server.share(role))
        client.welcome()
        for op in OPS:
            answer = client.edit(op)
            if role in ("viewer", "operator"):
                assert isinstance(answer, Refused)
                assert answer.code == "role", (role, op.kind)
            elif op.kind == "set_variant":
                assert answer.code == "path"  # there is none
            else:
                assert isinstance(answer, Edited), (role, op.kind, answer)
        assert client.edit(Op("restore_spec", SIGN, "", {"text": "", "index": -1})).code in ("role", "type")
        for name in ("undo", "redo"):
            answer = client.undo() if name == "undo" else client.redo()
            if role == "viewer":
                assert answer.code == "role"
            elif role == "operator":
                assert answer.code == "nothing"  # nothing of theirs was ever let through
            else:
                assert isinstance(answer, Edited)


def test_rules_make_set_points_and_locks(server) -> None:
    ann, olga = server.client("Ann", server.share("editor")), server.client("Olga", server.share("operator"))
    ann.welcome()
    olga.welcome()
    speed = Op("set_field", BELT, "twin:conveyor:speed", ["double", 0.4])
    with server.http() as http:
        point = http.post("/api/rules", json={"path": BELT, "field": "twin:conveyor:speed", "role": "operator"}).json()
        assert isinstance(olga.edit(speed), Edited)
        assert olga.edit(move(SIGN, 1.0)).code == "role"
        assert isinstance(olga.undo(), Edited)
        lock = http.post("/api/rules", json={"path": "/Line", "role": "admin", "users": ["Chief"]}).json()
        refused = ann.edit(move(SIGN, 1.0))
        assert (refused.code, refused.path) == ("rule", SIGN)
        assert "/Line is reserved for: admin, Chief" in refused.reason
        assert isinstance(olga.edit(speed), Edited)  # the nearer rule
        chief = server.client("", server.share("editor", user="Chief"))
        chief.welcome()
        assert isinstance(chief.edit(move(SIGN, 1.0)), Edited)
        impostor = server.client("Chief", server.share("editor"))  # a name of one's own choice counts for nothing
        impostor.welcome()
        assert impostor.edit(move(SIGN, 1.0)).code == "rule"
        for rule in (lock, point):
            assert http.delete(f"/api/rules/{rule['id']}").status_code == 204
        for bad in ({"path": "Line"}, {"path": "/Line/../x"}, {"path": "/", "field": "a b"}, {"path": "/", "role": "king"}):
            assert http.post("/api/rules", json={"role": "admin"} | bad).status_code in (404, 422), bad
    assert isinstance(ann.edit(move(SIGN, 1.0)), Edited)


def test_whoever_loses_access_is_put_out_at_once(server) -> None:
    token = server.share("editor", user="Temp")
    temp = server.client("Somebody else", token)
    assert temp.welcome().name == "Temp"  # a name that came with the token cannot be changed
    with server.http() as http:
        [row] = [row for row in http.get("/api/access").json() if row["user"] == "Temp"]
        assert row["online"] == 1
        assert http.delete(f"/api/access/{row['id']}").status_code == 204
    assert temp.wait_closed() == 4401
    with server.http(token) as http:
        assert http.get("/api/scene").status_code == 401


def test_access_ends_at_its_time(server) -> None:
    brief = server.client("Brief", server.share("viewer", expires_s=1.0))
    brief.welcome()
    assert brief.wait_closed(timeout=10) == 4401


def test_another_protocol_is_told_to_reload(server) -> None:
    old = server.client("Old", protocol=PROTOCOL_VERSION + 1)
    assert old.wait_closed() == 4409
    assert "reload" in old.reason


def test_what_is_no_hello_is_shown_out(server) -> None:
    address = server.url.replace("http", "ws") + "/api/ws"
    for data in (b"\x80", b"\xc1", b"", "text", msgspec.msgpack.encode({"t": "undo", "opid": 1}), b"\x91" * 50_000):
        with connect(address, additional_headers={"Authorization": f"Bearer {server.token}"}) as socket:
            socket.send(data)
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=5)
            assert socket.close_code == 4400


def test_nonsense_is_answered_and_the_connection_goes_on(server) -> None:
    ann = server.client("Ann")
    ann.welcome()
    for data in (b"\xc1", b"\x91" * 50_000, "text", msgspec.msgpack.encode({"t": "edit", "opid": "x"}), HUGE):
        ann.socket.send(data)
        assert ann.wait(Refused).code == "message"
    for value in (float("nan"), float("inf")):
        ann.send(Control("step", value))
        assert ann.wait(Refused).code == "control"
    long = ann.edit(Op("set_metadata", SIGN, "documentation", "x" * 100_001))
    assert (long.code, long.path) == ("limit", SIGN)
    told = ann.edit(move(SIGN, 1.0), label="Move\u202e it\n now\x00")
    assert told.label == "Move  it  now"


def test_a_tab_that_does_not_read_holds_nobody_up(server) -> None:
    slow = server.client("Slow", reading=False)
    ann = server.client("Ann")
    ann.welcome()
    text = "x" * 99_000  # a text has at most 100,000 characters
    for i in range(120):
        assert isinstance(ann.edit(Op("set_metadata", SIGN, "documentation", f"{i} {text}")), Edited)
    assert ann.wait(Clock).state == "running"  # the twin goes on, and tells of it
    slow.close()


def test_somebody_who_floods_is_slowed_down_and_the_rest_is_served(server) -> None:
    flood, bob = server.client("Flood"), server.client("Bob")
    flood.welcome()
    bob.welcome()
    for _ in range(2000):  # commands that are no commands are answered faster than any disk takes edits
        flood.send(Control("jump"))
    for _ in range(50):
        flood.send(Edit(flood.opid(), 0, [Op("set_field", "/Line/Nobody", "size", ["double", 1.0])]))
    for about in (lambda m: m.opid == 0, lambda m: m.opid > 0):
        refused = flood.wait(Refused, lambda m, about=about: m.code == "limit" and about(m), timeout=120)
        assert "try again" in refused.reason
    assert isinstance(bob.edit(move(SIGN, 3.0)), Edited)

"""The stream of poses: what changed since a client's last frame, whatever frames it skipped."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from twin.collab import Identity
from twin.model.frame import StateFrame
from twin.protocol.frames import BODIES, CELL_M, GONE, GOODS, Frame, decode_frame
from twin.protocol.messages import BodyTable, Clock, Notice, Presence, decode_server, decode_server_batch, encode
from twin.server import hub as hub_module
from twin.server import latest as latest_module
from twin.server.hub import Client, Hub, Told
from twin.server.stream import FAR, Follower, FrameEncoder


def state(tick: int, bodies: Any, *, items: Any = (), alive: Any = (), ids: Any = ()) -> StateFrame:
    """A frame of bodies at [n,3] m and goods in slots at [s,3] m."""
    bodies, items = np.array(bodies, float).reshape(-1, 3), np.array(items, float).reshape(-1, 3)
    none = np.zeros(0, int)
    return StateFrame(
        sim_time=tick / 60.0, tick=tick,
        body_position=bodies, body_rotation=np.tile([0.0, 0.0, 0.0, 1.0], (len(bodies), 1)),
        item_alive=np.array(alive, bool), item_id=np.array(ids, int), item_prototype=np.zeros(len(items), int),
        item_position=items, item_rotation=np.tile([0.0, 0.0, 0.0, 1.0], (len(items), 1)), item_pieces=np.ones(len(items), int),
        node_state=none, node_level=none, node_in=none, node_out=none,
    )  # fmt: skip


def decoded(encoder: FrameEncoder, since: int) -> Frame:
    data = encoder.encode(since)
    assert data is not None
    return decode_frame(data)


def told(encoder: FrameEncoder, since: int, kind: int = BODIES) -> list[int]:
    """Ids in the frame for a client that has everything up to number ``since``."""
    return sorted(int(i) for block in decoded(encoder, since).blocks if block.kind == kind for i in block.id)


def test_nothing_is_sent_before_the_first_frame() -> None:
    assert FrameEncoder().encode(0) is None


def test_a_newcomer_gets_everything_and_others_what_changed_since_their_last_frame() -> None:
    encoder = FrameEncoder()
    encoder.push(state(1, [[0, 0, 0], [1, 0, 0], [2, 0, 0]]))
    encoder.push(state(2, [[0, 0, 0], [1, 5, 0], [2, 0, 0]]))
    encoder.push(state(3, [[0, 0, 0], [1, 5, 0], [2, 5, 0]]))
    assert told(encoder, 0) == [0, 1, 2]
    assert told(encoder, 1) == [1, 2]
    assert told(encoder, 2) == [2]
    assert told(encoder, 3) == []
    assert decoded(encoder, 0).base == 0
    assert (decoded(encoder, 2).base, decoded(encoder, 2).number) == (2, 3)


def test_a_client_that_skips_frames_ends_up_with_the_same_poses() -> None:
    """Seeded walk: three clients of different pace, each holds what the newest frame says within the dead band."""
    draw = np.random.default_rng(3)
    encoder = FrameEncoder()
    poses = draw.uniform(-50, 50, (40, 3))
    clients = [np.full((40, 3), np.nan) for _ in range(3)]
    since = [0, 0, 0]
    for tick in range(1, 200):
        moving = draw.random(40) < 0.2
        poses[moving] += draw.normal(0, 0.002, (moving.sum(), 3))
        encoder.push(state(tick, poses))
        for i, pace in enumerate((1, 3, 17)):
            if tick % pace == 0:
                for block in decoded(encoder, since[i]).blocks:
                    clients[i][block.id] = block.position
                since[i] = encoder.number
    for i, client in enumerate(clients):
        for block in decoded(encoder, since[i]).blocks:
            client[block.id] = block.position
        assert np.abs(client - poses).max() < 0.0016  # the dead band and half a millimetre of rounding


def test_what_hardly_moves_is_not_sent_but_slow_drift_is() -> None:
    encoder = FrameEncoder()
    encoder.push(state(1, [[0, 0, 0]]))
    encoder.push(state(2, [[0.0008, 0, 0]]))
    assert told(encoder, 1) == []
    encoder.push(state(3, [[0.0016, 0, 0]]))
    assert told(encoder, 2) == [0]


def test_a_pose_that_changes_while_the_clock_stands_is_sent() -> None:
    encoder = FrameEncoder()
    encoder.push(state(5, [[0, 0, 0], [1, 0, 0]]))
    encoder.push(state(5, [[0, 0, 0], [1, 9, 0]]))
    assert told(encoder, 1) == [1]


def test_goods_that_come_go_and_take_a_slot_anew_are_told_apart() -> None:
    encoder = FrameEncoder()
    encoder.push(state(1, [], items=[[0, 0, 0], [1, 0, 0]], alive=[True, False], ids=[7, 0]))
    assert told(encoder, 0, GOODS) == [0]
    encoder.push(state(2, [], items=[[0, 0, 0], [1, 0, 0]], alive=[True, True], ids=[7, 8]))
    assert told(encoder, 1, GOODS) == [1]
    encoder.push(state(3, [], items=[[0, 0, 0], [1, 0, 0]], alive=[False, True], ids=[7, 8]))
    assert told(encoder, 2, GOODS) == []
    assert told(encoder, 2, GONE) == [0]
    assert told(encoder, 0, GONE) == [], "a newcomer knows of nothing that could be gone"
    encoder.push(state(4, [], items=[[0, 0, 0], [1, 0, 0]], alive=[True, True], ids=[9, 8]))
    [block] = decoded(encoder, 3).blocks
    assert block.generation is not None
    assert (block.id.tolist(), block.generation.tolist()) == ([0], [9])
    assert told(encoder, 2, GONE) == [], "the slot is taken again"


def test_after_a_reset_or_a_run_that_went_back_a_whole_frame_follows() -> None:
    encoder = FrameEncoder()
    for tick in range(1, 10):
        encoder.push(state(tick, [[0, 0, 0], [1, 0, 0]]))
    encoder.reset(2)
    assert encoder.encode(9) is None
    encoder.push(state(10, [[0, 0, 0], [1, 0, 0]]))
    assert told(encoder, 9) == [0, 1]
    assert decoded(encoder, 9).version == 2
    encoder.push(state(3, [[0, 0, 0], [1, 0, 0]]))  # the run went back
    assert told(encoder, 10) == [0, 1]
    assert decoded(encoder, 10).base == 0
    for tick in range(4, 1000):
        encoder.push(state(tick, [[0, 0, 0], [1, 0, 0]]))
    assert told(encoder, 11) == [], "however long ago: nothing has changed since"
    assert told(encoder, encoder.number + 5) == [0, 1]  # a number that never was


def test_those_in_step_share_one_encoding() -> None:
    encoder = FrameEncoder()
    encoder.push(state(1, [[0, 0, 0]]))
    encoder.push(state(2, [[1, 0, 0]]))
    assert encoder.encode(1) is encoder.encode(1)
    assert encoder.parts(1) is encoder.parts(1)


def test_a_moving_body_costs_at_most_twelve_bytes_and_one_at_rest_none() -> None:
    encoder = FrameEncoder()
    rest = np.random.default_rng(1).uniform(-10, 10, (1000, 3))
    moving = rest.copy()
    encoder.push(state(1, rest))
    encoder.push(state(2, rest))
    empty = len(encoder.encode(1) or b"")
    assert empty == 40, "a header and nothing else"
    moving[::2] += [0.02, 0.0, 0.0]
    encoder.push(state(3, moving))
    per_body = (len(encoder.encode(2) or b"") - empty) / 500
    assert per_body < 8.0, "6 bytes of position, 1 or 2 of id"
    turned = state(4, moving + np.array([0.02, 0.0, 0.0]))
    turned.body_rotation[:] = [0.0, 0.0, 0.6, 0.8]
    encoder.push(turned)
    assert (len(encoder.encode(3) or b"") - empty) / 1000 < 12.0


def test_what_is_no_number_stays_where_it_was() -> None:
    encoder = FrameEncoder()
    encoder.push(state(1, [[np.nan, 0, 0], [1, 0, 0]]))
    encoder.push(state(2, [[3, 0, 0], [2, 0, 0]]))
    encoder.push(state(3, [[np.inf, 0, 0], [1e9, 0, 0]]))
    assert told(encoder, 2) == []
    where = {int(i): p.tolist() for b in decoded(encoder, 0).blocks for i, p in zip(b.id, b.position, strict=True)}
    assert where == {0: [3.0, 0.0, 0.0], 1: [2.0, 0.0, 0.0]}


# ---- what one client gets


class Viewer:
    """Applies frames as a browser does; ``seen`` is what is drawn: (generation, position) by slot, position by body."""

    def __init__(self) -> None:
        self.follower = Follower()
        self.number = 0
        self.goods: dict[int, tuple[int, int]] = {}
        self.position: dict[tuple[int, int], np.ndarray] = {}
        self.rotation: dict[tuple[int, int], np.ndarray] = {}
        self.bytes = 0

    def take(self, encoder: FrameEncoder) -> Frame:
        data = self.follower.frame(encoder)
        assert data is not None
        frame = decode_frame(data)
        self.bytes += len(data)
        assert frame.base in (0, self.number)
        self.number = frame.number
        if frame.base == 0:
            self.goods.clear()
            self.position.clear()
        for block in frame.blocks:
            for row, i in enumerate(block.id.tolist()):
                if block.kind == GONE:
                    self.goods.pop(i, None)  # it may have come and gone between two frames
                    continue
                if block.prototype is not None and block.generation is not None:
                    self.goods[i] = int(block.prototype[row]), int(block.generation[row])
                assert block.kind == BODIES or i in self.goods, "poses only of what the client knows"
                self.position[block.kind, i] = block.position[row]
                if block.rotation is not None:
                    self.rotation[block.kind, i] = block.rotation[row]
        return frame


def test_every_client_ends_up_with_the_truth_whatever_its_pace_and_camera() -> None:
    """Seeded life of 60 slots and 20 bodies that cross cells, turn, die and are born; clients near, far, slow and late."""
    draw = np.random.default_rng(5)
    encoder = FrameEncoder()
    bodies, items = draw.uniform(-150, 150, (20, 3)), draw.uniform(-150, 150, (60, 3))
    alive, ids, fresh = draw.random(60) < 0.5, np.arange(60), 60
    turns = np.tile([0.0, 0.0, 0.0, 1.0], (60, 1))
    viewers = [Viewer() for _ in range(5)]
    viewers[1].follower.look([0, 0, 2, 10, 0, 2])
    viewers[2].follower.look([-400, 0, 50, 0, 0, 0])
    paces = (1, 1, 1, 7, 2)
    for tick in range(1, 300):
        quiet = tick > 290  # at rest, everyone catches up
        if not quiet:
            walk = draw.random(60) < 0.3
            items[walk] += draw.normal(0, 8.0, (int(walk.sum()), 3))
            bodies[draw.integers(20)] += draw.normal(0, 5.0, 3)
            spin = draw.integers(60)
            turns[spin] = draw.normal(size=4)
            turns[spin] /= np.linalg.norm(turns[spin])
            for slot in draw.integers(60, size=3):
                alive[slot] = not alive[slot]
                if alive[slot]:
                    ids[slot], fresh = fresh, fresh + 1
        moment = state(tick, bodies, items=items, alive=alive, ids=ids)
        moment.item_rotation[:] = turns
        encoder.push(moment)
        if tick == 100:
            viewers[2].follower.look([200, 0, 50, 100, 0, 0])
        for viewer, pace in zip(viewers, paces, strict=True):
            if quiet or (tick % pace == 0 and (viewer is not viewers[4] or tick > 150)):
                viewer.take(encoder)
    for viewer in viewers:
        assert viewer.goods == {int(s): (0, int(ids[s] % 64)) for s in np.flatnonzero(alive)}
        for slot in viewer.goods:
            assert np.abs(viewer.position[GOODS, slot] - items[slot]).max() < 0.0013
            dot = abs(float(viewer.rotation[GOODS, slot] @ turns[slot]))
            assert np.degrees(2 * np.arccos(min(1.0, dot))) < 0.5, "0.2 degrees of dead band, 0.23 of packing"
        for body in range(20):
            assert np.abs(viewer.position[BODIES, body] - bodies[body]).max() < 0.0013


def test_far_cells_come_seldom_near_ones_always_and_all_in_step_share() -> None:
    encoder = FrameEncoder()
    near, far = Viewer(), Viewer()
    for viewer in (near, far):
        viewer.follower.look([0, -20, 2, 0, 0, 0] if viewer is near else [0, -900, 40, 0, 0, 0])
    frames = [0, 0]
    for tick in range(1, 41):
        encoder.push(state(tick, [[0.02 * tick, 5, 0]]))
        for i, viewer in enumerate((near, far)):
            frames[i] += bool(viewer.take(encoder).blocks)
    assert frames[0] == 40
    assert frames[1] == pytest.approx(40 / FAR, abs=2)
    behind = Viewer()
    behind.follower.look([0, 100 + 2 * CELL_M, 2, 0, 900, 0])
    shown = []
    for tick in range(41, 61):
        encoder.push(state(tick, [[0.02 * tick, 5, 0]]))
        shown.append(bool(behind.take(encoder).blocks))
    assert sum(shown[1:]) == pytest.approx(19 / FAR, abs=1)


# ---- fan-out


def member(hub: Hub, session: str = "s", tab: str = "t") -> Client:
    client = Client(Identity("k", "editor"))
    hub.clients.add(client)
    hub.claim(client, session, tab)
    hub.activate(client, [])
    asyncio.run(client.next())
    return client


def test_a_client_that_falls_behind_is_let_go_and_the_others_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "CONTROL_LIMIT", 10)
    hub = Hub()
    slow, quick = member(hub, "a"), member(hub, "b")
    got = []
    for i in range(25):
        hub.publish(Notice("info", str(i)))
        got += [decode_server(data).text for data in asyncio.run(quick.next())]
    assert slow.close_code == 4408
    assert not quick.close_code
    assert got == [str(i) for i in range(25)]


class Wire:
    """A connection that notes what is written to it."""

    def __init__(self) -> None:
        self.ready = True
        self.written = b""

    def write(self, frames: bytes) -> None:
        self.written += frames

    def read(self) -> list[str]:
        """Texts of the notices that have come since the last time, whatever batches they came in."""
        protocol = ClientProtocol(parse_uri("ws://twin/"), state=State.OPEN)
        protocol.receive_data(self.written)
        self.written = b""
        messages = [m for e in protocol.events_received() for m in decode_server_batch(bytes(e.data))]
        return [m.text for m in messages if isinstance(m, Notice)]


def test_everybody_is_written_to_directly_or_by_their_task_in_one_order() -> None:
    async def work() -> None:
        hub = Hub()
        wires = [Wire(), Wire(), Wire()]
        clients = [Client(Identity("k", "editor"), batches=True, frames_elsewhere=True, direct=wire) for wire in wires]
        for number, client in enumerate(clients):
            hub.clients.add(client)
            hub.claim(client, str(number), "t")
            hub.activate(client, [])
        for client in clients:
            await client.next()  # who the others are

        async def rest(client: Client) -> list[str]:
            messages = [m for data in await client.next() for m in decode_server_batch(data)]
            return [m.text for m in messages if isinstance(m, Notice)]

        waiting = [asyncio.create_task(client.next()) for client in clients]
        await asyncio.sleep(0)
        wires[1].ready = False
        hub.publish(Notice("info", "a"))
        clients[2].send(encode(Notice("info", "mine")), wake=False)
        hub.publish(Notice("info", "b"))
        assert [wires[0].read(), wires[1].read(), wires[2].read()] == [["a", "b"], [], ["a", "mine", "b"]]
        assert [m.text for data in await waiting[1] for m in decode_server_batch(data)] == ["a", "b"]
        hub.publish(Notice("info", "c"))  # its task is sending: nothing may overtake
        wires[1].ready = True
        hub.publish(Notice("info", "d"))
        assert wires[1].read() == []
        assert await rest(clients[1]) == ["c", "d"]
        clients[0].send(encode(Notice("info", "woken")))  # its task is about to send
        hub.publish(Notice("info", "e"))
        assert wires[0].read() == ["c", "d"]
        assert [m.text for data in await waiting[0] for m in decode_server_batch(data)] == ["woken", "e"]
        # what is sent before the round does not come again with it
        told, wire = Told(), Wire()
        early = Client(Identity("k", "editor"), batches=True, frames_elsewhere=True, direct=wire)
        early.join(told)
        waiting.append(asyncio.create_task(early.next()))
        await asyncio.sleep(0)
        told.add(encode(Notice("info", "once")))
        early.flush(hub.frames)
        early.round(hub.frames)
        assert wire.read() == ["once"]
        for task in waiting:
            task.cancel()

    asyncio.run(work())


def test_what_may_be_lost_is_dropped_for_a_busy_client_and_edits_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LOSSY_LIMIT", 3)
    hub = Hub()
    client = member(hub)
    for i in range(10):
        hub.publish(Notice("info", str(i)))
        hub.publish(Clock("running", float(i), 1.0, 1.0, "run", 0))
    kinds = [type(decode_server(data)).__name__ for data in asyncio.run(client.next())]
    assert kinds.count("Notice") == 10
    assert kinds.count("Clock") < 4


def test_somebody_of_whom_nothing_comes_any_more_is_not_shown_until_something_does(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(hub_module.time, "monotonic", lambda: now[0])
    hub = Hub()
    lost, script, watcher = member(hub, "lost"), member(hub, "script"), member(hub, "watcher")
    for client in (lost, script, watcher):
        client.presence = Presence(session=client.session, name=client.session, holding=["/Belt"])
    lost.signs = watcher.signs = True  # a script that never gives a sign is taken to be there

    def told() -> list[tuple[str, bool]]:
        messages = [decode_server(data) for data in asyncio.run(watcher.next())]
        return [(m.session, m.gone) for m in messages if isinstance(m, Presence)]

    now[0] += hub_module.QUIET_S - 1
    hub.heard(watcher)
    hub.miss_the_quiet()
    now[0] += 2
    hub.miss_the_quiet()
    hub.miss_the_quiet()
    assert told() == [("lost", True)]
    assert hub.hold(watcher, ["/Belt"]) == [], "the script holds it"
    script.presence.holding = []
    assert hub.hold(watcher, ["/Belt"]) == ["/Belt"], "who is gone holds nothing"
    late = member(hub, "late")
    hub.activate(late, [])
    assert "lost" not in [decode_server(data).session for data in asyncio.run(late.next())]
    told()
    hub.heard(lost)
    assert told() == [("lost", False)]


def test_frames_do_not_queue_up() -> None:
    hub = Hub()
    client = member(hub)
    hub.publish(BodyTable(1, [], [], 0))
    for tick in range(1, 100):
        hub.publish(state(tick, [[tick, 0, 0]]))
    assert len(asyncio.run(client.next())) == 1
    assert client.latest.due
    assert hub.frames.number == 99


def test_a_client_that_has_not_drawn_what_it_was_sent_gets_the_newest_when_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(latest_module.time, "monotonic", lambda: now[0])
    hub = Hub()
    busy, quick, silent = member(hub, "a"), member(hub, "b"), member(hub, "c")
    hub.publish(BodyTable(1, [], [], 0))
    sent: dict[Client, list[int]] = {busy: [], quick: [], silent: []}
    for tick in range(1, 61):
        now[0] += 0.05
        hub.publish(state(tick, [[tick, 0, 0]]))
        for client, numbers in sent.items():
            data = client.latest.take(hub.frames)
            if data is not None:
                numbers.append(decode_frame(data).number)
        quick.latest.saw(tick)
        if tick == 1 or tick == 40:
            busy.latest.saw(tick if tick == 1 else sent[busy][-1])
    assert sent[quick] == sent[silent] == list(range(1, 61)), "who follows, or says nothing, gets every frame"
    assert len(sent[busy]) < 30
    assert sent[busy][-1] == 53, "0.6 s of frames after it said what it had drawn"
    late = [b - a for a, b in zip(sent[busy], sent[busy][1:], strict=False)]
    assert max(late) > 20, "what lies between was never queued"


def test_a_frame_keeps_only_what_it_was_given() -> None:
    """The engine may use its arrays again."""
    encoder = FrameEncoder()
    first = state(1, [[0, 0, 0]])
    encoder.push(first)
    first.body_position[:] = 7.0
    assert decoded(encoder, 0).blocks[0].position.tolist() == [[0.0, 0.0, 0.0]]
    encoder.push(replace(first, tick=2))
    assert told(encoder, 1) == [0]

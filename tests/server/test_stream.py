"""The stream of poses: what changed since a client's last frame, whatever frames it skipped."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twin.collab import Identity
from twin.model.frame import StateFrame
from twin.protocol.frames import BODIES, GOODS, Frame, decode_frame
from twin.protocol.messages import BodyTable, Clock, Notice, decode_server
from twin.server import hub as hub_module
from twin.server.hub import Client, Hub
from twin.server.stream import REMEMBERED, FrameEncoder


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
    assert decoded(encoder, 0).since == 0
    assert decoded(encoder, 2).since == 2


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
    assert decoded(encoder, 2).alive[:2].tolist() == [False, True]
    encoder.push(state(4, [], items=[[0, 0, 0], [1, 0, 0]], alive=[True, True], ids=[9, 8]))
    [block] = decoded(encoder, 3).blocks
    assert (block.id.tolist(), block.generation.tolist()) == ([0], [9])


def test_after_a_reset_a_run_that_went_back_or_a_long_absence_a_whole_frame_follows() -> None:
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
    for tick in range(4, 6 + REMEMBERED):
        encoder.push(state(tick, [[0, 0, 0], [1, 0, 0]]))
    assert decoded(encoder, 11).since == 0
    assert told(encoder, encoder.number + 5) == [0, 1]  # a number that never was


def test_those_in_step_share_one_encoding() -> None:
    encoder = FrameEncoder()
    encoder.push(state(1, [[0, 0, 0]]))
    encoder.push(state(2, [[1, 0, 0]]))
    assert encoder.encode(1) is encoder.encode(1)


# ---- fan-out


def member(hub: Hub, session: str = "s", tab: str = "t") -> Client:
    client = Client(Identity("k", "editor"))
    hub.clients.add(client)
    hub.claim(client, session, tab)
    client.active = True
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


def test_frames_do_not_queue_up() -> None:
    hub = Hub()
    client = member(hub)
    hub.publish(BodyTable(1, [], [], 0))
    for tick in range(1, 100):
        hub.publish(state(tick, [[tick, 0, 0]]))
    assert len(asyncio.run(client.next())) == 1
    assert client.frame_due
    assert hub.frames.number == 99


def test_a_frame_keeps_only_what_it_was_given() -> None:
    """The engine may use its arrays again."""
    encoder = FrameEncoder()
    first = state(1, [[0, 0, 0]])
    encoder.push(first)
    first.body_position[:] = 7.0
    assert decoded(encoder, 0).blocks[0].position.tolist() == [[0.0, 0.0, 0.0]]
    encoder.push(replace(first, tick=2))
    assert told(encoder, 1) == [0]

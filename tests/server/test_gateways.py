"""Gateways: the same server seen through other processes, with frames from shared memory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from twin.model.frame import StateFrame
from twin.protocol.frames import BODIES, MAGIC
from twin.protocol.messages import PROTOCOL_VERSION, BodyTable, Control, Edited, Hello, Op, Seen, encode
from twin.server.ring import RingReader, RingWriter


def moment(tick: int, bodies: int, slots: int) -> StateFrame:
    draw = np.random.default_rng(tick)
    none = np.zeros(0, int)
    return StateFrame(
        sim_time=tick / 60.0, tick=tick,
        body_position=draw.random((bodies, 3), np.float32), body_rotation=draw.random((bodies, 4), np.float32),
        item_alive=draw.random(slots) < 0.5, item_id=draw.integers(2**40, size=slots),
        item_prototype=draw.integers(9, size=slots).astype(np.int32), item_position=draw.random((slots, 3), np.float32),
        item_rotation=draw.random((slots, 4), np.float32), item_pieces=none,
        node_state=none, node_level=none, node_in=none, node_out=none,
    )  # fmt: skip


def until(condition: Callable[[], object], what: str, timeout: float = 20.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true"
        time.sleep(0.02)


# ---- the ring


def test_a_frame_is_read_as_it_was_written_and_only_the_newest() -> None:
    writer = RingWriter()
    writer.write(moment(1, 3, 7), 5, 1e9)
    reader = RingReader(writer.file)
    for tick in range(2, 12):
        written = moment(tick, 3, 7)
        writer.write(written, 5, 1e9 + tick)
        read = reader.newest()
        assert read is not None
        assert (read.number, read.version, read.wall_time, read.frame.tick) == (tick, 5, 1e9 + tick, tick)
        for name in (
            "body_position",
            "body_rotation",
            "item_alive",
            "item_id",
            "item_prototype",
            "item_position",
            "item_rotation",
        ):
            np.testing.assert_array_equal(getattr(read.frame, name), getattr(written, name))
    writer.close()


def test_more_bodies_than_fit_get_a_larger_ring() -> None:
    writer = RingWriter()
    writer.write(moment(1, 2, 0), 1, 0.0)
    reader, first = RingReader(writer.file), writer.generation
    writer.write(moment(2, 2, 1), 1, 0.0)
    assert writer.generation == first, "a little more fits"
    writer.write(moment(3, 500, 300), 2, 0.0)
    assert writer.generation == first + 1
    old, new = reader.newest(), RingReader(writer.file).newest()
    assert old is not None
    assert new is not None
    assert (old.number, new.number, len(new.frame.item_id)) == (2, 3, 300)
    writer.close()


def test_a_frame_that_is_being_written_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RingWriter()
    writer.write(moment(1, 2, 2), 1, 0.0)
    reader = RingReader(writer.file)
    read = reader._read

    def overtaken(wanted: int, at: int):
        found = read(wanted, at)
        return None if wanted < 9 else found

    assert reader._read(7, 16) is None, "another number is in the slot"
    monkeypatch.setattr(reader, "_read", overtaken)
    assert reader.newest() is None
    for tick in range(2, 10):
        writer.write(moment(tick, 2, 2), 1, 0.0)
    found = reader.newest()
    assert found is not None
    assert found.number == 9


# ---- the server behind two of them


@pytest.fixture(scope="module")
def gated(make_shared_server) -> Any:
    return make_shared_server(lambda text: text, "--gateways", "2")


@pytest.fixture(autouse=True)
def leaving(request: pytest.FixtureRequest) -> Iterator[None]:
    """The viewers of a test leave with it."""
    yield
    if "gated" in request.fixturenames:
        server = request.getfixturevalue("gated")
        for client in server.clients:
            client.close()
        server.clients.clear()


def gateways_of(server: Any) -> list[int]:
    found = []
    for children in Path(f"/proc/{server.process.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            try:
                if b"twin.server.gateway" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
    return found


def test_everything_works_as_without_and_frames_come_after_their_table(gated: Any) -> None:
    clients = [gated.client(f"Viewer {i}") for i in range(6)]  # so many that both gateways have some
    for client in clients:
        client.welcome()
        client.wait(BodyTable)
        until(lambda client=client: len(client.frames) > 5, "frames")
        assert client.frames[0].base == 0
        assert {f.version for f in client.frames} == {1}
        numbers = [f.number for f in client.frames]
        assert all(b.base == a for a, b in zip(numbers, client.frames[1:], strict=False)), "none is lost"
        client.send(Seen(numbers[-1]))
    edited = clients[0].edit(Op("set_field", "/Line/Sign", "size", ["double", 4.0]))
    assert isinstance(edited, Edited)
    for client in clients[1:]:
        assert client.wait(Edited).seq == edited.seq
    with gated.http() as http:
        scene = http.get("/api/scene").json()
        assert next(p["geometry"]["size"] for p in scene["prims"] if p["path"] == "/Line/Sign") == [4.0] * 3


@pytest.mark.parametrize("batches", [False, True])
def test_a_new_table_comes_before_frames_that_need_it(gated: Any, batches: bool) -> None:
    ann = gated.client("Ann", batches=batches)
    ann.welcome()
    before = ann.wait(BodyTable).version
    ann.send(Control("reset"))
    after = ann.wait(BodyTable).version
    assert after > before
    until(lambda: any(f.version == after for f in ann.frames), "frames of the new table")
    first = next(f for f in ann.frames if f.version == after)
    assert first.base == 0
    assert any(b.kind == BODIES for b in first.blocks)


def test_access_is_the_servers(gated: Any) -> None:
    with gated.http("") as nobody:
        assert nobody.get("/api/scene").status_code == 401
        assert nobody.get("/api/health").status_code == 200
        assert nobody.get("/api/health", headers={"Host": "evil.example"}).status_code == 421
    address = gated.url.replace("http", "ws", 1) + "/api/ws"
    headers = {"Authorization": f"Bearer {gated.token}"}
    wrong = {"Authorization": "Bearer wrong"}
    for sent, origin, code in ((wrong, None, 4401), (headers, "http://evil.example", 4403)):
        with connect(address, additional_headers=sent, origin=origin) as refused:
            with pytest.raises(ConnectionClosed):
                refused.recv()
            assert refused.close_code == code
    # the gateways' own header means nothing when others send it
    with connect(address, additional_headers=headers | {"X-Twin-Frames": "gateway"}, max_size=None) as odd:
        odd.send(encode(Hello(PROTOCOL_VERSION, "Odd")))
        assert any(bytes(odd.recv())[:4] == MAGIC for _ in range(60))


def test_a_gateway_that_dies_is_replaced_and_the_others_notice_nothing(gated: Any) -> None:
    clients = [gated.client(f"Viewer {i}") for i in range(8)]
    for client in clients:
        client.welcome()
    victim = gateways_of(gated)[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(gateways_of(gated)) == 2 and victim not in gateways_of(gated), "a new gateway")
    until(lambda: any(c.code is not None for c in clients), "the end of the victim's connections")
    left = [c for c in clients if c.code is None]
    assert 0 < len(left) < 8
    late = [gated.client(f"Later {i}") for i in range(6)]
    for client in late:
        client.welcome()
    for client in (*left, *late):
        count = len(client.frames)
        until(lambda client=client, count=count: len(client.frames) > count + 3, "frames for all")


def test_they_end_with_the_server(make_server) -> None:
    server = make_server("--gateways", "1").start()
    (gateway,) = gateways_of(server)
    server.client("Ann").welcome()
    server.process.terminate()
    assert server.process.wait(60) == 0
    server.stop()  # what the test holds of it
    until(lambda: not Path(f"/proc/{gateway}").exists(), "the gateway's end")
    refused = make_server("--gateways", "1", "--tls-cert", "a", "--tls-key", "b").try_start()
    assert refused.returncode == 2
    assert "--gateways" in refused.stderr

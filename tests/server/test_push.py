"""Devices that send to a running server: posts and websocket messages, from the socket to history and to every client."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from twin.connectors.conformance import FaultProxy
from twin.protocol.messages import SignalBatch

MAPPING = """
schema: twin.mapping/1
connections:
  - {name: gate, driver: http, address: "push://", options: {secret: "${env:GATE_SECRET}", max_bytes: 2000}}
  - {name: open, driver: http, address: "push://"}
signals:
  - connection: gate
    source: {channel: drive/belt, value: /v, time: /at}
    target: {prim: /Line/Belt, signal: speed}
    raw_unit: mm/s
    unit: m/s
  - connection: open
    source: {value: /n, batch: true, time: /at}
    target: {prim: /Line/Belt, signal: load}
"""
SECRET = "correct horse"
T0 = 1_700_000_000


@pytest.fixture(scope="module")
def plant(make_shared_server, tmp_path_factory: pytest.TempPathFactory):
    mapping = tmp_path_factory.mktemp("mapping") / "gate.yaml"
    mapping.write_text(MAPPING)
    return make_shared_server(
        lambda line: line.replace('"TwinSignalAPI:speed"', '"TwinSignalAPI:speed", "TwinSignalAPI:load"').replace(
            "custom double twin:signal:speed", "custom double twin:signal:load:value = 0\n        custom double twin:signal:speed"
        ),
        "--mapping",
        str(mapping),
        GATE_SECRET=SECRET,
    )


def recorded(server, name: str) -> tuple[list[float], list[int]]:
    with server.http() as http:
        query = {"prim": "/Line/Belt", "name": name, "t0_ns": 0, "t1_ns": 2 * T0 * 10**9}
        series = http.get("/api/history", params=query).json()
    return series["value"], [int(t) for t in series["time_ns"]]


def until(condition, what: str) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_a_post_is_converted_recorded_and_shown(plant) -> None:
    ann = plant.client("Ann")
    ann.welcome()
    with plant.http(plant.share("operator")) as http:
        url, right = "/api/in/gate/drive/belt", {"X-Connection-Secret": SECRET}
        good = http.post(url, json={"v": 750, "at": T0}, headers=right)
        assert (good.status_code, good.json()) == (200, {"good": 1})
        shown = ann.wait(
            SignalBatch, lambda m: any(v.name == "speed" and v.value == 0.75 and v.origin == "plant" for v in m.values)
        )
        assert shown.values
        assert http.post(url, json={"v": 1}).status_code == 403
        assert http.post(url, json={"v": 1}, headers={"X-Connection-Secret": "guess guess"}).status_code == 403
        unread = http.post(url, content=b"{", headers=right)
        assert (unread.status_code, unread.json()) == (422, {"good": 0})
        assert http.post(url, content=b" " * 3000, headers=right).status_code == 413
        missing = http.post("/api/in/gate/elsewhere", json=1, headers=right)
        assert missing.status_code == 404
        assert "elsewhere" in missing.text
        assert SECRET not in missing.text
    with plant.http(plant.share("viewer")) as http:
        assert http.post(url, json={"v": 1}, headers=right).status_code == 403
    until(lambda: recorded(plant, "speed")[0][:1] == [0.75], "not recorded")
    assert recorded(plant, "speed")[1][0] == T0 * 10**9
    assert SECRET not in plant.log.read_text()


def test_a_websocket_is_answered_message_by_message(plant) -> None:
    url = plant.url.replace("http", "ws", 1) + "/api/in/"
    login = {"Authorization": f"Bearer {plant.share('operator')}"}
    with connect(url + "open", additional_headers=login) as socket:
        for group in range(50):
            socket.send(json.dumps([{"n": group * 20 + i, "at": T0 + group * 20 + i} for i in range(20)]))
        answers = [json.loads(socket.recv(timeout=10)) for _ in range(50)]
        assert answers == [{"good": 20}] * 50
        socket.send("nonsense")
        assert json.loads(socket.recv(timeout=10)) == {"good": 0}
    until(lambda: len(recorded(plant, "load")[0]) >= 1001, "not recorded")
    values, times = recorded(plant, "load")
    assert [v for v in values if v is not None] == list(range(1000))
    assert times[:1000] == [(T0 + i) * 10**9 for i in range(1000)]


def test_a_websocket_that_may_not_is_closed_with_the_reason(plant) -> None:
    url = plant.url.replace("http", "ws", 1) + "/api/in/"
    for token, place, code in (("viewer", "open", 4403), ("operator", "gate/drive/belt", 1008), ("operator", "none", 1008)):
        login = {"Authorization": f"Bearer {plant.share(token)}"}
        with connect(url + place, additional_headers=login) as socket:
            with contextlib.suppress(ConnectionClosed):
                socket.send("1")
                while True:
                    socket.recv(timeout=10)
            assert socket.close_code == code, place
    with connect(url + "open", additional_headers={"Authorization": "Bearer wrong"}) as socket:
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
        assert socket.close_code == 4401


@pytest.fixture
def line(plant):
    """A bad line between a sender and the server."""
    proxy = FaultProxy(urlsplit(plant.url).port)
    yield proxy
    proxy.close()


def test_a_sender_that_is_cut_off_again_and_again_sends_everything_and_nothing_is_recorded_twice(plant, line) -> None:
    """Each value is sent until it is answered: some arrive twice."""
    right = {"X-Connection-Secret": SECRET, "Authorization": f"Bearer {plant.share('operator')}"}
    begin, count, tries = T0 + 1_000_000, 120, 0
    with httpx.Client(base_url=f"http://127.0.0.1:{line.port}", timeout=10.0) as http:
        for n in range(count):
            answered = False
            while not answered:
                tries += 1
                if tries % 7 == 0:
                    threading.Timer(0.001 * (tries % 5), line.cut).start()
                with contextlib.suppress(httpx.TransportError):
                    answer = http.post("/api/in/gate/drive/belt", json={"v": n, "at": begin + n}, headers=right)
                    answered = answer.status_code == 200
    assert tries > count, "the line was never cut while something was under way"

    def arrived() -> list[int]:
        values, times = recorded(plant, "speed")
        return [round(v * 1000) for v, t in zip(values, times, strict=True) if v is not None and 0 <= t - begin * 10**9 < 10**12]

    until(lambda: len(arrived()) >= count, "not recorded")
    assert arrived() == list(range(count))


def test_a_message_that_ends_in_the_middle_leaves_nothing_behind_and_holds_nobody_up(plant, line) -> None:
    right = {"X-Connection-Secret": SECRET, "Authorization": f"Bearer {plant.share('operator')}"}
    before = recorded(plant, "speed")[0]
    head = "".join(f"{k}: {v}\r\n" for k, v in right.items())
    half = f"POST /api/in/gate/drive/belt HTTP/1.1\r\nHost: 127.0.0.1:{line.port}\r\nContent-Length: 30\r\n{head}\r\n"
    socks = [socket.create_connection(("127.0.0.1", line.port)) for _ in range(20)]
    try:
        for sock in socks:
            sock.sendall(half.encode() + b'{"v": 777000')
        line.mode = "freeze"
        with plant.http(plant.share("operator")) as http:  # not through the line
            for n in range(20):
                sent = {"v": 5000 + n, "at": T0 + 2_000_000 + n}
                assert http.post("/api/in/gate/drive/belt", json=sent, headers=right).json() == {"good": 1}
        line.cut()
    finally:
        for sock in socks:
            sock.close()
    until(lambda: len(recorded(plant, "speed")[0]) >= len(before) + 20, "not recorded")
    assert 777.0 not in recorded(plant, "speed")[0]


def test_a_slow_line_and_a_websocket_that_is_cut_lose_nothing(plant, line) -> None:
    url, begin, count = f"ws://127.0.0.1:{line.port}/api/in/open", T0 + 3_000_000, 60
    login, at, cuts = {"Authorization": f"Bearer {plant.share('operator')}"}, 0, [19, 39]
    line.mode = "slow"
    while at < count:
        with contextlib.suppress(ConnectionClosed, OSError, TimeoutError), connect(url, additional_headers=login) as device:
            while at < count:
                device.send(json.dumps([{"n": at, "at": begin + at}]))
                if at in cuts:
                    cuts.remove(at)
                    threading.Timer(0.005, line.cut).start()
                assert json.loads(device.recv(timeout=10)) == {"good": 1}
                at += 1

    def arrived() -> list[float]:
        values, times = recorded(plant, "load")
        return [v for v, t in zip(values, times, strict=True) if v is not None and 0 <= t - begin * 10**9 < 10**12]

    until(lambda: len(arrived()) >= count, "not recorded")
    assert arrived() == list(range(count))

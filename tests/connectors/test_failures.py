"""Whatever the other side does, the connection ends in back-off with a reason, and others go on."""

import asyncio
import dataclasses
import gc
import socket
import threading

import pytest

from twin.connectors import Plant, Timing
from twin.connectors.drivers.mqtt.driver import MqttDriver
from twin.connectors.mapping import parse
from twin.core.errors import InputError
from twin.core.samples import BAD_NO_COMMUNICATION, SignalKey

QUICK = Timing(connect=0.6, close=1.0, tick=0.05, backoff=(0.05, 0.2))
KEY = SignalKey("/W/Oven", "temperature")
SOURCES = {"mqtt": ("mqtt://", "{topic: t}"), "opcua": ("opc.tcp://", "{namespace: urn:x, node: s=Oven}")}


def mapping(driver: str, port: int) -> str:
    scheme, source = SOURCES[driver]
    return f"""
schema: twin.mapping/1
connections: [{{name: cell, driver: {driver}, address: "{scheme}127.0.0.1:{port}"}}]
signals:
  - {{connection: cell, source: {source}, target: {{prim: /W/Oven, signal: temperature}}}}
"""


class Peer:
    """Accepts connections and then is silent, hangs up, or talks nonsense."""

    def __init__(self, manner: str) -> None:
        self._manner = manner
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._manner == "hangs up":
                peer.close()
                continue
            self._open.append(peer)
            if self._manner == "nonsense":
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: wrong\r\n\r\n" * 20)

    def close(self) -> None:
        self._listener.close()
        for peer in self._open:
            peer.close()


@pytest.mark.parametrize("driver", list(SOURCES))
@pytest.mark.parametrize("manner", ["silent", "hangs up", "nonsense"])
def test_a_peer_that_does_not_answer_properly_is_tried_again(driver, manner, make_plant, wait_for):
    peer = Peer(manner)
    try:
        plant = make_plant(mapping(driver, peer.port), timing=QUICK)
        wait_for(lambda: peer.accepted >= 3, 25.0, what="three attempts")
        wait_for(lambda: plant.statuses()[0].state == "backoff", what="back-off")
        assert plant.statuses()[0].error
        assert plant.drain_state()[KEY].quality == BAD_NO_COMMUNICATION
    finally:
        peer.close()


def hang_up_at_the_subscription(listener: socket.socket, attempts: list[int]) -> None:
    """A broker of MQTT 3.1.1 that takes everybody in, and is killed while somebody subscribes."""
    while True:
        try:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"\x20\x02\x00\x00")  # CONNACK: accepted
                while peer.recv(4096)[:1] != b"\x82":  # SUBSCRIBE
                    pass
                attempts.append(1)
        except OSError:
            return


def test_a_broker_that_goes_while_one_subscribes_is_noticed_at_once_and_no_reason_is_left_unread(make_plant, wait_for, caplog):
    listener, attempts = socket.create_server(("127.0.0.1", 0)), []
    threading.Thread(target=hang_up_at_the_subscription, args=(listener, attempts), daemon=True).start()
    address = f"//127.0.0.1:{listener.getsockname()[1]}"
    sources = {
        "mqtt": "{topic: t}",
        "sparkplug": "{group: g, node: n, metric: m}",
        "vda5050": "{manufacturer: m, serial: s, value: /agvPosition/x}",
    }
    connections = [f"{{name: {d}, driver: {d}, address: '{d}:{address}'}}" for d in sources]
    signals = [f"{{connection: {d}, source: {s}, target: {{prim: /W/{d}, signal: v}}}}" for d, s in sources.items()]
    text = f"schema: twin.mapping/1\nconnections: [{', '.join(connections)}]\nsignals: [{', '.join(signals)}]\n"
    try:
        plant = make_plant(text, timing=dataclasses.replace(QUICK, connect=30.0))
        wait_for(lambda: len(attempts) >= 9, what="attempts")
        wait_for(lambda: all(s.error for s in plant.statuses()), what="reasons")
        # the library alone would wait ten seconds for an answer that cannot come
        assert [s.error for s in plant.statuses() if "timed out" in s.error or "lost" not in s.error] == []
        plant.stop()
    finally:
        listener.close()
    gc.collect()
    assert [r.getMessage() for r in caplog.records if "never retrieved" in r.getMessage()] == []


@pytest.mark.parametrize("driver", list(SOURCES))
def test_stopping_does_not_wait_for_a_silent_peer(driver, make_plant, wait_for):
    peer = Peer("silent")
    try:
        plant = make_plant(mapping(driver, peer.port), timing=dataclasses.replace(QUICK, connect=30.0))
        wait_for(lambda: peer.accepted, what="attempt")
        plant.stop(timeout_s=8.0)
        assert plant.statuses()[0].state == "idle"
    finally:
        peer.close()


def test_a_client_that_cancels_its_own_requests_is_tried_again(broker, make_plant, wait_for, monkeypatch):
    """As asyncua's did where the machine was so busy that its server seemed lost: nobody had asked this connection to end."""
    run, attempts = MqttDriver.run, []

    async def cancelled_at_first(self, plan, sink):
        attempts.append(self)
        if len(attempts) < 3:
            request = asyncio.get_running_loop().create_future()
            request.cancel()
            await request
        await run(self, plan, sink)

    monkeypatch.setattr(MqttDriver, "run", cancelled_at_first)
    plant = make_plant(mapping("mqtt", broker.port), timing=QUICK)
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="connected")
    assert len(attempts) == 3
    plant.stop(timeout_s=8.0)
    assert plant.statuses()[0].state == "idle"


def test_an_address_that_makes_no_sense_is_fatal(make_plant, wait_for):
    plant = make_plant(mapping("mqtt", 1).replace("mqtt://127.0.0.1:1", "tcp:broker"))
    wait_for(lambda: plant.statuses()[0].state == "fatal", what="fatal")
    assert "mqtt://HOST:PORT" in plant.statuses()[0].error


def test_one_dead_connection_does_not_hold_up_another(broker, make_plant, wait_for):
    peer = Peer("silent")
    text = f"""
schema: twin.mapping/1
connections:
  - {{name: dead, driver: opcua, address: "opc.tcp://127.0.0.1:{peer.port}"}}
  - {{name: alive, driver: mqtt, address: "mqtt://127.0.0.1:{broker.port}"}}
signals:
  - {{connection: dead, source: {{namespace: urn:x, node: s=Oven}}, target: {{prim: /W/Oven, signal: temperature}}}}
  - {{connection: alive, source: {{topic: t}}, target: {{prim: /W/Belt, signal: speed}}}}
"""
    plant = make_plant(text, timing=dataclasses.replace(QUICK, connect=20.0))
    wait_for(lambda: plant.statuses()[1].state == "syncing", 5.0, what="the living one")
    assert plant.statuses()[0].state == "connecting"
    peer.close()


def test_two_connections_of_one_name_are_refused(tmp_path):
    once = parse(mapping("mqtt", 1), file="a.yaml", folder=tmp_path)
    with pytest.raises(InputError, match="two connections"):
        Plant([once, once])

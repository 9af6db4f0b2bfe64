"""Live values and history: how fast they are taken, how much room they need, how soon they are found again.

``python -m bench.live`` prints the rows of :func:`run` as JSON.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiomqtt

from bench.live import history as historian_alone
from bench.live.rows import T0, row
from twin.connectors import Plant, Timing
from twin.connectors.conformance.counterparts import MqttBroker, Unavailable
from twin.connectors.mapping import parse
from twin.core.samples import SignalKey
from twin.history import Historian

MESSAGES = 20_000
BATCH = 50
KILLS = 5
PATIENCE_S = 600.0


def run() -> list[dict[str, Any]]:
    """Rows with ``name``, ``value``, ``unit`` and ``note``."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_mqtt(Path(folder)), *_killed(Path(folder)), *historian_alone.run(Path(folder))]


# ---- MQTT to the historian

PUBLISHER = """
import sys
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
port, topic, count, batch, t0 = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
client = Client(CallbackAPIVersion.VERSION2)
client.max_inflight_messages_set(200)
client.connect("127.0.0.1", port)
client.loop_start()
last = None
for begin in range(0, count, batch):
    rows = [f'{{"v": {i}, "t": {t0 + i}}}' for i in range(begin, begin + batch)]
    last = client.publish(topic, rows[0] if batch == 1 else "[" + ",".join(rows) + "]", qos=1)
last.wait_for_publish()
client.disconnect()
client.loop_stop()
"""


def _mqtt(folder: Path) -> list[dict[str, Any]]:
    """From the broker into committed history, by processor time of the process that takes them; the publisher is another one."""
    broker = MqttBroker(folder)
    try:
        broker.start()
    except Unavailable as reason:
        return [{"name": "mqtt to history", "value": None, "unit": "1/s", "note": f"not run: {reason}"}]
    try:
        alone = _alone(broker.port)
        one, lost_one = _taken(broker.port, folder, "one", 1)
        many, lost_many = _taken(broker.port, folder, "many", BATCH)
    finally:
        broker.stop()
    note = "a core-second of the taking process; QoS 1, Mosquitto"
    return [
        row("aiomqtt alone, one value a message", alone, "1/s", note),
        row(
            "mqtt to history, one value a message", one, "1/s", f"{note}, {lost_one} lost, {one / alone:.0%} of the library alone"
        ),
        row("mqtt to history, 50 values a message", many, "1/s", f"{note}, {lost_many} lost"),
    ]


def _publish(port: int, topic: str, count: int, batch: int) -> subprocess.Popen[bytes]:
    arguments = [str(a) for a in (port, topic, count, batch, T0)]
    return subprocess.Popen([sys.executable, "-c", PUBLISHER, *arguments])


def _alone(port: int) -> float:
    """Messages a core-second that the client library hands over when nobody does anything with them."""

    async def receive() -> float:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe("alone", 1)
            publisher = _publish(port, "alone", MESSAGES, 1)
            begin, count = time.process_time(), 0
            async for _ in client.messages:
                count += 1
                if count == MESSAGES:
                    break
            taken = time.process_time() - begin
        publisher.wait()
        return MESSAGES / taken

    return asyncio.run(receive())


def _taken(port: int, folder: Path, topic: str, batch: int) -> tuple[float, int]:
    """Values a core-second, from the first publication to the last commit, and how many are missing."""
    total = MESSAGES * (5 if batch > 1 else 1)
    text = f"""
schema: twin.mapping/1
connections: [{{name: bench, driver: mqtt, address: "mqtt://127.0.0.1:{port}"}}]
signals:
  - connection: bench
    source: {{topic: {topic}, value: /v, time: /t, batch: {str(batch > 1).lower()}}}
    target: {{prim: /Bench, signal: {topic}}}
    unit: Cel
"""
    history = Historian(folder / f"{topic}.db")
    plant = Plant(parse(text, file="bench", folder=folder), history, timing=Timing())
    plant.start()
    try:
        while plant.statuses()[0].state != "syncing":
            time.sleep(0.01)
        begin, wall = time.process_time(), time.monotonic()
        publisher = _publish(port, topic, total, batch)
        while history.written() < total and time.monotonic() - wall < PATIENCE_S:
            time.sleep(0.1)
        taken, written = time.process_time() - begin, history.written()
        publisher.wait()
    finally:
        plant.stop()
        history.close()
    return written / taken, total - written


def _killed(folder: Path) -> list[dict[str, Any]]:
    """The broker is killed again and again while values of QoS 1 come, and the twin has a persistent session."""
    broker = MqttBroker(folder, persistent=True)
    try:
        broker.start()
    except Unavailable as reason:
        return [{"name": "broker killed", "value": None, "unit": "1", "note": f"not run: {reason}"}]
    text = f"""
schema: twin.mapping/1
connections:
  - name: bench
    driver: mqtt
    address: "mqtt://127.0.0.1:{broker.port}"
    options: {{client_id: bench, session: true, keepalive: 5}}
signals:
  - {{connection: bench, source: {{topic: killed, value: /v, time: /t}}, target: {{prim: /Bench, signal: killed}}, unit: Cel}}
"""
    history = Historian(folder / "killed.db")
    timing = Timing(connect=20.0, close=2.0, backoff=(0.1, 0.5))
    plant = Plant(parse(text, file="bench", folder=folder), history, timing=timing)
    plant.start()
    sent = 0
    try:
        while plant.statuses()[0].state != "syncing":
            time.sleep(0.01)
        for _ in range(KILLS):
            for _ in range(50):
                broker.publish("killed", f'{{"v": {sent}, "t": {T0 + sent}}}'.encode())
                sent += 1
                time.sleep(0.01)
            broker.kill()
            broker.start()
        end = time.monotonic() + PATIENCE_S
        key = SignalKey("/Bench", "killed")
        there: set[Any] = set()
        while len(there) < sent and time.monotonic() < end:
            time.sleep(0.5)
            history.flush()
            there = {s.value for s in history.samples(key, 0, 2 * T0) if s.value is not None}
    finally:
        plant.stop()
        history.close()
        broker.stop()
    return [
        row("samples lost, broker killed", sent - len(there), "1", f"{KILLS} kills, {sent} samples, QoS 1, persistent session")
    ]

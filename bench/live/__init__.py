"""Live values and history: how fast they are taken, how much room they need, how soon they are found again.

``python -m bench.live`` prints the rows of :func:`run` as JSON.
"""

from __future__ import annotations

import asyncio
import math
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import aiomqtt

from twin.connectors import Plant, Timing
from twin.connectors.conformance.counterparts import MqttBroker, Unavailable
from twin.connectors.mapping import parse
from twin.core.samples import GOOD, Sample, SignalKey
from twin.history import Historian, Recording, export_parquet

MESSAGES = 20_000
BATCH = 50
SIGNALS = 50
SAMPLES = 1_000_000
"""Of the big file: 50 signals at 10 Hz for half an hour."""
KILLS = 5
PATIENCE_S = 120.0
MINUTES = 366 * 24 * 60
QUERIES = 200
T0 = 1_700_000_000 * 10**9
STEP = 100_000_000
GROUP = 20_000


def run() -> list[dict[str, Any]]:
    """Rows with ``name``, ``value``, ``unit`` and ``note``."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_mqtt(Path(folder)), *_killed(Path(folder)), *_history(Path(folder)), *_year(Path(folder))]


def _row(name: str, value: float, unit: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": round(value, 4 if value < 100 else 0), "unit": unit, "note": note}


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
        _row("aiomqtt alone, one value a message", alone, "1/s", note),
        _row(
            "mqtt to history, one value a message", one, "1/s", f"{note}, {lost_one} lost, {one / alone:.0%} of the library alone"
        ),
        _row("mqtt to history, 50 values a message", many, "1/s", f"{note}, {lost_many} lost"),
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
        _row("samples lost, broker killed", sent - len(there), "1", f"{KILLS} kills, {sent} samples, QoS 1, persistent session")
    ]


# ---- the historian alone


def _history(folder: Path) -> list[dict[str, Any]]:
    path = folder / "big.db"
    keys = [SignalKey(f"/World/Line/M{i}", "temperature") for i in range(SIGNALS)]
    rng = random.Random(1)
    history = Historian(path)
    writing = 0.0
    value = [20.0 + i for i in range(SIGNALS)]
    for first in range(0, SAMPLES // SIGNALS, GROUP // SIGNALS):
        group = []
        for n in range(first, min(first + GROUP // SIGNALS, SAMPLES // SIGNALS)):
            stamp = T0 + n * STEP
            for i, key in enumerate(keys):
                # a slow swing with the noise and the resolution of a real sensor
                value[i] += 0.02 * math.sin(n / 500.0 + i)
                shown = round(value[i] + rng.gauss(0.0, 0.05), 1)
                group.append(Sample(key, shown, GOOD, stamp, None, stamp + 2_000_000))
        begin = time.process_time()
        history.append(group)
        history.flush()
        writing += time.process_time() - begin
    lost = sum(history.losses().overflow.values())
    end = T0 + SAMPLES // SIGNALS * STEP
    moments = [(rng.choice(keys), rng.randrange(T0, end)) for _ in range(QUERIES)]
    latest = _median_ms([lambda k=k, t=t: history.latest_at(k, t) for k, t in moments])  # type: ignore[misc]
    minute = _median_ms([lambda k=k, t=t: history.range(k, t, t + 60 * 10**9, 500) for k, t in moments])  # type: ignore[misc]
    everything = _median_ms([lambda k=k: history.range(k, T0, end, 1000) for k in keys[:20]])  # type: ignore[misc]
    history.close()
    with closing(sqlite3.connect(path)) as file:
        sealed, size = file.execute("SELECT sum(count), sum(length(data)) FROM chunk").fetchone()
    recording = Recording(path)
    begin = time.process_time()
    exported = export_parquet(recording, folder / "big.parquet")
    exporting = time.process_time() - begin
    recording.close()
    note = f"{SIGNALS} signals, {SAMPLES / 1e6:g} M samples, each group committed to disk; a core-second"
    whole = "with tails that are not sealed yet, and pages free to be used again"
    return [
        _row("history written", SAMPLES / writing, "1/s", f"{note}, {lost} lost"),
        _row("history, room in sealed chunks", size / sealed, "B/sample", f"{sealed} samples; resolution 0.1, noise 0.05"),
        _row(
            "history, room of the whole file",
            path.stat().st_size / SAMPLES,
            "B/sample",
            whole,
        ),
        _row("history, latest_at", latest, "ms", "median of 200, any signal at any time"),
        _row("history, a minute for a chart", minute, "ms", "median of 200, 500 points"),
        _row("history, everything of a signal for a chart", everything, "ms", f"{SAMPLES // SIGNALS} samples to 1,000 points"),
        _row("parquet export", exported / exporting, "1/s", f"{(folder / 'big.parquet').stat().st_size / exported:.1f} B/sample"),
    ]


def _median_ms(calls: list[Any]) -> float:
    taken = []
    for call in calls:
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return sorted(taken)[len(taken) // 2] * 1e3


def _year(folder: Path) -> list[dict[str, Any]]:
    """One of many signals with a value a minute over a year: what a chart of it costs."""
    history, key = Historian(folder / "year.db"), SignalKey("/Year", "t")
    rng = random.Random(2)
    for first in range(0, MINUTES, GROUP):
        stamps = [T0 + n * 60 * 10**9 for n in range(first, min(first + GROUP, MINUTES))]
        history.append(
            [Sample(key, round(20.0 + 5.0 * math.sin(t / 1e16) + rng.gauss(0.0, 0.1), 1), GOOD, t, None, t) for t in stamps]
        )
        history.flush()
    end = T0 + MINUTES * 60 * 10**9
    year = _median_ms([lambda: history.range(key, T0, end, 2000)] * 5)
    history.close()
    return [_row("history, a year for a chart", year, "ms", f"{MINUTES} samples to 2,000 points, processor time")]

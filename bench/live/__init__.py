"""Live values and history: how fast they are taken, how much room they need, how soon they are found again.

``python -m bench.live`` prints the rows of :func:`run` as JSON.
"""

from __future__ import annotations

import math
import random
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from twin.connectors import Plant, Timing
from twin.connectors.conformance.counterparts import MqttBroker, Unavailable
from twin.connectors.mapping import parse
from twin.core.samples import GOOD, Sample, SignalKey
from twin.history import Historian, Recording, export_parquet

MESSAGES = 20_000
BATCH = 50
SIGNALS = 50
SAMPLES = 2_000_000
"""Of the big file: 50 signals at 10 Hz for a good hour."""
QUERIES = 200
T0 = 1_700_000_000 * 10**9
STEP = 100_000_000
GROUP = 20_000


def run() -> list[dict[str, Any]]:
    """Rows with ``name``, ``value``, ``unit`` and ``note``."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_mqtt(Path(folder)), *_history(Path(folder))]


def _row(name: str, value: float, unit: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": round(value, 4 if value < 100 else 0), "unit": unit, "note": note}


# ---- MQTT to the historian


def _mqtt(folder: Path) -> list[dict[str, Any]]:
    """From the broker into committed history, one value a message and 50 values a message."""
    broker = MqttBroker(folder)
    try:
        broker.start()
    except Unavailable as reason:
        return [{"name": "mqtt to history", "value": None, "unit": "1/s", "note": f"not run: {reason}"}]
    try:
        single = [f'{{"v": {i}, "t": {T0 + i}}}'.encode() for i in range(MESSAGES)]
        many = range(0, MESSAGES * 5, BATCH)
        batches = [("[" + ",".join(f'{{"v": {i}, "t": {T0 + i}}}' for i in range(b, b + BATCH)) + "]").encode() for b in many]
        note = "QoS 1, Mosquitto; who publishes shares the process"
        return [
            _row("mqtt to history, one value a message", _taken(broker, folder, "one", single, False), "1/s", note),
            _row("mqtt to history, 50 values a message", _taken(broker, folder, "many", batches, True), "1/s", note),
        ]
    finally:
        broker.stop()


def _taken(broker: MqttBroker, folder: Path, topic: str, payloads: list[bytes], batch: bool) -> float:
    """Values a second, from the first publication to the last commit."""
    total = len(payloads) * (BATCH if batch else 1)
    text = f"""
schema: twin.mapping/1
connections: [{{name: bench, driver: mqtt, address: "mqtt://127.0.0.1:{broker.port}"}}]
signals:
  - connection: bench
    source: {{topic: {topic}, value: /v, time: /t, batch: {str(batch).lower()}}}
    target: {{prim: /Bench, signal: {topic}}}
    unit: Cel
"""
    history = Historian(folder / f"{topic}.db")
    plant = Plant(parse(text, file="bench", folder=folder), history, timing=Timing())
    plant.start()
    try:
        while plant.statuses()[0].state != "syncing":
            time.sleep(0.01)
        begin = time.perf_counter()
        for payload in payloads:
            broker.publish(topic, payload)
        while sum(s.count for s in history.signals()) < total:
            if time.perf_counter() - begin > 120.0:
                raise RuntimeError(f"only {history.signals()} of {total} samples arrived")
            time.sleep(0.02)
        taken = time.perf_counter() - begin
    finally:
        plant.stop()
        history.close()
    return total / taken


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
        begin = time.perf_counter()
        history.append(group)
        history.flush()
        writing += time.perf_counter() - begin
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
    begin = time.perf_counter()
    exported = export_parquet(recording, folder / "big.parquet")
    exporting = time.perf_counter() - begin
    recording.close()
    note = f"{SIGNALS} signals, {SAMPLES / 1e6:g} M samples, each group committed to disk"
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
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return sorted(taken)[len(taken) // 2] * 1e3

"""Campaigns that take their time: a broker that is killed every minute, and a connection that is lost a thousand times.

``python -m bench.live.endure killed --minutes 60`` and ``python -m bench.live.endure reconnects --times 1000`` print a JSON row.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from twin.connectors import Plant, Timing
from twin.connectors.conformance.counterparts import MqttBroker
from twin.connectors.conformance.proxy import FaultProxy
from twin.connectors.mapping import parse
from twin.core import log
from twin.core.samples import SignalKey
from twin.history import Historian

PATIENCE_S = 120.0
"""What has not come when nothing has come for so long is lost [s]."""
T0 = 1_700_000_000 * 10**9


def rss_mb() -> float:
    """Resident memory of this process [MB]."""
    text = Path("/proc/self/status").read_text()
    return float(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024.0


def killed(minutes: float, every_s: float, rate: float, folder: Path) -> dict[str, Any]:
    """The broker is killed again and again while values of QoS 1 come, and the twin has a persistent session."""
    broker = MqttBroker(folder, persistent=True)
    broker.start()
    history, key = Historian(folder / "killed.db"), SignalKey("/Bench", "killed")
    plant = _plant(broker.port, folder, history, topic="killed")
    sent = kills = 0
    start = time.monotonic()
    end, next_kill, memory = start + 60.0 * minutes, start + every_s, 0.0
    try:
        while plant.statuses()[0].state not in ("syncing", "live"):
            time.sleep(0.01)
        while (now := time.monotonic()) < end:
            if now >= next_kill:
                broker.kill()
                kills, next_kill = kills + 1, next_kill + every_s
                memory = memory or rss_mb()  # after the first one, when everything has been made once
                time.sleep(1.0)
                broker.start()
            broker.publish("killed", json.dumps({"v": sent, "t": T0 + sent}).encode())
            sent += 1
            time.sleep(1.0 / rate)
        there: set[Any] = set()
        heard = time.monotonic()
        while len(there) < sent and time.monotonic() < heard + PATIENCE_S:
            time.sleep(1.0)
            history.flush()
            known, there = len(there), {s.value for s in history.samples(key, T0, T0 + sent)}
            heard = time.monotonic() if len(there) > known else heard
        return {
            "name": "broker killed",
            "minutes": round((time.monotonic() - start) / 60.0, 1),
            "kills": kills,
            "sent": sent,
            "lost": len(set(range(sent)) - there),
            "repeated": history.losses().repeated,
            "rss_mb": [round(memory, 1), round(rss_mb(), 1)],
        }
    finally:
        plant.stop()
        history.close()
        broker.stop()


def reconnects(times: int, folder: Path) -> dict[str, Any]:
    """The connection is reset as soon as it is live again, and memory is looked at."""
    broker = MqttBroker(folder)
    broker.start()
    proxy = FaultProxy(broker.port)
    history = Historian(folder / "reconnects.db")
    plant = _plant(proxy.port, folder, history, topic="reconnects")
    before = 0.0
    try:
        for number in range(times + 1):
            end = time.monotonic() + PATIENCE_S
            while plant.statuses()[0].state != "live":
                broker.publish("reconnects", json.dumps({"v": number, "t": T0 + number}).encode())
                if time.monotonic() > end:
                    raise RuntimeError(f"not live again after {number} resets: {plant.statuses()[0]}")
                time.sleep(0.02)
            if number == times // 10:
                gc.collect()
                before = rss_mb()
            if number < times:
                proxy.cut()
                while plant.statuses()[0].state == "live":
                    time.sleep(0.005)
        gc.collect()
        return {"name": "reconnects", "times": times, "rss_mb": [round(before, 1), round(rss_mb(), 1)]}
    finally:
        plant.stop()
        history.close()
        proxy.close()
        broker.stop()


def _plant(port: int, folder: Path, history: Historian, *, topic: str) -> Plant:
    text = f"""
schema: twin.mapping/1
connections:
  - name: bench
    driver: mqtt
    address: "mqtt://127.0.0.1:{port}"
    options: {{client_id: bench, session: true, keepalive: 5}}
signals:
  - {{connection: bench, source: {{topic: {topic}, value: /v, time: /t}}, target: {{prim: /Bench, signal: {topic}}}, unit: Cel}}
"""
    timing = Timing(connect=20.0, close=2.0, tick=0.02, backoff=(0.02, 0.2))
    plant = Plant(parse(text, file="bench", folder=folder), history, timing=timing)
    plant.start()
    return plant


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("campaign", choices=["killed", "reconnects"])
    asked.add_argument("--minutes", type=float, default=60.0)
    asked.add_argument("--every", type=float, default=60.0, help="seconds between two kills")
    asked.add_argument("--rate", type=float, default=20.0, help="published values a second")
    asked.add_argument("--times", type=int, default=1000)
    given = asked.parse_args()
    log.configure("error")
    with tempfile.TemporaryDirectory() as folder:
        if given.campaign == "killed":
            row = killed(given.minutes, given.every, given.rate, Path(folder))
        else:
            row = reconnects(given.times, Path(folder))
    print(json.dumps(row))


if __name__ == "__main__":
    main()

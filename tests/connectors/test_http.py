"""What devices send to the twin arrives, or the sender is told why not."""

import asyncio
import json
import time

import pytest

from twin.core.errors import Rejected
from twin.core.samples import GOOD, SignalKey

KEY = SignalKey("/W/Scale", "weight")
MAPPING = """
schema: twin.mapping/1
connections:
  - {name: gate, driver: http, address: push://, options: {secret: "${env:GATE_SECRET}", max_bytes: 2000}}
  - {name: tape, driver: mqtt, address: mqtt://127.0.0.1:1}
signals:
  - connection: gate
    source: {channel: scale, value: /weight, time: /at, batch: true}
    target: {prim: /W/Scale, signal: weight}
    raw_unit: kg
    unit: g
"""


@pytest.fixture
def plant(make_plant, history, monkeypatch, wait_for):
    monkeypatch.setenv("GATE_SECRET", "open sesame")
    plant = make_plant(MAPPING, history)
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="ready")
    return plant


def push(plant, document, *, connection="gate", channel="scale", secret="open sesame") -> int:
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return asyncio.run(plant.push(connection, channel, payload, secret=secret))


def test_values_arrive_before_the_sender_is_answered(plant, history):
    sent = [{"weight": i / 1000, "at": f"2026-01-05T00:00:{i:02}Z"} for i in range(5)]
    assert push(plant, [*sent, {"weight": 1}]) == 5
    assert plant.drain_state()[KEY].value is None  # the last one had no time
    history.flush()
    assert [s.value for s in history.samples(KEY, 0, 2**62) if s.quality == GOOD] == pytest.approx(range(5))
    assert plant.losses() == {"gate: payload has no /at: scale": 1}
    assert push(plant, b"{") == 0
    assert push(plant, [{"weight": 0.5, "at": 1_700_000_000}]) == 1
    status = plant.statuses()[0]
    assert status.state in ("live", "syncing")
    assert status.lost == 2
    assert push(plant, [{"weight": 0.5, "at": time.time() - 1000}]) == 1
    assert 999 < plant.statuses()[0].lag < 1100


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"secret": None}, "role"),
        ({"secret": "open sesamE"}, "role"),
        ({"channel": "scales"}, "path"),
        ({"connection": "door"}, "path"),
        ({"connection": "tape"}, "gone"),
        ({"document": b"[" + b"1," * 1000 + b"1]"}, "limit"),
    ],
)
def test_who_may_not_is_told_why(plant, arguments, code):
    document = arguments.pop("document", [])
    with pytest.raises(Rejected) as refused:
        push(plant, document, **arguments)
    assert refused.value.code == code
    assert "sesame" not in str(refused.value)


def test_a_stopped_plant_takes_nothing(plant):
    plant.stop()
    with pytest.raises(Rejected, match="stopped"):
        push(plant, [])

"""The connected plant behind a server: health, restart, test, guarded writes, and what Prometheus reads."""

from __future__ import annotations

import json
import re
import time

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from twin.connectors.conformance import Unavailable
from twin.connectors.conformance.counterparts import MqttBroker

MAPPING = """
schema: twin.mapping/1
connections: [{{name: cell, driver: mqtt, address: "mqtt://127.0.0.1:{port}"}}]
signals:
  - connection: cell
    source: {{topic: belt/speed, value: /v, write_topic: belt/speed/set}}
    target: {{prim: /Line/Belt, signal: speed}}
    raw_unit: mm/s
    unit: m/s
    write: {{min: 0, max: 1}}
"""
BELT = {"prim": "/Line/Belt", "name": "speed"}


def until(condition, what: str):
    end = time.monotonic() + 20.0
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = MqttBroker(tmp_path_factory.mktemp("broker"))
    try:
        made.start()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def written(broker):
    """What reaches the plant."""
    seen: list[str] = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *a: seen.append(a[2].payload.decode())
    client.connect("127.0.0.1", broker.port)
    client.subscribe("belt/speed/set")
    client.loop_start()
    yield seen
    client.disconnect()
    client.loop_stop()


@pytest.fixture(scope="module")
def plant(make_shared_server, broker, tmp_path_factory):
    mapping = tmp_path_factory.mktemp("mapping") / "cell.yaml"
    mapping.write_text(MAPPING.format(port=broker.port))
    address = f"mqtt://127.0.0.1:{broker.port}"
    out = ("--publish-mqtt", address, "--publish-sparkplug", address)
    return make_shared_server(lambda line: line, "--mapping", str(mapping), "--allow-writes", *out)


def live(http) -> dict:
    return until(lambda: (body := http.get("/api/plant").json())["connections"][0]["state"] == "live" and body, "live")


def test_health_is_told_signal_by_signal_and_for_prometheus(plant, broker) -> None:
    with plant.http(plant.share("viewer")) as http:
        until(lambda: http.get("/api/plant").json()["connections"][0]["state"] == "syncing", "connection")
        broker.publish("belt/speed", json.dumps({"v": 750}).encode())
        broker.publish("belt/speed", b"nonsense")
        broker.publish("belt/speed", json.dumps({"v": 800}).encode())
        live(http)
        row = until(lambda: (r := http.get("/api/plant").json()["signals"][0])["value"] == 0.8 and r, "value")
        assert (row["raw"], row["raw_unit"], row["unit"], row["good"], row["writable"]) == (800, "mm/s", "m/s", True, True)
        assert row["age_s"] < 20.0
        text = http.get("/api/metrics").text
    assert 'twin_connection_state{connection="cell",state="live"} 1' in text
    assert 'twin_samples_lost_total{connection="cell",reason="payload is not JSON"} 1' in text
    assert re.search(r"^twin_history_samples_total [1-9]", text, re.MULTILINE)
    for line in text.splitlines():  # every line is a comment or a sample
        assert re.fullmatch(r"# (HELP|TYPE) \S+ .+|[a-z_]+(\{([a-z_]+=\"[^\"]*\",?)+\})? -?[0-9.e+-]+", line), line


def test_a_write_needs_arming_limits_and_the_present_and_is_on_record(plant, broker, written) -> None:
    now = {"seen_ns": time.time_ns()}
    with plant.http(plant.share("operator")) as operator, plant.http() as admin, plant.http(plant.share("viewer")) as viewer:
        broker.publish("belt/speed", json.dumps({"v": 500}).encode())
        live(admin)
        assert viewer.post("/api/plant/write", json=BELT | now | {"value": 0.5}).status_code == 403
        early = operator.post("/api/plant/write", json=BELT | now | {"value": 0.5})
        assert (early.status_code, "not armed" in early.text) == (403, True)
        assert operator.post("/api/plant/arm", json=BELT).status_code == 403
        assert admin.post("/api/plant/arm", json=BELT | {"seconds": 99_999}).status_code == 422
        assert admin.post("/api/plant/arm", json=BELT | {"seconds": 60}).status_code == 204
        assert operator.get("/api/plant").json()["armed"][0]["name"] == "speed"
        assert operator.post("/api/plant/write", json=BELT | now | {"value": 1.5}).status_code == 422
        past = operator.post("/api/plant/write", json=BELT | {"value": 0.5, "seen_ns": time.time_ns() - 3600 * 10**9})
        assert (past.status_code, "past" in past.text) == (409, True)
        assert written == []
        good = operator.post("/api/plant/write", json=BELT | now | {"value": 0.25})
        assert (good.status_code, good.json()["good"]) == (200, True)
        until(lambda: written == ["250.0"], "the value in the plant's own unit")
        assert admin.post("/api/plant/arm", json=BELT | {"seconds": 0}).status_code == 204
        assert operator.post("/api/plant/write", json=BELT | now | {"value": 0.25}).status_code == 403
        log = [(e["action"], e["detail"]) for e in admin.get("/api/audit").json()]
    assert ("arm", "/Line/Belt:speed for 60 s") in log
    wrote = [detail for action, detail in log if action == "write to plant"]
    assert any("0.25: asked" in d for d in wrote)
    assert any("0.25: quality 0x00000000" in d for d in wrote)
    assert any("1.5: refused" in d for d in wrote)
    assert any("not looking at the present" in d for d in wrote)
    assert written == ["250.0"]


def test_restart_and_test_of_a_connection(plant, broker) -> None:
    with plant.http(plant.share("operator")) as http:
        broker.publish("belt/speed", json.dumps({"v": 500}).encode())
        live(http)
        found = http.post("/api/plant/cell/test").json()
        assert found["answers"] is True
        assert "MQTT broker" in found["peer"]
        assert http.post("/api/plant/cell/restart").status_code == 204
        until(lambda: http.get("/api/plant").json()["connections"][0]["state"] == "syncing", "begun anew")
        broker.publish("belt/speed", json.dumps({"v": 500}).encode())
        live(http)


def test_bookmarks_are_on_the_time_line_and_two_moments_are_compared(plant, broker) -> None:
    with plant.http(plant.share("operator")) as http:
        broker.publish("belt/speed", json.dumps({"v": 100}).encode())
        until(lambda: any(r["value"] == 0.1 for r in http.get("/api/history/at", params={"t_ns": 2**62}).json()), "recorded")
        first = time.time_ns()
        broker.publish("belt/speed", json.dumps({"v": 900}).encode())
        until(lambda: any(r["value"] == 0.9 for r in http.get("/api/history/at", params={"t_ns": 2**62}).json()), "recorded")
        changes = http.get("/api/history/diff", params={"before": first, "after": time.time_ns()}).json()
        (belt,) = [c for c in changes if (c["prim"], c["name"]) == ("/Line/Belt", "speed")]
        assert (belt["before"]["value"], belt["after"]["value"]) == (0.1, 0.9)
        assert belt["difference"] == pytest.approx(0.8)
        made = http.post("/api/bookmarks", json={"time_ns": first, "text": "faster from here"}).json()
        span = {"from": first - 1, "to": first + 1}
        (seen,) = http.get("/api/timeline", params=span).json()["bookmarks"]
        assert (seen["text"], seen["time_ns"], seen["id"]) == ("faster from here", str(first), made["id"])
        assert http.get("/api/timeline", params={"from": first + 1}).json()["bookmarks"] == []
        assert http.delete(f"/api/bookmarks/{made['id']}").status_code == 204
        assert http.get("/api/timeline", params=span).json()["bookmarks"] == []
    with plant.http(plant.share("editor")) as http:
        limit = {"prim": "/Line/Belt", "name": "speed"}
        assert http.put("/api/limits", json={**limit, "high": 0.5}).status_code == 200
        alarms = http.get("/api/timeline", params={"from": first}).json()["alarms"]
        assert [a["path"] for a in alarms if a["kind"] == "limit"] == ["/Line/Belt"]
        http.put("/api/limits", json=limit)


def test_others_read_the_twin_by_mqtt_and_as_a_sparkplug_node(plant, broker) -> None:
    seen: dict[str, bytes] = {}
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *a: seen.update({a[2].topic: a[2].payload})
    client.connect("127.0.0.1", broker.port)
    client.subscribe("twin/#")
    client.subscribe("spBv1.0/twin/#")
    client.loop_start()
    try:
        broker.publish("belt/speed", json.dumps({"v": 333}).encode())
        key = "twin/Line/Belt/speed"
        until(lambda: key in seen and json.loads(seen[key])["value"] == 0.333, "published")
        assert json.loads(seen[key])["origin"] == "plant"
        until(lambda: any(topic.startswith("spBv1.0/twin/NDATA/") for topic in seen), "data of the edge node")
    finally:
        client.disconnect()
        client.loop_stop()


OVEN = """    def Cube "Sign" (prepend apiSchemas = ["TwinSignalAPI:heat"])
    {
        custom double twin:signal:heat:value = 180
        string twin:signal:heat:unit = "Cel"
"""


def test_a_stage_of_ones_own_is_emulated_from_its_measurements(make_shared_server):
    server = make_shared_server(lambda line: line.replace('    def Cube "Sign"\n    {\n', OVEN), "--emulate")
    with server.http() as http:
        told = until(lambda: [s for s in http.get("/api/signals").json() if s["count"] > 3], "samples of the emulated plant")
        assert [(s["prim"], s["name"], s["unit"]) for s in told] == [("/Line/Sign", "heat", "Cel")]
        [connection] = http.get("/api/plant").json()["connections"]
        assert connection["origin"] == "emulated"

"""A real trace of a real machine, through a real broker, into the running twin, its history and the browser."""

import csv
import json
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

TRACE = Path(__file__).parents[3] / "shared" / "data" / "nab" / "machine_temperature_system_failure.csv"
MOSQUITTO = shutil.which("mosquitto") or ("/usr/sbin/mosquitto" if Path("/usr/sbin/mosquitto").exists() else None)
ROWS = 22_695
SEALER = "/World/Line/Sealer"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not TRACE.exists(), reason=f"{TRACE} is not there"),
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
]

MAPPING = """
schema: twin.mapping/1
connections:
  - {{name: plant, driver: mqtt, address: "mqtt://127.0.0.1:{port}"}}
signals:
  - connection: plant
    source: {{topic: plant/sealer/temperature, value: /value, time: /time}}
    target: {{prim: /World/Line/Sealer, signal: temperature}}
    raw_unit: "[degF]"
    unit: Cel
"""


@pytest.fixture
def broker(tmp_path, until):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    lines = f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\npersistence false\n"
    config.write_text(lines + ("user root\n" if tmp_path.stat().st_uid == 0 else ""))
    process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            return False
        return True

    until(answers, what="the broker")
    yield port
    process.terminate()
    process.wait(10)


def publish(port, rows):
    """All rows at QoS 1, in order."""
    import asyncio

    import aiomqtt

    async def send():
        async with aiomqtt.Client("127.0.0.1", port) as client:
            for time, value in rows:
                await client.publish("plant/sealer/temperature", json.dumps({"value": value, "time": time}), qos=1)

    with ThreadPoolExecutor(1) as pool:  # this thread has the browser's event loop already
        pool.submit(lambda: asyncio.run(send())).result()


def test_machine_temperature_from_broker_to_browser(serve, person, until, broker, tmp_path):
    mapping = tmp_path / "plant.mapping.yaml"
    mapping.write_text(MAPPING.format(port=broker))
    server = serve("--mapping", str(mapping), "--paused")
    page = person(server)
    page.get_by_test_id("tab-connectors").click()
    until(lambda: page.get_by_test_id("connector").count() == 1, what="the connection is listed")

    with TRACE.open() as file:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
    assert len(rows) == ROWS
    publish(broker, rows)

    def signal():
        found = [s for s in server.get("/api/signals") if (s["prim"], s["name"]) == (SEALER, "temperature")]
        return found[0] if found and found[0]["count"] >= ROWS else None

    stored = until(signal, 120.0, "every sample in the historian")
    assert stored["count"] == ROWS
    assert stored["unit"] == "Cel"

    def ns(text):
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9

    assert stored["first_ns"] == str(ns(rows[0][0]))
    assert stored["last_ns"] == str(ns(rows[-1][0]))
    series = server.get(f"/api/history?prim={SEALER}&name=temperature&t0_ns={ns(rows[0][0])}&t1_ns={ns(rows[99][0])}&points=1000")
    assert series["unit"] == "Cel"
    assert series["time_ns"] == [str(ns(t)) for t, _ in rows[:100]]
    assert series["value"] == pytest.approx([(f - 32.0) / 1.8 for _, f in rows[:100]], abs=1e-6)
    assert set(series["quality"]) == {0}

    page.evaluate("(path) => window.__twin.select(path)", SEALER)
    shown = page.get_by_test_id("signal-temperature")
    last = (rows[-1][1] - 32.0) / 1.8
    until(lambda: f"{last:.2f}" in shown.inner_text(), what="the newest value in the property panel")
    assert "°C" in shown.inner_text()

    page.get_by_test_id("tab-figures").click()
    page.get_by_test_id("range-All").click()
    chart = page.locator(f'[data-testid="chart"][data-signal="{SEALER}:temperature"]')
    until(lambda: int(chart.get_attribute("data-points") or 0) > 200, 60.0, "the whole trace in the chart")
    chart.get_by_test_id("enlarge").click()
    large = page.get_by_test_id("chart-large")
    until(lambda: int(large.get_attribute("data-points") or 0) > 1000, 60.0, "the trace in the large chart")


WRITABLE = """
schema: twin.mapping/1
connections:
  - {{name: plant, driver: mqtt, address: "mqtt://127.0.0.1:{port}"}}
signals:
  - connection: plant
    source: {{topic: plant/sealer/temperature, write_topic: plant/sealer/setpoint}}
    target: {{prim: /World/Line/Sealer, signal: temperature}}
    unit: Cel
    write: {{min: 20, max: 180}}
"""


def test_a_signal_is_armed_and_written_from_the_page(serve, person, until, broker, tmp_path):
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    mapping = tmp_path / "plant.mapping.yaml"
    mapping.write_text(WRITABLE.format(port=broker))
    taken = []
    device = Client(CallbackAPIVersion.VERSION2)
    device.on_message = lambda client, data, message: taken.append(message.payload.decode())
    device.connect("127.0.0.1", broker)
    device.subscribe("plant/sealer/setpoint", 1)
    device.loop_start()
    try:
        server = serve("--mapping", str(mapping), "--allow-writes", "--paused")
        page = person(server)
        device.publish("plant/sealer/temperature", "160", qos=1)
        page.get_by_test_id("tab-connectors").click()
        page.get_by_test_id("plant-signals").click()
        page.get_by_test_id("arm").click()
        value = page.get_by_test_id("write-value")
        value.fill("250")
        page.get_by_test_id("write").click()
        until(lambda: "outside" in page.locator("body").inner_text(), what="the refusal, with the limits")
        assert taken == []
        value.fill("170.5")
        page.get_by_test_id("write").click()
        until(lambda: taken == ["170.5"], what="the write at the device")
        page.get_by_test_id("disarm").click()
        page.get_by_test_id("arm").wait_for()
    finally:
        device.disconnect()
        device.loop_stop()

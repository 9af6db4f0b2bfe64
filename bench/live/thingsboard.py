"""ThingsBoard's gateway beside ours: the same messages from the same broker, one value each, QoS 1.

``python -m bench.live.thingsboard`` prints rows as JSON. It needs the gateway (pip ``thingsboard-gateway``) in an environment of
its own, whose python ``THINGSBOARD_PYTHON`` names, and Mosquitto.

The gateway forwards to a ThingsBoard server, which is not run here: what it waits for from one is answered by
:class:`ThingsBoardServerStandIn`. The gateway itself is the real one, and is given what favours it: memory as its storage, packs
of 1,000, no limits of rates, and a time in each message (of the values of one millisecond it keeps one). Its work ends when the
server has what it sent, ours when the history is on disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.live import MESSAGES, PUBLISHER, _taken
from bench.live.rows import T0, row
from twin.connectors.conformance.counterparts import MqttBroker, Unavailable
from twin.core import log

ENVIRONMENT = "THINGSBOARD_PYTHON"
TOPIC = "peer"
DEVICE = "Bench"
START_S = 120.0
QUIET_S = 60.0
"""Nothing more is expected after so long without a message [s]."""
NO_LIMIT = "0:0,"


class ThingsBoardServerStandIn:
    """Stands where the ThingsBoard server would, behind the broker at ``port``: answers what the gateway asks of it, and keeps
    which values have come.

    The gateway sends nothing before it knows the limits of its session: it publishes ``{"method": "getSessionLimits"}`` to
    ``v1/devices/me/rpc/request/N`` and waits for ``v1/devices/me/rpc/response/N``. It also asks for shared attributes.
    """

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.values: list[float] = []
        self.asked = threading.Event()
        self.latest = time.monotonic()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda client, _, message: self._take(message.topic, message.payload)
        self._client.connect("127.0.0.1", port)
        topics = ("v1/devices/me/rpc/request/+", "v1/devices/me/attributes/request/+", "v1/gateway/telemetry")
        self._client.subscribe([(topic, 1) for topic in topics])
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, topic: str, payload: bytes) -> None:
        number = topic.rpartition("/")[2]
        if topic == "v1/gateway/telemetry":
            points = json.loads(payload).get(DEVICE, [])
            self.values += [float(p["values"]["v"]) for p in points if "v" in p.get("values", {})]
            self.latest = time.monotonic()
        elif "/attributes/request/" in topic:
            self._client.publish(f"v1/devices/me/attributes/response/{number}", b"{}", qos=1)
        elif json.loads(payload).get("method") == "getSessionLimits":
            limits = {"maxPayloadSize": 65536, "maxInflightMessages": 1000, "rateLimits": {}, "gatewayRateLimits": {}}
            self._client.publish(f"v1/devices/me/rpc/response/{number}", json.dumps(limits).encode(), qos=1)
            self.asked.set()


def run(messages: int = MESSAGES) -> list[dict[str, Any]]:
    """Rows with ``name``, ``value``, ``unit`` and ``note``."""
    name = "thingsboard gateway, one value a message"
    python = os.environ.get(ENVIRONMENT)
    if not python:
        return [{"name": name, "value": None, "unit": "1/s", "note": f"not run: {ENVIRONMENT} names no python that has it"}]
    with tempfile.TemporaryDirectory() as folder:
        plant, server = MqttBroker(Path(folder)), MqttBroker(Path(folder))
        try:
            plant.start()
            server.start()
        except Unavailable as reason:
            return [{"name": name, "value": None, "unit": "1/s", "note": f"not run: {reason}"}]
        try:
            theirs, lost, wall = _forwarded(python, Path(folder), plant.port, server.port, messages)
            ours, ours_lost = _taken(plant.port, Path(folder), "one", 1)
        finally:
            plant.stop()
            server.stop()
    note = "a core-second of the taking process; QoS 1, Mosquitto"
    return [
        row(name, theirs, "1/s", f"{note}; {lost} of {messages} lost, {wall:.1f} s of wall time"),
        row("mqtt to history, one value a message", ours, "1/s", f"{note}; {ours_lost} lost; {ours / theirs:.1f} times"),
    ]


def _forwarded(python: str, folder: Path, plant: int, server: int, messages: int) -> tuple[float, int, float]:
    """Values a core-second that the gateway brings from one broker to the other, how many are missing, and wall time [s]."""
    standing_in = ThingsBoardServerStandIn(server)
    _configure(folder / "config", plant, server)
    output = (folder / "gateway.out").open("wb")
    environment = os.environ | {"TB_GW_CONFIG_DIR": str(folder / "config"), "TB_GW_LOGS_PATH": str(folder)}
    code = "from thingsboard_gateway.tb_gateway import main; main()"
    gateway = subprocess.Popen([python, "-c", code], cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        _until(standing_in.asked.is_set, gateway, folder, "ask for its limits")
        sent = -1
        while not standing_in.values:  # it subscribes some time after: what is sent before is nobody's loss
            _until(lambda: True, gateway, folder, "run")
            _publish(plant, 1).wait()
            sent += 1
            if sent > START_S:
                raise Unavailable(f"the gateway forwards nothing: {_told(folder)}")
            time.sleep(1.0)
        time.sleep(2.0)
        standing_in.values.clear()
        before, begin = _processor_s(gateway.pid), time.monotonic()
        publisher = _publish(plant, messages)
        standing_in.latest = time.monotonic()
        while len(set(standing_in.values)) < messages and time.monotonic() - standing_in.latest < QUIET_S:
            time.sleep(0.05)
        taken, wall = _processor_s(gateway.pid) - before, standing_in.latest - begin
        publisher.wait()
        there = len(set(standing_in.values))
    finally:
        gateway.terminate()
        try:
            gateway.wait(10.0)
        except subprocess.TimeoutExpired:
            gateway.kill()
            gateway.wait()
        output.close()
        standing_in.close()
    return there / taken, messages - there, wall


def _publish(port: int, count: int) -> subprocess.Popen[bytes]:
    """The messages of the other rows, with a time as the gateway reads it [ms]."""
    program = PUBLISHER.replace('"t": {t0 + i}', '"ts": {t0 // 10**6 + i}')
    return subprocess.Popen([sys.executable, "-c", program, str(port), TOPIC, str(count), "1", str(T0)])


def _configure(folder: Path, plant: int, server: int) -> None:
    """The gateway's own files: one MQTT connector, one topic, one time series."""
    folder.mkdir()
    kinds = ("rate", "dpRate", "messagesRate", "deviceMessagesRate", "deviceRate", "deviceDpRate")
    limits = [f"{kind}Limits" for kind in kinds]
    main = {
        "thingsboard": {
            "host": "127.0.0.1", "port": server, "remoteShell": False, "remoteConfiguration": False,
            "statistics": {"enable": False}, "maxPayloadSizeBytes": 65536, "minPackSendDelayMS": 0, "minPackSizeToSend": 1000,
            "security": {"type": "accessToken", "accessToken": "bench"}, "qos": 1, "reportStrategy": {"type": "ON_RECEIVED"},
        } | dict.fromkeys(limits, NO_LIMIT),
        "storage": {"type": "memory", "read_records_count": 1000, "max_records_count": 1_000_000},
        "grpc": {"enabled": False},
        "connectors": [{"type": "mqtt", "name": "plant", "configuration": "plant.json"}],
    }  # fmt: skip
    device = {
        "deviceNameExpressionSource": "constant", "deviceNameExpression": DEVICE,
        "deviceProfileExpressionSource": "constant", "deviceProfileExpression": "default",
    }  # fmt: skip
    converter = {
        "type": "json", "deviceInfo": device, "sendDataOnlyOnChange": False, "timeout": 60000, "attributes": [],
        "timeseries": [{"type": "double", "key": "v", "value": "${v}"}],
    }  # fmt: skip
    broker = {
        "host": "127.0.0.1", "port": plant, "clientId": "gateway", "version": 5, "maxMessageNumberPerWorker": 10,
        "maxNumberOfWorkers": 100, "security": {"type": "anonymous"},
    }  # fmt: skip
    connector = {
        "broker": broker,
        "mapping": [{"topicFilter": TOPIC, "subscriptionQos": 1, "converter": converter}],
        "requestsMapping": {},
        "logLevel": "ERROR",
        "name": "plant",
        "id": "bench-plant",
    }
    quiet = {"version": 1, "disable_existing_loggers": False, "handlers": {}, "root": {"level": "ERROR", "handlers": []}}
    for name, content in (("tb_gateway.json", main), ("plant.json", connector), ("logs.json", quiet)):
        (folder / name).write_text(json.dumps(content, indent=1))


def _until(condition: Any, gateway: subprocess.Popen[bytes], folder: Path, what: str) -> None:
    end = time.monotonic() + START_S
    while not condition():
        if gateway.poll() is not None or time.monotonic() > end:
            raise Unavailable(f"the gateway does not {what}: {_told(folder)}")
        time.sleep(0.1)
    if gateway.poll() is not None:
        raise Unavailable(f"the gateway has ended: {_told(folder)}")


def _told(folder: Path) -> str:
    return (folder / "gateway.out").read_text(errors="replace")[-1500:]


def _processor_s(pid: int) -> float:
    """Processor time of a process with all its threads [s]."""
    with Path(f"/proc/{pid}/stat").open() as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    log.configure("error")
    print(json.dumps(run(), indent=2))

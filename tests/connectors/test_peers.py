"""Against MQTT and OPC UA that nobody here wrote: aedes, and node-opcua as a server and as a client."""

import json
import subprocess
import sys
from pathlib import Path

from twin.connectors import serve_opcua
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, Sample, SignalKey
from twin.model.factory import Signal

OVEN = SignalKey("/World/Cell/Oven", "temperature")
SETPOINT = SignalKey("/World/Cell/Oven", "setpoint")
T0 = 1_700_000_000 * 10**9
BAD_SENSOR_FAILURE = 0x808C0000


# ---- aedes

MQTT = """
schema: twin.mapping/1
connections:
  - name: cell
    driver: mqtt
    address: "mqtt://127.0.0.1:{port}"
    options: {{client_id: twin, session: true, keepalive: 5}}
signals:
  - connection: cell
    source: {{topic: cell/+/temperature, value: /v, time: /t, qos: 1}}
    target: {{prim: "/World/Cell/{{1}}", signal: temperature}}
    unit: Cel
  - connection: cell
    source: {{topic: cell/Oven/setpoint, write_topic: cell/Oven/setpoint/set}}
    target: {{prim: /World/Cell/Oven, signal: setpoint}}
    unit: Cel
    write: {{min: 20, max: 250}}
"""


def test_aedes_delivers_through_cut_connections_and_takes_writes(start_peer, make_plant, history, wait_for):
    broker = start_peer("mqtt_broker.js")
    plant = make_plant(MQTT.format(port=broker.port), history, allow_writes=True)
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="subscribed")
    for number in range(200):
        broker.tell(publish="cell/Oven/temperature", payload=json.dumps({"v": number, "t": T0 + number}))
        if number in (60, 130):
            wait_for(lambda: OVEN in {r.key for r in plant.view()} and _newest(plant, OVEN) is not None, what="values")
            broker.tell(drop=True)

    def recorded():
        history.flush()
        return {s.value for s in history.samples(OVEN, T0, T0 + 1000)} == set(range(200))

    wait_for(recorded, 30.0, "every value, through two cuts")
    broker.tell(publish="cell/Oven/setpoint", payload="180", retain=True)
    wait_for(lambda: _newest(plant, SETPOINT) == 180, what="the plain value")
    assert plant.write(SETPOINT, 200.0, user="ada").quality == GOOD
    taken = broker.read()
    assert (taken["topic"], float(taken["payload"]), taken["qos"]) == ("cell/Oven/setpoint/set", 200.0, 1)


def _newest(plant, key):
    return next((r.value for r in plant.view() if r.key == key and r.quality == GOOD), None)


# ---- node-opcua as a server

OPCUA = """
schema: twin.mapping/1
connections:
  - name: cell
    driver: opcua
    address: "opc.tcp://127.0.0.1:{port}/cell"
    options: {{{options}}}
signals:
  - connection: cell
    source: {{namespace: "urn:test:cell", node: "s=oven.temperature"}}
    target: {{prim: /World/Cell/Oven, signal: temperature}}
    unit: Cel
  - connection: cell
    source: {{namespace: "urn:test:cell", node: "s=oven.setpoint"}}
    target: {{prim: /World/Cell/Oven, signal: setpoint}}
    unit: Cel
    write: {{min: 20, max: 250}}
"""


def _certificate(folder: Path) -> str:
    """A certificate of the twin as an OPC UA application, and its key."""
    made = subprocess.run(
        [sys.executable, "-c", _MAKE, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return f"Basic256Sha256,SignAndEncrypt,{folder / 'twin.der'},{folder / 'twin.pem'}"


_MAKE = """
import asyncio, sys
from pathlib import Path
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
folder = Path(sys.argv[1])
asyncio.run(setup_self_signed_certificate(
    folder / "twin.pem", folder / "twin.der", "urn:freeopcua:client", "localhost", [ExtendedKeyUsageOID.CLIENT_AUTH],
    {"countryName": "DE", "organizationName": "Twin"}))
"""


def test_node_opcua_is_subscribed_written_and_found_again(start_peer, make_plant, history, wait_for, tmp_path):
    options = f'security: "{_certificate(tmp_path)}", username: line, password: secret'
    server = start_peer("opcua_server.js", tmp_path)
    plant = make_plant(OPCUA.format(port=server.port, options=options), history, allow_writes=True)
    wait_for(lambda: _newest(plant, OVEN) == 20.5, 30.0, "the first value")
    for number in range(50):
        server.tell(set=100.0 + number)
        server.read()
    wait_for(lambda: _newest(plant, OVEN) == 149.0, what="the newest value")
    server.tell(set=0.0, quality="BadSensorFailure")
    server.read()
    wait_for(
        lambda: next(r.quality for r in plant.view() if r.key == OVEN) == 0x808C0000, what="the status as the server gave it"
    )

    written = plant.write(SETPOINT, 200.0, user="ada")
    assert (written.quality, written.read_back) == (GOOD, 200.0)
    server.tell(set=150.0)
    assert server.read()["setpoint"] == 200.0

    server.tell(stop=True)
    server.read()
    wait_for(lambda: plant.statuses()[0].state == "backoff", 20.0, "the loss is noticed")
    history.flush()
    assert history.latest_at(OVEN, 2**62).quality == BAD_NO_COMMUNICATION
    server.tell(start=33.0)  # another process of the same name would be no different: every session is forgotten
    server.read()
    wait_for(lambda: _newest(plant, OVEN) == 33.0, 30.0, "subscribed anew")


# ---- node-opcua as a client


def test_node_opcua_reads_watches_and_writes_what_the_twin_serves(start_peer, unused_port, wait_for):
    state = {OVEN: Sample(OVEN, 180.5, GOOD, T0, None, T0, "simulated")}
    taken = []
    signals = [Signal(OVEN.prim, OVEN.name, "Cel"), Signal(SETPOINT.prim, SETPOINT.name, "Cel", value=20.0)]
    serving = serve_opcua(
        signals, lambda: state, port=unused_port(), period_s=0.02, writable=[SETPOINT],
        take=lambda key, value, user: taken.append((key, value)),
    )  # fmt: skip
    try:
        client = start_peer("opcua_client.js", serving.endpoint)
        client.tell(browse=True)
        found = client.read()
        index = found["namespaces"].index("urn:twin:signals")
        node = f"ns={index};s={OVEN}"
        assert node in {f["id"] for f in found["found"] if f["variable"]}
        client.tell(read=node)
        answer = client.read()
        assert (answer["value"], answer["status"], answer["source"][:19]) == (180.5, 0, "2023-11-14T22:13:20")
        client.tell(watch=node)
        assert client.read()["watched"] == 180.5
        state[OVEN] = Sample(OVEN, 181.5, GOOD, T0 + 10**9, None, T0 + 10**9, "simulated")
        assert client.read()["watched"] == 181.5
        client.tell(write=f"ns={index};s={SETPOINT}", type="Double", value=200.0)
        answer = client.read()
        assert answer["status"] == 0
        wait_for(lambda: taken == [(SETPOINT, 200.0)], what="the write")
        client.tell(write=node, type="Double", value=1.0)
        assert client.read()["status"] != 0
    finally:
        serving.stop()

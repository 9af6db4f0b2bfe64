"""The twin as a plant: its own drivers, and another library, read what it serves."""

from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from asyncua import ua
from asyncua.sync import Client
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pymodbus.client import ModbusTcpClient

from twin.connectors import publish_mqtt, publish_sparkplug, serve_opcua
from twin.connectors.base import Fatal
from twin.connectors.serving.modbus import ModbusServing
from twin.core.errors import InputError, Rejected, WorkError
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, Sample, SignalKey
from twin.model.factory import Signal

OVEN, MODE, DOOR = SignalKey("/W/Line/Oven", "temperature"), SignalKey("/W/Line", "mode"), SignalKey("/W/Line/Oven", "door")
SIGNALS = [
    Signal(OVEN.prim, OVEN.name, "Cel"),
    Signal(MODE.prim, MODE.name, value="auto"),
    Signal(DOOR.prim, DOOR.name, value=False),
]
T = 1_700_000_000_000_000_000
NODE = "nsu=urn:twin:signals;s={}"


def sample(key, value, quality=GOOD, *, time=T) -> Sample:
    return Sample(key, value, quality, time, None, time + 5_000_000, "simulated")


@pytest.fixture
def state():
    return {OVEN: sample(OVEN, 180), MODE: sample(MODE, "auto"), DOOR: sample(DOOR, True)}


@pytest.fixture
def serve(state, unused_port):
    running = []

    def start(**options):
        running.append(serve_opcua(SIGNALS, lambda: state, port=unused_port(), period_s=0.02, **options))
        return running[-1]

    yield start
    for serving in running:
        serving.stop()


def test_a_client_reads_values_units_times_and_quality(serve, state, wait_for):
    serving = serve()
    with Client(serving.endpoint) as client:
        node = client.get_node(_id(client, OVEN))
        wait_for(lambda: node.read_data_value(raise_on_bad_status=False).Value.Value == 180.0, what="value")
        data = node.read_data_value()
        assert data.Value.VariantType == ua.VariantType.Double
        assert int(data.SourceTimestamp.timestamp()) == T // 10**9
        assert node.read_description().Text == "[Cel]"
        assert node.get_parent().read_browse_name().Name == "Oven"
        assert client.get_node(_id(client, MODE)).read_value() == "auto"
        assert client.get_node(_id(client, DOOR)).read_value() is True
        state[OVEN] = sample(OVEN, None, BAD_NO_COMMUNICATION, time=T + 10**9)
        read = lambda: node.read_data_value(raise_on_bad_status=False)  # noqa: E731
        wait_for(lambda: read().StatusCode.value == BAD_NO_COMMUNICATION, what="quality")
        with pytest.raises(ua.UaStatusCodeError):
            node.write_value(1.0)


def move(state, serving):
    """Somebody calls the oven a kiln."""
    for key in (OVEN, DOOR):
        kiln = SignalKey("/W/Line/Kiln", key.name)
        state[kiln] = replace(state.pop(key), key=kiln)
    serving.moved(lambda path: path.replace("/W/Line/Oven", "/W/Line/Kiln"))


def test_a_new_name_is_served_at_once_and_the_old_one_says_that_it_is_gone(serve, state, wait_for):
    serving = serve()
    kiln = SignalKey("/W/Line/Kiln", OVEN.name)
    told = deque()

    class Heard:
        def datachange_notification(self, node, value, data):
            told.append(data.monitored_item.Value.StatusCode.value)

    with Client(serving.endpoint) as client:
        old = client.get_node(_id(client, OVEN))
        wait_for(lambda: old.read_data_value(raise_on_bad_status=False).Value.Value == 180.0, what="value")
        above = old.get_parent().get_parent()
        client.create_subscription(20, Heard()).subscribe_data_change(old)
        wait_for(lambda: told, what="a first value")
        move(state, serving)
        new = client.get_node(_id(client, kiln))

        def value():
            try:
                return new.read_value()
            except ua.UaStatusCodeError:
                return None

        wait_for(lambda: value() == 180.0, what="the value under its new name")
        assert (new.read_description().Text, new.get_parent().read_browse_name().Name) == ("[Cel]", "Kiln")
        with pytest.raises(ua.UaStatusCodeError):
            old.read_value()
        assert {n.read_browse_name().Name for n in above.get_children()} == {"mode", "Kiln"}
        wait_for(lambda: told[-1] == ua.StatusCodes.BadNodeIdUnknown, what="who has subscribed is told")
        state[kiln] = sample(kiln, 190)
        wait_for(lambda: value() == 190.0, what="it goes on")


def test_registers_keep_their_signals_under_new_names(state, unused_port, wait_for):
    serving = ModbusServing(SIGNALS, lambda: state, port=unused_port())
    serving.start()
    client = ModbusTcpClient("127.0.0.1", port=serving.port)
    try:
        assert client.connect()
        read = lambda: client.read_holding_registers(0, count=2, device_id=1).registers  # noqa: E731
        number = lambda: client.convert_from_registers(read(), client.DATATYPE.FLOAT32)  # noqa: E731
        assert number() == 180.0
        move(state, serving)
        wait_for(lambda: number() == 180.0, what="the value under its new name")
        assert serving.address_of(SignalKey("/W/Line/Kiln", OVEN.name)) == 0
    finally:
        client.close()
        serving.stop()


def test_writing_goes_only_where_it_is_permitted_and_taken(serve, state, wait_for):
    taken = []

    def take(key, value, user):
        if value > 200:
            raise Rejected("limit", "too hot")
        taken.append((key, value, user))
        state[key] = sample(key, value, time=T + len(taken))

    serving = serve(writable={OVEN}, take=take, login=("plc", "secret"))
    stranger = Client(serving.endpoint)
    with pytest.raises(ua.UaError):
        stranger.connect()
    stranger.tloop.stop()
    client = Client(serving.endpoint)
    client.set_user("plc")
    client.set_password("secret")
    with client:
        node = client.get_node(_id(client, OVEN))
        node.write_value(190.0)
        assert taken == [(OVEN, 190.0, "plc")]
        with pytest.raises(ua.UaStatusCodeError):
            node.write_value(500.0)
        with pytest.raises(ua.UaStatusCodeError):
            client.get_node(_id(client, MODE)).write_value("manual")
        assert node.read_value() == 190.0
    assert len(taken) == 1


def test_the_twin_reads_itself(serve, state, make_plant, wait_for):
    serving = serve()
    text = f"""
schema: twin.mapping/1
connections: [{{name: twin, driver: opcua, address: "{serving.endpoint}"}}]
signals:
  - {{connection: twin, source: {{node: "{NODE.format(OVEN)}"}}, target: {{prim: /X, signal: t}}, raw_unit: Cel, unit: K}}
"""
    plant = make_plant(text)
    wait_for(lambda: plant.statuses()[0].state == "live", what="live")
    received = plant.drain_state()[SignalKey("/X", "t")]
    assert (received.value, received.source_time) == (pytest.approx(453.15), T)


def test_what_cannot_be_served_safely_is_refused(serve, unused_port):
    port = unused_port()
    with pytest.raises(InputError, match="needs a login"):
        serve_opcua(SIGNALS, dict, host="0.0.0.0", port=port)
    with pytest.raises(InputError, match="nothing takes"):
        serve_opcua(SIGNALS, dict, port=port, writable={OVEN})
    with pytest.raises(InputError, match="no such signal"):
        serve_opcua(SIGNALS, dict, port=port, writable={SignalKey("/X", "y")}, take=lambda *_: None)
    first = serve()
    with pytest.raises(WorkError, match="cannot start"):
        serve_opcua(SIGNALS, dict, port=int(first.endpoint.rpartition(":")[2].partition("/")[0]))
    with pytest.raises(InputError, match="not empty"):
        publish_mqtt("mqtt://127.0.0.1", dict, prefix="/")
    with pytest.raises(Fatal, match="not understood"):
        publish_mqtt("broker", dict, prefix="twin")


def test_published_values_survive_a_restart_of_the_broker(broker, state, make_plant, wait_for):
    publishing = publish_mqtt(f"mqtt://127.0.0.1:{broker.port}", lambda: state, prefix="twin/line", period_s=0.02)
    try:
        text = f"""
schema: twin.mapping/1
connections: [{{name: copy, driver: mqtt, address: "mqtt://127.0.0.1:{broker.port}"}}]
signals:
  - connection: copy
    source: {{topic: "twin/line/W/Line/Oven/temperature", value: /value, time: /time}}
    target: {{prim: /X, signal: t}}
    unit: Cel
"""
        plant = make_plant(text)
        wait_for(lambda: plant.statuses()[0].state == "live", what="live")
        received = plant.drain_state()[SignalKey("/X", "t")]
        assert (received.value, received.source_time, received.quality) == (180, T, GOOD)
        broker.stop()
        wait_for(lambda: publishing.error, what="loss")
        state[OVEN] = sample(OVEN, 181.5, time=T + 10**9)
        broker.start()
        seen = {}
        key = SignalKey("/X", "t")
        wait_for(lambda: seen.update(plant.drain_state()) or (key in seen and seen[key].value == 181.5), what="the new value")
        assert publishing.error == ""
    finally:
        publishing.stop()


def next_of(host, kind: str) -> dict:
    while (message := host.read())["kind"] != kind:
        pass
    return message


def test_another_library_hears_the_edge_node_s_births_data_and_death(broker, state, start_peer, wait_for):
    host = start_peer("sparkplug_host.js", broker.port)
    taken = []

    def take(key, value, user):
        if value > 200:
            raise Rejected("limit", "too hot")
        taken.append((key, value))

    address = f"mqtt://127.0.0.1:{broker.port}"
    names = {"group": "plant", "node": "twin"}
    edge = publish_sparkplug(address, SIGNALS, lambda: state, **names, period_s=0.005, writable={OVEN}, take=take)
    try:
        birth = next_of(host, "NBIRTH")
        there = {m["name"]: m for m in birth["metrics"]}
        assert birth["seq"] == 0
        oven = there["W/Line/Oven/temperature"]
        assert (oven["type"], oven["value"], oven["quality"], oven["timestamp"]) == ("Double", 180, 192, T // 10**6)
        assert (there["W/Line/mode"]["value"], there["W/Line/Oven/door"]["value"]) == ("auto", True)
        assert there["bdSeq"]["value"] == 0
        for i in range(260):
            state[OVEN] = sample(OVEN, 200.5 + i, time=T + (i + 1) * 10**9)
            wait_for(lambda i=i: edge.sent > i, what="data")
        messages = [next_of(host, "NDATA") for _ in range(260)]
        assert [m["seq"] for m in messages] == [(i + 1) % 256 for i in range(260)]
        assert [m["metrics"][0]["value"] for m in messages] == [200.5 + i for i in range(260)]
        assert {m["metrics"][0]["alias"] for m in messages} == {oven["alias"]}
        state[OVEN] = sample(OVEN, None, BAD_NO_COMMUNICATION, time=T + 10**12)
        gap = next_of(host, "NDATA")["metrics"][0]
        assert (gap["value"], gap["quality"]) == (None, 0)
        host.tell(type="NCMD", metrics=[{"name": "Node Control/Rebirth", "type": "Boolean", "value": True}])
        assert next_of(host, "NBIRTH")["seq"] == 0
        for value in (150, 500):
            host.tell(type="NCMD", metrics=[{"name": "W/Line/Oven/temperature", "type": "Double", "value": value}])
        host.tell(type="NCMD", metrics=[{"name": "W/Line/mode", "type": "String", "value": "manual"}])
        wait_for(lambda: taken, what="the command")
        state[DOOR] = sample(DOOR, "ajar", time=T + 2 * 10**12)  # of another type than at birth
        again = {m["name"]: m for m in next_of(host, "NBIRTH")["metrics"]}
        assert (again["W/Line/Oven/door"]["type"], again["W/Line/Oven/door"]["value"]) == ("String", "ajar")
        move(state, edge)
        kiln = {m["name"]: m for m in next_of(host, "NBIRTH")["metrics"]}
        assert {n for n in kiln if n.startswith("W/")} == {"W/Line/Kiln/temperature", "W/Line/Kiln/door", "W/Line/mode"}
        assert kiln["W/Line/Kiln/door"]["value"] == "ajar"
    finally:
        edge.stop()
    assert next_of(host, "NDEATH")["metrics"][0]["value"] == 0
    assert taken == [(OVEN, 150.0)]


def host_mapping(port):
    """The host application ``scada``, which hears the oven of the edge node ``plant/twin``."""
    return f"""
schema: twin.mapping/1
connections: [{{name: copy, driver: sparkplug, address: "sparkplug://127.0.0.1:{port}", options: {{host_id: scada}}}}]
signals:
  - connection: copy
    source: {{group: plant, node: twin, metric: W/Line/Oven/temperature}}
    target: {{prim: /X, signal: t}}
    unit: Cel
"""


def test_the_twin_is_a_host_of_its_own_edge_node_over_a_restart_of_the_broker(broker, state, make_plant, wait_for):
    names = {"group": "plant", "node": "twin", "primary_host": "scada"}
    edge = publish_sparkplug(f"mqtt://127.0.0.1:{broker.port}", SIGNALS, lambda: state, **names, period_s=0.02)
    try:
        assert edge.births == 0  # nobody is listening yet
        plant, key, seen = make_plant(host_mapping(broker.port)), SignalKey("/X", "t"), {}
        wait_for(lambda: seen.update(plant.drain_state()) or (key in seen and seen[key].value == 180), what="the first value")
        assert seen[key].source_time == T
        broker.stop()
        wait_for(lambda: edge.error, what="loss")
        state[OVEN] = sample(OVEN, 181.5, time=T + 10**9)
        broker.start()
        wait_for(lambda: seen.update(plant.drain_state()) or seen[key].value == 181.5, 30.0, "the new value")
    finally:
        edge.stop()
    wait_for(lambda: seen.update(plant.drain_state()) or seen[key].quality == BAD_NO_COMMUNICATION, what="its death")


class Walk:
    """A state that moves one step each time it is asked for, as long as steps are left; ``put`` adds some."""

    def __init__(self, state):
        self._state, self._steps, self.made = state, deque(), []

    def put(self, count: int) -> None:
        for _ in range(count):
            number = len(self.made)
            self.made.append(number)
            self._steps.append(sample(OVEN, float(number), time=T + number * 1_000_000))

    def __call__(self):
        if self._steps:
            self._state[OVEN] = self._steps.popleft()
        return self._state

    def is_over(self) -> bool:
        return not self._steps


def test_nothing_is_lost_while_the_broker_or_the_primary_host_is_away(broker, state, make_plant, history, start_peer, wait_for):
    names = {"group": "plant", "node": "twin", "primary_host": "scada"}
    walk, key, seen = Walk(state), SignalKey("/X", "t"), {}
    edge = publish_sparkplug(f"mqtt://127.0.0.1:{broker.port}", SIGNALS, walk, **names, period_s=0.002)

    def recorded() -> set:
        history.flush()
        return {s.value for s in history.samples(key, 0, 2**62)}

    def shown():
        seen.update(plant.drain_state())
        return seen[key].value if key in seen else None

    try:
        walk.put(50)
        wait_for(walk.is_over, what="values before anybody listened")
        assert (edge.births, edge.sent) == (0, 0)
        plant = make_plant(host_mapping(broker.port), history)
        wait_for(lambda: edge.sent >= 49, what="what was stored")  # the newest is in the birth
        for times in range(2):
            before = edge.sent
            walk.put(100)
            wait_for(lambda n=before: edge.sent >= n + 30, what="values that come through")
            broker.kill()
            walk.put(100)
            wait_for(lambda: walk.is_over() and edge.error, what="values that are stored")
            assert edge.stored >= 100
            broker.start()
            wait_for(lambda n=times: edge.births >= n + 2 and not edge.stored, 30.0, "the store is empty")
            wait_for(lambda: recorded() >= set(walk.made), what="every value of before, while and after")
            wait_for(lambda: shown() == walk.made[-1], what="the newest as the state")
        plant.stop()
        wait_for(lambda: "scada" in edge.error, what="the host is gone")
        walk.put(100)
        wait_for(walk.is_over, what="values that are stored")
        plant = make_plant(host_mapping(broker.port), history)
        wait_for(lambda: recorded() >= set(walk.made), 30.0, "what came while the host was away")
        wait_for(lambda: shown() == walk.made[-1], what="the newest as the state")
        assert edge.dropped == 0
        assert not any("sequence" in loss for loss in plant.losses())
    finally:
        edge.stop()


def test_another_library_sees_what_was_stored_marked_as_historical_and_in_order(broker, state, start_peer, wait_for):
    names, walk = {"group": "plant", "node": "twin", "primary_host": "scada"}, Walk(state)
    edge = publish_sparkplug(f"mqtt://127.0.0.1:{broker.port}", SIGNALS, walk, **names, period_s=0.002, store=200)
    try:
        host = start_peer("sparkplug_host.js", broker.port, "scada")
        next_of(host, "NBIRTH")
        walk.put(10)
        live = [next_of(host, "NDATA")["metrics"][0] for _ in range(10)]
        assert [(m["value"], m["historical"]) for m in live] == [(float(n), False) for n in range(10)]
        broker.kill()
        wait_for(lambda: edge.error, what="loss")
        assert edge.stored == 13  # nobody knows whether they arrived, nor the birth
        walk.put(300)
        wait_for(lambda: edge.stored + edge.dropped == 313, what="values that are stored")
        broker.start()
        birth = next_of(host, "NBIRTH")
        assert {m["name"]: m["value"] for m in birth["metrics"]}["W/Line/Oven/temperature"] == 309.0
        stored = []
        while len(stored) < 199:  # the newest is in the birth
            stored += next_of(host, "NDATA")["metrics"]
        assert [(m["value"], m["historical"]) for m in stored] == [(float(n), True) for n in range(110, 309)]
        assert [m["timestamp"] for m in stored] == [T // 10**6 + n for n in range(110, 309)]
        assert edge.forwarded == 199
        assert edge.dropped == 113
        walk.put(1)
        (last,) = next_of(host, "NDATA")["metrics"]
        assert (last["value"], last["historical"]) == (310.0, False)
    finally:
        edge.stop()


def test_a_store_for_fewer_samples_than_signals_is_refused():
    with pytest.raises(InputError, match="too few"):
        publish_sparkplug("mqtt://127.0.0.1:1", SIGNALS, dict, group="g", node="n", store=2)


@pytest.fixture
def certificates(tmp_path):
    """A certificate authority, the broker's certificate and a client's, as files."""
    keys, made = {}, {}
    now = datetime.now(UTC)
    for name, issuer in {"ca": None, "broker": "ca", "client": "ca"}.items():
        keys[name] = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(made[issuer].subject if issuer else subject)
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[name].public_key()), critical=False)
        )
        made[name] = builder.sign(keys[issuer or name], hashes.SHA256())
        (tmp_path / f"{name}.crt").write_bytes(made[name].public_bytes(Encoding.PEM))
        plain = keys[name].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.key").write_bytes(plain)
    return tmp_path


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_publishing_and_reading_with_certificates_on_both_sides(certificates, make_broker, state, make_plant, wait_for, protocol):
    folder = certificates
    files = (f"cafile {folder}/ca.crt", f"certfile {folder}/broker.crt", f"keyfile {folder}/broker.key")
    broker = make_broker(more=(*files, "require_certificate true"))
    broker.start()
    own = {"ca_file": folder / "ca.crt", "cert_file": folder / "client.crt", "key_file": folder / "client.key"}
    address = f"mqtts://127.0.0.1:{broker.port}"
    publishing = publish_mqtt(address, lambda: state, prefix="twin", period_s=0.02, protocol=protocol, **own)
    try:
        options = f'{{ca_file: ca.crt, cert_file: client.crt, key_file: client.key, protocol: "{protocol}"}}'
        text = f"""
schema: twin.mapping/1
connections: [{{name: copy, driver: mqtt, address: "{address}", options: {options}}}]
signals:
  - {{connection: copy, source: {{topic: twin/W/Line/mode, value: /value, time: /time}}, target: {{prim: /X, signal: mode}}}}
"""
        plant = make_plant(text)
        wait_for(lambda: plant.statuses()[0].state == "live", what="live")
        assert plant.drain_state()[SignalKey("/X", "mode")].value == "auto"
        stranger = make_plant(text.replace("cert_file: client.crt, key_file: client.key, ", ""), file="stranger")
        wait_for(lambda: stranger.statuses()[0].state == "backoff", what="refusal of a client without a certificate")
        with pytest.raises(Fatal, match="cannot be set up"):
            publish_mqtt(address, lambda: state, prefix="twin", ca_file=folder / "none.crt")
    finally:
        publishing.stop()


def _id(client, key: SignalKey) -> str:
    return f"ns={client.get_namespace_index('urn:twin:signals')};s={key}"

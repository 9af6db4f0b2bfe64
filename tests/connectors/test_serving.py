"""The twin as a plant: its own drivers, and another library, read what it serves."""

import pytest
from asyncua import ua
from asyncua.sync import Client

from twin.connectors import publish_mqtt, serve_opcua
from twin.connectors.base import Fatal
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


def _id(client, key: SignalKey) -> str:
    return f"ns={client.get_namespace_index('urn:twin:signals')};s={key}"

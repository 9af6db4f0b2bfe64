"""VDA 5050: a virtual vehicle by another hand (vda-5050-lib) through a real Mosquitto, and the published schemas."""

import json
import time
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from twin.connectors.drivers.vda5050.orders import Action, Order, action_message, header, order_message, order_over
from twin.connectors.drivers.vda5050.states import READ
from twin.connectors.inspect import browse, draft, probe
from twin.connectors.mapping import parse
from twin.core.errors import Rejected, WorkError
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, SignalKey, is_good

SCHEMAS = Path(__file__).parents[2].parent / "shared" / "data" / "vda5050"
published = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="the VDA 5050 schemas are not at ../shared/data")
T0 = 1_767_600_000_000_000_000
ROUTE = [("n1", 0.0, 0.0), ("n2", 3.0, 0.0), ("n3", 3.0, 2.0)]


def mapping(port: int, fields: dict[str, str], *, serial: str = "A7", options: str = "{}") -> str:
    lines = [
        f"  - {{connection: fleet, source: {{manufacturer: acme, serial: {json.dumps(serial)}, field: {name}}}, "
        f"target: {{prim: '/W/{'{1}' if serial == '+' else serial}', signal: {name}}}{more}}}"
        for name, more in fields.items()
    ]
    connection = f'{{name: fleet, driver: vda5050, address: "vda5050://127.0.0.1:{port}", options: {options}}}'
    return "\n".join(["schema: twin.mapping/1", f"connections: [{connection}]", "signals:", *lines])


class Watch:
    """The newest sample of each signal so far."""

    def __init__(self, plant) -> None:
        self._plant, self.seen = plant, {}

    def __call__(self, name: str, serial: str = "A7"):
        self.seen.update(self._plant.drain_state())
        return self.seen.get(SignalKey(f"/W/{serial}", name))

    def value(self, name: str, serial: str = "A7"):
        sample = self(name, serial)
        return sample.value if sample is not None and is_good(sample.quality) else None


def check(kind: str, message: dict) -> None:
    """Against the schema of VDA 5050 3.0.0."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{kind}.schema").read_text())).validate(message)


def state(number: int, **more) -> dict:
    """A whole state message of version 3."""
    head = header(number, 3, "acme", "B1", T0 + number * 10**9)
    return (
        head
        | {
            "orderId": "", "orderUpdateId": 0, "lastNodeId": "n1", "lastNodeSequenceId": 0, "nodeStates": [], "edgeStates": [],
            "driving": False, "actionStates": [], "instantActionStates": [], "operatingMode": "AUTOMATIC", "errors": [],
            "powerSupply": {"stateOfCharge": 71.5, "charging": True},
            "safetyState": {"activeEmergencyStop": "NONE", "fieldViolation": False},
            "mobileRobotPosition": {"x": 1.5, "y": -2.0, "theta": 0.5, "mapId": "hall", "localized": True},
        }
        | more
    )  # fmt: skip


@pytest.fixture
def publish(broker):
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield lambda topic, document: client.publish(
        f"uagv/v3/acme/B1/{topic}", document if isinstance(document, bytes) else json.dumps(document), qos=1
    ).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


def test_a_vehicle_by_another_hand_tells_its_state_takes_an_order_and_drives_it(
    broker, start_peer, make_plant, history, wait_for
):
    vehicle = start_peer("vda5050_vehicle.js", broker.port)
    fields = dict.fromkeys(("x", "y", "charge", "driving", "mode", "last_node", "order", "connection", "error"), "")
    fields |= {"order_out": ", write: {text: '.+'}", "instant_action": ", write: {text: 'startPause|stopPause|.*boom.*'}"}
    plant = make_plant(mapping(broker.port, fields, options="{accept: 10 s}"), history, allow_writes=True)
    watch = Watch(plant)
    wait_for(lambda: watch.value("charge"), what="the first state")
    assert (watch.value("mode"), watch.value("last_node"), watch.value("connection")) == ("AUTOMATIC", "n1", "ONLINE")
    assert watch("x").source_time is not None
    order = order_over(ROUTE, "hall")
    result = plant.write(SignalKey("/W/A7", "order_out"), order.model_dump_json(exclude_none=True), user="Ann")
    assert (result.quality, result.read_back) == (GOOD, order.orderId)
    wait_for(lambda: watch.value("driving") is True, what="driving")
    wait_for(lambda: watch.value("last_node") == "n3", 30.0, what="arrival")
    wait_for(lambda: abs(watch.value("x") - 3.0) < 0.2 and abs(watch.value("y") - 2.0) < 0.2, what="its pose")
    assert watch.value("order") == order.orderId
    pause = plant.write(SignalKey("/W/A7", "instant_action"), "startPause", user="Ann")
    assert pause.quality == GOOD
    refusal = plant.write(SignalKey("/W/A7", "instant_action"), "boom", user="Ann")
    assert not is_good(refusal.quality)
    assert refusal.read_back != "boom"
    loaded = parse(mapping(broker.port, {"x": ""}), file="m", folder=Path())
    found = browse(loaded, loaded.connections[0], seconds=1.0, timeout_s=5.0)
    assert {("charge", "%"), ("x", "m")} <= {(f.source["field"], f.unit) for f in found}
    assert parse(draft(loaded.connections[0], found), file="draft", folder=Path()).points
    assert probe(loaded, loaded.connections[0], timeout_s=5.0).details["vehicles"] == ["acme/A7"]
    vehicle.tell(command="cut")  # the broker publishes its will
    wait_for(lambda: watch("x").quality == BAD_NO_COMMUNICATION, what="the gap")
    assert watch.value("connection") in ("CONNECTIONBROKEN", "OFFLINE")
    lost = plant.write(SignalKey("/W/A7", "instant_action"), "stopPause", user="Ann")
    assert lost.quality == BAD_NO_COMMUNICATION


def test_orders_that_make_no_sense_never_leave(broker, start_peer, make_plant, wait_for):
    start_peer("vda5050_vehicle.js", broker.port)
    plant = make_plant(mapping(broker.port, {"x": "", "order_out": ", write: {text: '.+'}"}), allow_writes=True)
    watch = Watch(plant)
    wait_for(lambda: watch.value("x") is not None, what="the first state")
    key = SignalKey("/W/A7", "order_out")
    with pytest.raises(WorkError, match="2 nodes need 1 edges"):
        plant.write(key, json.dumps({"nodes": [{"nodeId": n, "sequenceId": 0, "released": True} for n in "ab"]}), user="Ann")
    with pytest.raises(WorkError, match="is no order"):
        plant.write(key, "drive", user="Ann")
    with pytest.raises(Rejected, match="does not permit"):
        plant.write(SignalKey("/W/A7", "x"), 1.0, user="Ann")


def test_version_3_means_the_same_by_other_names(broker, publish, make_plant, history, wait_for):
    fields = dict.fromkeys(("theta", "localized", "charging", "error", "errors", "emergency_stop", "action", "connection"), "")
    fields |= {"x": ", raw_unit: m, unit: mm", "charge": ""}
    plant = make_plant(mapping(broker.port, fields, serial="+"), history)
    watch = Watch(plant)
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="connection")
    publish("state", state(1))
    wait_for(lambda: watch.value("x", "B1") == 1500.0, what="x")
    assert (watch.value("charge", "B1"), watch.value("charging", "B1"), watch.value("localized", "B1")) == (71.5, True, True)
    assert (watch.value("error", "B1"), watch.value("errors", "B1")) == ("NONE", 0)
    assert watch("x", "B1").source_time == T0 + 10**9
    errors = [{"errorType": "a", "errorLevel": "WARNING"}, {"errorType": "b", "errorLevel": "CRITICAL"}]
    running = [{"actionId": "1", "actionType": "pick", "actionStatus": "RUNNING"}]
    publish("state", state(5, errors=errors, actionStates=running, powerSupply={"charging": False}))
    wait_for(lambda: watch.value("error", "B1") == "CRITICAL", what="errors")
    assert (watch.value("errors", "B1"), watch.value("action", "B1")) == (2, "pick")
    assert watch.value("charge", "B1") == 71.5  # what is not told is no news
    assert plant.losses() == {"fleet: state missed: acme/B1": 3}
    head = header(1, 3, "acme", "B1", T0 + 9 * 10**9)
    publish("visualization", head | {"mobileRobotPosition": {"x": 2.0, "y": 0, "theta": 1, "mapId": "h", "localized": True}})
    wait_for(lambda: watch.value("x", "B1") == 2000.0, what="visualization")
    publish("connection", head | {"connectionState": "CONNECTION_BROKEN"})
    wait_for(lambda: watch("x", "B1").quality == BAD_NO_COMMUNICATION, what="the gap")
    assert watch.value("connection", "B1") == "CONNECTION_BROKEN"


def test_nonsense_is_counted_and_named(broker, publish, make_plant, wait_for):
    plant = make_plant(mapping(broker.port, {"x": "", "charge": ""}, serial="B1"))
    watch = Watch(plant)
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="connection")
    publish("state", b"{")
    publish("state", json.dumps([1]).encode())
    publish("state", state(1, timestamp="noon"))
    publish("state", state(2, powerSupply=7))
    wait_for(lambda: watch("charge", "B1") is not None and not is_good(watch("charge", "B1").quality), what="bad")
    assert watch.value("x", "B1") == 1.5
    assert sum(plant.losses().values()) == 4


def test_a_silent_vehicle_is_gone_whatever_it_said_last(broker, publish, make_plant, wait_for):
    plant = make_plant(mapping(broker.port, {"x": ""}, serial="B1", options="{patience: 400 ms}"))
    watch = Watch(plant)
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="connection")
    publish("state", state(1))
    wait_for(lambda: watch.value("x", "B1") == 1.5, what="x")
    wait_for(lambda: watch("x", "B1").quality == BAD_NO_COMMUNICATION, what="silence")


def test_a_unit_that_is_not_the_specification_s_is_refused(broker, make_plant, wait_for):
    plant = make_plant(mapping(broker.port, {"x": ", raw_unit: mm"}))
    wait_for(lambda: plant.statuses()[0].state == "fatal", what="refusal")
    assert "x is in 'm' by VDA 5050, not in 'mm'" in plant.statuses()[0].error


@published
def test_what_is_sent_and_what_the_tests_send_keeps_the_published_schemas():
    check("state", state(1))
    for released in (3, 2, 1):
        message = order_message(order_over(ROUTE, "hall", released=released), header(0, 3, "acme", "B1", time.time_ns()), 3)
        check("order", message)
        assert [n["released"] for n in message["nodes"]] == [i < released for i in range(3)]
    check("instantActions", action_message(Action(actionType="cancelOrder"), header(0, 3, "acme", "B1", T0)))
    older = order_message(order_over(ROUTE, "hall"), header(0, 2, "acme", "B1", T0), 2)
    assert [(e["startNodeId"], e["endNodeId"]) for e in older["edges"]] == [("n1", "n2"), ("n2", "n3")]
    assert older["version"] == "2.1.0"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda o: o["edges"].pop(), "need 2 edges"),
        (lambda o: o["nodes"][1].update(sequenceId=4), "count up by one"),
        (lambda o: (o["nodes"][0].update(sequenceId=1), o["edges"][0].update(sequenceId=0)), "even"),
        (lambda o: o["nodes"][0].update(released=False), "first node"),
        (lambda o: o["edges"][0].update(released=False), "before what is not"),
    ],
)
def test_an_order_must_be_a_chain(change, reason):
    document = order_over(ROUTE, "hall").model_dump(exclude_none=True)
    change(document)
    with pytest.raises(ValidationError, match=reason):
        Order.model_validate(document)


def test_both_versions_names_are_read():
    position, battery = {"x": 1, "positionInitialized": False}, {"batteryCharge": 5.0}
    old = {"agvPosition": position, "batteryState": battery, "safetyState": {"eStop": "AUTOACK"}}
    fields = ("x", "localized", "charge", "emergency_stop", "vx", "errors")
    assert [READ[f](old) for f in fields] == [1, False, 5.0, "AUTOACK", None, None]

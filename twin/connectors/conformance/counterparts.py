"""Real servers for the drivers to meet: each sends one number that the caller sets, and can be stopped and started again."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

from twin.connectors.drivers.sparkplug.wire import DOUBLE, Metric, Payload, encode
from twin.core.clock import now_ns
from twin.core.errors import WorkError

START_S = 60.0
TOPIC = "cell/value"
URI = "urn:twin:conformance"


class Unavailable(WorkError):
    """The server is not installed here."""


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stamp() -> str:
    """Now, to the nanosecond, so that it is never the same twice: a sample is known by its stamp."""
    seconds, nanoseconds = divmod(now_ns(), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09}Z"


class Counterpart(ABC):
    """A server with one value.

    Attributes:
        driver, scheme, login, path, source, options: How a mapping names it; source and options as YAML.
        polled: The driver asks for values, so it cannot see each one.
        peer: What it is, for the table of results.
    """

    driver: ClassVar[str]
    scheme: ClassVar[str]
    source: ClassVar[str]
    options: ClassVar[str] = "{}"
    login: ClassVar[str] = ""
    path: ClassVar[str] = ""
    polled: ClassVar[bool] = False
    peer: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @abstractmethod
    def start(self) -> None:
        """Listen on ``port``; returns when it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End, with all connections. A second call does nothing."""

    def discard(self) -> None:
        """After the last stop(): delete what was made for it."""
        return

    @abstractmethod
    def emit(self, value: int) -> None:
        """Send, or show, ``value``."""


class _OnLoop(Counterpart):
    """A server that lives on an event loop in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{self.driver} counterpart", daemon=True)
        self._thread.start()
        self._do(self._start())

    def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()
        self._loop = None

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    @abstractmethod
    async def _start(self) -> None: ...

    @abstractmethod
    async def _stop(self) -> None: ...


class OpcuaServer(_OnLoop):
    driver, scheme, peer = "opcua", "opc.tcp", "asyncua server"
    source = f"{{namespace: '{URI}', node: s=value}}"
    options = "{publishing: 50 ms, sampling: 20 ms, timeout: 2 s}"

    async def _start(self) -> None:
        from asyncua import Server, ua

        self._server = Server()
        await self._server.init()
        self._server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self._server.register_namespace(URI)
        self._node = ua.NodeId(ua.String("value"), ua.Int16(index))
        await self._server.nodes.objects.add_variable(self._node, "value", 0.0)
        await self._server.start()

    async def _stop(self) -> None:
        await self._server.stop()

    def emit(self, value: int) -> None:
        from asyncua import ua

        now = ua.DateTime.now()
        data = ua.DataValue(ua.Variant(float(value), ua.VariantType.Double), SourceTimestamp=now, ServerTimestamp=now)
        self._do(self._server.write_attribute_value(self._node, data))


class ModbusDevice(_OnLoop):
    driver, scheme, peer, polled = "modbus", "modbus", "pymodbus server", True
    source = "{address: 0, type: uint16}"
    options = "{poll: 50 ms, timeout: 500 ms}"

    async def _start(self) -> None:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        self._value = 0

        async def answer(function: int, start: int, address: int, count: int, registers: list[int], values: Any) -> None:
            registers[address - start] = self._value

        device = SimDevice(1, simdata=[SimData(0, values=[0] * 4, datatype=DataType.REGISTERS)], action=answer)
        self._server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await self._server.serve_forever(background=True)

    async def _stop(self) -> None:
        await self._server.shutdown()

    def emit(self, value: int) -> None:
        self._value = value % 65536


class ShdrAdapter(_OnLoop):
    driver, scheme, peer = "mtconnect", "shdr", "SHDR adapter"
    source = "{item: value}"
    options = "{heartbeat: 300 ms}"

    async def _start(self) -> None:
        self._peers: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peers.add(writer)
        try:
            while await reader.readline():
                writer.write(b"* PONG 300\n")
        except OSError:
            pass  # whoever goes without a goodbye has gone too
        finally:
            self._peers.discard(writer)
            writer.close()

    async def _stop(self) -> None:
        self._server.close()
        for peer in list(self._peers):
            peer.transport.abort()

    async def _send(self, line: bytes) -> None:
        for peer in list(self._peers):
            peer.write(line)

    def emit(self, value: int) -> None:
        self._do(self._send(f"{_stamp()}|value|{value}\n".encode()))


class MtconnectAgent(_OnLoop):
    driver, scheme, peer = "mtconnect-agent", "mtconnect", "a small agent"
    source = "{item: value}"
    options = "{heartbeat: 300 ms, interval: 20 ms}"
    _DEVICES = (
        b'<MTConnectDevices xmlns="urn:mtconnect.org:MTConnectDevices:2.2"><Devices><Device name="d" uuid="d"><DataItems>'
        b'<DataItem id="value" name="value" category="SAMPLE" type="LOAD"/></DataItems></Device></Devices></MTConnectDevices>'
    )

    async def _start(self) -> None:
        from twin.connectors.conformance.agent import Agent

        self._agent = Agent(self._DEVICES, self.port, instance=now_ns())
        await self._agent.start()

    async def _stop(self) -> None:
        await self._agent.stop()

    async def _add(self, stamp: str, value: int) -> None:
        self._agent.add("value", stamp, str(value))

    def emit(self, value: int) -> None:
        self._do(self._add(_stamp(), value))


class MqttBroker(Counterpart):
    """Mosquitto, and a client that publishes."""

    driver, scheme, peer = "mqtt", "mqtt", "Mosquitto"
    source = f"{{topic: {TOPIC}, value: v, time: t}}"
    options = "{keepalive: 1}"

    def __init__(self, folder: Path, *, persistent: bool = False) -> None:
        super().__init__(folder)
        self._persistent = persistent
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
        if program is None:
            raise Unavailable("mosquitto is not installed")
        config = self.folder / f"mosquitto-{self.port}.conf"
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0"]
        # one change a write: what the broker has acknowledged survives its being killed
        kept = ["persistence true", f"persistence_location {self.folder}/", "autosave_on_changes true", "autosave_interval 1"]
        lines += kept if self._persistent else ["persistence false"]
        if self.folder.stat().st_uid == 0:
            lines.append("user root")
        config.write_text("\n".join(lines) + "\n")
        command = [program, "-c", str(config)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise WorkError(f"mosquitto does not listen after {START_S:g} s") from None
                time.sleep(0.02)
        self._connect()

    def kill(self) -> None:
        """As a loss of power would; the client that publishes stays, and sends again what nobody has acknowledged."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)
            self._process = None

    def _connect(self) -> None:
        if self._client is not None:
            return
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self._client = Client(CallbackAPIVersion.VERSION2)
        self._prepare(self._client)
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()

    def _prepare(self, client: Any) -> None:
        """What is set before connecting."""

    def stop(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_S)
            self._process = None

    def emit(self, value: int) -> None:
        self.publish(TOPIC, json.dumps({"v": value, "t": now_ns()}).encode())

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message of QoS 1 to the client, which sends it as soon as the broker permits."""
        self._client.publish(topic, payload, qos=1)


class SparkplugNode(MqttBroker):
    """Mosquitto, and an edge node that gives birth when it is asked."""

    driver, scheme, peer = "sparkplug", "sparkplug", "Mosquitto and an edge node"
    source = "{group: g, node: n, metric: value}"
    options = "{keepalive: 1, rebirth_pause: 200 ms}"

    def _prepare(self, client: Any) -> None:
        self._lock = threading.Lock()
        self._seq = 0
        client.on_connect = lambda *_: client.subscribe("spBv1.0/g/NCMD/n", 0)
        client.on_message = lambda *_: self._birth()

    def _birth(self) -> None:
        with self._lock:
            self._seq = 0
            metrics = [Metric("bdSeq", datatype=DOUBLE, value=0.0), Metric("value", datatype=DOUBLE, value=0.0)]
            self._client.publish("spBv1.0/g/NBIRTH/n", encode(Payload(now_ns() // 10**6, 0, metrics)), qos=0)

    def emit(self, value: int) -> None:
        with self._lock:
            self._seq = (self._seq + 1) % 256
            metric = Metric("value", datatype=DOUBLE, value=float(value))
            self._client.publish("spBv1.0/g/NDATA/n", encode(Payload(now_ns() // 10**6, self._seq, [metric])), qos=0)


class Vda5050Vehicle(MqttBroker):
    """Mosquitto, and a vehicle that tells its state."""

    driver, scheme, peer = "vda5050", "vda5050", "Mosquitto and a vehicle"
    source = "{manufacturer: m, serial: s, value: /agvPosition/x}"
    options = "{keepalive: 1}"

    def _prepare(self, client: Any) -> None:
        self._number = 0

    def emit(self, value: int) -> None:
        self._number += 1
        head = {"headerId": self._number, "timestamp": _stamp(), "version": "2.1.0", "manufacturer": "m", "serialNumber": "s"}
        position = {"x": float(value), "y": 0.0, "theta": 0.0, "mapId": "hall", "positionInitialized": True}
        self.publish("uagv/v2/m/s/state", json.dumps(head | {"agvPosition": position}).encode())


class PostgresTable(Counterpart):
    """PostgreSQL, and a table that grows."""

    driver, scheme, peer = "sql", "postgresql", "PostgreSQL"
    login, path = "twin@", "/postgres"
    source = "{query: 'SELECT id, v, at FROM log WHERE id > :since ORDER BY id', cursor: id, begin: 0, column: v, time: at}"
    options = "{poll: 50 ms, timeout: 500 ms}"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from twin.connectors.conformance.postgres import Cluster

        self._cluster = Cluster(self.port)
        self._db: Any = None

    def start(self) -> None:
        self._cluster.start()
        self._db = self._cluster.connect()
        self._db.execute("CREATE TABLE IF NOT EXISTS log (id serial PRIMARY KEY, v double precision, at timestamptz)")

    def stop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        self._cluster.stop()

    def discard(self) -> None:
        self._cluster.close()

    def emit(self, value: int) -> None:
        self._db.execute("INSERT INTO log (v, at) VALUES (%s, clock_timestamp())", (value,))


COUNTERPARTS: dict[str, type[Counterpart]] = {
    c.driver: c
    for c in (MqttBroker, OpcuaServer, SparkplugNode, ModbusDevice, ShdrAdapter, MtconnectAgent, Vda5050Vehicle, PostgresTable)
}
"""A server for each driver that connects to one."""

"""The drivers, by name. A driver is imported when a connection needs it; its configuration models are light."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from pydantic import BaseModel

from twin.connectors.base import Driver
from twin.connectors.drivers.http.config import HttpOptions, HttpSource
from twin.connectors.drivers.modbus.config import ModbusOptions, ModbusSource
from twin.connectors.drivers.mqtt.config import MqttOptions, MqttSource
from twin.connectors.drivers.mtconnect.config import MtconnectOptions, MtconnectSource
from twin.connectors.drivers.mtconnect_agent.config import AgentOptions, AgentSource
from twin.connectors.drivers.opcua.config import OpcuaOptions, OpcuaSource
from twin.connectors.drivers.replay.config import ReplayOptions, ReplaySource
from twin.connectors.drivers.sparkplug.config import SparkplugOptions, SparkplugSource
from twin.connectors.drivers.sql.config import SqlOptions, SqlSource
from twin.connectors.drivers.vda5050.config import Vda5050Options, Vda5050Source
from twin.core.errors import MappingError


@dataclass(frozen=True)
class DriverKind:
    """A driver: what it speaks, the models of its ``options`` and of a signal's ``source``, and where its class is.

    ``writes``: it can write to a plant at all. ``replays``: what it delivers is called ``replay``, whatever a mapping says.
    """

    name: str
    summary: str
    address: str
    options: type[BaseModel]
    source: type[BaseModel]
    module: str
    class_name: str
    writes: bool = False
    replays: bool = False

    def load(self) -> type[Driver]:
        """Import the driver class."""
        found: type[Driver] = getattr(importlib.import_module(self.module), self.class_name)
        return found


KINDS = {
    k.name: k
    for k in (
        DriverKind(
            "mqtt",
            "MQTT 3.1.1 and 5 brokers: JSON and plain payloads, wildcards",
            "mqtt://HOST[:1883] or mqtts://HOST[:8883]",
            MqttOptions,
            MqttSource,
            "twin.connectors.drivers.mqtt.driver",
            "MqttDriver",
            writes=True,
        ),
        DriverKind(
            "opcua",
            "OPC UA servers: subscriptions by namespace URI and node id",
            "opc.tcp://HOST:4840/PATH",
            OpcuaOptions,
            OpcuaSource,
            "twin.connectors.drivers.opcua.driver",
            "OpcuaDriver",
            writes=True,
        ),
        DriverKind(
            "sparkplug",
            "Sparkplug B edge nodes and devices, as a host application on an MQTT broker",
            "sparkplug://HOST[:1883] or sparkplugs://HOST[:8883]",
            SparkplugOptions,
            SparkplugSource,
            "twin.connectors.drivers.sparkplug.driver",
            "SparkplugDriver",
            writes=True,
        ),
        DriverKind(
            "modbus",
            "Modbus TCP devices and gateways: polled register blocks",
            "modbus://HOST[:502]",
            ModbusOptions,
            ModbusSource,
            "twin.connectors.drivers.modbus.driver",
            "ModbusDriver",
            writes=True,
        ),
        DriverKind(
            "mtconnect",
            "Adapters of machine tools (SHDR), with the units of their device model",
            "shdr://HOST[:7878]",
            MtconnectOptions,
            MtconnectSource,
            "twin.connectors.drivers.mtconnect.driver",
            "MtconnectDriver",
        ),
        DriverKind(
            "mtconnect-agent",
            "MTConnect agents over HTTP: current and the stream of samples",
            "mtconnect://HOST[:5000] or mtconnects://HOST[:443]",
            AgentOptions,
            AgentSource,
            "twin.connectors.drivers.mtconnect_agent.driver",
            "AgentDriver",
        ),
        DriverKind(
            "vda5050",
            "VDA 5050 vehicles on an MQTT broker: states in, orders and instant actions out",
            "vda5050://HOST[:1883] or vda5050s://HOST[:8883]",
            Vda5050Options,
            Vda5050Source,
            "twin.connectors.drivers.vda5050.driver",
            "Vda5050Driver",
            writes=True,
        ),
        DriverKind(
            "sql",
            "Databases, polled: SQLite files and PostgreSQL servers",
            "sqlite://FILE or postgresql://USER@HOST[:5432]/DATABASE",
            SqlOptions,
            SqlSource,
            "twin.connectors.drivers.sql.driver",
            "SqlDriver",
        ),
        DriverKind(
            "http",
            "Devices that send to the twin: HTTP posts and websocket messages, JSON or plain",
            "push://",
            HttpOptions,
            HttpSource,
            "twin.connectors.drivers.http.driver",
            "HttpDriver",
        ),
        DriverKind(
            "replay",
            "Recorded values: CSV, Parquet, history files, at any speed",
            "replay://FILE",
            ReplayOptions,
            ReplaySource,
            "twin.connectors.drivers.replay.driver",
            "ReplayDriver",
            replays=True,
        ),
    )
}


def kind(name: str, *, file: str | None = None, attribute: str | None = None) -> DriverKind:
    """The driver called ``name``.

    Raises:
        MappingError: There is none.
    """
    if name not in KINDS:
        raise MappingError(f"no driver {name!r}", file=file, attribute=attribute, allowed=KINDS)
    return KINDS[name]

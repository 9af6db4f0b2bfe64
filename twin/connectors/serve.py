"""Serve the twin's signals to others. Read-only unless something is given that takes what they write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from twin.connectors.serving.worker import State, Take
from twin.core.samples import SignalKey
from twin.model.factory import Signal

if TYPE_CHECKING:
    from twin.connectors.drivers.mqtt.config import MqttLogin
    from twin.connectors.serving.mqtt import MqttPublishing
    from twin.connectors.serving.opcua import OpcuaServing
    from twin.connectors.serving.sparkplug import SparkplugEdge


def serve_opcua(
    signals: Sequence[Signal],
    state: State,
    *,
    host: str = "127.0.0.1",
    port: int = 4840,
    period_s: float = 0.1,
    login: tuple[str, str] | None = None,
    writable: Collection[SignalKey] = (),
    take: Take | None = None,
) -> OpcuaServing:
    """Serve a node for each signal by OPC UA; returns what serves, to be stopped with stop().

    Args:
        state: Gives the newest samples; asked every ``period_s`` [s].
        login: Name and password that clients must show; without one only this machine can connect.
        writable: Signals that clients may write, through ``take``, which may refuse with a TwinError.

    Raises:
        InputError: An open address without a login, or a writable signal that is not there.
        WorkError: The port is taken.
    """
    from twin.connectors.serving.opcua import OpcuaServing

    serving = OpcuaServing(signals, state, host=host, port=port, period_s=period_s, login=login, writable=writable, take=take)
    serving.start()
    return serving


def publish_mqtt(
    address: str,
    state: State,
    *,
    prefix: str,
    username: str | None = None,
    password: str | None = None,
    client_id: str | None = None,
    protocol: Literal["3.1.1", "5"] = "3.1.1",
    ca_file: Path | str | None = None,
    cert_file: Path | str | None = None,
    key_file: Path | str | None = None,
    period_s: float = 0.1,
    qos: int = 0,
) -> MqttPublishing:
    """Publish every signal that changes, retained, under ``prefix``; returns what publishes, to be stopped with stop().

    A broker that is not there is tried again; it never holds the twin up. The files are for TLS (``mqtts://``): certificates
    that are trusted, and the client's own.

    Raises:
        InputError: No prefix.
        Fatal: An address that makes no sense, or a certificate that cannot be read.
    """
    from twin.connectors.serving.mqtt import MqttPublishing

    login = _login(username, password, client_id, protocol, ca_file, cert_file, key_file)
    publishing = MqttPublishing(address, state, prefix=prefix, login=login, period_s=period_s, qos=qos)
    publishing.start()
    return publishing


def publish_sparkplug(
    address: str,
    signals: Sequence[Signal],
    state: State,
    *,
    group: str,
    node: str,
    primary_host: str | None = None,
    username: str | None = None,
    password: str | None = None,
    client_id: str | None = None,
    ca_file: Path | str | None = None,
    cert_file: Path | str | None = None,
    key_file: Path | str | None = None,
    period_s: float = 0.1,
    writable: Collection[SignalKey] = (),
    take: Take | None = None,
    store: int = 100_000,
) -> SparkplugEdge:
    """Be a Sparkplug B edge node with a metric for each signal; returns what publishes, to be stopped with stop().

    Args:
        address: As publish_mqtt's. primary_host: Host application without which the node is not born.
        writable: Signals that commands may write, through ``take``, which may refuse with a TwinError.
        store: Samples that are kept while the broker or the primary host is away, and sent as historical ones after it.

    Raises:
        InputError: A name that is none, or a writable signal that is not there.
        Fatal: An address that makes no sense, or a certificate that cannot be read.
    """
    from twin.connectors.serving.sparkplug import SparkplugEdge

    login = _login(username, password, client_id, "3.1.1", ca_file, cert_file, key_file)
    edge = SparkplugEdge(
        address, signals, state, group=group, node=node, login=login, period_s=period_s,
        primary_host=primary_host, writable=writable, take=take, store=store,
    )  # fmt: skip
    edge.start()
    return edge


def _login(
    username: str | None,
    password: str | None,
    client_id: str | None,
    protocol: str,
    ca_file: Path | str | None,
    cert_file: Path | str | None,
    key_file: Path | str | None,
) -> MqttLogin:
    from twin.connectors.drivers.mqtt.config import MqttLogin

    files = {"ca_file": ca_file, "cert_file": cert_file, "key_file": key_file}
    named = {name: None if path is None else str(path) for name, path in files.items()}
    rest = {"username": username, "password": password, "client_id": client_id, "protocol": protocol}
    return MqttLogin.model_validate(rest | named)

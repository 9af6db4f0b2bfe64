"""Serve the twin's signals to others. Read-only unless something is given that takes what they write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from twin.connectors.serving.worker import State, Take
from twin.core.samples import SignalKey
from twin.model.factory import Signal

if TYPE_CHECKING:
    from twin.connectors.serving.mqtt import MqttPublishing
    from twin.connectors.serving.opcua import OpcuaServing


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
    period_s: float = 0.1,
    qos: int = 0,
) -> MqttPublishing:
    """Publish every signal that changes, retained, under ``prefix``; returns what publishes, to be stopped with stop().

    A broker that is not there is tried again; it never holds the twin up.

    Raises:
        InputError: No prefix.
        Fatal: An address that makes no sense.
    """
    from twin.connectors.drivers.mqtt.config import MqttLogin
    from twin.connectors.serving.mqtt import MqttPublishing

    login = MqttLogin.model_validate({"username": username, "password": password})
    publishing = MqttPublishing(address, state, prefix=prefix, login=login, period_s=period_s, qos=qos)
    publishing.start()
    return publishing

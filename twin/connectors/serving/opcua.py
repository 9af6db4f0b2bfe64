"""An OPC UA server with a node for each signal of the twin."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC
from typing import Any

from asyncua import Node, Server, ua
from asyncua.common.callback import CallbackType, ServerItemCallback
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

from twin.connectors.serving.worker import Now, State, Take, Worker, guard
from twin.core import log
from twin.core.errors import InputError, TwinError
from twin.core.samples import BAD_CONFIGURATION, Sample, SignalKey
from twin.model.factory import Signal

NAMESPACE = "urn:twin:signals"
BAD_WAITING = 0x80320000
_KINDS = {bool: ua.VariantType.Boolean, int: ua.VariantType.Int64, float: ua.VariantType.Double, str: ua.VariantType.String}

# The library repeats in its log what it raises, and a client that goes away without a goodbye is no event.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)


class OpcuaServing(Worker):
    """Serves signals until it is stopped. Node ids are ``s=<prim>:<name>`` under ``urn:twin:signals``."""

    def __init__(
        self,
        signals: Sequence[Signal],
        state: State,
        *,
        host: str,
        port: int,
        period_s: float,
        login: tuple[str, str] | None,
        writable: Collection[SignalKey],
        take: Take | None,
    ) -> None:
        super().__init__("the OPC UA server")
        guard(host, login)
        known = {SignalKey(s.prim, s.name) for s in signals}
        for key in writable:
            if key not in known:
                raise InputError("no such signal to be written", attribute=str(key))
        if writable and take is None:
            raise InputError("signals are writable, and nothing takes what is written", attribute="take")
        self._signals, self._state, self._period_s = signals, state, period_s
        self._login, self._writable, self._take = login, frozenset(writable), take
        self.endpoint = f"opc.tcp://{host}:{port}/twin"
        self._log = log.get("serving")
        self._keys: dict[ua.NodeId, SignalKey] = {}
        self._kinds: dict[SignalKey, ua.VariantType] = {}
        self._served: dict[SignalKey, Signal] = {}
        self._moves: deque[Now] = deque()

    async def serve(self, ready: Callable[[], None]) -> None:
        server = Server(user_manager=_Logins(self._login))
        await server.init()
        server.set_endpoint(self.endpoint)
        server.set_server_name("Twin")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        server.set_identity_tokens([ua.AnonymousIdentityToken if self._login is None else ua.UserNameIdentityToken])
        index = await server.register_namespace(NAMESPACE)
        folders: dict[str, Node] = {"": server.nodes.objects}
        nodes: dict[SignalKey, ua.NodeId] = {}
        for signal in self._signals:
            await self._add(server, SignalKey(signal.prim, signal.name), signal, index, folders, nodes)
        if self._take is not None:
            server.subscribe_server_callback(CallbackType.PreWrite, self._written)
        async with server:
            ready()
            told: dict[SignalKey, Sample] = {}
            while True:
                while self._moves:
                    await self._follow(server, self._moves.popleft(), index, folders, nodes, told)
                for key, sample in dict(self._state()).items():
                    if told.get(key) is not sample and key in nodes:
                        told[key] = sample
                        await server.write_attribute_value(nodes[key], self._data(key, sample))
                await asyncio.sleep(self._period_s)

    async def _add(
        self,
        server: Server,
        key: SignalKey,
        signal: Signal,
        index: int,
        folders: dict[str, Node],
        nodes: dict[SignalKey, ua.NodeId],
    ) -> None:
        folder = await self._folder(key.prim, index, folders)
        sample = self._state().get(key)
        example = sample.value if sample is not None and sample.value is not None else signal.value
        # a number that is whole today may not be so tomorrow, and a node's type cannot change
        kind = _KINDS[float] if example is None or type(example) is int else _KINDS[type(example)]
        node_id = ua.NodeId(ua.String(str(key)), ua.Int16(index))
        empty = _empty(kind)
        node = await folder.add_variable(node_id, signal.name, ua.Variant(empty, kind))
        unit = ua.LocalizedText(f"[{signal.unit}]" if signal.unit else "")
        await node.write_attribute(ua.AttributeIds.Description, ua.DataValue(ua.Variant(unit)))
        if key in self._writable:
            await node.set_writable()
        nodes[key], self._keys[node_id], self._kinds[key] = node_id, key, kind
        self._served[key] = signal
        waiting = ua.DataValue(ua.Variant(empty, kind), StatusCode=ua.StatusCode(ua.UInt32(BAD_WAITING)))
        await server.write_attribute_value(node_id, waiting)

    def rename(self, now: Now) -> None:
        self._moves.append(now)

    async def _follow(
        self,
        server: Server,
        now: Now,
        index: int,
        folders: dict[str, Node],
        nodes: dict[SignalKey, ua.NodeId],
        told: dict[SignalKey, Sample],
    ) -> None:
        """New nodes for signals whose prims have other paths; the old ones say that they are gone, and are."""
        new = {key: moved for key in nodes if (moved := key.moved(now)) != key}
        self._writable = frozenset(new.get(key, key) for key in self._writable)
        signals = {key: self._served.pop(key) for key in new}
        for key in new:  # all of them first: two prims may have changed places
            node_id, kind = nodes.pop(key), self._kinds.pop(key)
            del self._keys[node_id]
            told.pop(key, None)
            gone = ua.DataValue(
                ua.Variant(_empty(kind), kind), StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNodeIdUnknown))
            )
            await server.write_attribute_value(node_id, gone)  # for those who have subscribed
            await server.delete_nodes([server.get_node(node_id)])
        for path in sorted(folders, key=len, reverse=True):
            if path and now(path) != path:
                await server.delete_nodes([folders.pop(path)])
        for key, moved in new.items():
            await self._add(server, moved, signals[key], index, folders, nodes)
        if new:
            some = next(iter(new.items()))
            self._log.warning(
                "nodes have other ids since prims were renamed", nodes=len(new), before=str(some[0]), now=str(some[1])
            )

    async def _folder(self, prim: str, index: int, folders: dict[str, Node]) -> Node:
        """The object of a prim, with those above it."""
        path = prim.rstrip("/")
        if path not in folders:
            above, _, name = path.rpartition("/")
            parent = await self._folder(above, index, folders)
            folders[path] = await parent.add_object(ua.NodeId(ua.String(path), ua.Int16(index)), name)
        return folders[path]

    def _data(self, key: SignalKey, sample: Sample) -> ua.DataValue:
        kind, value, quality = self._kinds[key], sample.value, sample.quality
        empty = _empty(kind)
        if value is None:
            value = empty
        elif kind == ua.VariantType.Double and not isinstance(value, str):
            value = float(value)
        elif kind == ua.VariantType.String:
            value = str(value)
        elif not isinstance(value, bool):
            value, quality = empty, BAD_CONFIGURATION
        return ua.DataValue(
            ua.Variant(value, kind),
            StatusCode=ua.StatusCode(ua.UInt32(quality)),
            SourceTimestamp=_moment(sample.time),
            ServerTimestamp=_moment(sample.receive_time),
        )

    def _written(self, event: ServerItemCallback, service: Any = None) -> None:
        """Before a client's write is carried out. What is refused here never becomes the value of a node."""
        if not event.is_external or self._take is None:
            return
        for item in event.request_params.NodesToWrite:
            key = self._keys.get(item.NodeId)
            if key is None or key not in self._writable or item.AttributeId != ua.AttributeIds.Value:
                continue  # the server itself refuses those
            value = item.Value.Value.Value if item.Value.Value is not None else None
            user = getattr(event.user, "name", None) or "opcua"
            if not isinstance(value, (bool, int, float, str)):
                raise ua.UaStatusCodeError(ua.StatusCodes.BadTypeMismatch)
            try:
                self._take(key, value, user)
            except TwinError as refusal:
                self._log.warning("a written value is refused", signal=str(key), value=value, user=user, reason=str(refusal))
                raise ua.UaStatusCodeError(ua.StatusCodes.BadUserAccessDenied) from refusal
            self._log.info("a value was written", signal=str(key), value=value, user=user)


def _empty(kind: ua.VariantType) -> Any:
    return {ua.VariantType.Boolean: False, ua.VariantType.String: ""}.get(kind, 0.0)


class _Logins(UserManager):
    """Lets in whoever knows the login, or everybody where there is none."""

    def __init__(self, login: tuple[str, str] | None) -> None:
        self._login = login

    def get_user(self, iserver: Any, username: str | None = None, password: Any = None, certificate: Any = None) -> User | None:
        if self._login is None:
            return User(role=UserRole.User, name="opcua")
        given = password.decode(errors="replace") if isinstance(password, bytes) else password or ""
        right = hmac.compare_digest((username or "").encode(), self._login[0].encode())
        if hmac.compare_digest(given.encode(), self._login[1].encode()) and right:
            return User(role=UserRole.User, name=username)
        return None


def _moment(nanoseconds: int) -> ua.DateTime | None:
    with suppress(OverflowError, OSError, ValueError):  # a stamp outside the calendar is told as none
        return ua.DateTime.fromtimestamp(nanoseconds / 1e9, UTC)
    return None

"""OPC UA by asyncua: subscriptions, at most a thousand nodes each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from asyncua import Client, Node, ua
from asyncua.common.subscription import DataChangeEvent, OverflowPolicy, StatusChangeEvent, Subscription
from cryptography import x509

from twin.connectors.base import Fatal, Found, Plan, Probe, Reading, Retryable, Sink, WriteRequest, WriteResult
from twin.connectors.drivers.opcua.config import BASE_NAMESPACE, OpcuaOptions
from twin.connectors.drivers.opcua.values import NotScalar, overflowed, plain, status, time_ns
from twin.connectors.mapping import Point, ResolvedConnection
from twin.core.clock import now_ns
from twin.core.samples import BAD_CONFIGURATION

NODES_A_SUBSCRIPTION = 1000
CLIENT_QUEUE = 50_000
BROWSE_NODES = 5000
GOODBYE_S = 1.0
_FATAL = (
    ua.uaerrors.BadUserAccessDenied,
    ua.uaerrors.BadIdentityTokenRejected,
    ua.uaerrors.BadIdentityTokenInvalid,
    ua.uaerrors.BadCertificateUntrusted,
    ua.uaerrors.BadSecurityPolicyRejected,
    ua.uaerrors.BadSecurityModeRejected,
)

# The library repeats in its log what it raises, and an address may hold a password.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)


class OpcuaDriver:
    """One attempt at one server."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._connection = connection
        self._options: OpcuaOptions = connection.options
        self._client: Client | None = None
        self._sink: Sink | None = None
        self._subscribed: set[int] = set()
        self._by_node: dict[ua.NodeId, list[Point]] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[None] | None = None

    # ---- the contract

    async def probe(self) -> Probe:
        async with self._session() as client:
            build = await client.get_node(ua.ObjectIds.Server_ServerStatus_BuildInfo).read_value()
            namespaces = await client.get_namespace_array()
        return Probe(f"{build.ProductName or 'OPC UA server'} {build.SoftwareVersion or ''}".strip(), {"namespaces": namespaces})

    async def browse(self, *, seconds: float) -> list[Found]:
        found: list[Found] = []
        async with self._session() as client:
            namespaces = await client.get_namespace_array()
            try:
                async with asyncio.timeout(seconds):
                    await self._walk(client.nodes.objects, "", namespaces, found, set())
            except TimeoutError:
                pass  # what was found in the time given
        return found

    async def run(self, plan: Plan, sink: Sink) -> None:
        self._sink = sink
        self._ended = asyncio.get_running_loop().create_future()
        async with self._session() as client:
            self._client = client
            client.connection_lost_callback = self._lost
            try:
                await self.subscribe(plan.points)
                sink.connected()
                await self._ended
            finally:
                for reader in self._readers:
                    reader.cancel()

    def subscribed(self) -> set[int]:
        return set(self._subscribed)

    async def subscribe(self, points: Sequence[Point]) -> None:
        client = self._connected()
        with _translated():
            namespaces = await client.get_namespace_array()
            wanted: dict[ua.NodeId, list[Point]] = {}
            for point in points:
                node_id = self._node_id(point, namespaces)
                if node_id is not None:
                    wanted.setdefault(node_id, []).append(point)
            nodes = list(wanted)
            for begin in range(0, len(nodes), NODES_A_SUBSCRIPTION):
                await self._subscribe_part(client, nodes[begin : begin + NODES_A_SUBSCRIPTION], wanted)

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        client = self._connected()
        results = []
        with _translated():
            namespaces = await client.get_namespace_array()
            for request in requests:
                node_id = self._node_id(request.point, namespaces)
                if node_id is None:
                    results.append(WriteResult(request.point, BAD_CONFIGURATION))
                    continue
                node = client.get_node(node_id)
                variant_type = await node.read_data_type_as_variant_type()
                value: Any = request.value
                if variant_type in _WHOLE and isinstance(value, float):
                    value = round(value)
                try:
                    await node.write_value(ua.DataValue(ua.Variant(value, variant_type)))
                except ua.UaStatusCodeError as error:
                    results.append(WriteResult(request.point, error.code & 0xFFFF0000))
                    continue
                back = await node.read_data_value(raise_on_bad_status=False)
                results.append(WriteResult(request.point, status(back), plain(back.Value)))
        return results

    # ---- inside

    def _connected(self) -> Client:
        if self._client is None:
            raise Retryable("not connected")
        return self._client

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Client]:
        client = await self._new_client()
        try:
            with _translated():
                await client.connect()
        except BaseException:
            client.disconnect_socket()
            raise
        try:
            with _translated():
                yield client
        finally:
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await client.disconnect()
            except TimeoutError:  # a dead server does not say goodbye
                client.disconnect_socket()

    async def _new_client(self) -> Client:
        """A client for the address; a login in the address is taken out of it."""
        try:
            url = urlsplit(self._connection.address)
            host, port = url.hostname, url.port or 4840
        except ValueError:
            url, host, port = None, None, 0
        if url is None or url.scheme != "opc.tcp" or not host:
            raise Fatal("the address is not understood", attribute="address", allowed=["opc.tcp://HOST:PORT/PATH"])
        shown = f"[{host}]" if ":" in host else host
        client = Client(urlunsplit((url.scheme, f"{shown}:{port}", url.path, url.query, "")), timeout=self._options.timeout)
        username = self._options.username or (unquote(url.username) if url.username else None)
        password = self._options.password or (unquote(url.password) if url.password else None)
        if username:
            client.set_user(username)
        if password:
            client.set_password(password)
        if self._options.security:
            try:
                await client.set_security_string(self._options.security)
                client.application_uri = _application_of(client) or client.application_uri
            except (ConnectionError, TimeoutError) as error:  # the server's certificate is fetched here
                raise Retryable(f"no connection: {_reason(error)}") from error
            except (ua.UaError, OSError, ValueError) as error:
                raise Fatal(f"security cannot be set up: {error}", attribute="options.security") from error
        return client

    async def _lost(self, error: Exception) -> None:
        self._end(Retryable(f"the server was lost: {_reason(error)}"))

    def _end(self, error: BaseException) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    def _node_id(self, point: Point, namespaces: list[str]) -> ua.NodeId | None:
        """The node under the index that its namespace has on this connection; None, and counted, where it has none."""
        source = point.source
        if source.namespace not in namespaces:
            self._refused(point, BAD_CONFIGURATION, "no such namespace")
            return None
        try:
            return ua.NodeId.from_string(f"ns={namespaces.index(source.namespace)};{source.node}")
        except ua.UaError as error:
            raise Fatal(f"{source.node!r} is not a node id: {error}", attribute=str(point)) from error

    def _refused(self, point: Point, quality: int, reason: str) -> None:
        if self._sink is not None:
            self._sink.reject(reason, str(point))
            self._sink.offer([Reading(point, None, quality, None, None, now_ns())])

    async def _subscribe_part(self, client: Client, nodes: list[ua.NodeId], wanted: dict[ua.NodeId, list[Point]]) -> None:
        subscription = await client.create_subscription(
            self._options.publishing * 1000.0, queue_maxsize=CLIENT_QUEUE, overflow=OverflowPolicy.DISCONNECT
        )
        subscription.set_overflow_disconnect_handler(self._queue_full)
        for node_id in nodes:
            self._by_node.setdefault(node_id, []).extend(wanted[node_id])
        items: Any = [client.get_node(n) for n in nodes]
        answers: Any = await subscription.subscribe_data_change(
            items, queuesize=self._options.queue, sampling_interval=ua.Double(self._options.sampling * 1000.0)
        )
        for node_id, answer in zip(nodes, answers, strict=True):
            if isinstance(answer, ua.StatusCode):
                for point in self._by_node.pop(node_id):
                    self._refused(point, int(answer.value), f"node refused: {answer.name}")
            else:
                self._subscribed |= {p.index for p in wanted[node_id]}
        reader = asyncio.create_task(self._read(subscription))
        self._readers.add(reader)
        reader.add_done_callback(self._reader_done)

    def _queue_full(self) -> None:
        if self._sink is not None:
            self._sink.reject("client queue full", self._connection.name)
        self._end(Retryable("values came faster than they could be taken"))

    def _reader_done(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled() and (error := reader.exception()) is not None:
            self._end(error)

    async def _read(self, subscription: Subscription) -> None:
        async for event in subscription:
            if isinstance(event, DataChangeEvent):
                self._take(event.node, event.data.monitored_item.Value)
            elif isinstance(event, StatusChangeEvent):
                raise Retryable(f"the server ended a subscription: {event.notification.Status}")

    def _take(self, node: Node, value: ua.DataValue) -> None:
        sink, received = self._sink, now_ns()
        if sink is None:
            return
        points = self._by_node.get(node.nodeid, [])
        if overflowed(value):
            sink.reject("server queue overflow", node.nodeid.to_string())
        quality = status(value)
        try:
            content = plain(value.Value)
        except NotScalar as error:
            for point in points:
                self._refused(point, BAD_CONFIGURATION, f"value is a {error}")
            return
        times = time_ns(value.SourceTimestamp), time_ns(value.ServerTimestamp)
        sink.offer([Reading(p, content, quality, *times, received) for p in points])

    async def _walk(self, node: Node, path: str, namespaces: list[str], found: list[Found], seen: set[ua.NodeId]) -> None:
        """Variables below ``node``, without the server's description of itself."""
        for child in await node.get_children():
            if child.nodeid in seen or len(found) >= BROWSE_NODES or child.nodeid == _SERVER:
                continue
            seen.add(child.nodeid)
            name = (await child.read_browse_name()).Name
            label = f"{path}/{name}"
            if await child.read_node_class() == ua.NodeClass.Variable:
                value = await child.read_data_value(raise_on_bad_status=False)
                kind = value.Value.VariantType.name if value.Value is not None else ""
                content = None if value.Value is None else value.Value.Value
                uri = namespaces[child.nodeid.NamespaceIndex]
                node_id = child.nodeid.to_string().rpartition(";")[2]
                if uri != BASE_NAMESPACE:
                    found.append(Found({"namespace": uri, "node": node_id}, label, kind, str(content)[:60]))
            await self._walk(child, label, namespaces, found, seen)


_SERVER = ua.NodeId(ua.Int32(ua.ObjectIds.Server))
_WHOLE = {
    ua.VariantType.SByte,
    ua.VariantType.Byte,
    ua.VariantType.Int16,
    ua.VariantType.UInt16,
    ua.VariantType.Int32,
    ua.VariantType.UInt32,
    ua.VariantType.Int64,
    ua.VariantType.UInt64,
}


def _reason(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError) and error.strerror:
        return f"nobody listens there: {error.strerror}"
    return str(error) or type(error).__name__


class _translated:  # noqa: N801  (reads as a statement)
    """What the library raises inside becomes Retryable or Fatal."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, _FATAL):
            raise Fatal(f"the server refuses: {_reason(error)}") from error
        if isinstance(error, (ua.UaError, OSError, TimeoutError, asyncio.TimeoutError)):
            raise Retryable(_reason(error)) from error


def _application_of(client: Client) -> str | None:
    """The application's URI as its certificate says; servers refuse one that says another (OPC 10000-4, 6.1.3)."""
    certificate = client.security_policy.host_certificate
    if certificate is None:
        return None
    found = x509.load_der_x509_certificate(certificate)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return str(uris[0]) if uris else None

"""Control messages of the websocket ``/api/ws``, MessagePack, told apart by the field ``t``.

Every binary websocket message begins either with the four bytes ``TWF2`` (a state frame, see frames.py) or with a
MessagePack map (one of these). To a client that asked for it (``Hello.batches``) the server also sends arrays of such maps:
what was waiting for it, in order. TypeScript types are generated from this file and documents.py by ``twin.protocol.typescript``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from twin.protocol.documents import MaterialDoc, NodeDoc, PrimDoc, SignalDoc

PROTOCOL_VERSION = 2
"""Raised whenever a message or the frame layout changes its meaning; an old tab is told to reload."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number that a client counts by; what the journal can hold."""

# ---- edits


class Op(msgspec.Struct, omit_defaults=True, gc=False):
    """One change to the edit layer.

    ``kind`` is one of ``set_field block clear add_prim remove_prim move_prim set_relationship list_edit set_variant
    apply_api set_metadata``. ``path`` is the prim; ``field`` the property, variant set, API or metadata name; ``value`` is
    ``[sdfType, value]`` for ``set_field`` (``["double3", [1, 2, 3]]``, quaternions wxyz), a list of target paths for
    ``set_relationship``, ``{"prepend", "append", "delete"}`` with lists of target paths for ``list_edit``,
    ``{"type", "reference", "name"}`` for ``add_prim`` (``reference``: asset path relative to the asset root, optional),
    the new path for ``move_prim``.
    """

    kind: str
    path: str
    field: str = ""
    value: Any = None


class Hello(msgspec.Struct, tag="hello", tag_field="t"):
    """First message of a client. ``session`` resumes an earlier one; ``epoch`` and ``last_seq`` say what it has seen.

    ``tab`` is a random text made when the page loads and kept in memory only. A connection of the same session and tab
    takes over from an older one that the network has left hanging; one of another tab (a duplicate) gets a session of its
    own while the first is connected.
    """

    protocol: int
    name: str = ""
    session: str = ""
    epoch: str = ""
    last_seq: Count = 0
    tab: str = ""
    batches: bool = False


class Edit(msgspec.Struct, tag="edit", tag_field="t"):
    """An atomic transaction; idempotent by (session, opid). ``label`` is for the activity log."""

    opid: Count
    base_seq: Count
    txn: list[Op]
    label: str = ""


class Undo(msgspec.Struct, tag="undo", tag_field="t"):
    """Undo this user's own last transaction; answered like an edit."""

    opid: Count


class Redo(msgspec.Struct, tag="redo", tag_field="t"):
    opid: Count


class Preview(msgspec.Struct, tag="preview", tag_field="t"):
    """Where a dragged prim would be, at most 30 Hz, never journaled. ``matrix`` is the local matrix, 16 row-major."""

    path: str
    matrix: list[float]
    session: str = ""


class Presence(msgspec.Struct, tag="presence", tag_field="t", omit_defaults=True):
    """Where a user looks and what is selected. The server fills ``session``, ``name``, ``color``, ``role``, ``gone``.

    ``holding`` are the prims that the user is working on now. It is advice to others, not a lock: of two who hold the same
    prim the first keeps it until it lets go or leaves, and the server takes it from the other's list.
    """

    selection: list[str] = []
    camera: list[float] = []
    holding: list[str] = []
    session: str = ""
    name: str = ""
    color: str = ""
    role: str = ""
    gone: bool = False


class Control(msgspec.Struct, tag="control", tag_field="t"):
    """Drive the shared clock (operator and up): ``play pause reset step``, or ``speed`` with ``value``."""

    action: str
    value: float = 0.0


class Seen(msgspec.Struct, tag="seen", tag_field="t"):
    """The newest state frame that the client has taken in. Sent some times a second: a client that falls behind then gets
    the newest frame when it can take one, instead of a queue of old ones. One that never sends it gets every frame."""

    number: int


class Ping(msgspec.Struct, tag="ping", tag_field="t"):
    """Answered with ``pong`` at once, whatever the twin is busy with. A client that has sent one is shown to the others only
    while it goes on sending anything at least every 15 s; one that never does, until its connection ends."""


# ---- answers


class Pong(msgspec.Struct, tag="pong", tag_field="t"):
    """The answer to ``ping``."""


class Welcome(msgspec.Struct, tag="welcome", tag_field="t"):
    protocol: int
    session: str
    name: str
    role: str
    color: str
    epoch: str
    seq: int
    project: str
    stage: str
    resumed: bool
    """True: the ops since ``last_seq`` follow. False: fetch ``/api/scene`` anew."""
    run: str = ""
    """Names this run of the server. Another one numbers materials and prototypes anew: then fetch ``/api/scene`` in any case."""


class Edited(msgspec.Struct, tag="edited", tag_field="t"):
    """An accepted transaction, to everyone and in order of ``seq``; to its author it is the acknowledgement."""

    seq: int
    session: str
    opid: int
    user: str
    label: str
    time_ns: int
    txn: list[Op]
    kind: str = "edit"
    """``edit``, ``undo`` or ``redo``."""
    skipped: list[str] = []
    """Properties that an undo left alone because someone else wrote them since."""


class Refused(msgspec.Struct, tag="refused", tag_field="t"):
    """An edit or command that was not applied, and why."""

    opid: int
    code: str
    reason: str
    path: str = ""


class History(msgspec.Struct, tag="undo_state", tag_field="t"):
    """What the receiver can undo and redo: the label of the next one, or empty."""

    undo: str
    redo: str


class Notice(msgspec.Struct, tag="notice", tag_field="t"):
    """Something a person should know: ``level`` is info, warning or error."""

    level: str
    text: str
    path: str = ""


class CommentDoc(msgspec.Struct):
    """A remark about a prim, or an answer to one (``parent`` is its id, else 0). Times in ns, 0 for not yet."""

    id: int
    parent: int
    path: str
    text: str
    user: str
    time_ns: int
    edited_ns: int = 0
    resolved_ns: int = 0
    resolved_by: str = ""
    deleted: bool = False


class Commented(msgspec.Struct, tag="comment", tag_field="t"):
    """A comment is new or has changed."""

    comment: CommentDoc


class RuleDoc(msgspec.Struct):
    """Who may edit at and below a prim, or one property there: whoever has ``role`` or more, and ``users``."""

    id: int
    path: str
    field: str
    role: str
    users: list[str]
    note: str
    author: str
    time_ns: int


class BookmarkDoc(msgspec.Struct):
    """A moment [ns UTC, 0 for none], a view (``camera``: position and target [m], six numbers, or empty), or both."""

    id: int
    text: str
    user: str
    time_ns: int
    camera: list[float]
    made_ns: int


class LimitDoc(msgspec.Struct):
    """An alarm is raised where a signal is below ``low`` or above ``high`` [unit of the signal]."""

    prim: str
    name: str
    low: float | None
    high: float | None
    author: str
    time_ns: int


class AlarmDoc(msgspec.Struct):
    """Something that asks or asked for attention. Times in ns UTC; ``end_ns`` 0 while it lasts, ``acked_ns`` 0 until somebody has
    acknowledged it.

    ``kind`` is down, quality, limit, connection, residual, standstill or recording; ``severity`` error or warning; ``key`` names
    the condition: an alarm of the same key comes again as another one. ``path`` is the prim, empty for a connection.
    """

    id: int
    key: str
    kind: str
    severity: str
    path: str
    text: str
    begin_ns: int
    end_ns: int = 0
    acked_ns: int = 0
    acked_by: str = ""


class AlarmBatch(msgspec.Struct, tag="alarms", tag_field="t"):
    """Alarms that have begun, ended or been acknowledged, each whole."""

    alarms: list[AlarmDoc]


class Changed(msgspec.Struct, tag="changed", tag_field="t"):
    """What is fetched by HTTP has changed: ``what`` is versions, proposals, rules, library, bookmarks, limits or alarms."""

    what: str


# ---- the running twin


class Clock(msgspec.Struct, tag="clock", tag_field="t"):
    """State of the shared clock. ``state`` is running, paused or failed; ``rate`` is the wanted, ``achieved`` the real speed."""

    state: str
    sim_time: float
    rate: float
    achieved: float
    run: str
    wall_time_ns: int


class BodyTable(msgspec.Struct, tag="bodies", tag_field="t"):
    """What the ids of the state frames mean, sent before the first frame that needs ``version``."""

    version: int
    bodies: list[str]
    """Prim path by body id."""
    prototypes: list[str]
    """Prototype prim path by prototype index of goods."""
    slots: int


class SignalValue(msgspec.Struct, array_like=True):
    prim: str
    name: str
    value: Any
    quality: int
    time_ns: int
    origin: str
    """plant, emulated, simulated or replay."""


class SignalBatch(msgspec.Struct, tag="signals", tag_field="t"):
    """Newest values of the signals that changed."""

    values: list[SignalValue]


class NodeStates(msgspec.Struct, tag="nodes", tag_field="t"):
    """State (NodeState) and level of every node, parallel to ``SceneDoc.nodes``."""

    sim_time: float
    state: list[int]
    level: list[int]
    entered: list[int]
    left: list[int]


class LineItem(msgspec.Struct, array_like=True):
    """An item on the line: node path, item type, pieces, age [s], how far along a conveyor (0 to 1), whether its work is done,
    how long its cycle has lasted [s], and the node it came from where an assembly wants to know."""

    node: str
    type: str
    pieces: int
    age_s: float
    along: float
    done: bool
    elapsed_s: float | None
    origin: str


class LineFound(msgspec.Struct, tag="line", tag_field="t"):
    """Where every piece of the line is; kept in the pose track, for studies that begin there. Never sent to a page."""

    sim_time: float
    items: list[LineItem]
    down: dict[str, float]
    """Stations under repair, and for how long [s]."""
    uptime: dict[str, float] = {}
    """Stations that fail: how long the clock of the failure to come has run [s]."""


class Kpi(msgspec.Struct, array_like=True):
    name: str
    value: float | None
    unit: str


class KpiBatch(msgspec.Struct, tag="kpis", tag_field="t"):
    """Key figures of the current run, line-wide and per station (names of the contract)."""

    sim_time: float
    values: list[Kpi]


class ConnectorStatus(msgspec.Struct):
    """How a connection stands. ``rate`` [samples/s]; ``lag``: how long the newest values took from their source to the twin, the
    longest of all signals [s], None where no source tells the time; ``lost``: what came and could not be delivered.
    """

    name: str
    driver: str
    state: str
    origin: str
    signals: int
    good: int
    stale: int
    rate: float
    error: str = ""
    lag: float | None = None
    lost: int = 0


class Connectors(msgspec.Struct, tag="connectors", tag_field="t"):
    connections: list[ConnectorStatus]


# ---- the scene


class ScenePatch(msgspec.Struct, tag="patch", tag_field="t"):
    """What an edit changed in the drawing: prims added or changed (each whole), prims gone (with all below them).

    ``materials`` is the whole list when it grew, else empty. Sent after the ``edited`` of the same ``seq``. Another one,
    mostly empty, follows once the simulation runs with what was edited: ``nodes`` and ``signals`` are the whole lists where they
    changed; a changed ``bodies`` table comes then too.

    ``order`` says where in the tree what is new or was looked at anew stands: by path, the name of the sibling that comes next,
    empty for the last one. All that is below such a prim is in ``prims``, in the order of the tree; what else was known there is
    gone. What is not named keeps its place. ``removed`` may name what the receiver never heard of.
    """

    seq: int
    prims: list[PrimDoc]
    removed: list[str]
    materials: list[MaterialDoc] = []
    nodes: list[NodeDoc] = []
    order: dict[str, str] = {}
    signals: list[SignalDoc] = []


ClientMessage = Hello | Edit | Undo | Redo | Preview | Presence | Control | Seen | Ping
ServerMessage = (
    Welcome
    | Pong
    | Edited
    | Refused
    | History
    | Notice
    | Commented
    | AlarmBatch
    | Changed
    | Clock
    | BodyTable
    | SignalBatch
    | NodeStates
    | LineFound
    | KpiBatch
    | Connectors
    | ScenePatch
    | Presence
    | Preview
)

encode = msgspec.msgpack.Encoder().encode
decode_client = msgspec.msgpack.Decoder(ClientMessage).decode


def encode_batch(messages: Sequence[bytes]) -> bytes:
    """Encoded messages as one array."""
    count = len(messages)
    head = b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")
    return b"".join((head, *messages))


decode_server = msgspec.msgpack.Decoder(ServerMessage).decode
decode_server_batch = msgspec.msgpack.Decoder(list[ServerMessage]).decode

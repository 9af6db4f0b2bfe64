"""Studies that begin with a line as it was found: on a running twin now, or in what it recorded.

A running twin records every two seconds where every piece is, its type and age, and how far cycles and repairs have come
(``LineFound`` in the pose track, ``twin/protocol/track.py``). Where a track has only how many items each node held and what state
it was in, items are of the types that the sources upstream send, in their shares; conveyors hold them evenly spread; cycles
begin anew.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import os
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from twin.core.errors import InputError, StudyError, WorkError
from twin.flow import LineState, Standing
from twin.model.factory import FactoryModel, Node, NodeKind, NodeState
from twin.protocol.frames import MAGIC
from twin.protocol.messages import LineFound, NodeStates, decode_server
from twin.protocol.track import FORMAT, records
from twin.studies.spec import DEFAULT_BEGIN, Study
from twin.studies.store import write_atomically

KEPT = "start.json"


@dataclass(frozen=True)
class Found:
    """A line at one moment.

    Attributes:
        asked: The study's ``start`` that this answers. wall_ns: when it was so [ns UTC]. source: where it was found.
        paths: Prim path of each node; empty where only their order is known. state, level: NodeState and items of each.
        line: ``LineState.as_dict`` of that moment, and sim_time: the twin's own time [s] then; None where only levels are known.
    """

    asked: str
    wall_ns: int
    source: str
    paths: list[str]
    state: list[int]
    level: list[int]
    line: dict[str, Any] | None = None
    sim_time: float | None = None

    @property
    def digest(self) -> str:
        """Identity of what was found: the same line gives the same results, whenever it was so."""
        return hashlib.sha256(json.dumps([self.paths, self.state, self.level, self.line]).encode()).hexdigest()

    @property
    def local(self) -> str:
        """Its moment as plant-local ISO time: by the twin's own calendar, which begins on a Monday, where that is known."""
        if self.sim_time is not None:
            moment = datetime.datetime.fromisoformat(DEFAULT_BEGIN) + datetime.timedelta(seconds=round(self.sim_time))
            return moment.isoformat()
        moment = datetime.datetime.fromtimestamp(self.wall_ns / 1e9).replace(microsecond=0)
        return moment.isoformat()

    def line_state(self, model: FactoryModel, base: FactoryModel) -> LineState:
        """The start of a scenario's line; nodes that it does not have lose their items, and so does one with less room than the
        items found there; new ones are empty.

        Raises:
            StudyError: The line is not the one that was found.
        """
        if self.line is not None:
            return _fitting(LineState.from_dict(self.line), model)
        paths = self.paths or [n.path for n in base.nodes]
        if len(paths) != len(self.level):
            text = f"{self.source} has {len(self.level)} nodes, the stage {len(paths)}: it is not the same line"
            raise StudyError(text, attribute="start")
        where = {path: i for i, path in enumerate(paths)}
        carried = carried_types(model)
        items: list[Standing] = []
        down: dict[str, float] = {}
        for k, node in enumerate(model.nodes):
            i = where.get(node.path)
            if i is None or node.kind not in (NodeKind.STATION, NodeKind.BUFFER, NodeKind.CONVEYOR):
                continue
            items += _standing(model, node, self.level[i], self.state[i], carried[k])
            if self.state[i] == NodeState.DOWN and node.time_to_failure >= 0:
                down[node.path] = 0.0
        return _fitting(LineState(items, down), model)


def find_start(asked: str, source: str) -> Found:
    """Look a start up.

    Args:
        asked: ``live`` or ``history@<ISO time>``. source: address of a running twin, ``http://host:port`` with the token behind
            ``#token=`` or in TWIN_TOKEN; or the folder of a project.

    Raises:
        InputError: The source is none, or has nothing of that moment. WorkError: It does not answer.
    """
    at_ns = None if asked == "live" else moment_ns(asked)
    track: _Track = _Remote(source) if "://" in source else _Folder(Path(source))
    chunks = track.chunks()
    if not chunks:
        raise InputError("nothing is recorded there", file=source, attribute="--from")
    if at_ns is not None and not chunks[0][0] <= at_ns <= chunks[-1][1]:
        raise InputError(
            f"nothing is recorded of {asked.partition('@')[2]}",
            file=source,
            attribute="start",
            allowed=[f"{_utc(chunks[0][0])} to {_utc(chunks[-1][1])}"],
        )
    best: tuple[int, NodeStates] | None = None
    line: tuple[int, LineFound] | None = None
    for begin_ns, end_ns, name in reversed([c for c in chunks if at_ns is None or c[0] <= at_ns]):
        del end_ns
        for time_ns, payload in records(track.read(name)):
            if payload.startswith(MAGIC) or (at_ns is not None and time_ns > at_ns):
                continue
            message = decode_server(payload)
            if isinstance(message, NodeStates):
                best = (time_ns, message)
            elif isinstance(message, LineFound):
                line = (time_ns, message)
        if best is not None or begin_ns == chunks[0][0]:
            break
    if best is None:
        raise InputError("no state of the line is recorded before that moment", file=source, attribute="start")
    wall_ns, states = best
    paths = track.paths()
    if line is not None:
        wall_ns, exact = line
        count = Counter(item.node for item in exact.items)
        paths = paths or sorted(count)
        items = [Standing(**msgspec.structs.asdict(item)) for item in exact.items]
        state = LineState(items, exact.down, exact.uptime).as_dict()
        levels = [count[path] for path in paths]
        return Found(asked, wall_ns, track.name, paths, list(states.state), levels, state, exact.sim_time)
    if paths and len(paths) != len(states.level):
        raise InputError("the line has been changed since that moment", file=source, attribute="start")
    return Found(asked, wall_ns, track.name, paths, list(states.state), list(states.level))


def moment_ns(asked: str) -> int:
    """The moment of ``history@<ISO time>`` [ns UTC]; a time without a zone is UTC.

    Raises:
        InputError: It is no time.
    """
    text = asked.partition("@")[2]
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a time", attribute="start", allowed=["history@2026-11-23T08:00:00Z"]) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return round(moment.timestamp() * 1e9)


def resolve_start(study: Study, folder: Path, source: str | None) -> tuple[Study, Found | None]:
    """The line that a study begins with, None for an empty one; where ``run.begin`` is not given, its moment is the begin.

    Raises:
        InputError: It asks for one, and there is none.
    """
    if study.start == "empty":
        if source is not None:
            raise InputError("the study starts empty: give it start: live, or start: history@<time>", attribute="--from")
        return study, None
    if study.fidelity != "flow":
        raise StudyError("only fidelity: flow can start from a line as it was found", file=study.file, attribute="start")
    found = find_start(study.start, source) if source is not None else kept_start(folder, study.start)
    if found is None:
        text = f"start: {study.start} needs --from: the address of a running twin, or the folder of its project"
        raise InputError(text, file=study.file, attribute="--from")
    if not study.run.begin_given:
        study = dataclasses.replace(study, run=dataclasses.replace(study.run, begin=found.local))
    return study, found


def keep_start(folder: Path, found: Found) -> None:
    """Keep it beside the results, so that later runs without ``--from`` begin with the same line."""
    write_atomically(folder / KEPT, json.dumps(dataclasses.asdict(found), indent=1))


def kept_start(folder: Path, asked: str) -> Found | None:
    """What an earlier run found. Raises WorkError where it is damaged."""
    path = folder / KEPT
    if not path.is_file():
        return None
    try:
        found = Found(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WorkError(f"damaged: remove it, and give --from again ({error})", file=path) from error
    return found if found.asked == asked else None


def carried_types(model: FactoryModel) -> list[tuple[np.ndarray, int]]:
    """For each node the shares of item types that come by it, [T], and the pieces in an item."""
    shares = [np.zeros(max(len(model.item_types), 1)) for _ in model.nodes]
    pieces = [1] * len(model.nodes)
    for _ in range(len(model.nodes)):
        before = [s.copy() for s in shares]
        for i, node in enumerate(model.nodes):
            out, held = shares[i], pieces[i]
            if node.kind == NodeKind.SOURCE:
                weights = np.asarray(node.weights if sum(node.weights) > 0 else [1.0] * len(node.items), float)
                for prototype, weight in zip(node.items, weights, strict=True):
                    out[model.prototype_type[prototype]] = weight / weights.sum()
            elif node.kind == NodeKind.STATION and node.output >= 0:
                held *= len(node.joins) or max(node.batch_size, 1)
                out = np.zeros_like(out)
                out[model.prototype_type[node.output]] = 1.0
            for j in [*node.next, *([node.rework] if node.rework >= 0 else [])]:
                if model.nodes[j].kind != NodeKind.SOURCE:
                    shares[j] = np.maximum(shares[j], out)
                    pieces[j] = max(pieces[j], held) if j > i or pieces[j] == 1 else pieces[j]
        if all(np.array_equal(a, b) for a, b in zip(before, shares, strict=True)):
            break
    return [(s / s.sum() if s.sum() > 0.0 else np.eye(1, len(s))[0], p) for s, p in zip(shares, pieces, strict=True)]


def _fitting(line: LineState, model: FactoryModel) -> LineState:
    """What of a line has room on that of a model."""
    nodes = {node.path: node for node in model.nodes}
    room = {node.path: _room(node) for node in model.nodes}
    items = []
    for item in line.items:
        if item.node in nodes and item.type in model.item_types and room[item.node] > 0:
            room[item.node] -= 1
            items.append(item)
    fails = {path for path, node in nodes.items() if node.time_to_failure >= 0}
    down, uptime = ({path: s for path, s in ages.items() if path in fails} for ages in (line.down, line.uptime))
    return LineState(items, down, uptime)


def _room(node: Node) -> float:
    """Items that a node has room for; a conveyor takes what stood on it."""
    if node.kind == NodeKind.STATION:
        return node.servers * (len(node.joins) or node.batch_size)
    if node.kind == NodeKind.BUFFER:
        return node.capacity if node.capacity >= 0 else math.inf
    return math.inf if node.kind == NodeKind.CONVEYOR else 0


def _standing(model: FactoryModel, node: Node, level: int, state: int, carried: tuple[np.ndarray, int]) -> list[Standing]:
    shares, pieces = carried
    # types in turn, so that every stretch of a queue has about their shares
    due = np.zeros(len(shares))
    out = []
    for k in range(level):
        due += shares
        kind = int(np.argmax(due))
        due[kind] -= 1.0
        origin = model.nodes[node.joins[k % len(node.joins)]].path if node.joins else ""
        done = node.kind == NodeKind.STATION and state == NodeState.BLOCKED
        along = 1.0 - (k + 0.5) / level if node.kind == NodeKind.CONVEYOR else 0.0
        out.append(Standing(node.path, model.item_types[kind], pieces=pieces, along=along, done=done, origin=origin))
    return out


def _utc(time_ns: int) -> str:
    return datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Track(Protocol):
    """Where a track is read from. ``chunks``: begin and end [ns UTC] and name, oldest first."""

    name: str

    def chunks(self) -> list[tuple[int, int, str]]: ...

    def read(self, name: str) -> bytes: ...

    def paths(self) -> list[str]: ...


class _Folder:
    """The track in a project's folder; node paths are not in it."""

    def __init__(self, project: Path) -> None:
        self.name = str(project)
        self._folder = project / "track"
        if not self._folder.is_dir():
            raise InputError("is not the folder of a project that has run", file=project, attribute="--from")

    def chunks(self) -> list[tuple[int, int, str]]:
        found = []
        for path in self._folder.glob(f"*-*.{FORMAT}"):
            begin, _, end = path.stem.partition("-")
            found.append((int(begin), int(end), path.name))
        return sorted(found)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def paths(self) -> list[str]:
        return []


class _Remote:
    """The track of a running twin."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            allowed = ["http://127.0.0.1:8000", "the folder of a project"]
            raise InputError(f"{url!r} is no address of a twin", attribute="--from", allowed=allowed)
        self.name = f"{parts.scheme}://{parts.netloc}"
        self._token = urllib.parse.parse_qs(parts.fragment).get("token", [os.environ.get("TWIN_TOKEN", "")])[0]

    def _get(self, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.name + path, headers=headers), timeout=30.0) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            hint = ": give the token, as http://host:port#token=... or in TWIN_TOKEN" if error.code in (401, 403) else ""
            raise InputError(f"the twin answers {error.code} {error.reason}{hint}", file=self.name, attribute="--from") from error
        except OSError as error:
            raise WorkError(f"no twin answers: {error}", file=self.name, attribute="--from") from error

    def chunks(self) -> list[tuple[int, int, str]]:
        found: list[tuple[int, int, str]] = []
        after = 0
        while True:
            index: dict[str, Any] = json.loads(self._get(f"/api/track?from={after}"))
            page = [(int(c["begin_ns"]), int(c["end_ns"]), str(c["id"])) for c in index["chunks"]]
            found += [c for c in page if not found or c[0] > found[-1][0]]
            if not index["more"] or not page:
                return found
            after = page[-1][1]

    def read(self, name: str) -> bytes:
        return self._get(f"/api/track/{name}")

    def paths(self) -> list[str]:
        return [str(node["path"]) for node in json.loads(self._get("/api/scene"))["nodes"]]

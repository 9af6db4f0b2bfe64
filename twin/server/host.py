"""The running twin behind the server: document, simulation, history and connections, held together.

Methods marked "owner" run on the runtime's owner thread, which alone touches the stage.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from twin.collab import Document, Outcome
from twin.collab.journal import Entry
from twin.connectors import Mapping, Plant, load
from twin.core import log
from twin.core.findings import Finding
from twin.core.samples import SignalKey
from twin.history import Historian
from twin.live import Event, Runtime
from twin.model.factory import FactoryModel
from twin.protocol.messages import (
    PROTOCOL_VERSION,
    Edited,
    FindingDoc,
    Op,
    PrimDetail,
    SceneDoc,
    ScenePatch,
    Welcome,
)
from twin.protocol.messages import History as UndoState
from twin.scene import compile_factory
from twin.scene.render import AssetStore, SceneExtractor, library_parts, node_docs, prim_detail, signal_docs

COLORS = ("#4f8cff", "#ff8a3d", "#2fbf71", "#c065ff", "#ff5577", "#18b6c8", "#d6a400", "#8a94a6")
"""Colours of users, in the order they come."""


@dataclass
class Settings:
    """What ``twin serve`` was asked for."""

    stage: Path
    project: Path
    asset_root: Path | None = None
    mappings: Sequence[Path] = ()
    emulate: bool = False
    rate: float = 1.0
    paused: bool = False
    device: str = "cpu"
    seed: int = 1
    stage_name: str = ""


@dataclass
class Join:
    """What a newcomer is sent first, in order."""

    welcome: Welcome
    messages: list[Any] = field(default_factory=list)


class Host:
    """Everything that runs, from ``start`` to ``stop``.

    Raises (start):
        InputError: The stage, the project or a mapping cannot be used. WorkError: The emulated plant did not start.
    """

    def __init__(self, settings: Settings, progress: Callable[[str], None] = lambda text: None) -> None:
        self.settings = settings
        self._progress = progress
        self._log = log.get("host")
        self.assets = AssetStore()
        self.document = Document(settings.stage, settings.project, asset_root=settings.asset_root)
        self.history = Historian(settings.project / "history.db")
        self.token = _project_token(settings.project)
        self._emulated: subprocess.Popen[bytes] | None = None
        self._extractor = SceneExtractor(
            self.document.stage, assets=self.assets, edit_layer=self.document.layer, asset_root=self.document.asset_root
        )
        self._scene: tuple[Any, bytes] | None = None
        self._model: FactoryModel | None = None
        self.plant = self._connect()
        self.runtime = Runtime(
            self._compile,
            rate=settings.rate,
            paused=settings.paused,
            seed=settings.seed,
            device=settings.device,
            live=self.plant,
            recorder=self.history,
            progress=progress,
        )

    def _connect(self) -> Plant | None:
        mappings: list[Mapping] = [load(path) for path in self.settings.mappings]
        if self.settings.emulate:
            from twin.connectors.emulated import emulated_mapping, spawn_emulated
            from twin.scene import list_signals

            self._progress("starting the emulated plant")
            endpoint, self._emulated = spawn_emulated()
            known = {SignalKey(s.prim, s.name) for s in list_signals(self.document.stage)}
            taken = {key for mapping in mappings for key in mapping.targets()}
            mappings.append(emulated_mapping(endpoint, known - taken))
        return Plant(mappings, self.history) if mappings else None

    def start(self) -> None:
        """Start simulating and connecting; returns when the first step is done."""
        try:
            self.runtime.start()
            if self.plant is not None:
                self.plant.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything; what was committed stays."""
        self.runtime.stop()
        if self.plant is not None:
            self.plant.stop()
        if self._emulated is not None and self._emulated.stdin is not None:
            self._emulated.stdin.close()
            try:
                self._emulated.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                self._emulated.kill()
        self.history.close()
        self.document.close()

    # ---- owner

    def _compile(self) -> FactoryModel:
        model = compile_factory(self.document.stage)
        self._extractor.use(model)
        for signal in model.signals:
            if signal.unit:
                self.history.declare(SignalKey(signal.prim, signal.name), signal.unit)
        self._model = model
        self._scene = None
        return model

    def scene(self) -> bytes:
        """Owner: the scene document as JSON."""
        key = (self.document.seq, self.document.epoch)
        if self._scene is None or self._scene[0] != key:
            self._scene = (key, msgspec.json.encode(self._scene_doc()))
        return self._scene[1]

    def _scene_doc(self) -> SceneDoc:
        from twin.core.findings import Findings

        parts = self._extractor.scene()
        found = Findings()
        library = library_parts(self.document.asset_root, found)
        model = self.runtime.model
        findings: list[Finding] = [*self.document.findings, *self.runtime.simulation.findings, *found]
        stage = self.document.stage
        return SceneDoc(
            seq=self.document.seq,
            epoch=self.document.epoch,
            stage=self.settings.stage_name or self.document.path.name,
            up_axis="Y" if model.rigid.up_axis == 1 else "Z",
            meters_per_unit=_meters_per_unit(stage),
            prims=parts.prims,
            materials=parts.materials,
            nodes=node_docs(model),
            signals=signal_docs(model),
            prototypes=parts.prototypes,
            library=library,
            findings=[FindingDoc(f.severity, f.path, f.code, f.message) for f in findings],
        )

    def prim(self, path: str) -> PrimDetail:
        """Owner: everything about one prim."""
        detail = prim_detail(self.document.stage, path, self.document.layer)
        for prop in detail.properties:
            prop.driven = self._driven(path, prop.name)
        return detail

    def _driven(self, prim: str, name: str) -> bool:
        if not (name.startswith("twin:signal:") and name.endswith(":value")):
            return False
        return self.runtime.signals.driven(SignalKey(prim, name.split(":")[2]))

    def edit(self, session: str, opid: int, user: str, txn: list[Op], label: str) -> tuple[Outcome, list[Any]]:
        """Owner: apply an edit; returns the outcome and what everybody is told."""
        for op in txn:
            if op.kind in ("set_field", "block", "clear") and self._driven(op.path, op.field):
                from twin.collab.journal import Refusal

                refusal = Refusal("driven", f"{op.field} is written by a connection", op.path)
                return Outcome(refusal=refusal), []
        return self._told(self.document.submit(session, opid, user, txn, label))

    def undo(self, session: str, opid: int, user: str) -> tuple[Outcome, list[Any]]:
        """Owner."""
        return self._told(self.document.undo(session, opid, user))

    def redo(self, session: str, opid: int, user: str) -> tuple[Outcome, list[Any]]:
        """Owner."""
        return self._told(self.document.redo(session, opid, user))

    def _told(self, outcome: Outcome) -> tuple[Outcome, list[Any]]:
        if outcome.entry is None or outcome.again:
            return outcome, []
        self._scene = None
        touched = [*outcome.changed, *outcome.resync]
        before = None if self._model is None else node_docs(self._model)
        if outcome.resync:
            self.runtime.take_over_edits()
        else:
            self.runtime.value_changed(touched)
        patch = self._patch(outcome.entry.seq, outcome.changed, outcome.resync)
        if self._model is not None and (now := node_docs(self._model)) != before:
            patch.nodes = now
        return outcome, [edited(outcome.entry), patch]

    def _patch(self, seq: int, changed: list[str], resync: list[str]) -> ScenePatch:
        parts = self._extractor.patch(changed, resync)
        return ScenePatch(seq, parts.prims, parts.removed, parts.materials)

    def join(self, session: str, name: str, role: str, epoch: str, last_seq: int) -> Join:
        """Owner: let a client in, resuming where it was if that is possible."""
        document = self.document
        known = document.journal.session(session) if session else None
        if known is None:
            count = len(document.journal.meta("sessions") or "")
            color = COLORS[count % len(COLORS)]
            document.journal.set_meta("sessions", "." * ((count + 1) % 4096))
            user = name.strip()[:40] or f"Guest {count + 1}"
            session = document.journal.new_session(user, color)
        else:
            user, color = known
            if name.strip() and name.strip()[:40] != user:
                user = name.strip()[:40]
                document.journal.rename_session(session, user)
        changes = document.changes_since(last_seq) if epoch == document.epoch else None
        welcome = Welcome(
            PROTOCOL_VERSION, session, user, role, color, document.epoch, document.seq,
            self.settings.project.name, self.settings.stage_name or document.path.name, changes is not None,
        )  # fmt: skip
        messages: list[Any] = []
        if changes is not None and last_seq < document.seq:
            messages += [edited(e) for e in document.journal.entries(last_seq)]
            patch = self._patch(document.seq, *changes)
            patch.nodes = node_docs(self.runtime.model)
            messages.append(patch)
        messages.append(UndoState(*document.undo_labels(session)))
        events: list[Event] = self.runtime.current()
        return Join(welcome, messages + events)

    # ---- any thread

    def on_owner(self, fn: Callable[[], Any]) -> Future[Any]:
        """Run ``fn`` on the owner thread."""
        return self.runtime.call(fn)

    def role_of(self, token: str) -> str | None:
        """Role of a token; None: unknown."""
        if secrets.compare_digest(token.encode(), self.token.encode()):
            return "admin"
        return self.document.journal.role_of(token)

    def share(self, role: str, label: str) -> str:
        """A new token for ``role``."""
        token = secrets.token_urlsafe(24)
        self.document.journal.add_token(token, role, label)
        return token


def edited(entry: Entry) -> Edited:
    """The message that tells of an accepted transaction."""
    return Edited(
        entry.seq, entry.session, entry.opid, entry.user, entry.label, entry.time_ns, entry.txn, entry.kind, entry.skipped
    )


def _meters_per_unit(stage: Any) -> float:
    from twin.scene.stage import meters_per_unit

    return meters_per_unit(stage)


def _project_token(project: Path) -> str:
    """``TWIN_TOKEN``, else the token kept in the project, made on the first start (mode 0600)."""
    given = os.environ.get("TWIN_TOKEN", "")
    if given:
        return given
    file = project / "token"
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_urlsafe(24))
    return file.read_text().strip()

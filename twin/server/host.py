"""The running twin behind the server: document, simulation, history and connections, held together.

Methods marked "owner" run on the runtime's owner thread, which alone touches the stage.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from twin.collab import Access, Bookmarks, Comments, Document, Identity, Outcome, Proposals, Rules, Uploads, Users
from twin.collab.access import MAX_NAME
from twin.collab.journal import Entry
from twin.collab.proposals import Conflicts
from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import Rejected
from twin.core.findings import Finding, Findings
from twin.core.samples import SignalKey
from twin.history import Historian
from twin.live import Event, Runtime, ShadowFeed
from twin.live.keyframes import Keyframe, Keyframes, layout_of
from twin.live.learned import LearnedFile
from twin.model.factory import FactoryModel
from twin.protocol.documents import FindingDoc, NodeDoc, PrimDetail, PrimDoc, SceneDoc, SignalDoc
from twin.protocol.messages import PROTOCOL_VERSION, Edited, KpiBatch, Op, ScenePatch, Welcome
from twin.protocol.messages import History as UndoState
from twin.scene import compile_factory
from twin.scene.beside import ProcessBeside
from twin.scene.clip import clip_of
from twin.scene.relevance import Relevance
from twin.scene.render import (
    AssetStore,
    library_parts,
    node_docs,
    prim_detail,
    signal_docs,
    stage_layers,
    stage_variants,
)
from twin.server.alarms import Alarms
from twin.server.commits import Commits
from twin.server.connected import Both, Connected
from twin.server.drawing import Drawing
from twin.server.past import PastScenes
from twin.server.quotas import Quotas
from twin.server.renames import Renames
from twin.server.settings import Settings
from twin.sim import Simulation

if TYPE_CHECKING:
    pass

COLORS = ("#4f8cff", "#ff8a3d", "#2fbf71", "#c065ff", "#ff5577", "#18b6c8", "#d6a400", "#8a94a6")
"""Colours of users, in the order they come."""
Told = tuple[Outcome, list[Any]]
"""What became of an edit, and what everybody is told of it."""
MAX_PRIMS = 100_000
"""No edit may make a stage grow beyond as many prims."""


@dataclass
class Join:
    """What a newcomer is sent first, in order."""

    welcome: Welcome
    messages: list[Any] = field(default_factory=list)


class Host:
    """Everything that runs, from ``start`` to ``stop``.

    Raises (start):
        InputError: The stage, the project or a mapping cannot be used.
    """

    def __init__(self, settings: Settings, progress: Callable[[str], None] = lambda text: None) -> None:
        self.settings = settings
        self._progress = progress
        self._log = log.get("host")
        self.assets = AssetStore()
        self.document = Document(settings.stage, settings.project, asset_root=settings.asset_root)
        self.history = Historian(settings.project / "history.db")
        self.token = _project_token(settings.project)
        self.access = Access(self.document.journal, self.token)
        self.users = Users(self.document.journal, self.access)
        self.proposals = Proposals(self.document)
        self.comments = Comments(self.document.journal)
        self.bookmarks = Bookmarks(self.document.journal)
        self.alarms = Alarms(self.document.journal)
        self.rules = Rules(self.document.journal)
        self.renames = Renames(self.document, self.comments, self.rules, self.alarms)
        self.uploads = Uploads(self.document.journal)
        self.quotas = Quotas(settings.quota)
        self._run = secrets.token_hex(8)
        self._acting: Identity | None = None
        self._stopped = False
        self.document.guard = self._guard
        self.document.room = lambda: MAX_PRIMS - self._extractor.count
        self.drawing = Drawing(self.document, self.assets, self._drawn)
        self._extractor = self.drawing.extractor
        self.past = PastScenes(self.document.path, settings.project, self.document.asset_root, self._stage_name, self.assets)
        self._relevance = Relevance(self.document.stage)
        self._scene: tuple[Any, bytes] | None = None
        self._nodes: list[NodeDoc] = []
        self._signals: list[SignalDoc] = []
        self._asked_seq = self._model_seq = 0
        self._compiler = ProcessBeside(self.document.path, self.document.asset_root, self.document.text)
        self.keyframes = Keyframes(settings.project / "keyframes")
        self._keeping = ThreadPoolExecutor(1, thread_name_prefix="twin-keyframes")
        self._kept: Future[None] | None = None
        self.shadow = ShadowFeed() if settings.shadow else None
        recorder = self.history if self.shadow is None else Both(self.history, self.shadow)
        self.connected = Connected(settings, self.document, self.renames, recorder, progress)
        self.plant = self.connected.plant
        self.runtime = Runtime(
            self._compile,
            compile_beside=self._compile_beside,
            moved=lambda: self.renames.since(self._asked_seq),
            took_over=self._took_over,
            rate=settings.rate,
            paused=settings.paused,
            seed=settings.seed,
            device=settings.device,
            live=self.plant,
            recorder=self.history,
            keep=None if settings.shadow else self._keep,
            shadow=self.shadow,
            progress=progress,
        )
        self.learned = LearnedFile(settings.project / "residuals.learned", self.runtime.signals.residuals)
        self.learned.recall()
        self.runtime.signals.residuals.tell = self.alarms.disagreement
        self.alarms.standstill = self.runtime.standstill
        self.alarms.recording = lambda: self.history.losses().error
        self.runtime.subscribe(self.alarms.watch)
        self.runtime.subscribe(self._learn)
        self.commits = Commits(self.document, self.runtime, self._taken_back)

    def start(self) -> None:
        """Start simulating and connecting; returns when the first step is done."""
        try:
            self.connected.start_emulated()
            self.runtime.start()
            self.on_owner(self._compiler.start)
            self.connected.start(self.runtime.model.signals, lambda: self.runtime.signals.latest)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything; what was committed stays. Again, it does nothing: a start that fails has stopped already."""
        if self._stopped:
            return
        self._stopped = True
        self.connected.stop_serving()
        self.runtime.stop()
        self.alarms.log.flush()
        self.commits.close()
        self.connected.stop()
        self._keeping.shutdown()
        self.learned.keep()
        self.history.close()
        self._compiler.close()
        self.drawing.close()
        self.past.close()
        self._relevance.close()
        self.document.close()

    # ---- owner

    def _compile(self) -> FactoryModel:
        self._asked_seq = self.document.seq
        model = compile_factory(self.document.stage)
        self._use(model)
        return model

    def _compile_beside(self) -> Future[FactoryModel]:
        self._asked_seq = self.document.seq
        return self._compiler.compile()

    def _use(self, model: FactoryModel) -> None:
        """Number what is drawn as the model does."""
        self._relevance.prepare()
        self._extractor.use(model)
        for signal in model.signals:
            if signal.unit:
                self.history.declare(SignalKey(signal.prim, signal.name), signal.unit)
        self._nodes, self._signals = node_docs(model), signal_docs(model)
        self.alarms.use(model, self._nodes)
        self._model_seq = self._asked_seq
        self._scene = None

    def _took_over(self, model: FactoryModel) -> list[Any]:
        """The simulation runs with the edits: what everybody has to know of that."""
        nodes, signals = self._nodes, self._signals
        self.renames.took_over(self._asked_seq, self.runtime.signals, self.connected)
        self._use(model)
        patch = ScenePatch(self.document.seq, [], [], [])
        if self._nodes != nodes:
            patch.nodes = self._nodes
        if self._signals != signals:
            patch.signals = self._signals
        return [patch]

    def _taken_back(self) -> None:
        """Accepted edits could not be written and are no more; they may have been compiled."""
        self._compiler.forget()
        self.drawing.forget()
        self.renames.taken_back()
        self._scene = None
        self.runtime.edited()

    def _drawn(self, take: Callable[[], PrimDoc | None]) -> None:
        """Any thread: a mesh has been drawn beside; ``take`` gives the prim if it still is what it was."""

        def work() -> None:
            if (doc := take()) is not None:
                self._scene = None
                self.runtime.tell(ScenePatch(self.document.seq, [doc], [], []))

        with suppress(Rejected):  # the twin is stopping
            self.runtime.call(work)

    def _keep(self, simulation: Simulation, snapshot: dict[str, Any]) -> None:
        """Owner: put a keyframe on disk, unless the disk is still busy with the one before."""
        if self._kept is not None and not self._kept.done():
            return
        document = self.document
        about = Keyframe(
            now_ns(),
            self.runtime.run,
            simulation.tick,
            simulation.hz,
            simulation.seed,
            document.epoch,
            self._model_seq,
            layout_of(simulation.model),
        )
        self._kept = self._keeping.submit(self.keyframes.save, about, snapshot)

    def _learn(self, event: Event) -> None:
        """Owner: now and then, put on disk what residuals have learned."""
        if isinstance(event, KpiBatch) and self.learned.due():
            self._keeping.submit(self.learned.keep)

    def scene(self) -> bytes:
        """Owner: the scene document as JSON."""
        key = (self.document.seq, self.document.epoch)
        if self._scene is None or self._scene[0] != key:
            self._scene = (key, msgspec.json.encode(self._scene_doc()))
        return self._scene[1]

    def edits_at(self, t_ns: int) -> tuple[int, int, int]:
        """Owner: number of the last edit at a moment [ns UTC], and from when until when it was the last; 0: none, or none yet."""
        found = self.document.journal.read("select max(seq), max(time_ns) from ops where time_ns <= ?", (t_ns,))[0]
        after = self.document.journal.read("select min(time_ns) from ops where time_ns > ?", (t_ns,))[0][0]
        return found[0] or 0, found[1] or 0, after or 0

    @property
    def _stage_name(self) -> str:
        return self.settings.stage_name or self.document.path.name

    def _scene_doc(self) -> SceneDoc:
        parts = self._extractor.scene()
        self.drawing.ask()
        found = Findings()
        library = library_parts(self.document.asset_root, found)
        model = self.runtime.model
        findings: list[Finding] = [*self.document.findings, *self.runtime.simulation.findings, *found]
        findings += self._extractor.all_findings()
        stage = self.document.stage
        return SceneDoc(
            seq=self.document.seq,
            epoch=self.document.epoch,
            stage=self._stage_name,
            up_axis="Y" if model.rigid.up_axis == 1 else "Z",
            meters_per_unit=_meters_per_unit(stage),
            prims=parts.prims,
            materials=parts.materials,
            nodes=self._nodes,
            signals=self._signals,
            prototypes=parts.prototypes,
            library=library,
            findings=[FindingDoc(f.severity, f.path, f.code, f.message) for f in findings],
        )

    def prim(self, path: str) -> PrimDetail:
        """Owner: everything about one prim."""
        detail = prim_detail(self.document.stage, path, self.document.layer)
        for prop in detail.properties:
            prop.driven = self._driven(path, prop.name)
            if prop.name == "twin:conveyor:length" and prop.value == 0.0:
                length = next((node.length for node in self.runtime.model.nodes if node.path == path), 0.0)
                prop.effective = length / _meters_per_unit(self.document.stage) if length > 0.0 else None
        return detail

    def clip(self, paths: list[str]) -> bytes:
        """Owner: prims as what a clipboard holds, JSON."""
        document = self.document
        head = {"twin": "clip", "version": 1, "epoch": document.epoch, "stage": self._stage_name}
        return msgspec.json.encode(head | msgspec.to_builtins(clip_of(document.stage, paths, document.asset_root)))

    def uploaded(self, who: str, user: str, asset: str) -> None:
        """Owner: the library has a new part; it counts for ``who`` and is told of in the name of ``user``."""
        self._scene = None
        self.uploads.add(asset, who)
        self.access.audit(user, "upload", asset)

    def mesh_frame(self, meters: float, up: str) -> tuple[float, str]:
        """Owner: what brings a mesh whose unit is ``meters`` long to the stage: a factor, and how to turn it."""
        own = "Y" if self.runtime.model.rigid.up_axis == 1 else "Z"
        turn = "none" if up == own else f"{up.lower()}-to-{own.lower()}"
        return meters / _meters_per_unit(self.document.stage), turn

    def layers(self) -> dict[str, Any]:
        """Owner: what the stage is composed of, and its variants."""
        stage, root = self.document.stage, self.document.asset_root
        return {"layers": stage_layers(stage, root, self.document.layer), "variants": stage_variants(stage)}

    def _driven(self, prim: str, name: str) -> bool:
        if not (name.startswith("twin:signal:") and name.endswith(":value")):
            return False
        return self.runtime.signals.driven(SignalKey(prim, name.split(":")[2]))

    def _guard(self, op: Op) -> None:
        if self._acting is not None:
            self.rules.check(op, self._acting.role, self._acting.user)
        if op.kind in ("set_field", "block", "clear", "restore_spec") and self._driven(op.path, op.field):
            raise Rejected("driven", f"{op.field} is written by a connection", prim=op.path)

    def edit(
        self, who: Identity, session: str, opid: int, user: str, txn: list[Op], label: str, *, seen: int | None = None
    ) -> Told:
        """Owner: apply an edit; returns the outcome and what everybody is told. ``seen``: see ``Document.submit``."""
        return self._told(who, lambda: self.document.submit(session, opid, user, txn, label, seen=seen))

    def restore(self, who: Identity, session: str, opid: int, user: str, version: int) -> Told:
        """Owner."""
        return self._told(who, lambda: self.document.restore(session, opid, user, version))

    def merge(self, who: Identity, id: int, session: str, opid: int, user: str, *, conflicts: Conflicts) -> Told:
        """Owner."""
        return self._told(who, lambda: self.proposals.merge(id, session, opid, user, conflicts=conflicts))

    def take_back(self, who: Identity, id: int, session: str, opid: int, user: str) -> Told:
        """Owner."""
        return self._told(who, lambda: self.proposals.take_back(id, session, opid, user))

    def undo(self, who: Identity, session: str, opid: int, user: str) -> Told:
        """Owner."""
        return self._told(who, lambda: self.document.undo(session, opid, user))

    def redo(self, who: Identity, session: str, opid: int, user: str) -> Told:
        """Owner."""
        return self._told(who, lambda: self.document.redo(session, opid, user))

    def _told(self, who: Identity, work: Callable[[], Outcome]) -> Told:
        """Do an edit in the name of ``who``, and take over into the simulation what matters to it."""
        self._relevance.prepare()
        self._acting = who
        try:
            outcome = work()
        finally:
            self._acting = None
        if outcome.entry is None or outcome.again:
            return outcome, []
        self._scene = None
        renamed = self.renames.edited(outcome.moves)
        self._compiler.applied(outcome.entry.txn)
        self.drawing.applied(outcome.entry.txn)
        if self._relevance.touched():
            self.renames.wait(outcome.entry.seq, outcome.moves)
            self.runtime.edited()
        return outcome, [edited(outcome.entry), self._patch(outcome.entry.seq, outcome.changed, outcome.resync), *renamed]

    def _patch(self, seq: int, changed: list[str], resync: list[str]) -> ScenePatch:
        parts = self._extractor.patch(changed, resync)
        self.drawing.ask()
        return ScenePatch(seq, parts.prims, parts.removed, parts.materials, order=parts.order)

    def join(self, session: str, name: str, who: Identity, epoch: str, last_seq: int) -> Join:
        """Owner: let a client in, resuming where it was if that is possible.

        Args:
            session: The session to go on with, if any. name: What the person wants to be called; a name that came with the
                token counts more. epoch, last_seq: What it has seen.
        """
        journal = self.document.journal
        known = journal.session(session, who.key) if session else None
        wanted = who.user or _printable(name)
        if known is None:
            count = journal.session_count()
            user, color = wanted or f"Guest {count + 1}", COLORS[count % len(COLORS)]
            session = journal.new_session(user, color, who.key)
        else:
            user, color = known
            if wanted and wanted != user:
                user = wanted
                journal.rename_session(session, user)
        document = self.document
        changes = document.changes_since(last_seq) if epoch == document.epoch else None
        welcome = Welcome(
            PROTOCOL_VERSION, session, user, who.role, color, document.epoch, document.seq,
            self.settings.project.name, self.settings.stage_name or document.path.name, changes is not None, self._run,
        )  # fmt: skip
        messages: list[Any] = []
        if changes is not None and last_seq < document.seq:
            messages += [edited(e) for e in document.journal.entries(last_seq)]
            patch = self._patch(document.seq, *changes)
            patch.nodes, patch.signals, patch.materials = self._nodes, self._signals, self._extractor.materials()
            messages.append(patch)
        if changes is not None and (heavy := self._extractor.heavy()):
            messages.append(ScenePatch(document.seq, heavy, [], []))
        messages.append(UndoState(*document.undo_labels(session)))
        events: list[Event] = self.runtime.current()
        return Join(welcome, messages + events)

    # ---- any thread

    def on_owner(self, fn: Callable[[], Any]) -> Future[Any]:
        """Run ``fn`` on the owner thread."""
        return self.runtime.call(fn)


def edited(entry: Entry) -> Edited:
    """The message that tells of an accepted transaction."""
    return Edited(
        entry.seq, entry.session, entry.opid, entry.user, entry.label, entry.time_ns, entry.txn, entry.kind, entry.skipped
    )


def _meters_per_unit(stage: Any) -> float:
    from twin.scene.stage import meters_per_unit

    return meters_per_unit(stage)


def _printable(name: str) -> str:
    """A name as others will read it: no line breaks or other control characters, at most 40."""
    return "".join(c for c in name if c.isprintable()).strip()[:MAX_NAME]


def _project_token(project: Path) -> str:
    """``TWIN_TOKEN``, else the token kept in the project, made on the first start (mode 0600)."""
    given = os.environ.get("TWIN_TOKEN", "").strip()
    if given:
        return given
    file = project / "token"
    kept = file.read_text().strip() if file.exists() else ""
    if not kept:
        # a loss of power must not leave an empty file behind, which would be a token that everybody knows
        kept = secrets.token_urlsafe(24)
        fresh = project / "token.new"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(kept)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    return kept

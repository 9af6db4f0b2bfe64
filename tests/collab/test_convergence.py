"""Seeded editors on a bad network, restarts among it: everybody ends with the same layer, and nobody's work is undone by others.

The network is simulated so that a failing seed can be run again: requests and answers are delayed, lost with their connection
and sent again on reconnection; the server is killed and recovers from its journal.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from twin.collab import Document
from twin.collab.journal import Entry
from twin.protocol.messages import Op
from twin.scene import open_stage
from twin.scene.edits import apply_txn, layer_to_text, make_edit_layer

EDITORS = 4
ROUNDS = 300


@dataclass
class Editor:
    """One tab: a replica of the edits, requests not yet answered, and a connection that comes and goes."""

    name: str
    stage: object
    layer: object
    root: Path
    seq: int = 0
    opid: int = 0
    connected: bool = True
    pending: dict[int, tuple[str, list[Op]]] = field(default_factory=dict)
    outbox: deque[int] = field(default_factory=deque)
    inbox: deque[Entry] = field(default_factory=deque)
    answered: dict[int, str] = field(default_factory=dict)

    def ask(self, kind: str, txn: list[Op]) -> None:
        self.opid += 1
        self.pending[self.opid] = (kind, txn)
        self.outbox.append(self.opid)

    def take(self, entry: Entry) -> None:
        """An entry arrives; those that were seen before are known by their number."""
        if entry.seq <= self.seq:
            return
        assert entry.seq == self.seq + 1, "a gap in the order"
        apply_txn(self.stage, self.layer, entry.txn, asset_root=self.root, internal=True)
        self.seq = entry.seq
        if entry.session == self.name:
            self.answer(entry.opid, "accepted")

    def answer(self, opid: int, what: str) -> None:
        assert self.answered.setdefault(opid, what) == what, "two different answers to one request"
        self.pending.pop(opid, None)


class World:
    """The server, its editors, and the checks that hold after each step."""

    def __init__(self, stage: Path, project: Path, seed: int) -> None:
        self.path, self.project, self.draw = stage, project, random.Random(seed)
        self.document = Document(stage, project)
        self.epoch = self.document.epoch
        self.editors = [self._editor(f"s{i}") for i in range(EDITORS)]
        self.undone = 0

    def _editor(self, name: str) -> Editor:
        stage = open_stage(self.path)
        return Editor(name, stage, make_edit_layer(stage), self.path.parent)

    def random_txn(self) -> list[Op]:
        draw, document = self.draw, self.document
        paths = [str(p.GetPath()) for p in document.stage.Traverse() if str(p.GetPath()) != "/World"]
        path = draw.choice(paths)
        x = round(draw.uniform(-9, 9), 3)
        return [
            draw.choice(
                [
                    Op("set_field", path, "xformOp:translate", ["double3", [x, 0.0, 0.0]]),
                    Op("set_field", path, "xformOp:rotateXYZ", ["float3", [0.0, 0.0, 45.0]]),
                    Op("set_field", path, "size", ["double", abs(x) + 0.1]),
                    Op("clear", path, "size"),
                    Op("add_prim", f"/World/N{draw.randrange(6)}", "", {"type": "Cube"}),
                    Op("add_prim", f"{path}/N", "", {"type": "Cube"}),
                    Op("remove_prim", path) if draw.random() < 0.4 else Op("set_metadata", path, "kind", "component"),
                    Op("move_prim", path, "", f"/World/M{draw.randrange(6)}"),
                    Op("apply_api", path, "PhysicsCollisionAPI", draw.random() < 0.7),
                ]
            )
            for _ in range(draw.choice([1, 1, 2, 3]))
        ]

    def serve(self, editor: Editor) -> None:
        """The server takes the editor's next request; the answer may be lost with the connection."""
        opid = editor.outbox.popleft()
        kind, txn = editor.pending[opid]
        before = self._last_writers()
        document = self.document
        outcome = (
            document.submit(editor.name, opid, editor.name, txn)
            if kind == "edit"
            else getattr(document, kind)(editor.name, opid, editor.name)
        )
        if kind == "undo" and outcome.entry is not None and not outcome.again:
            self.undone += 1
            for op in outcome.entry.txn:
                writer = before.get((op.path, op.field))
                assert writer in (None, editor.name), f"undo wrote {op.path}.{op.field}, which {writer} wrote last"
        if outcome.entry is not None and not outcome.again:
            for other in self.editors:
                if other.connected:
                    other.inbox.append(outcome.entry)
        if self.draw.random() < 0.1:
            self.drop(editor)
        elif outcome.refusal is not None:
            editor.answer(opid, "refused")
        elif outcome.again and outcome.entry is not None:
            editor.answer(opid, "accepted")

    def _last_writers(self) -> dict[tuple[str, str], str]:
        """Who wrote each property last, worked out from the journal alone; whoever removes or moves a prim writes all below."""
        last: dict[tuple[str, str], str] = {}
        for entry in self.document.journal.entries():
            for op in (*entry.txn, *entry.inverse):
                if op.field and op.kind in ("set_field", "clear", "block", "restore_spec"):
                    last[(op.path, op.field)] = entry.session
                elif op.kind in ("add_prim", "remove_prim", "move_prim", "restore_spec"):
                    last |= {key: entry.session for key in last if f"{key[0]}/".startswith(f"{op.path}/")}
        return last

    def drop(self, editor: Editor) -> None:
        editor.connected = False
        editor.inbox.clear()
        editor.outbox.clear()

    def reconnect(self, editor: Editor) -> None:
        """What was missed follows, and what was not answered is sent again."""
        editor.connected = True
        for entry in self.document.journal.entries(editor.seq):
            editor.take(entry)
        editor.outbox.extend(sorted(editor.pending))

    def restart(self) -> None:
        """SIGKILL as far as the document can tell: no checkpoint, nothing said; the lock goes with the process."""
        self.document.journal.close()
        for editor in self.editors:
            self.drop(editor)
        self.document = Document(self.path, self.project)
        assert self.document.epoch == self.epoch

    def step(self) -> None:
        draw = self.draw
        if draw.random() < 0.02:
            self.restart()
        editor = draw.choice(self.editors)
        if not editor.connected:
            if draw.random() < 0.5:
                self.reconnect(editor)
            return
        action = draw.random()
        if action < 0.4:
            editor.ask("edit", self.random_txn())
        elif action < 0.5:
            editor.ask(draw.choice(["undo", "undo", "redo"]), [])
        elif action < 0.7 and editor.outbox:
            self.serve(editor)
        elif action < 0.97:
            for _ in range(draw.randrange(1, 6)):
                if editor.inbox:
                    editor.take(editor.inbox.popleft())
        else:
            self.drop(editor)

    def settle(self) -> None:
        for editor in self.editors:
            self.drop(editor)
            self.reconnect(editor)
        while any(editor.outbox or editor.inbox or not editor.connected for editor in self.editors):
            for editor in self.editors:
                if not editor.connected:
                    self.reconnect(editor)
                if editor.outbox:
                    self.serve(editor)
                while editor.inbox:
                    editor.take(editor.inbox.popleft())


@pytest.mark.parametrize("seed", range(4))
def test_all_converge_on_what_the_journal_says(stage: Path, tmp_path: Path, seed: int) -> None:
    world = World(stage, tmp_path / "project", seed)
    for _ in range(ROUNDS):
        world.step()
    world.settle()
    truth = world.document.text()
    for editor in world.editors:
        assert editor.seq == world.document.seq
        assert layer_to_text(editor.layer) == truth
        assert not editor.pending
        assert sorted(editor.answered) == list(range(1, editor.opid + 1))  # every request got one answer
    replay = world._editor("replay")
    for entry in world.document.journal.entries():
        replay.take(entry)
    assert layer_to_text(replay.layer) == truth
    accepted = [(e.session, e.opid) for e in world.document.journal.entries()]
    assert len(accepted) == len(set(accepted)) > 20  # nothing was applied twice
    assert world.undone > 0
    world.document.close()

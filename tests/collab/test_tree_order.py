"""What a page shows after any patches is what it shows after a reload: the same prims in the same order."""

from __future__ import annotations

import random

import pytest

from twin.collab import Document
from twin.protocol.messages import Op
from twin.scene.render import AssetStore, SceneExtractor
from twin.scene.render.extract import SceneParts

EDITS = 150
COPY = {"type": "Xform"}


class Page:
    """The tree of a page, which hears of edits only by patches."""

    def __init__(self, parts: SceneParts) -> None:
        self.children: dict[str, list[str]] = {}
        for prim in parts.prims:
            self._of(prim.path).append(prim.path)

    def _of(self, path: str) -> list[str]:
        return self.children.setdefault(path.rpartition("/")[0], [])

    def patch(self, parts: SceneParts) -> None:
        for path in [*parts.removed, *parts.order]:  # of what is told whole, all follows in order
            if path in self._of(path) and path not in parts.order:
                self._of(path).remove(path)
            for parent in [p for p in self.children if f"{p}/".startswith(f"{path}/")]:
                del self.children[parent]
        for prim in parts.prims:
            if prim.path not in self._of(prim.path):
                self._of(prim.path).append(prim.path)
        placed = dict(parts.order)
        while placed:
            # the next sibling of one that is to be placed may be placed itself: from the end on
            ready = [path for path, name in placed.items() if f"{path.rpartition('/')[0]}/{name}" not in placed]
            assert ready, f"no order: {placed}"
            for path in ready:
                siblings, name = self._of(path), placed.pop(path)
                siblings.remove(path)
                siblings.insert(siblings.index(f"{path.rpartition('/')[0]}/{name}") if name else len(siblings), path)

    def shown(self, below: str = "") -> list[str]:
        return [path for child in self.children.get(below, []) for path in (child, *self.shown(child))]


def reloaded(document: Document) -> list[str]:
    return [prim.path for prim in SceneExtractor(document.stage, assets=AssetStore()).scene().prims]


def test_a_prim_whose_deletion_is_undone_stands_where_it_stood(opened) -> None:
    document = opened()
    view = SceneExtractor(document.stage, assets=AssetStore())
    page = Page(view.scene())
    before = page.shown()

    def then(outcome) -> SceneParts:
        parts = view.patch(outcome.changed, outcome.resync)
        page.patch(parts)
        assert page.shown() == reloaded(document)
        return parts

    then(document.submit("s", 1, "Ada", [Op("remove_prim", "/World/A")], ""))
    parts = then(document.undo("s", 2, "Ada"))
    assert page.shown() == before
    assert parts.order == {"/World/A": "B"}
    then(document.submit("s", 3, "Ada", [Op("add_prim", f"/World/{name}", "", COPY) for name in "CDE"], ""))
    then(document.submit("s", 4, "Ada", [Op("move_prim", "/World/D", "", "/World/Early")], ""))
    assert page.shown()[-3:] == ["/World/C", "/World/Early", "/World/E"]
    then(document.submit("s", 5, "Ada", [Op("move_prim", "/World/C", "", "/World/Group/C")], ""))
    assert page.shown()[-4:] == ["/World/Group/Ball", "/World/Group/C", "/World/Early", "/World/E"]
    then(document.undo("s", 6, "Ada"))
    then(document.undo("s", 7, "Ada"))
    assert page.shown()[-3:] == ["/World/C", "/World/D", "/World/E"]
    moved = then(document.submit("s", 8, "Ada", [Op("set_field", "/World/A", "size", ["double", 2.0])], ""))
    assert moved.order == {}, "what stays where it is costs nothing"


@pytest.mark.parametrize("seed", range(2))
def test_any_edits_leave_the_tree_of_a_reload(opened, seed: int) -> None:
    document, draw = opened(), random.Random(seed)
    view = SceneExtractor(document.stage, assets=AssetStore())
    page, away, seen = Page(view.scene()), Page(view.scene()), 0

    def somewhere() -> str:
        return draw.choice([str(prim.GetPath()) for prim in document.stage.Traverse()])

    def edit(opid: int):
        kind, path = draw.choice(["add", "add", "add", "rename", "move", "remove", "undo", "undo", "redo"]), somewhere()
        if kind == "add":
            return document.submit("s", opid, "Ada", [Op("add_prim", f"{path}/N{opid}{c}", "", COPY) for c in "zay"], "")
        if kind == "rename":
            return document.submit("s", opid, "Ada", [Op("move_prim", path, "", f"{path.rpartition('/')[0]}/R{opid}")], "")
        if kind == "move":
            return document.submit("s", opid, "Ada", [Op("move_prim", path, "", f"{somewhere()}/M{opid}")], "")
        if kind == "remove" and path != "/World":
            return document.submit("s", opid, "Ada", [Op("remove_prim", path)], "")
        return document.redo("s", opid, "Ada") if kind == "redo" else document.undo("s", opid, "Ada")

    done = 0
    for opid in range(1, EDITS):
        outcome = edit(opid)
        if outcome.refusal is None:
            done += 1
            page.patch(view.patch(outcome.changed, outcome.resync))
            assert page.shown() == reloaded(document), outcome.entry.txn
        if opid % 7 == 0:  # whoever was away is told of all that happened meanwhile at once
            away.patch(view.patch(*document.changes_since(seen)))
            seen = document.seq
            assert away.shown() == reloaded(document)
    assert done > EDITS / 3

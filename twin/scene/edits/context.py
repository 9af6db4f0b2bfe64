"""What one transaction works on, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pxr import Sdf, Usd

from twin.core.errors import Rejected
from twin.protocol.messages import Op

UNLIMITED = 1 << 60
MAX_DEPTH = 64
"""Levels of prims that edits may make: composing, drawing and copying go down all of them at once."""
MAX_PATH = 1024
"""Longest path of a prim [characters]."""


@dataclass
class Applied:
    """Outcome of a transaction.

    Attributes:
        inverse: Operations that, applied as one transaction, restore the edit layer exactly.
        changed: Paths of properties (``/A.xformOp:translate``) and of prims whose metadata changed.
        resync: Paths of prims that must be looked at anew with all below them.
    """

    inverse: list[Op] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    resync: list[str] = field(default_factory=list)


@dataclass
class Context:
    """``root`` is the asset root; ``room`` how many more prims may come; ``done`` collects, its inverse as it was applied.

    ``made`` are prims that the transaction itself has added and not moved since: what takes them back takes back all in them.
    """

    stage: Usd.Stage
    layer: Sdf.Layer
    root: Path
    room: int = UNLIMITED
    done: Applied = field(default_factory=Applied)
    made: set[str] = field(default_factory=set)
    _noted: set[tuple[str, bool]] = field(default_factory=set)

    def undo_with(self, *ops: Op) -> None:
        """Note what takes back the step being made."""
        self.done.inverse.extend(op for op in ops if not self.made or not self._goes_with(op))

    def added(self, path: Sdf.Path) -> None:
        """A prim has come."""
        op = Op("remove_prim", str(path))
        if not self._goes_with(op):
            self.done.inverse.append(op)
            self.made.add(op.path)

    def _goes_with(self, op: Op) -> bool:
        """Whether taking back the adding of a prim takes this back too."""
        itself = op.kind in ("remove_prim", "move_prim") or (op.kind == "restore_spec" and not op.field)
        # what has been switched off has to be switched on before it can be removed
        itself = itself or (op.kind == "set_metadata" and op.field == "active")
        path = op.path.rpartition("/")[0] if itself else op.path
        while path:
            if path in self.made:
                return True
            path = path.rpartition("/")[0]
        return False

    def note_changed(self, path: object) -> None:
        self._note(str(path), self.done.changed, False)

    def note_resync(self, path: object) -> None:
        self._note(str(path), self.done.resync, True)

    def _note(self, path: str, paths: list[str], whole: bool) -> None:
        if (path, whole) not in self._noted:
            self._noted.add((path, whole))
            paths.append(path)

    def take(self, prim: Usd.Prim, *, at: Sdf.Path) -> None:
        """Count the prims of a subtree that has come, or is about to come, at a path.

        Raises:
            Rejected: ``limit``: too many prims, or too deep.
        """
        deepest = MAX_DEPTH - at.pathElementCount + prim.GetPath().pathElementCount
        for each in Usd.PrimRange(prim, Usd.TraverseInstanceProxies(Usd.PrimAllPrimsPredicate)):
            self.room -= 1
            if self.room < 0:
                raise Rejected("limit", "the stage would have too many prims", prim=at)
            if each.GetPath().pathElementCount > deepest:
                raise Rejected("limit", f"prims may be nested {MAX_DEPTH} deep", prim=at)

    def prim(self, path: str) -> Usd.Prim:
        """The prim an operation is about.

        Raises:
            Rejected: ``path`` for what is no prim path and for the inside of instances, ``gone`` for what is not there.
        """
        prim = self.stage.GetPrimAtPath(prim_path(path))
        if not prim or not prim.IsActive():
            raise Rejected("gone", "the prim does not exist", prim=path)
        if prim.IsInstanceProxy() or prim.IsInPrototype():
            raise Rejected("path", "the inside of an instance cannot be edited", prim=path)
        return prim


def prim_path(text: object) -> Sdf.Path:
    """A valid absolute path of a prim other than the root.

    Raises:
        Rejected: ``path``.
    """
    if isinstance(text, str) and len(text) > MAX_PATH:
        raise Rejected("path", f"a path has at most {MAX_PATH} characters")
    if isinstance(text, str) and Sdf.Path.IsValidPathString(text):
        path = Sdf.Path(text)
        if path.IsAbsolutePath() and path.IsPrimPath():
            return path
    raise Rejected("path", f"{text!r} is not an absolute prim path")

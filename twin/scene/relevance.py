"""Which edits can alter what is simulated: the others need no compilation."""

from __future__ import annotations

from pxr import Sdf, Tf, Usd

_LOOKS = ("inputs:", "outputs:", "info:", "primvars:", "userProperties:", "ui:", "doubleSided", "orientation", "proxyPrim")
"""Properties of lights, shaders and drawing that no compiler reads, whatever prim they are on."""
_OWNERS = ("Twin", "Physics")
_REACHES = ("twin:", "physics:")
SLACK = 2000
"""What matters is looked up anew when it has come to be twice as much, and this many more."""


class Relevance:
    """Watches a stage and tells edits that may matter to the simulation from those that only change how it looks.

    A prim matters when it has a schema of Twin or UsdPhysics, lies below one that has (zones and masses come from what is
    below), above one (it moves), or is named by one of its relationships. Doubt counts as yes.

    Args:
        stage: The stage; its changes are gathered from now on.
    """

    def __init__(self, stage: Usd.Stage) -> None:
        self._stage = stage
        self._matters: set[Sdf.Path] | None = None
        self._above: set[Sdf.Path] = set()
        self._changed: set[Sdf.Path] = set()
        self._resynced: set[Sdf.Path] = set()
        self._most = 0
        self._listener = Tf.Notice.Register(Usd.Notice.ObjectsChanged, self._note, stage)

    def close(self) -> None:
        """Stop watching."""
        self._listener.Revoke()

    def _note(self, notice: Usd.Notice.ObjectsChanged, stage: Usd.Stage) -> None:
        self._changed.update(notice.GetChangedInfoOnlyPaths())
        for path in notice.GetResyncedPaths():
            (self._changed if path.IsPropertyPath() else self._resynced).add(path)

    def prepare(self) -> None:
        """Look up what matters in the stage as it stands, unless that is known; edits take time enough without it."""
        if self._matters is None:
            self._matters, self._above = set(), set()
            self._add(self._stage.GetPseudoRoot())
            self._most = 2 * len(self._matters) + SLACK

    def _add(self, root: Usd.Prim) -> None:
        """Take in what matters at and below a prim."""
        matters: set[Sdf.Path] = set()
        everything = Usd.TraverseInstanceProxies(Usd.PrimIsActive & Usd.PrimIsLoaded)
        for prim in Usd.PrimRange(root, everything):
            if _owner(prim):
                matters.add(prim.GetPath())
                for relationship in prim.GetAuthoredRelationships():
                    if relationship.GetName().startswith(_REACHES):
                        matters.update(target.GetPrimPath() for target in relationship.GetTargets())
        assert self._matters is not None
        self._matters |= matters
        self._above.update(above for path in matters for above in path.GetPrefixes()[:-1])

    def touched(self) -> bool:
        """Whether a compilation may come out differently because of what changed since the last call.

        What matters is brought up to date with it: what has come is added, what is gone stays, since doubt counts as yes.
        """
        changed, resynced = self._changed, self._resynced
        self._changed, self._resynced = set(), set()
        if self._matters is None:
            return bool(changed or resynced)
        # a relationship may name what did not matter before
        anew = resynced | {p.GetPrimPath() for p in changed if p.IsPropertyPath() and self._stage.GetRelationshipAtPath(p)}
        found = any(self._near(path) or self._brings(path) for path in resynced) or any(
            path.IsPropertyPath() and not path.name.startswith(_LOOKS) and self._near(path.GetPrimPath()) for path in changed
        )
        for path in anew:
            if prim := self._stage.GetPrimAtPath(path):
                self._add(prim)
        if len(self._matters) > self._most:
            self._matters = None  # mostly what has been deleted since
        return found

    def _near(self, path: Sdf.Path) -> bool:
        matters = self._matters or set()
        return path in self._above or path == Sdf.Path.absoluteRootPath or any(p in matters for p in path.GetPrefixes())

    def _brings(self, path: Sdf.Path) -> bool:
        """Whether something that matters has come at or below ``path``."""
        prim = self._stage.GetPrimAtPath(path)
        return bool(prim) and any(_owner(p) for p in Usd.PrimRange(prim, Usd.TraverseInstanceProxies(Usd.PrimIsActive)))


def _owner(prim: Usd.Prim) -> bool:
    if prim.GetTypeName().startswith(_OWNERS) or prim.IsAbstract():
        return True
    return any(name.startswith(_OWNERS) for name in prim.GetAppliedSchemas())

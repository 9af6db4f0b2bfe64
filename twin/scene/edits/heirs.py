"""What else an edit changes: prims that refer to what was edited, inherit from it, or are instances of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pxr import Sdf, Tf, Usd

from twin.scene.edits.context import Context


@contextmanager
def heirs_noted(context: Context) -> Iterator[None]:
    """Note what changes on the stage beside what the operations inside note themselves; nothing where they fail."""
    changed: set[Sdf.Path] = set()
    resynced: set[Sdf.Path] = set()

    def hear(notice: Usd.Notice.ObjectsChanged, stage: Usd.Stage) -> None:
        changed.update(notice.GetChangedInfoOnlyPaths())
        for path in notice.GetResyncedPaths():
            (changed if path.IsPropertyPath() else resynced).add(path)

    listener = Tf.Notice.Register(Usd.Notice.ObjectsChanged, hear, context.stage)
    try:
        yield
    finally:
        listener.Revoke()
    told = {Sdf.Path(path).GetPrimPath() for path in (*context.done.changed, *context.done.resync)}
    beside = [path for path in changed | resynced if path.GetPrimPath() not in told]
    if not beside:
        return
    around = {above for path in told for above in path.GetPrefixes()}

    def known(path: Sdf.Path) -> bool:
        prim = path.GetPrimPath()
        return prim.IsAbsoluteRootPath() or prim in around or any(above in told for above in prim.GetPrefixes())

    for path in sorted(p for p in beside if not known(p)):
        instances = list(_instances(context.stage, path))
        for instance in instances:
            context.note_resync(instance)
        if not instances:
            (context.note_resync if path in resynced else context.note_changed)(path)


def _instances(stage: Usd.Stage, path: Sdf.Path) -> Iterator[Sdf.Path]:
    """Prims of the stage that show a part of a prototype; none where ``path`` is in no prototype."""
    if not Usd.Prim.IsPathInPrototype(path):
        return
    prototype = stage.GetPrimAtPath(path.GetPrefixes()[0])
    for instance in prototype.GetInstances() if prototype else []:
        inside = Usd.Prim.IsPathInPrototype(instance.GetPath())
        yield from _instances(stage, instance.GetPath()) if inside else [instance.GetPath()]

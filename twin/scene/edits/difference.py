"""What two states of the edit layer say differently, as a list of opinions, each with the operation that makes it so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pxr import Sdf, Tf

from twin.core.errors import SceneError
from twin.protocol.messages import Op
from twin.scene.edits.specs import snapshot
from twin.scene.stage import tf_message

_STRUCTURE = {"specifier", "primChildren", "properties", "variantSetChildren"}
MAX_SHOWN = 200
"""Characters of a value that a person is shown."""


@dataclass(frozen=True)
class Opinion:
    """One difference. ``field`` is the property, or empty for a prim as a whole; ``before`` and ``after`` are for people.

    ``change`` is added, removed or changed; ``op`` brings a layer that says ``before`` to say ``after``.
    """

    path: str
    field: str
    change: str
    before: str
    after: str
    op: Op


def difference(before: str, after: str, *, by_piece: bool = False) -> list[Opinion]:
    """Differences between two layers given as USDA text, in stage order.

    The operations, applied in order to the first, give the second exactly. Where the order of siblings or a prim's own
    metadata differs, its spec is replaced as a whole.

    Args:
        by_piece: What one layer alone says of a prim that stands elsewhere is told property by property, so that others may
            say other things of it. Such operations give the second layer but for the order of what it says.

    Raises:
        SceneError: Not USDA text.
    """
    old, new = layer_of(before), layer_of(after)
    return list(_below(old.pseudoRoot, new.pseudoRoot, by_piece))


def is_within(path: str, root: str) -> bool:
    """Whether a prim path is another one or below it."""
    return path == root or path.startswith(root + "/")


def brought_back(ops: Sequence[Op], current: str, wanted: str) -> list[Op]:
    """Operations of a difference, for a layer in which prims that they are about have been deleted meanwhile.

    Such a prim comes back as a whole, as ``wanted`` has it: a property of its own would be left hanging without one.

    Args:
        current, wanted: Edit layers as USDA text.

    Raises:
        SceneError: Not USDA text.
    """
    here, there = layer_of(current), layer_of(wanted)
    done: list[Op] = []
    back: list[str] = []
    for op in ops:
        path = Sdf.Path(op.path)
        # what stands in the operation itself as a whole is brought by it
        around = path.GetPrefixes() if op.field else path.GetParentPath().GetPrefixes()
        gone = next((p for p in around if _deleted(here.GetPrimAtPath(p), there.GetPrimAtPath(p))), None)
        if gone is None:
            done.append(op)
        elif str(gone) not in back:
            back.append(str(gone))
            spec = there.GetPrimAtPath(gone)
            siblings = (spec.nameParent or there.pseudoRoot).nameChildren
            done.append(Op("restore_spec", str(gone), "", {"text": snapshot(there, gone), "index": siblings.index(spec.name)}))
    return done


def _deleted(here: Sdf.PrimSpec | None, there: Sdf.PrimSpec | None) -> bool:
    """Whether a prim of one layer is not in the other: only a definition is missed, and what is switched off."""
    if not there or (there.HasInfo("active") and not there.active):
        return False
    if not here:
        return bool(there.specifier == Sdf.SpecifierDef)
    return bool(here.HasInfo("active") and not here.active)


def layer_of(text: str) -> Sdf.Layer:
    """A layer of its own from USDA text; empty text for an empty one.

    Raises:
        SceneError: Not USDA text.
    """
    layer = Sdf.Layer.CreateAnonymous(".usda")
    try:
        layer.ImportFromString(text or "#usda 1.0\n")
    except Tf.ErrorException as error:
        raise SceneError(f"the text of an edit layer cannot be read: {tf_message(error)}") from error
    return layer


def _below(old: Sdf.PrimSpec, new: Sdf.PrimSpec, by_piece: bool) -> Iterator[Opinion]:
    """Differences of the children of two specs of one path."""
    was, now = list(old.nameChildren.keys()), list(new.nameChildren.keys())
    for name in was:
        if name not in now:
            yield from _taken(old.nameChildren[name], by_piece)
    kept = [name for name in was if name in now]
    for place, name in enumerate(now):
        if name not in was:
            yield from _given(new.nameChildren[name], place, by_piece)
            kept.insert(place, name)
        elif kept.index(name) != place:
            kept.remove(name)
            kept.insert(place, name)
            yield _whole(old.nameChildren[name], new.nameChildren[name], place)
        else:
            yield from _prim(old.nameChildren[name], new.nameChildren[name], place, by_piece)


def _given(spec: Sdf.PrimSpec, place: int, by_piece: bool) -> Iterator[Opinion]:
    """What a new spec brings."""
    if not (by_piece and _only_holds(spec)):
        yield _whole(None, spec, place)
        return
    for prop in spec.properties:
        yield _piece(spec, prop.name, None, spec.layer)
    for index, child in enumerate(spec.nameChildren):
        yield from _given(child, index, by_piece)


def _taken(spec: Sdf.PrimSpec, by_piece: bool) -> Iterator[Opinion]:
    """The same of a spec that is no longer there; nothing is left of one whose pieces are gone."""
    if not (by_piece and _only_holds(spec)):
        yield _whole(spec, None)
        return
    for prop in spec.properties:
        yield _piece(spec, prop.name, spec.layer, None)
    for child in spec.nameChildren:
        yield from _taken(child, by_piece)


def _only_holds(spec: Sdf.PrimSpec) -> bool:
    """It says nothing of the prim itself."""
    pieces = len(spec.properties) + len(spec.nameChildren)
    return spec.specifier == Sdf.SpecifierOver and pieces > 0 and not spec.variantSets and len(_own(spec)) == 1


def _piece(spec: Sdf.PrimSpec, name: str, old: Sdf.Layer | None, new: Sdf.Layer | None) -> Opinion:
    path = spec.path.AppendProperty(name)
    change = "removed" if new is None else "added" if old is None else "changed"
    op = Op("restore_spec", str(spec.path), name, {"text": snapshot(new, path) if new else "", "index": -1})
    return Opinion(str(spec.path), name, change, _shown(old, path) if old else "", _shown(new, path) if new else "", op)


def _prim(old: Sdf.PrimSpec, new: Sdf.PrimSpec, place: int, by_piece: bool) -> Iterator[Opinion]:
    variants = [*old.variantSets.keys(), *new.variantSets.keys()]
    if variants or _own(old) != _own(new):
        if snapshot(old.layer, old.path) != snapshot(new.layer, new.path):
            yield _whole(old, new, place)
        return
    names = {p.name: None for p in (*old.properties, *new.properties)}
    for name in names:
        path = old.path.AppendProperty(name)
        was, now = snapshot(old.layer, path), snapshot(new.layer, path)
        if was != now:
            yield _piece(old, name, old.layer if was else None, new.layer if now else None)
    yield from _below(old, new, by_piece)


def _own(spec: Sdf.PrimSpec) -> dict[str, str]:
    """A prim's own fields, without what is below it."""
    fields = {key: str(spec.GetInfo(key)) for key in spec.ListInfoKeys() if key not in _STRUCTURE}
    return fields | {"specifier": str(spec.specifier)}


def _whole(old: Sdf.PrimSpec | None, new: Sdf.PrimSpec | None, place: int = -1) -> Opinion:
    spec = new if new is not None else old
    assert spec is not None  # one of the two is always given
    text = snapshot(new.layer, new.path) if new is not None else ""
    change = "removed" if new is None else "added" if old is None else "changed"
    op = Op("restore_spec", str(spec.path), "", {"text": text, "index": place})
    return Opinion(str(spec.path), "", change, _summary(old), _summary(new), op)


def _summary(spec: Sdf.PrimSpec | None) -> str:
    if spec is None:
        return ""
    own = [f"{key} = {value}" for key, value in sorted(_own(spec).items()) if key != "specifier"]
    return ", ".join(own)[:MAX_SHOWN] or str(spec.specifier.displayName).lower()


def _shown(layer: Sdf.Layer, path: Sdf.Path) -> str:
    spec = layer.GetObjectAtPath(path)
    if not spec:
        return ""
    if isinstance(spec, Sdf.RelationshipSpec):
        return ", ".join(str(target) for target in spec.targetPathList.GetAddedOrExplicitItems())[:MAX_SHOWN]
    return ("blocked" if isinstance(spec.default, Sdf.ValueBlock) else str(spec.default))[:MAX_SHOWN]

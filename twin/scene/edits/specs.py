"""Specs of the edit layer: snapshots, exact restoration, and removal of what has become empty."""

from __future__ import annotations

from collections.abc import Sequence

from pxr import Sdf, Tf

from twin.core.errors import Rejected
from twin.protocol.messages import Op
from twin.scene.casting import plain
from twin.scene.edits.context import Context, prim_path

_PLAIN_FIELDS = {"default", "typeName", "custom", "variability"}


def over(layer: Sdf.Layer, path: Sdf.Path) -> Sdf.PrimSpec:
    """The spec of a prim, created (with its ancestors) as an over where there is none."""
    return layer.GetPrimAtPath(path) or Sdf.CreatePrimInLayer(layer, path)


def parent_of(spec: Sdf.PrimSpec) -> Sdf.PrimSpec:
    """The spec above; the layer's root for a prim at the top (which has no ``nameParent``)."""
    return spec.nameParent or spec.layer.pseudoRoot


def prune(layer: Sdf.Layer, path: Sdf.Path) -> None:
    """Remove the over at a path and above it that says nothing any more."""
    spec = layer.GetPrimAtPath(path)
    while spec and spec.path != Sdf.Path.absoluteRootPath:
        silent = spec.specifier == Sdf.SpecifierOver and set(spec.ListInfoKeys()) <= {"specifier"}
        if not silent or spec.nameChildren or spec.properties or spec.variantSets:
            return
        parent = parent_of(spec)
        del parent.nameChildren[spec.name]
        spec = parent


def snapshot(layer: Sdf.Layer, path: Sdf.Path) -> str:
    """USDA text of one spec (a prim with all below it, or a property); empty where there is none."""
    if not layer.GetObjectAtPath(path):
        return ""
    copy = Sdf.Layer.CreateAnonymous(".usda")
    Sdf.CreatePrimInLayer(copy, path.GetPrimPath() if path.IsPropertyPath() else path)
    Sdf.CopySpec(layer, path, copy, path)
    return str(copy.ExportToString())


def inverse_of_property(layer: Sdf.Layer, prim: str, name: str) -> Op:
    """The operation that brings a property's spec back to what it is now."""
    path = Sdf.Path(prim).AppendProperty(name)
    spec = layer.GetObjectAtPath(path)
    if not spec:
        return Op("clear", prim, name)
    simple = set(spec.ListInfoKeys()) <= _PLAIN_FIELDS
    if isinstance(spec, Sdf.AttributeSpec) and simple and spec.HasInfo("default"):
        if isinstance(spec.default, Sdf.ValueBlock):
            return Op("block", prim, name)
        return Op("set_field", prim, name, [str(spec.typeName), plain(spec.default)])
    return Op("restore_spec", prim, name, {"text": snapshot(layer, path), "index": -1})


def inverse_of_prim(layer: Sdf.Layer, path: Sdf.Path) -> Op:
    """The operation that brings a prim's spec, with all below it, back to what it is now."""
    spec = layer.GetPrimAtPath(path)
    index = parent_of(spec).nameChildren.index(spec.name) if spec else -1
    return Op("restore_spec", str(path), "", {"text": snapshot(layer, path), "index": index})


def restore_specs(context: Context, ops: Sequence[Op]) -> None:
    """Kind ``restore_spec``: ``value`` is ``{"text": usda or "", "index": place among its siblings or -1}``, and
    ``"from"``: the path in the text, where the prim has been moved since."""
    with Sdf.ChangeBlock():
        for op in ops:
            _restore(context, op)


def _restore(context: Context, op: Op) -> None:
    path = prim_path(op.path)
    if op.field:
        path = path.AppendProperty(op.field)
    text, index = op.value["text"], op.value["index"]
    origin = prim_path(op.value.get("from", op.path))
    if op.field:
        origin = origin.AppendProperty(op.field)
    layer = context.layer
    context.undo_with(inverse_of_property(layer, op.path, op.field) if op.field else inverse_of_prim(layer, path))
    if not op.field:
        context.made.discard(op.path)
    if not text:
        remove(layer, path)
    else:
        source = Sdf.Layer.CreateAnonymous(".usda")
        try:
            source.ImportFromString(text)
        except Tf.ErrorException as error:
            raise Rejected("type", "the text to restore cannot be read", prim=op.path) from error
        if not op.field and (there := layer.GetPrimAtPath(path)):
            # copied over what is there, children would keep the order that they have
            del parent_of(there).nameChildren[there.name]
        above = over(layer, path.GetParentPath())
        if op.field or not 0 <= index < len(above.nameChildren):
            Sdf.CopySpec(source, origin, layer, path)
        else:
            _insert(source, origin, above, path, index)
    if op.field:
        context.note_changed(path)
    else:
        context.note_resync(path)


def _insert(source: Sdf.Layer, origin: Sdf.Path, parent: Sdf.PrimSpec, path: Sdf.Path, index: int) -> None:
    """Copy a prim's spec to its place among its siblings: by way of another parent, since what is new comes last."""
    layer = parent.layer
    aside = Sdf.Path("/_restored")
    while layer.GetPrimAtPath(aside):
        aside = aside.ReplaceName(f"{aside.name}_")
    Sdf.CreatePrimInLayer(layer, aside)
    copy = aside.AppendChild(path.name)
    Sdf.CopySpec(source, origin, layer, copy)
    parent.nameChildren.insert(index, layer.GetPrimAtPath(copy))
    del layer.rootPrims[aside.name]


def remove(layer: Sdf.Layer, path: Sdf.Path) -> None:
    """Delete one spec, if it is there, and the empty overs above it."""
    spec = layer.GetObjectAtPath(path)
    if not spec:
        return
    if path.IsPropertyPath():
        layer.GetPrimAtPath(path.GetPrimPath()).RemoveProperty(spec)
        prune(layer, path.GetPrimPath())
    else:
        del parent_of(spec).nameChildren[spec.name]
        prune(layer, path.GetParentPath())

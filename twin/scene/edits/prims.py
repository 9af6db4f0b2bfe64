"""Structure: adding, copying, removing and moving prims."""

from __future__ import annotations

import os
from pathlib import Path

from pxr import Pcp, Sdf, Tf, Usd, UsdUtils

from twin.core.errors import Rejected, SceneError
from twin.protocol.messages import Op
from twin.scene.edits.context import UNLIMITED, Context, prim_path
from twin.scene.edits.fields import write_metadata
from twin.scene.edits.specs import inverse_of_prim, over, parent_of, prune, remove
from twin.scene.stage import check_assets, open_layer, resolve_inside


def add_prim(context: Context, op: Op) -> None:
    """A new prim: ``{"type", "reference", "name"}``, or ``{"copy": "/src"}``."""
    path = _free_path(context, op.path)
    value = op.value or {}
    if not isinstance(value, dict) or not set(value) <= {"type", "reference", "name", "copy"}:
        raise Rejected("type", "value must be {type, reference, name} or {copy}", prim=op.path)
    context.undo_with(Op("remove_prim", op.path))
    context.note_resync(path)
    if value.get("copy"):
        # counted before it is made: copies of copies double
        context.take(context.prim(str(prim_path(value["copy"]))), at=path)
        _copy(context, prim_path(value["copy"]), path)
        return
    kind = value.get("type") or ""
    if not isinstance(kind, str) or (
        kind and not Usd.SchemaRegistry.IsConcrete(Usd.SchemaRegistry.GetTypeFromSchemaTypeName(kind))
    ):
        raise Rejected("type", f"there is no prim type {kind!r}", prim=op.path)
    reference = _reference(context, op, value["reference"]) if value.get("reference") else None
    spec = Sdf.CreatePrimInLayer(context.layer, path)
    spec.specifier = Sdf.SpecifierDef
    if kind:
        spec.typeName = kind
    if isinstance(value.get("name"), str) and value["name"] not in ("", path.name):
        spec.SetInfo("displayName", value["name"])
    if reference is not None:
        spec.referenceList.Prepend(Sdf.Reference(reference))
    _composed(context, path)
    context.take(context.stage.GetPrimAtPath(path), at=path)


def _free_path(context: Context, text: str) -> Sdf.Path:
    path = prim_path(text)
    if context.stage.GetPrimAtPath(path) or context.layer.GetPrimAtPath(path):
        raise Rejected("path", "there is a prim of this name already", prim=text)
    if not path.GetParentPath().IsAbsoluteRootPath():
        context.prim(str(path.GetParentPath()))
    return path


def _reference(context: Context, op: Op, asset: object) -> str:
    """A checked asset path relative to the edit layer, from one relative to the asset root."""
    if not isinstance(asset, str):
        raise Rejected("type", "reference must be an asset path", prim=op.path)
    try:
        file = resolve_inside(asset, anchor=str(context.root / "root.usda"), root=context.root)
        layer = open_layer(file)
        check_assets(layer, context.root)
    except SceneError as error:
        raise Rejected("asset", error.message, prim=op.path, attribute="reference") from error
    if not layer.defaultPrim:
        raise Rejected("asset", f"{asset} has no defaultPrim", prim=op.path, attribute="reference")
    return relative(context.layer, file)


def relative(layer: Sdf.Layer, file: Path) -> str:
    """Path of a file as an asset path anchored at a layer."""
    text = Path(os.path.relpath(file, Path(layer.identifier).parent)).as_posix()
    return text if text.startswith("../") else f"./{text}"


def _composed(context: Context, path: Sdf.Path) -> None:
    prim = context.stage.GetPrimAtPath(path)
    errors = list(prim.GetPrimIndex().localErrors) if prim else ["it does not compose"]
    if errors:
        raise Rejected("asset", "; ".join(" ".join(str(e).split()) for e in errors), prim=path)


# ---- copies


def _copy(context: Context, source: Sdf.Path, path: Sdf.Path) -> None:
    """Duplicate a composed prim: what all layers say about it, its references kept as references."""
    prim = context.prim(str(source))
    if path.HasPrefix(source):
        raise Rejected("path", "a prim cannot be copied into itself", prim=path)
    merged = _merged(context, source)
    for node in prim.GetPrimIndex().rootNode.children:
        # Below a reference, the arc itself sits on an ancestor: the copy gets one of its own to the same place.
        if node.arcType in (Pcp.ArcTypeReference, Pcp.ArcTypePayload) and node.IsDueToAncestor():
            file = Path(node.layerStack.identifier.rootLayer.realPath)
            asset = "" if file == Path(context.stage.GetRootLayer().realPath) else relative(context.layer, file)
            over(merged, source).referenceList.Append(Sdf.Reference(asset, node.path))
    over(context.layer, path)
    with Sdf.ChangeBlock():
        Sdf.CopySpec(merged, source, context.layer, path)
        context.layer.GetPrimAtPath(path).specifier = Sdf.SpecifierDef
    _composed(context, path)


def _merged(context: Context, source: Sdf.Path) -> Sdf.Layer:
    """One layer with all opinions of the stage's layers on a prim and below."""
    parts = []
    for layer in context.stage.GetLayerStack(includeSessionLayers=True):
        if not layer.GetPrimAtPath(source):
            continue
        part = Sdf.Layer.CreateAnonymous(".usda")
        Sdf.CreatePrimInLayer(part, source)
        Sdf.CopySpec(layer, source, part, source)
        anchor = Path(layer.realPath or layer.identifier).parent
        UsdUtils.ModifyAssetPaths(part, lambda asset, anchor=anchor: _reanchored(context.layer, anchor, asset))
        parts.append(part)
    merged = Sdf.Layer.CreateAnonymous(".usda")
    for part in parts:  # strongest first: stitching fills in what is not there yet
        UsdUtils.StitchLayers(merged, part)
    over(merged, source)
    return merged


def _reanchored(layer: Sdf.Layer, anchor: Path, asset: str) -> str:
    return relative(layer, Path(os.path.normpath(anchor / asset))) if asset and "://" not in asset else asset


# ---- removal and moves


def _only_in_edits(context: Context, prim: Usd.Prim) -> bool:
    return all(spec.layer == context.layer for spec in prim.GetPrimStack() if spec.path == prim.GetPath())


def _defined_here(context: Context, path: Sdf.Path) -> bool:
    """Whether the edit layer alone makes the prim be: no other layer of the stage, and no ancestor's reference, has it."""
    prim = context.stage.GetPrimAtPath(path)
    spec = context.layer.GetPrimAtPath(path)
    if not spec or spec.specifier != Sdf.SpecifierDef or not _only_in_edits(context, prim):
        return False
    return not any(node.IsDueToAncestor() for node in prim.GetPrimIndex().rootNode.children)


def remove_prim(context: Context, op: Op) -> None:
    """Gone if the edit layer made it; switched off if the base has it."""
    path = context.prim(op.path).GetPath()
    if _defined_here(context, path):
        context.undo_with(inverse_of_prim(context.layer, path))
        remove(context.layer, path)
        context.note_resync(path)
    else:
        write_metadata(context, path, "active", False)


def move_prim(context: Context, op: Op) -> None:
    """``value`` is the new path. What points at the prim from the edit layer follows.

    ``field`` may hold the place among the new siblings; an inverse fills it in.
    """
    source = context.prim(op.path).GetPath()
    if not _defined_here(context, source):
        raise Rejected("base", "it is defined in the stage's own files, where it cannot be renamed or moved", prim=op.path)
    if isinstance(op.value, str) and prim_path(op.value).HasPrefix(source):
        raise Rejected("path", "a prim cannot be moved into itself", prim=op.path)
    target = _free_path(context, op.value)
    room, context.room = context.room, UNLIMITED
    context.take(context.prim(op.path), at=target)
    context.room = room
    index = list(parent_of(context.layer.GetPrimAtPath(source)).nameChildren.keys()).index(source.name)
    context.undo_with(Op("move_prim", op.value, str(index), op.path))
    place = int(op.field) if op.field.isdigit() else Sdf.NamespaceEdit.atEnd
    if not target.GetParentPath().IsAbsoluteRootPath():
        over(context.layer, target.GetParentPath())
    edit = Sdf.BatchNamespaceEdit()
    edit.Add(Sdf.NamespaceEdit(source, target, place))
    try:
        with Sdf.ChangeBlock():
            if not context.layer.Apply(edit):
                raise Rejected("path", "the layer refused the move", prim=op.path)
            _retarget(context.layer, source, target)
    except Tf.ErrorException as error:
        raise Rejected("path", f"the move failed: {' '.join(str(error).split())}", prim=op.path) from error
    prune(context.layer, source.GetParentPath())
    context.note_resync(source)
    context.note_resync(target)


def _retarget(layer: Sdf.Layer, source: Sdf.Path, target: Sdf.Path) -> None:
    found: list[Sdf.Path] = []
    layer.Traverse(Sdf.Path.absoluteRootPath, found.append)
    for path in found:
        spec = layer.GetObjectAtPath(path)
        if isinstance(spec, Sdf.RelationshipSpec):
            spec.targetPathList.ModifyItemEdits(lambda p: p.ReplacePrefix(source, target))
        elif isinstance(spec, Sdf.AttributeSpec) and spec.HasInfo("connectionPaths"):
            spec.connectionPathList.ModifyItemEdits(lambda p: p.ReplacePrefix(source, target))

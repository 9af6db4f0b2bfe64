"""Structure: adding, copying, removing and moving prims."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pxr import Pcp, Sdf, Tf, Usd, UsdUtils

from twin.core.errors import Rejected, SceneError
from twin.protocol.messages import Op
from twin.scene.edits.context import MAX_DEPTH, UNLIMITED, Context, prim_path
from twin.scene.edits.fields import write_metadata
from twin.scene.edits.namespace import retarget
from twin.scene.edits.specs import inverse_of_prim, over, parent_of, prune, remove
from twin.scene.stage import check_assets, open_layer, resolve_inside


def add_prims(context: Context, ops: Sequence[Op]) -> None:
    """New prims: ``{"type", "reference", "name"}``, or ``{"copy": "/src"}``."""
    for bare, group in groupby(ops, lambda op: not isinstance(op.value, dict) or not op.value.keys() & {"reference", "copy"}):
        if bare:
            _add_bare(context, list(group))
        else:
            for op in group:
                _add(context, op)


def _add_bare(context: Context, ops: Sequence[Op]) -> None:
    """Prims that bring nothing with them: made together, since none can be found wanting only once it is composed."""
    paths: set[Sdf.Path] = set()
    for op in ops:
        path = prim_path(op.path)
        if path in paths or context.layer.GetPrimAtPath(path):
            raise _taken(op.path)
        if path.GetParentPath() not in paths:
            _free_path(context, op.path)
        _value_of(op)
        context.room -= 1
        if context.room < 0:
            raise Rejected("limit", "the stage would have too many prims", prim=path)
        if path.pathElementCount > MAX_DEPTH:
            raise Rejected("limit", f"prims may be nested {MAX_DEPTH} deep", prim=path)
        paths.add(path)
    with Sdf.ChangeBlock():
        for op in ops:
            path = Sdf.Path(op.path)
            context.added(path)
            context.note_resync(path)
            _define(context, path, op.value or {})
    for path in paths:
        _composed(context, path)


def _value_of(op: Op) -> dict[str, Any]:
    """What a new prim shall be.

    Raises:
        Rejected: ``type``.
    """
    value = op.value or {}
    if not isinstance(value, dict) or not set(value) <= {"type", "reference", "name", "copy"}:
        raise Rejected("type", "value must be {type, reference, name} or {copy}", prim=op.path)
    kind = value.get("type") or ""
    if not isinstance(kind, str) or (
        kind and not Usd.SchemaRegistry.IsConcrete(Usd.SchemaRegistry.GetTypeFromSchemaTypeName(kind))
    ):
        raise Rejected("type", f"there is no prim type {kind!r}", prim=op.path)
    return value


def _define(context: Context, path: Sdf.Path, value: dict[str, Any]) -> Sdf.PrimSpec:
    spec = Sdf.CreatePrimInLayer(context.layer, path)
    spec.specifier = Sdf.SpecifierDef
    if value.get("type"):
        spec.typeName = value["type"]
    if isinstance(value.get("name"), str) and value["name"] not in ("", path.name):
        spec.SetInfo("displayName", value["name"])
    return spec


def _add(context: Context, op: Op) -> None:
    path = _free_path(context, op.path)
    value = _value_of(op)
    context.added(path)
    context.note_resync(path)
    if value.get("copy"):
        # counted before it is made: copies of copies double
        context.take(context.prim(str(prim_path(value["copy"]))), at=path)
        _copy(context, prim_path(value["copy"]), path)
        return
    reference = _reference(context, op, value["reference"]) if value.get("reference") else None
    spec = _define(context, path, value)
    if reference is not None:
        spec.referenceList.Prepend(Sdf.Reference(reference))
    _composed(context, path)
    context.take(context.stage.GetPrimAtPath(path), at=path)


def _free_path(context: Context, text: str) -> Sdf.Path:
    path = prim_path(text)
    if context.stage.GetPrimAtPath(path) or context.layer.GetPrimAtPath(path):
        raise _taken(text)
    if not path.GetParentPath().IsAbsoluteRootPath():
        context.prim(str(path.GetParentPath()))
    return path


def _taken(text: str) -> Rejected:
    return Rejected("path", "there is a prim of this name already", prim=text)


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


def remove_prims(context: Context, ops: Sequence[Op]) -> None:
    """Gone if the edit layer made it; switched off if the base has it."""
    found: dict[Sdf.Path, bool] = {}
    for op in ops:
        path = context.prim(op.path).GetPath()
        if any(above in found for above in path.GetPrefixes()):
            raise Rejected("gone", "the prim does not exist", prim=op.path)
        found[path] = _defined_here(context, path)
    with Sdf.ChangeBlock():
        for path, here in found.items():
            if here:
                context.undo_with(inverse_of_prim(context.layer, path))
                context.made.discard(str(path))
                remove(context.layer, path)
                context.note_resync(path)
            else:
                write_metadata(context, path, "active", False)


def move_prims(context: Context, ops: Sequence[Op]) -> None:
    """``value`` is the new path. What points at the prim from the edit layer follows.

    ``field`` may hold the place among the new siblings; an inverse fills it in. Without, a new name keeps its place, and what
    moves elsewhere comes last.
    """
    together: list[tuple[Sdf.Path, Sdf.Path, int]] = []
    touched: set[Sdf.Path] = set()
    around: set[Sdf.Path] = set()
    for op in ops:
        ends = {prim_path(path) for path in (op.path, op.value)}
        near = {above for path in ends for above in path.GetPrefixes()}
        if touched & near or ends & around:
            _move(context, together)
            together, touched, around = [], set(), set()
        together.append(_checked_move(context, op))
        touched |= ends
        around |= near
    _move(context, together)


def _checked_move(context: Context, op: Op) -> tuple[Sdf.Path, Sdf.Path, int]:
    """From where to where, and the place there.

    Raises:
        Rejected: ``base``, ``path``, ``gone`` or ``limit``.
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
    beside = Sdf.NamespaceEdit.same if target.GetParentPath() == source.GetParentPath() else Sdf.NamespaceEdit.atEnd
    return source, target, int(op.field) if op.field.isdigit() else beside


def _move(context: Context, moves: Sequence[tuple[Sdf.Path, Sdf.Path, int]]) -> None:
    """Moves that have nothing to do with one another."""
    layer = context.layer
    context.made.clear()
    try:
        with Sdf.ChangeBlock():
            for source, target, place in moves:
                index = parent_of(layer.GetPrimAtPath(source)).nameChildren.index(source.name)
                if not target.GetParentPath().IsAbsoluteRootPath():
                    over(layer, target.GetParentPath())
                edit = Sdf.BatchNamespaceEdit()
                edit.Add(Sdf.NamespaceEdit(source, target, place))
                if not layer.Apply(edit):
                    raise Rejected("path", "the layer refused the move", prim=source)
                context.undo_with(Op("move_prim", str(target), str(index), str(source)))
                prune(layer, source.GetParentPath())
                context.note_resync(source)
                context.note_resync(target)
            targets = {source: target for source, target, _ in moves}
            retarget(layer, lambda path: _moved(path, targets))
    except Tf.ErrorException as error:
        raise Rejected("path", f"the move failed: {' '.join(str(error).split())}") from error


def _moved(path: Sdf.Path, targets: dict[Sdf.Path, Sdf.Path]) -> Sdf.Path:
    for above in path.GetPrefixes():
        if above in targets:
            return path.ReplacePrefix(above, targets[above])
    return path

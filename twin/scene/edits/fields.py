"""Values: attributes, relationships, metadata, variants and APIs of one prim."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pxr import Sdf, Usd

from twin.core.errors import Rejected, SceneError
from twin.protocol.messages import Op
from twin.scene.casting import CastError, holds_infinity, to_usd, type_named
from twin.scene.edits.context import Context
from twin.scene.edits.specs import inverse_of_property, over, prune, remove
from twin.scene.edits.xform import ensure_order, op_type
from twin.scene.stage import resolve_inside

Step = Callable[[], None]
"""The second half of an operation, run once all of its batch have been found good."""

METADATA: dict[str, type] = {
    "active": bool,
    "hidden": bool,
    "instanceable": bool,
    "kind": str,
    "documentation": str,
    "displayName": str,
    "comment": str,
}
MAX_TEXT = 100_000
"""Longest text as a value or as metadata [characters]."""
FREE = re.compile(r"twin:station:cycleTime:type:.+:[a-z]+|twin:signal:.+:value|twin:belt|primvars:.+|userProperties:.+")
"""Attributes that no schema declares and that may be added."""


def set_field(context: Context, op: Op) -> Step:
    """``value`` is ``[sdfType, value]``; the attribute keeps the type it has."""
    prim = context.prim(op.path)
    if not isinstance(op.value, (list, tuple)) or len(op.value) != 2:
        raise Rejected("type", "value must be [sdfType, value]", prim=op.path, attribute=op.field)
    given = _cast(op, lambda: type_named(op.value[0]))
    type_name, custom = _attribute_type(prim, op.field, given)
    _short(op, op.value[1])
    fallback = prim.GetPrimDefinition().GetAttributeFallbackValue(op.field)
    value = _cast(op, lambda: to_usd(type_name, op.value[1], infinite=holds_infinity(fallback)))
    _allowed(context, prim, op, value)

    def step() -> None:
        if op.field.startswith("xformOp:"):
            ensure_order(context, prim, op.field)
        _write(context, op, type_name, custom, value)

    return step


def _short(op: Op, value: Any) -> None:
    """Whoever looks at the prim is sent its texts whole."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise Rejected("limit", f"a text has at most {MAX_TEXT:,} characters", prim=op.path, attribute=op.field)


def block(context: Context, op: Op) -> Step:
    """No value at all, whatever the base says."""
    prim = context.prim(op.path)
    type_name, custom = _attribute_type(prim, op.field, None)
    return lambda: _write(context, op, type_name, custom, Sdf.ValueBlock())


def clear(context: Context, op: Op) -> Step:
    """The edit layer has no opinion on the property any more."""
    context.prim(op.path)
    path = _property_path(op)

    def step() -> None:
        if context.layer.GetObjectAtPath(path):
            context.undo_with(inverse_of_property(context.layer, op.path, op.field))
            remove(context.layer, path)
        context.note_changed(path)

    return step


def set_relationship(context: Context, op: Op) -> Step:
    """``value`` is the list of target paths, in order."""
    path = _relationship(context, op)
    targets = _targets(op, op.value)

    def step() -> None:
        spec = _relationship_spec(context, op, path)
        spec.targetPathList.ClearEditsAndMakeExplicit()
        spec.targetPathList.explicitItems[:] = targets
        context.note_changed(path)

    return step


_LISTS = ("prepend", "append", "delete")


def list_edit(context: Context, op: Op) -> Step:
    """``value`` is ``{"prepend", "append", "delete"}``, each a list of target paths, all optional.

    Unlike ``set_relationship`` this leaves the other targets to whoever says them, so that two people who each add one both
    get theirs, and one that the base adds later comes through.
    """
    path = _relationship(context, op)
    if not isinstance(op.value, dict) or not op.value or not set(op.value) <= set(_LISTS):
        raise Rejected("type", f"value must be lists of paths named {', '.join(_LISTS)}", prim=op.path, attribute=op.field)
    given = {name: _targets(op, op.value.get(name, [])) for name in _LISTS}
    named = [target for targets in given.values() for target in targets]
    if not named or len(set(named)) != len(named):
        raise Rejected("type", "each path must be named once, and at least one", prim=op.path, attribute=op.field)

    def step() -> None:
        targets = _relationship_spec(context, op, path).targetPathList
        if targets.isExplicit:
            kept = [t for t in targets.explicitItems if t not in named]
            targets.explicitItems[:] = [*given["prepend"], *kept, *given["append"]]
        else:
            for items in (targets.prependedItems, targets.appendedItems, targets.deletedItems):
                items[:] = [t for t in items if t not in named]
            targets.prependedItems[:] = [*given["prepend"], *targets.prependedItems]
            targets.appendedItems[:] = [*targets.appendedItems, *given["append"]]
            targets.deletedItems[:] = [*targets.deletedItems, *given["delete"]]
        context.note_changed(path)

    return step


def _relationship(context: Context, op: Op) -> Sdf.Path:
    prim = context.prim(op.path)
    path = _property_path(op)
    definition = prim.GetPrimDefinition().GetSpecType(op.field)
    existing = prim.GetRelationship(op.field)
    if definition != Sdf.SpecTypeRelationship and not (existing and existing.IsDefined()):
        raise Rejected("path", "the prim has no such relationship", prim=op.path, attribute=op.field)
    return path


def _relationship_spec(context: Context, op: Op, path: Sdf.Path) -> Sdf.RelationshipSpec:
    context.undo_with(inverse_of_property(context.layer, op.path, op.field))
    owner = over(context.layer, path.GetPrimPath())
    return owner.relationships.get(op.field) or Sdf.RelationshipSpec(owner, op.field, custom=False)


def _targets(op: Op, value: Any) -> list[Sdf.Path]:
    if not isinstance(value, (list, tuple)):
        raise Rejected("type", "value must be a list of paths", prim=op.path, attribute=op.field)
    targets = []
    for text in value:
        if not isinstance(text, str) or not Sdf.Path.IsValidPathString(text) or not Sdf.Path(text).IsAbsolutePath():
            raise Rejected("path", f"{text!r} is not an absolute path", prim=op.path, attribute=op.field)
        targets.append(Sdf.Path(text))
    return targets


def set_metadata(context: Context, op: Op) -> Step:
    """``field`` names it, ``value`` null takes the opinion away."""
    path = context.prim(op.path).GetPath() if op.field != "active" else _even_inactive(context, op)
    if op.field not in METADATA:
        raise Rejected(
            "path", f"this metadata cannot be edited (allowed: {', '.join(METADATA)})", prim=op.path, attribute=op.field
        )
    if op.value is not None and not isinstance(op.value, METADATA[op.field]):
        raise Rejected("type", f"{op.field} needs {METADATA[op.field].__name__}", prim=op.path, attribute=op.field)

    _short(op, op.value)

    def step() -> None:
        write_metadata(context, path, op.field, op.value)

    return step


def _even_inactive(context: Context, op: Op) -> Sdf.Path:
    prim = context.stage.GetPrimAtPath(op.path) if Sdf.Path.IsValidPathString(op.path) else None
    if not prim or prim.IsInstanceProxy():
        raise Rejected("gone", "the prim does not exist", prim=op.path)
    return prim.GetPath()


def write_metadata(context: Context, path: Sdf.Path, name: str, value: Any) -> None:
    """Author one field of a prim's spec, or take it away with None."""
    spec = context.layer.GetPrimAtPath(path)
    before = spec.GetInfo(name) if spec and spec.HasInfo(name) else None
    context.undo_with(Op("set_metadata", str(path), name, before))
    if value is None:
        if spec:
            spec.ClearInfo(name)
            prune(context.layer, path)
    else:
        over(context.layer, path).SetInfo(name, value)
    if name in ("active", "instanceable"):
        context.note_resync(path)
    else:
        context.note_changed(path)


def set_variant(context: Context, op: Op) -> None:
    """``field`` is the variant set, ``value`` the selection; null takes the opinion away."""
    prim = context.prim(op.path)
    sets = prim.GetVariantSets()
    if op.field not in sets.GetNames():
        raise Rejected("path", f"the prim has no variant set {op.field!r}", prim=op.path)
    names = sets.GetVariantSet(op.field).GetVariantNames()
    if op.value is not None and op.value not in names:
        raise Rejected("type", f"{op.value!r} is not a variant (allowed: {', '.join(names)})", prim=op.path, attribute=op.field)
    spec = context.layer.GetPrimAtPath(prim.GetPath())
    before = dict(spec.variantSelections).get(op.field) if spec else None
    context.undo_with(Op("set_variant", op.path, op.field, before))
    if op.value is not None:
        over(context.layer, prim.GetPath()).variantSelections[op.field] = op.value
    elif before is not None and spec:
        del spec.variantSelections[op.field]
        prune(context.layer, prim.GetPath())
    context.note_resync(op.path)


def apply_api(context: Context, op: Op) -> None:
    """``field`` is the schema, with instance name where it takes one; ``value`` false takes it away again.

    A whole number as ``value`` is the place among the schemas that the edit layer prepends; an inverse fills it in.
    """
    prim = context.prim(op.path)
    name, _, instance = op.field.partition(":")
    registry = Usd.SchemaRegistry()
    if registry.FindAppliedAPIPrimDefinition(name) is None:
        raise Rejected("type", f"there is no API schema {name!r}", prim=op.path)
    multiple = Usd.SchemaRegistry.IsMultipleApplyAPISchema(registry.GetTypeFromSchemaTypeName(name))
    if multiple != bool(instance):
        raise Rejected("type", f"{name} {'needs an' if multiple else 'takes no'} instance name", prim=op.path)
    if op.value is not None and not isinstance(op.value, int):
        raise Rejected("type", "value must be true or false", prim=op.path, attribute=op.field)
    wanted = op.value is not False
    if (op.field in prim.GetAppliedSchemas()) == wanted:
        return
    spec = over(context.layer, prim.GetPath())
    listop = spec.GetInfo("apiSchemas") if spec.HasInfo("apiSchemas") else Sdf.TokenListOp()
    prepended = list(listop.prependedItems)
    back: int | bool = prepended.index(op.field) if op.field in prepended else not wanted
    context.undo_with(Op("apply_api", op.path, op.field, back))
    place = op.value if isinstance(op.value, int) and not isinstance(op.value, bool) else len(prepended)
    for kind in ("prependedItems", "appendedItems", "deletedItems", "explicitItems"):
        items = list(getattr(listop, kind))
        if op.field in items:
            setattr(listop, kind, [item for item in items if item != op.field])
    _author_api(context, prim, spec, listop, op.field, place if wanted else -1)
    context.note_resync(op.path)


def _author_api(context: Context, prim: Usd.Prim, spec: Sdf.PrimSpec, listop: Sdf.TokenListOp, name: str, place: int) -> None:
    below = [s for s in prim.GetPrimStack() if s.layer != context.layer and s.HasInfo("apiSchemas")]
    from_base = any(name in s.GetInfo("apiSchemas").GetAddedOrExplicitItems() for s in below)
    if listop.isExplicit and place >= 0:
        listop.explicitItems = [*listop.explicitItems, name]
    elif place >= 0 and not from_base:
        items = list(listop.prependedItems)
        items.insert(place, name)
        listop.prependedItems = items
    elif place < 0 and from_base and not listop.isExplicit:
        listop.deletedItems = sorted([*listop.deletedItems, name])
    if listop.isExplicit or listop.prependedItems or listop.appendedItems or listop.deletedItems:
        spec.SetInfo("apiSchemas", listop)
    else:
        spec.ClearInfo("apiSchemas")
        prune(context.layer, prim.GetPath())


# ---- what they share


def _cast(op: Op, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except CastError as error:
        raise Rejected(error.code, str(error), prim=op.path, attribute=op.field) from error


def _property_path(op: Op) -> Sdf.Path:
    _property_name(op.field, op.path)
    return Sdf.Path(op.path).AppendProperty(op.field)


def _property_name(name: object, prim: object) -> None:
    if not isinstance(name, str) or not Sdf.Path.IsValidNamespacedIdentifier(name):
        raise Rejected("path", f"{name!r} is not a property name", prim=prim)


def _attribute_type(prim: Usd.Prim, name: str, given: Sdf.ValueTypeName | None) -> tuple[Sdf.ValueTypeName, bool]:
    """Type of an attribute to write, and whether its spec is custom."""
    _property_name(name, prim.GetPath())
    if name.startswith("xformOp:"):
        return op_type(prim, name), False
    attribute = prim.GetAttribute(name)
    if attribute and attribute.IsDefined():
        return attribute.GetTypeName(), attribute.IsCustom()
    if given is None or not FREE.fullmatch(name) or prim.GetRelationship(name):
        raise Rejected("path", "the prim has no such attribute", prim=prim.GetPath(), attribute=name)
    return given, not name.startswith("primvars:")


def _allowed(context: Context, prim: Usd.Prim, op: Op, value: Any) -> None:
    attribute = prim.GetAttribute(op.field) if isinstance(value, str) else None
    tokens = attribute.GetMetadata("allowedTokens") if attribute else None
    if tokens and value not in list(tokens):
        raise Rejected(
            "type", f"{value!r} is not allowed (allowed: {', '.join(map(str, tokens))})", prim=op.path, attribute=op.field
        )
    assets = [value] if isinstance(value, Sdf.AssetPath) else list(value) if isinstance(value, Sdf.AssetPathArray) else []
    for asset in assets:
        if asset.path:
            try:
                resolve_inside(asset.path, anchor=context.layer.identifier, root=context.root)
            except SceneError as error:
                raise Rejected("asset", error.message, prim=op.path, attribute=op.field) from error


def _write(context: Context, op: Op, type_name: Sdf.ValueTypeName, custom: bool, value: Any) -> None:
    context.undo_with(inverse_of_property(context.layer, op.path, op.field))
    path = Sdf.Path(op.path)
    spec = context.layer.GetAttributeAtPath(path.AppendProperty(op.field))
    if not spec:
        owner = over(context.layer, path)
        declared = context.stage.GetPrimAtPath(path).GetAttribute(op.field)
        variability = declared.GetVariability() if declared and declared.IsDefined() else Sdf.VariabilityVarying
        spec = Sdf.AttributeSpec(owner, op.field, type_name, variability, declaresCustom=custom)
    spec.default = value
    context.note_changed(path.AppendProperty(op.field))

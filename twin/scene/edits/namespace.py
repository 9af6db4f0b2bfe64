"""New names and places of prims in layers: what points at a prim follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pxr import Sdf

from twin.scene.edits.difference import layer_of
from twin.scene.edits.specs import over, prune


def retarget(layer: Sdf.Layer, moved: Callable[[Sdf.Path], Sdf.Path]) -> None:
    """Let the relationships and connections of a layer follow; ``moved`` says where a path is now."""
    found: list[Sdf.Path] = []
    layer.Traverse(Sdf.Path.absoluteRootPath, found.append)
    for path in found:
        spec = layer.GetObjectAtPath(path)
        if isinstance(spec, Sdf.RelationshipSpec):
            spec.targetPathList.ModifyItemEdits(moved)
        elif isinstance(spec, Sdf.AttributeSpec) and spec.HasInfo("connectionPaths"):
            spec.connectionPathList.ModifyItemEdits(moved)


def with_moves(text: str, moves: Iterable[tuple[str, str]], now: Callable[[str], str]) -> str:
    """The text of an edit layer as if its prims had been moved.

    Args:
        moves: From one path to another, in order. now: Where all of them together bring a path.

    Raises:
        SceneError: Not USDA text.
    """
    pairs = [(Sdf.Path(source), Sdf.Path(target)) for source, target in moves]
    if not pairs:
        return text
    layer = layer_of(text)
    for source, target in pairs:
        if layer.GetPrimAtPath(source) and not layer.GetPrimAtPath(target):
            over(layer, target.GetParentPath())
            beside = Sdf.NamespaceEdit.same if target.GetParentPath() == source.GetParentPath() else Sdf.NamespaceEdit.atEnd
            edit = Sdf.BatchNamespaceEdit()
            edit.Add(Sdf.NamespaceEdit(source, target, beside))
            layer.Apply(edit)
            prune(layer, source.GetParentPath())
    retarget(layer, lambda path: Sdf.Path(now(str(path))))
    return str(layer.ExportToString())

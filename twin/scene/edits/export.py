"""A stage with its edits as one USD layer that needs nothing of Twin."""

from __future__ import annotations

import os
from pathlib import Path

from pxr import Sdf, Usd, UsdUtils

from twin.core.errors import InputError, WorkError
from twin.scene.edits.layer import is_edit_layer, save_layer

_OF_STAGE = ("defaultPrim", "metersPerUnit", "kilogramsPerUnit", "upAxis", "startTimeCode", "endTimeCode", "timeCodesPerSecond")
FORMATS = (".usda", ".usdc", ".usd")


def export_stage(stage: Usd.Stage, out: Path, *, flatten: bool = False, folder: Path | None = None) -> None:
    """Write a stage as it stands, edits included.

    Args:
        stage: The stage. out: The file. flatten: Everything in one file that refers to no other USD file; otherwise references
            and payloads stay what they are. folder: What paths in the file are relative to; default: its own folder.

    Raises:
        InputError: Not a USD file name. WorkError: It could not be written.
    """
    if out.suffix not in FORMATS:
        raise InputError("not a file that can be written as USD", file=out, attribute="--out", allowed=FORMATS)
    folder = (folder or out.parent).resolve()

    def beside(layer: Sdf.Layer, asset: str) -> str:
        if not asset or "://" in asset:
            return asset
        real = os.path.normpath(Path(layer.realPath or layer.identifier).parent / asset)
        path = Path(os.path.relpath(real, folder)).as_posix()
        return path if path.startswith("../") else f"./{path}"

    layer = stage.Flatten() if flatten else UsdUtils.FlattenLayerStack(stage, beside)
    if flatten:
        # flattening leaves textures and the like as absolute paths, which hold on one machine only
        UsdUtils.ModifyAssetPaths(layer, lambda asset: beside(layer, asset) if os.path.isabs(asset) else asset)
    layer.documentation = ""
    fresh = out.with_name(f".{out.name}.new{out.suffix}")
    try:
        if not layer.Export(str(fresh)):
            raise WorkError("could not be written", file=out)
        fresh.replace(out)
    except OSError as error:
        raise WorkError(f"could not be written: {error.strerror}", file=out) from error
    finally:
        fresh.unlink(missing_ok=True)


def export_layered(stage: Usd.Stage, out: Path) -> Path:
    """Write a stage of two layers: the edits, and below them the stage's own file, which stays where it is.

    Returns:
        The file of the edits, beside ``out``.

    Raises:
        InputError: Not a USD file name. WorkError: It could not be written.
    """
    if out.suffix not in FORMATS:
        raise InputError("not a file that can be written as USD", file=out, attribute="--out", allowed=FORMATS)
    own = stage.GetRootLayer()
    edits = next(layer for layer in stage.GetLayerStack(includeSessionLayers=True) if is_edit_layer(layer))
    beside = out.with_name(f"{out.stem}.edits.usda")
    root = Sdf.Layer.CreateAnonymous(".usda")
    for name in _OF_STAGE:
        if own.pseudoRoot.HasInfo(name):
            root.pseudoRoot.SetInfo(name, own.pseudoRoot.GetInfo(name))
    root.subLayerPaths = [f"./{beside.name}", Path(os.path.relpath(own.realPath, out.resolve().parent)).as_posix()]
    try:
        if not save_layer(edits, beside):
            Sdf.Layer.CreateAnonymous(".usda").Export(str(beside))
        if not root.Export(str(out)):
            raise WorkError("could not be written", file=out)
    except OSError as error:
        raise WorkError(f"could not be written: {error.strerror}", file=out) from error
    return beside

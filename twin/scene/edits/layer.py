"""The edit layer: above the base, below nothing, in memory only."""

from __future__ import annotations

import os
from pathlib import Path

from pxr import Sdf, Tf, Usd, UsdUtils

from twin.core.errors import SceneError
from twin.scene.stage import tf_message

DISPLAY_NAME = "edits"
_SUFFIX = ".edits.usda"


def make_edit_layer(stage: Usd.Stage) -> Sdf.Layer:
    """A new empty layer, a sublayer of the stage's session layer; the base layers are locked.

    Its identifier lies beside the stage so that relative references in it resolve, but it is never saved there.
    """
    file = Path(stage.GetRootLayer().realPath)
    for number in range(1, 10_000):
        identifier = str(file.with_name(f".{file.stem}.{number}{_SUFFIX}"))
        if Sdf.Layer.Find(identifier) is None:
            break
    layer = Sdf.Layer.New(Sdf.FileFormat.FindByExtension("usda"), identifier)
    for base in stage.GetUsedLayers():
        if base != stage.GetSessionLayer():
            base.SetPermissionToEdit(False)
    stage.GetSessionLayer().subLayerPaths.append(layer.identifier)
    return layer


def is_edit_layer(layer: Sdf.Layer) -> bool:
    """Whether ``make_edit_layer`` made it."""
    return layer.identifier.endswith(_SUFFIX) and Path(layer.identifier).name.startswith(".")


def layer_to_text(layer: Sdf.Layer) -> str:
    """A layer as USDA text, for checkpoints."""
    return str(layer.ExportToString())


def save_layer(layer: Sdf.Layer, path: Path) -> bool:
    """Write the edits as a layer of their own, for studies; relative asset paths go on meaning the same files.

    Returns:
        False where there are no edits: then nothing is written.
    """
    if layer.empty:
        return False
    home = Path(layer.identifier).parent

    def moved(asset: str) -> str:
        if not asset or asset.startswith("/") or ":" in asset:
            return asset
        return "./" + os.path.relpath(home / asset, path.parent).replace(os.sep, "/")

    copy = Sdf.Layer.CreateAnonymous(".usda")
    copy.TransferContent(layer)
    UsdUtils.ModifyAssetPaths(copy, moved)
    path.parent.mkdir(parents=True, exist_ok=True)
    copy.Export(str(path), comment="Edits of a shared session")
    return True


def layer_from_text(layer: Sdf.Layer, text: str) -> None:
    """Replace all of a layer's content.

    Raises:
        SceneError: Not USDA text; the layer keeps its content.
    """
    fresh = Sdf.Layer.CreateAnonymous(".usda")
    try:
        fresh.ImportFromString(text)
    except Tf.ErrorException as error:
        raise SceneError(f"the text of an edit layer cannot be read: {tf_message(error)}", file=layer.identifier) from error
    layer.TransferContent(fresh)

"""One part of the library as the browser draws it, for its picture in the list."""

from __future__ import annotations

from pathlib import Path

from pxr import UsdGeom

from twin.core.errors import SceneError
from twin.protocol.documents import SceneDoc
from twin.scene.render.assets import AssetStore
from twin.scene.render.extract import SceneExtractor
from twin.scene.render.library import FOLDER, UPLOADS
from twin.scene.stage import meters_per_unit, open_stage


def part_doc(asset_root: Path, asset: str, assets: AssetStore) -> SceneDoc:
    """The prims and materials of a part; ``asset`` as in ``LibraryPart``.

    Raises:
        SceneError: There is no such part, or it cannot be read.
    """
    root = asset_root.resolve()
    file = (root / asset).resolve()
    inside = file.parent == (root / FOLDER).resolve() or file.parent.parent == (root / UPLOADS).resolve()
    if not inside or not file.is_file():
        raise SceneError("there is no such part in the library", file=asset)
    stage = open_stage(file, root)
    parts = SceneExtractor(stage, assets=assets, asset_root=asset_root).scene()
    return SceneDoc(
        seq=0, epoch="", stage=asset, up_axis=str(UsdGeom.GetStageUpAxis(stage)), meters_per_unit=meters_per_unit(stage),
        prims=parts.prims, materials=parts.materials, nodes=[], signals=[], prototypes=[], library=[], findings=[],
    )  # fmt: skip

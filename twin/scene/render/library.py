"""Parts that can be added: the layers in ``_assets`` of the asset root, and what people have uploaded."""

from __future__ import annotations

from pathlib import Path

from pxr import Usd, UsdGeom

from twin.core.errors import SceneError
from twin.core.findings import Findings
from twin.protocol.documents import LibraryPart
from twin.scene.factory import NODE_APIS
from twin.scene.stage import open_layer

FOLDER = "_assets"
UPLOADS = "_uploads"
"""Each upload has a folder of its own, with its main layer at the top."""


def library_parts(asset_root: Path, findings: Findings) -> list[LibraryPart]:
    """Every part by name; a file that cannot be used becomes a finding.

    Each part is the ``defaultPrim`` of its layer, with its ``doc`` and a name for people: its ``displayName``, else the
    ``displayName`` in the layer's ``customLayerData``, else the prim's name. Ours say it in the layer: that of a prim comes along
    with a reference, and tools that show display names would call all belts of a line the same.
    """
    parts = []
    for file in [*sorted((asset_root / FOLDER).glob("*.usd*")), *sorted((asset_root / UPLOADS).glob("[!.]*/*.usd*"))]:
        try:
            layer = open_layer(file)
        except SceneError as error:
            findings.warning(file.name, "bad-part", error.message)
            continue
        prim = layer.GetPrimAtPath(f"/{layer.defaultPrim}") if layer.defaultPrim else None
        if prim is None:
            findings.warning(file.name, "bad-part", "a part needs a defaultPrim")
            continue
        if not Usd.SchemaRegistry.GetTypeFromSchemaTypeName(prim.typeName).IsA(UsdGeom.Xformable):
            continue  # shared materials and the like: nothing that can be set down
        of_layer = layer.customLayerData.get("displayName") or prim.name
        name = str(prim.GetInfo("displayName") if prim.HasInfo("displayName") else of_layer)
        doc = str(prim.GetInfo("documentation")) if prim.HasInfo("documentation") else layer.documentation
        schemas = prim.GetInfo("apiSchemas").GetAppliedItems() if prim.HasInfo("apiSchemas") else []
        node = next((NODE_APIS[s].name.lower() for s in schemas if s in NODE_APIS), "")
        parts.append(LibraryPart(asset=file.relative_to(asset_root).as_posix(), name=name, doc=doc, node=node, prim=prim.name))
    return parts

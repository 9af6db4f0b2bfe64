"""The stage as the browser draws it: prims, meshes, materials, goods, and the library of parts."""

from twin.scene.render.assets import AssetStore
from twin.scene.render.detail import prim_detail
from twin.scene.render.extract import SceneExtractor, SceneParts, node_docs, signal_docs
from twin.scene.render.layers import stage_layers, stage_variants
from twin.scene.render.library import library_parts
from twin.scene.render.part import part_doc

__all__ = [
    "AssetStore",
    "SceneExtractor",
    "SceneParts",
    "library_parts",
    "node_docs",
    "part_doc",
    "prim_detail",
    "signal_docs",
    "stage_layers",
    "stage_variants",
]

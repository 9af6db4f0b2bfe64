"""Stages that are new, and what a stage says about itself before it is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twin.core.errors import SceneError
from twin.scene.stage import open_layer

_EMPTY = """#usda 1.0
(
    defaultPrim = "World"
    doc = {doc}
    metersPerUnit = 1
    kilogramsPerUnit = 1
    upAxis = "Z"
)

def Xform "World" (
    kind = "assembly"
)
{{
    def PhysicsScene "PhysicsScene"
    {{
        vector3f physics:gravityDirection = (0, 0, -1)
        float physics:gravityMagnitude = 9.81
    }}

    def DistantLight "Sun"
    {{
        float inputs:intensity = 2.6
        float3 xformOp:rotateXYZ = (38, -24, 12)
        uniform token[] xformOpOrder = ["xformOp:rotateXYZ"]
    }}

    def Cube "Floor" (
        prepend apiSchemas = ["PhysicsCollisionAPI"]
    )
    {{
        double size = 1
        color3f[] primvars:displayColor = [(0.42, 0.43, 0.44)]
        double3 xformOp:translate = (0, 0, -0.05)
        float3 xformOp:scale = (24, 16, 0.1)
        uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
    }}
}}
"""


def write_empty_stage(file: Path, name: str) -> None:
    """A stage with gravity, light and a floor of 24 m x 16 m, in metres and Z up."""
    file.write_text(_EMPTY.format(doc=json.dumps(name)))


def describe_stage(file: Path) -> dict[str, Any]:
    """``{"name", "doc", "problem"}`` of a stage, from its root layer alone."""
    name = file.parent.name.replace("_", " ")
    try:
        layer = open_layer(file)
    except SceneError as error:
        return {"name": name, "doc": "", "problem": error.message}
    return {"name": name[:1].upper() + name[1:], "doc": " ".join(layer.documentation.split()), "problem": ""}

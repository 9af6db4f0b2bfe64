"""A stage with every kind of geometry that Twin draws, each of a colour of its own, on a grid that is looked at from above."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

STEP = 3.0
COLUMNS = 6

MATERIAL = """def Material "{name}" {{
    token outputs:surface.connect = </{name}/S.outputs:surface>
    def Shader "S" {{
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor = ({color})
        float inputs:roughness = 0.9
        token outputs:surface
    }}
}}
"""
TEXTURED = """def Material "Textured" {
    token outputs:surface.connect = </Textured/S.outputs:surface>
    def Shader "S" {
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor.connect = </Textured/Image.outputs:rgb>
        float inputs:roughness = 0.9
        token outputs:surface
    }
    def Shader "Image" {
        uniform token info:id = "UsdUVTexture"
        asset inputs:file = @./image.png@
        token inputs:wrapS = "clamp"
        float2 inputs:st.connect = </Textured/Place.outputs:result>
        float3 outputs:rgb
    }
    def Shader "Place" {
        uniform token info:id = "UsdTransform2d"
        float2 inputs:in.connect = </Textured/Reader.outputs:result>
        float2 inputs:translation = (0.5, 0)
        float2 outputs:result
    }
    def Shader "Reader" {
        uniform token info:id = "UsdPrimvarReader_float2"
        string inputs:varname = "st"
        float2 outputs:result
    }
}
"""
SQUARE = """    int[] faceVertexCounts = [4]
    int[] faceVertexIndices = [{order}]
    point3f[] points = [(-1,-1,0), (1,-1,0), (1,1,0), (-1,1,0)]
"""
CAGE = """    int[] faceVertexCounts = [4, 4, 4, 4, 4, 4]
    int[] faceVertexIndices = [0,3,2,1, 4,5,6,7, 0,1,5,4, 1,2,6,5, 2,3,7,6, 3,0,4,7]
    point3f[] points = [(-1,-1,-1), (1,-1,-1), (1,1,-1), (-1,1,-1), (-1,-1,1), (1,-1,1), (1,1,1), (-1,1,1)]
"""
BLUE = "    color3f[] primvars:displayColor = [(0.02, 0.02, 0.9)]\n"
GREEN = "    color3f[] primvars:displayColor = [(0.02, 0.7, 0.02)]\n"
RED = "    color3f[] primvars:displayColor = [(0.9, 0.02, 0.02)]\n"

# name, type and metadata, body; what is seen from above at its origin: red, green or blue
THINGS = [
    ("Cube", "Cube", "    double size = 2\n" + RED, "red"),
    ("Sphere", "Sphere", GREEN, "green"),
    ("Cylinder", "Cylinder", BLUE, "blue"),
    ("Cone", "Cone", RED, "red"),
    ("Capsule", "Capsule", "    double height = 1\n    double radius = 0.7\n" + GREEN, "green"),
    ("Plane", "Plane", BLUE, "blue"),
    ("Tapered", "Cylinder_1", "    double radiusTop = 0.5\n    double radiusBottom = 1\n" + RED, "red"),
    ("LeftHanded", "Mesh", '    uniform token orientation = "leftHanded"\n    uniform token subdivisionScheme = "none"\n'
     + SQUARE.format(order="0, 3, 2, 1") + GREEN, "green"),
    ("DoubleSided", "Mesh", '    uniform bool doubleSided = 1\n    uniform token subdivisionScheme = "none"\n'
     + SQUARE.format(order="0, 3, 2, 1") + BLUE, "blue"),
    ("Subdivided", "Mesh", '    uniform token subdivisionScheme = "catmullClark"\n' + CAGE + RED, "red"),
    ("FaceColors", "Mesh", '    uniform token subdivisionScheme = "none"\n' + CAGE
     + '    color3f[] primvars:displayColor = [(0.9,0,0), (0,0.7,0), (0.9,0,0), (0.9,0,0), (0.9,0,0), (0.9,0,0)] (\n'
     + '        interpolation = "uniform"\n    )\n', "green"),
    ("Subsets", "Mesh", '    uniform token subdivisionScheme = "none"\n' + CAGE + '    rel material:binding = </Red>\n'
     + '    def GeomSubset "Top" (prepend apiSchemas = ["MaterialBindingAPI"]) {\n        uniform token elementType = "face"\n'
     + '        uniform token familyName = "materialBind"\n        int[] indices = [1]\n        rel material:binding = </Blue>\n'
     + '    }\n',
     "blue"),
    ("Concave", "Mesh", '    uniform token subdivisionScheme = "none"\n    int[] faceVertexCounts = [6]\n'
     + '    int[] faceVertexIndices = [0,1,2,3,4,5]\n'
     + '    point3f[] points = [(-1,0.4,0), (-1,-1,0), (1,-1,0), (1,1,0), (0.4,1,0), (0.4,-0.6,0)]\n' + RED, ""),
    ("Image", "Mesh", '    uniform token subdivisionScheme = "none"\n' + SQUARE.format(order="0, 1, 2, 3")
     + '    texCoord2f[] primvars:st = [(0,0), (0.5,0), (0.5,1), (0,1)] (\n        interpolation = "vertex"\n    )\n'
     + '    rel material:binding = </Textured>\n', "green"),
    ("Pipe", "BasisCurves", '    uniform token type = "linear"\n    int[] curveVertexCounts = [2]\n'
     + '    point3f[] points = [(-1,0,0), (1,0,0)]\n    float[] widths = [0.8] (\n        interpolation = "constant"\n    )\n'
     + BLUE, "blue"),
    ("Cloud", "Points", "    point3f[] points = [(0,0,0), (0.9,0.9,0)]\n    float[] widths = [1.4, 0.5]\n" + RED, "red"),
    ("Copies", "PointInstancer", '    rel prototypes = [</Grid/Copies/Block>]\n    int[] protoIndices = [0, 0]\n'
     + '    point3f[] positions = [(0,0,0), (0,0.9,0)]\n    quath[] orientations = [(1,0,0,0), (0,0,0,1)]\n'
     + '    def Cube "Block" {\n        double size = 0.8\n' + GREEN.replace("    ", "        ", 1)
     + "        double3 xformOp:translate = (0, 0, 0.1)\n        uniform token[] xformOpOrder = [\"xformOp:translate\"]\n    }\n",
     "green"),
    ("Native", "Xform", "", "blue"),
    ("Surface", "NurbsPatch", "    float3[] extent = [(-1,-1,-0.2), (1,1,0.2)]\n", "bounds"),
    ("Hidden", "Cube", '    token visibility = "invisible"\n' + RED, "nothing"),
    ("Guide", "Cube", '    uniform token purpose = "guide"\n' + RED, "nothing"),
    ("Mirrored", "Mesh", '    uniform token subdivisionScheme = "none"\n' + SQUARE.format(order="0, 3, 2, 1") + RED, "red"),
]  # fmt: skip
METADATA = {"Native": "instanceable = true\n    references = </Shared>"}
SCALED = {"Mirrored": (1, 1, -1)}


def place(number: int) -> tuple[float, float]:
    """Where a thing stands [m]."""
    return (number % COLUMNS) * STEP, -(number // COLUMNS) * STEP


def png(width: int, height: int, pixel: bytes) -> bytes:
    """A picture whose left half is red and whose right half is ``pixel``."""
    row = b"\0" + b"\xe0\x10\x10" * (width // 2) + pixel * (width // 2)
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * height)),
        (b"IEND", b""),
    ]
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return out


def write(folder: Path) -> Path:
    """Write the stage and its picture."""
    (folder / "image.png").write_bytes(png(16, 16, b"\x10\xb0\x10"))
    text = '#usda 1.0\n(\n    defaultPrim = "Grid"\n    metersPerUnit = 1\n    upAxis = "Z"\n)\n'
    text += (
        MATERIAL.format(name="Red", color="0.9, 0.02, 0.02") + MATERIAL.format(name="Blue", color="0.02, 0.02, 0.9") + TEXTURED
    )
    text += 'class Xform "Shared" {\n    def Mesh "Part" {\n' + CAGE + BLUE + "    }\n}\n"
    text += 'def Xform "Grid" {\n'
    for number, (name, kind, body, _) in enumerate(THINGS):
        x, y = place(number)
        metadata = METADATA.get(name, 'prepend apiSchemas = ["MaterialBindingAPI"]' if "material:binding" in body else "")
        text += f'def {kind} "{name}" (\n    {metadata}\n) {{\n{body}    double3 xformOp:translate = ({x}, {y}, 0)\n'
        ops = ["xformOp:translate"]
        if name in SCALED:
            text += f"    float3 xformOp:scale = {SCALED[name]}\n"
            ops.append("xformOp:scale")
        text += "    uniform token[] xformOpOrder = [" + ", ".join(f'"{op}"' for op in ops) + "]\n}\n"
    text += 'def Camera "View" {\n    float focalLength = 35\n}\ndef SphereLight "Lamp" {\n    float inputs:intensity = 50\n'
    text += '    double3 xformOp:translate = (7, -5, 6)\n    uniform token[] xformOpOrder = ["xformOp:translate"]\n}\n}\n'
    path = folder / "everything.usda"
    path.write_text(text)
    return path

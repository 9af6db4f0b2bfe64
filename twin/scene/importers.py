"""Files of other programs as USD parts: meshes (glTF, OBJ, STL, PLY) and USD itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdPhysics, UsdUtils, Vt

from twin.core.errors import InputError
from twin.scene.intake import MESHES, UNITS
from twin.scene.stage import open_stage

LAYERS = (".usda", ".usdc", ".usd", ".usdz")
OUT = (".usda", ".usdc", ".usd")
COLLISION = {"none": None, "hull": "convexHull", "box": "boundingCube", "mesh": "none"}
"""What goods meet: nothing, the convex hull, the bounding box, or (where it stands still) the mesh itself."""


@dataclass(frozen=True)
class Imported:
    """What was written: prims, triangles, and the size along X, Y, Z [m]."""

    prims: int
    triangles: int
    size_m: tuple[float, float, float]


def import_file(
    file: Path, out: Path, *, unit: str = "", up: str = "", collision: str = "none", mass: float | None = None
) -> Imported:
    """Write ``file`` as the USD part ``out``.

    A mesh becomes an Xform in metres, Z up, with one prim for each mesh in the file, its colour kept. A USD file becomes one
    layer without references of its own; pictures stay where they are and are named from the new place.

    Args:
        unit: Length unit of a mesh (``UNITS``); by default metres, as glTF has them. up: ``Y`` or ``Z`` of a mesh; by default
            Y for glTF, else Z. collision: A key of ``COLLISION``. mass: Makes it a rigid body of so much [kg].

    Raises:
        InputError: The file, its kind or an argument cannot be used.
    """
    ending = file.suffix.lower()
    if not file.is_file():
        raise InputError("no such file", file=file)
    if ending not in (*MESHES, *LAYERS):
        raise InputError("not a kind of file that can be imported", file=file, allowed=(*MESHES, *LAYERS))
    if out.suffix.lower() not in OUT:
        raise InputError(f"cannot write {out.suffix or 'a file without a suffix'}", file=out, attribute="--out", allowed=OUT)
    if not out.parent.is_dir():
        raise InputError("the folder does not exist", file=out.parent, attribute="--out")
    if out.exists() and out.samefile(file):
        raise InputError("is the file that is read", file=out, attribute="--out")
    for name, value, allowed in (("--unit", unit, UNITS), ("--up", up, "YZ"), ("--collision", collision, COLLISION)):
        if value and value not in allowed:
            raise InputError(f"is {value!r}", attribute=name, allowed=list(allowed))
    if mass is not None and not 0.0 < mass < 1e9:
        raise InputError(f"must be a positive number, is {mass:g}", attribute="--mass")
    if ending in LAYERS:
        if unit or up:
            raise InputError("a USD file says its unit and axis itself", attribute="--unit" if unit else "--up")
        stage = _flattened(file, out)
    else:
        stage = _from_mesh(file, UNITS[unit or "m"], up or ("Y" if ending == ".glb" else "Z"))
    _add_physics(stage, collision, mass)
    if not stage.GetRootLayer().Export(str(out)):
        raise InputError("could not be written", file=out, attribute="--out")
    return _measure(stage)


def _flattened(file: Path, out: Path) -> Usd.Stage:
    layer = open_stage(file).Flatten(addSourceFileComment=False)
    folder = out.resolve().parent

    def from_new_place(path: str) -> str:
        return os.path.relpath(path, folder) if os.path.isabs(path) else path

    UsdUtils.ModifyAssetPaths(layer, from_new_place)
    stage = Usd.Stage.Open(layer)
    if not stage.GetDefaultPrim():
        roots = [p for p in stage.GetPseudoRoot().GetChildren() if p.IsDefined() and not p.IsAbstract()]
        if not roots:
            raise InputError("has nothing in it", file=file)
        stage.SetDefaultPrim(roots[0])
    return stage


def _from_mesh(file: Path, unit: float, up: str) -> Usd.Stage:
    import trimesh

    try:
        scene: Any = trimesh.load_scene(file, process=False)
    except Exception as error:
        raise InputError(f"not a readable mesh: {type(error).__name__}: {str(error)[:200]}", file=file) from error
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, f"/{Tf.MakeValidIdentifier(file.stem)}")
    stage.SetDefaultPrim(root.GetPrim())
    root.GetPrim().SetMetadata("documentation", f"From {file.name}.")
    taken: set[str] = set()
    for node in scene.graph.nodes_geometry:
        placed, name = scene.graph[node]
        mesh = scene.geometry[name]
        faces = np.asarray(getattr(mesh, "faces", []), np.int64)
        if not len(faces):
            continue
        points = trimesh.transform_points(np.asarray(mesh.vertices, float), placed) * unit
        if up == "Y":
            points = points[:, [0, 2, 1]] * [1.0, -1.0, 1.0]
        if not np.isfinite(points).all():
            raise InputError(f"the mesh {node!r} has points that are no numbers", file=file)
        if np.abs(points).max() > 1e6:
            raise InputError("is larger than 1,000 km; is the unit right?", file=file, attribute="--unit", allowed=list(UNITS))
        if np.linalg.det(placed[:3, :3]) < 0.0:
            faces = faces[:, ::-1]
        label = _free(Tf.MakeValidIdentifier(str(node)), taken)
        _add_mesh(stage, root.GetPath().AppendChild(label), points, faces, _color(mesh))
    if not taken:
        raise InputError("has no faces", file=file)
    return stage


def _free(label: str, taken: set[str]) -> str:
    name, count = label, 1
    while name in taken:
        count += 1
        name = f"{label}_{count}"
    taken.add(name)
    return name


def _color(mesh: Any) -> np.ndarray | None:
    """The colour of a mesh as a whole, linear RGB [3]; None where it has none of its own."""
    visual = getattr(mesh, "visual", None)
    if visual is None or not getattr(visual, "defined", False):
        return None
    color = np.asarray(visual.material.main_color if hasattr(visual, "material") else visual.main_color, float)[:3] / 255.0
    # USD colours are linear, those of mesh files sRGB (IEC 61966-2-1)
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def _add_mesh(stage: Usd.Stage, path: Sdf.Path, points: np.ndarray, faces: np.ndarray, color: np.ndarray | None) -> None:
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points.astype(np.float32)))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(faces, np.int32).ravel()))
    mesh.CreateExtentAttr([Gf.Vec3f(*points.min(axis=0).tolist()), Gf.Vec3f(*points.max(axis=0).tolist())])
    if color is not None:
        mesh.CreateDisplayColorAttr([Gf.Vec3f(*color.tolist())])


def _add_physics(stage: Usd.Stage, collision: str, mass: float | None) -> None:
    approximation = COLLISION[collision]
    if approximation is not None:
        for prim in stage.Traverse():
            if prim.IsA(UsdGeom.Mesh):
                UsdPhysics.CollisionAPI.Apply(prim)
                UsdPhysics.MeshCollisionAPI.Apply(prim).CreateApproximationAttr(approximation)
    if mass is not None:
        root = stage.GetDefaultPrim()
        UsdPhysics.RigidBodyAPI.Apply(root)
        UsdPhysics.MassAPI.Apply(root).CreateMassAttr(mass / UsdPhysics.GetStageKilogramsPerUnit(stage))


def _measure(stage: Usd.Stage) -> Imported:
    prims = list(stage.Traverse())
    counts = [UsdGeom.Mesh(p).GetFaceVertexCountsAttr().Get() or [] for p in prims if p.IsA(UsdGeom.Mesh)]
    box = UsdGeom.BBoxCache(Usd.TimeCode.Default(), [UsdGeom.Tokens.default_, UsdGeom.Tokens.render])
    bound = box.ComputeWorldBound(stage.GetDefaultPrim()).ComputeAlignedRange()
    size = [0.0, 0.0, 0.0] if bound.IsEmpty() else [float(x) * UsdGeom.GetStageMetersPerUnit(stage) for x in bound.GetSize()]
    return Imported(len(prims), sum(int(np.maximum(np.asarray(c) - 2, 0).sum()) for c in counts), (size[0], size[1], size[2]))

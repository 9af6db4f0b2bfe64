"""Files from outside, made safe to open: run as ``python -m twin.scene.intake`` in a process of its own with limits.

Whatever came is read here and written anew, so that the server opens only what USD itself has written: layers are exported
again, packages unpacked, meshes turned into USD. Textures are looked at and copied. Nothing may refer to anything beyond
itself and the asset root.

Prints one JSON document: ``{"asset": main file inside the folder, "prims": n}`` or ``{"error": why not}`` with exit code 2.
"""

from __future__ import annotations

import json
import os
import posixpath
import resource
import shutil
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from pxr import Gf, Sdf, Tf, Usd, UsdGeom, Vt

from twin.core.errors import InputError, TwinError
from twin.scene.edits.context import MAX_DEPTH
from twin.scene.stage import asset_paths, check_assets, open_layer, tf_message

LAYERS = (".usda", ".usdc", ".usd")
MESHES = (".stl", ".obj", ".ply", ".glb")
TEXTURES = (".png", ".jpg", ".jpeg")
ALLOWED = (*LAYERS, ".usdz", *MESHES, *TEXTURES)
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}

MEMORY = 3 << 30
CPU_S = 60
MAX_FILE = 512 << 20
"""Limits of the process: address space and written file [bytes], processor time [s]."""
MAX_ENTRIES = 1000
MAX_PACKAGE = 256 << 20
"""Of a package: files, and their bytes together."""
MAX_PRIMS = 20_000
MAX_FACES = 2_000_000
MAX_VALUES = 50_000_000
"""In arrays of all prims together: a small file can say a lot (compressed zeros, one mesh referenced again and again)."""
NICE = 10
MAX_PIXELS = 1 << 26
MAX_SIDE = 16_384


def limit_process() -> None:
    """From here on this process can do little harm: no cores, no endless work, no endless memory, and others come first."""
    os.nice(NICE)
    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, MAX_FILE),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def take_in(file: Path, name: str, folder: Path, root: Path, *, unit: float = 1.0, turn: str = "none") -> dict[str, Any]:
    """Read ``file``, which somebody called ``name``, and write what it says into ``folder``.

    Args:
        folder: New, inside the asset root ``root``. unit: Metres of one unit of a mesh, divided by those of the stage.
        turn: How the axes of a mesh become those of the stage: none, y-to-z or z-to-y.

    Returns:
        ``asset``, relative to ``folder``; ``prims``, how many; ``low``, the lowest corner of a mesh, ``(3,)`` [stage units].

    Raises:
        InputError: It cannot be used.
    """
    ending = Path(name).suffix.lower()
    if ending not in ALLOWED:
        raise InputError("not a kind of file that can be taken in", file=name, allowed=ALLOWED)
    target = folder / name
    if ending in TEXTURES:
        check_texture(file, name)
        shutil.copyfile(file, target)
        return {"asset": target.name, "prims": 0}
    if ending == ".usdz":
        target = _unpack(file, name, folder)
    elif ending in LAYERS:
        target = target.with_suffix(".usda" if ending == ".usda" else ".usdc")
        _rewrite(file, target, name)
    else:
        target = target.with_suffix(".usdc")
        low = _convert(file, target, name, unit, turn)
        return {"asset": target.relative_to(folder).as_posix(), "prims": _composed(target, root), "low": low}
    return {"asset": target.relative_to(folder).as_posix(), "prims": _composed(target, root)}


def _rewrite(file: Path, target: Path, name: str) -> None:
    """Export a layer anew."""
    kind = "usda" if Path(name).suffix.lower() == ".usda" else "usd"
    copy = file.with_name(f"{file.name}.{kind}")
    shutil.copyfile(file, copy)
    try:
        layer = Sdf.Layer.OpenAsAnonymous(str(copy))
        if layer is None:
            raise InputError("not a USD layer", file=name)
        if not layer.defaultPrim:
            roots = [p for p in layer.rootPrims if p.specifier == Sdf.SpecifierDef]
            if len(roots) != 1:
                raise InputError("needs a defaultPrim: which of its prims is the part", file=name)
            layer.defaultPrim = roots[0].name
        if not layer.Export(str(target)):
            raise InputError("could not be written anew", file=name)
    except Tf.ErrorException as error:
        raise InputError(f"not a readable USD layer: {tf_message(error)}", file=name) from error
    finally:
        copy.unlink()


def _unpack(file: Path, name: str, folder: Path) -> Path:
    """A package's layers, each written anew, and its textures; returns the main layer."""
    try:
        with zipfile.ZipFile(file) as package:
            entries = package.infolist()
            _check_entries(entries, name)
            for entry in entries:
                out = folder / entry.filename
                out.parent.mkdir(parents=True, exist_ok=True)
                raw = folder / ".raw"
                raw.write_bytes(package.read(entry))
                ending = out.suffix.lower()
                if ending in LAYERS:
                    _rewrite(raw, out, entry.filename)
                elif ending in TEXTURES:
                    check_texture(raw, entry.filename)
                    shutil.copyfile(raw, out)
                raw.unlink()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error, EOFError) as error:
        raise InputError(f"not a readable package: {error}", file=name) from error
    return folder / entries[0].filename


def _check_entries(entries: list[zipfile.ZipInfo], name: str) -> None:
    if not entries or Path(entries[0].filename).suffix.lower() not in LAYERS:
        raise InputError("a package begins with its main layer", file=name)
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"a package may hold {MAX_ENTRIES} files, this one has {len(entries)}", file=name)
    if sum(entry.file_size for entry in entries) > MAX_PACKAGE:
        raise InputError(f"a package may hold {MAX_PACKAGE >> 20} MiB", file=name)
    seen = set()
    for entry in entries:
        path = entry.filename
        plain = posixpath.normpath(path)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise InputError(f"{path!r} is compressed, which a usdz must not be", file=name)
        if plain != path or path.startswith(("/", "..")) or "\\" in path or ":" in path or not path.isprintable():
            raise InputError(f"{path!r} is not a plain path inside the package", file=name)
        if (entry.external_attr >> 16) & 0o170000 not in (0, 0o100000) or entry.flag_bits & 1:
            raise InputError(f"{path!r} is not a plain file", file=name)
        if Path(path).suffix.lower() not in (*LAYERS, *TEXTURES):
            raise InputError(f"{path!r} is not a kind of file that can be taken in", file=name, allowed=(*LAYERS, *TEXTURES))
        if path.lower() in seen:
            raise InputError(f"{path!r} is there twice", file=name)
        seen.add(path.lower())


def _convert(file: Path, target: Path, name: str, unit: float, turn: str) -> list[float]:
    """A mesh file as a USD part: an Xform with one mesh. Returns its lowest corner."""
    import trimesh

    try:
        with file.open("rb") as stream:
            mesh: Any = trimesh.load(stream, file_type=Path(name).suffix[1:].lower(), force="mesh", process=False)
    except MemoryError:
        raise
    except Exception as error:
        kind = Path(name).suffix[1:].upper()
        reason = f"not a readable {kind} file; it may be cut off or of another format ({str(error)[:200]})"
        raise InputError(reason, file=name) from error
    points, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    if not len(faces) or len(faces) > MAX_FACES:
        raise InputError(f"a mesh has 1 to {MAX_FACES} faces, this one has {len(faces)}", file=name)
    if not np.isfinite(points).all() or faces.min() < 0 or faces.max() >= len(points):
        raise InputError("the mesh has points that are no numbers, or faces without points", file=name)
    points = points * unit
    if turn != "none":
        points = points[:, [0, 2, 1]] * ([1.0, -1.0, 1.0] if turn == "y-to-z" else [1.0, 1.0, -1.0])
    if np.abs(points).max() > 1e6:
        raise InputError("the mesh is larger than 1,000 km; is the unit right?", file=name)
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y if turn == "z-to-y" else UsdGeom.Tokens.z)
    label = Tf.MakeValidIdentifier(Path(name).stem)
    part = UsdGeom.Xform.Define(stage, f"/{label}")
    stage.SetDefaultPrim(part.GetPrim())
    part.GetPrim().SetMetadata("documentation", f"From {name}.")
    out = UsdGeom.Mesh.Define(stage, f"/{label}/Mesh")
    out.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    out.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points.astype(np.float32)))
    out.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    out.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.astype(np.int32).ravel()))
    low, high = points.min(axis=0), points.max(axis=0)
    out.CreateExtentAttr([Gf.Vec3f(*low.tolist()), Gf.Vec3f(*high.tolist())])
    stage.GetRootLayer().Export(str(target))
    corner: list[float] = low.tolist()
    return corner


def check_texture(file: Path, name: str) -> None:
    """Whether a file is the kind of picture that its name says, of a size that can be drawn.

    Raises:
        InputError: It is not.
    """
    with file.open("rb") as stream:
        head = stream.read(1 << 20)
    png = Path(name).suffix.lower() == ".png"
    size = _png_size(head) if png else _jpeg_size(head)
    if size is None:
        raise InputError(f"not a {'PNG' if png else 'JPEG'} picture", file=name)
    if not (min(size) > 0 and max(size) <= MAX_SIDE and size[0] * size[1] <= MAX_PIXELS):
        raise InputError(f"{size[0]} x {size[1]} pixels are too many", file=name, allowed=[f"sides up to {MAX_SIDE}"])


def _png_size(head: bytes) -> tuple[int, int] | None:
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        return None
    return struct.unpack(">II", head[16:24])


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Walks the segments up to the frame header (SOF0 to SOF15 without DHT, JPG, DAC)."""
    if head[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return None


def _composed(file: Path, root: Path) -> int:
    """Prims of a part with all that it brings along.

    Raises:
        InputError: It does not compose, refers to what is not there or outside the root, or is too large.
    """
    layer = open_layer(file)
    missing = check_assets(layer, root)
    for finding in missing:
        raise InputError(f"{finding.message}; upload it first, or a usdz that holds it", file=file.name)
    for used in asset_paths(layer):
        if used.startswith("/"):
            raise InputError(f"asset {used!r} is an absolute path", file=file.name)
    stage = Usd.Stage.Open(layer)
    errors = stage.GetCompositionErrors()
    if errors:
        raise InputError(f"does not compose: {' '.join(str(errors[0]).split())[:300]}", file=file.name)
    count = values = 0
    for prim in Usd.PrimRange(stage.GetPseudoRoot(), Usd.TraverseInstanceProxies(Usd.PrimAllPrimsPredicate)):
        count += 1
        if count > MAX_PRIMS:
            raise InputError(f"a part may have {MAX_PRIMS} prims", file=file.name)
        if prim.GetPath().pathElementCount > MAX_DEPTH // 2:
            raise InputError(f"prims may be nested {MAX_DEPTH // 2} deep", file=file.name)
        values += sum(map(_values_of, prim.GetAuthoredAttributes()))
        if values > MAX_VALUES:
            raise InputError(f"a part may have {MAX_VALUES:,} values in arrays", file=file.name)
    prim = stage.GetDefaultPrim()
    if not prim or not prim.IsA(UsdGeom.Xformable):
        raise InputError("the defaultPrim is nothing that can be set down: it needs to be an Xform or a shape", file=file.name)
    return count


def _values_of(attribute: Usd.Attribute) -> int:
    """Values that an attribute has in arrays."""
    if not attribute.GetTypeName().isArray:
        return 0
    value = attribute.Get(Usd.TimeCode.EarliestTime())
    return len(value) * max(1, attribute.GetNumTimeSamples()) if value is not None else 0


def main(arguments: list[str]) -> int:
    """``FILE NAME FOLDER ROOT UNIT TURN``"""
    limit_process()
    file, name, folder, root, unit, turn = arguments
    try:
        answer = take_in(Path(file), name, Path(folder), Path(root), unit=float(unit), turn=turn)
    except TwinError as error:
        answer = {"error": error.message}
    except Tf.ErrorException as error:
        answer = {"error": tf_message(error)}
    except (MemoryError, RecursionError) as error:
        answer = {"error": f"takes too much to read ({type(error).__name__})"}
    print(json.dumps(answer))
    return 2 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

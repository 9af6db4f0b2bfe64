"""Opening stages: clear errors, and every asset path inside the asset root."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pxr import Ar, Sdf, Tf, Usd, UsdGeom, UsdUtils

from twin.core.errors import SceneError
from twin.core.findings import Findings

ROOT_MARKER = "twin.toml"


def find_asset_root(path: str | os.PathLike[str]) -> Path:
    """The nearest ancestor folder of a stage that holds a ``twin.toml``, else the stage's own folder."""
    folder = Path(os.path.realpath(path)).parent
    return next((f for f in (folder, *folder.parents) if (f / ROOT_MARKER).is_file()), folder)


def project_folder(path: str | os.PathLike[str], asset_root: str | os.PathLike[str] | None = None) -> Path:
    """Where what people do to a stage is kept by default: ``<asset root>/.twin/<stage path>``.

    Raises:
        SceneError: The stage is not there, or lies outside the asset root.
    """
    if not os.path.isfile(path):
        raise SceneError("no such file", file=path)
    root = Path(os.path.realpath(asset_root or find_asset_root(path)))
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        raise SceneError(f"the stage lies outside the asset root {root}", file=path, attribute="--asset-root")
    return root / ".twin" / real.relative_to(root)


def tf_message(error: Tf.ErrorException) -> str:
    """What USD said, as one line without its source locations."""
    texts = [str(part.commentary) for part in error.args if hasattr(part, "commentary")]
    return " ".join("; ".join(texts or [str(error)]).split())


def resolve_inside(asset_path: str, *, anchor: str, root: Path) -> Path:
    """Real path of an asset named in the layer at ``anchor``.

    Raises:
        SceneError: It is a URL, or lies outside ``root`` once ``..`` and links are followed, or USD would find it elsewhere
            than beside the layer; or it says something else than a path: an expression, arguments of a file format.
    """
    if "://" in asset_path:
        raise SceneError(f"asset {asset_path!r} is a URL; assets must be files inside {root}", file=anchor)
    if asset_path.startswith("`"):
        raise SceneError(f"asset {asset_path} is computed, and may become any path; write the path itself", file=anchor)
    if Sdf.Layer.SplitIdentifier(asset_path)[1]:
        raise SceneError(f"asset {asset_path!r} has arguments of a file format, which are not allowed", file=anchor)
    if not asset_path.isprintable():
        raise SceneError(f"asset {asset_path!r} has characters that no path should have", file=anchor)
    inner = Ar.SplitPackageRelativePathOuter(asset_path)[0] if Ar.IsPackageRelativePath(asset_path) else asset_path
    package, inside = Ar.SplitPackageRelativePathOuter(anchor)
    if package.endswith(".usdz"):
        return _resolve_packaged(inner, package=package, inside=inside, root=root)
    real = Path(os.path.realpath(Path(package).parent / inner))
    if not real.is_relative_to(root):
        text = (
            f"asset {asset_path!r} leads outside the asset root {root}, which is the nearest folder above the stage that holds a "
            "twin.toml, else the stage's own: copy that whole folder, or put a twin.toml above both"
        )
        raise SceneError(text, file=anchor)
    if not real.exists() and _searched(inner):
        raise SceneError(f"asset {asset_path!r} would be found in the working directory, outside the asset root", file=anchor)
    return real


def _resolve_packaged(path: str, *, package: str, inside: str, root: Path) -> Path:
    """The package, if it holds an asset that one of its layers names."""
    real = Path(os.path.realpath(package))
    if not real.is_relative_to(root):
        raise SceneError(f"the package leads outside the asset root {root}", file=package)
    names = Sdf.ZipFile.Open(package).GetFileNames()
    inside = inside or names[0]  # what a package's own name stands for
    if Ar.IsPackageRelativePath(inside) or path.endswith(".usdz"):
        raise SceneError(f"asset {path!r} is in a package inside a package, which is not allowed", file=package)
    name = posixpath.normpath(posixpath.join(posixpath.dirname(inside), path))
    if name not in names and path not in names:
        raise SceneError(f"asset {path!r} is not in the package; a package must hold all that it names", file=package)
    return real


def _searched(path: str) -> bool:
    """Whether USD, which finds nothing beside the layer, goes on to look in the working directory and along its search path
    (PXR_AR_DEFAULT_SEARCH_PATH), and finds it there."""
    return not os.path.isabs(path) and not path.startswith(("./", "../")) and bool(Ar.GetResolver().Resolve(path))


def open_layer(path: Path, *, referrer: str | None = None) -> Sdf.Layer:
    """Open one layer.

    Raises:
        SceneError: It is missing or cannot be parsed.
    """
    named = f" (named in {referrer})" if referrer else ""
    if not os.path.isfile(Ar.SplitPackageRelativePathOuter(str(path))[0]):
        raise SceneError(f"no such file{named}", file=path)
    try:
        layer = Sdf.Layer.FindOrOpen(str(path))
    except Tf.ErrorException as error:
        raise SceneError(f"not a readable USD layer{named}: {tf_message(error)}", file=path) from error
    if layer is None:
        raise SceneError(f"not a USD layer{named}", file=path, allowed=[".usda", ".usdc", ".usd", ".usdz"])
    return layer


def asset_paths(layer: Sdf.Layer) -> list[str]:
    """Every asset path a layer names: sublayers, references, payloads, clips and ``asset`` values."""
    seen: dict[str, None] = {}

    def note(path: str) -> str:
        seen[path] = None
        return path

    # ModifyAssetPaths is USD's own exhaustive walk over asset-valued things. It runs on a copy, since a visitor that
    # changes nothing still writes.
    copy = Sdf.Layer.CreateAnonymous(".usda")
    copy.TransferContent(layer)
    UsdUtils.ModifyAssetPaths(copy, note)
    return [path for path in seen if path]


_ASSETS = (Sdf.ValueTypeNames.Asset, Sdf.ValueTypeNames.AssetArray)
_VALUES = ("default", "timeSamples")


def _texts(value: object) -> Iterator[str]:
    """Asset paths in a value, as they are written."""
    if isinstance(value, Sdf.AssetPath):
        yield value.authoredPath
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple, Sdf.AssetPathArray)):
        for inner in value:
            yield from _texts(inner)


def _expressions(layer: Sdf.Layer) -> list[str]:
    """Asset paths of a layer that are expressions. What they become is known only in the stage: a stronger layer may set the
    variables; ``ModifyAssetPaths`` knows those of the layer itself alone."""
    file = Path(layer.realPath)
    if file.is_file() and (text := file.read_bytes()).startswith(b"#usda") and b"`" not in text:
        return []  # nearly always
    found: list[str] = list(layer.GetCompositionAssetDependencies())

    def look(path: Sdf.Path) -> None:
        spec = layer.GetObjectAtPath(path)
        names = spec.ListInfoKeys() if spec is not None else []
        values = isinstance(spec, Sdf.AttributeSpec) and spec.typeName in _ASSETS
        for name in names:
            if values or name not in _VALUES:
                with suppress(TypeError):  # Python knows no such type, and so it is none that holds asset paths
                    found.extend(_texts(spec.GetInfo(name)))

    layer.Traverse(Sdf.Path.absoluteRootPath, look)
    return [path for path in found if path.startswith("`")]


def _escapes(layer: Sdf.Layer, root: Path, missing: Findings) -> Iterator[Path]:
    """Checks one layer's asset paths; yields the layers that it composes."""
    anchor = layer.realPath or layer.identifier
    packaged = Ar.SplitPackageRelativePathOuter(anchor)[0].endswith(".usdz")
    composed = set(layer.GetCompositionAssetDependencies())
    for path in [*_expressions(layer), *asset_paths(layer)]:
        real = resolve_inside(path, anchor=anchor, root=root)
        if path in composed:
            if packaged or Ar.IsPackageRelativePath(path):
                yield Path(layer.ComputeAbsolutePath(path))
            elif real.is_file():
                yield real
            else:
                missing.error(anchor, "missing-asset", f"{path!r} does not exist")
        elif not real.is_file() and "<UDIM>" not in path:
            missing.warning(anchor, "missing-asset", f"{path!r} does not exist")


def check_assets(root_layer: Sdf.Layer, root: Path) -> Findings:
    """Walk all layers that ``root_layer`` composes before USD opens them.

    Returns:
        Findings about assets that do not exist.

    Raises:
        SceneError: An asset path leads outside ``root``, or a composed layer cannot be parsed.
    """
    missing = Findings()
    queue = [root_layer]
    seen = {root_layer.identifier}
    while queue:
        layer = queue.pop()
        for path in _escapes(layer, root, missing):
            opened = open_layer(path, referrer=layer.identifier)
            if opened.identifier not in seen:
                seen.add(opened.identifier)
                queue.append(opened)
    return missing


def open_stage(path: str | os.PathLike[str], asset_root: str | os.PathLike[str] | None = None) -> Usd.Stage:
    """Open a stage whose every asset really lies inside the asset root.

    Args:
        path: The stage file.
        asset_root: Folder that holds all assets; by default ``find_asset_root(path)``.

    Raises:
        SceneError: Missing or unparsable, here or in a layer it composes; or an asset outside the root.
    """
    file = Path(os.path.realpath(path))
    root = Path(os.path.realpath(asset_root)) if asset_root is not None else find_asset_root(file)
    if not file.is_relative_to(root):
        raise SceneError(f"the stage lies outside the asset root {root}", file=file)
    layer = open_layer(file)
    check_assets(layer, root)
    try:
        stage = Usd.Stage.Open(layer)
    except Tf.ErrorException as error:
        raise SceneError(f"cannot be opened as a stage: {tf_message(error)}", file=file) from error
    return stage


def asset_root_of(stage: Usd.Stage) -> Path:
    """Asset root of an open stage by its file."""
    return find_asset_root(stage.GetRootLayer().realPath)


def applied_schemas(prim: Usd.Prim) -> list[str]:
    """Names of all applied schemas, also those USD does not know (``GetAppliedSchemas`` omits them)."""
    listop = prim.GetMetadata("apiSchemas")
    authored = list(listop.GetAddedOrExplicitItems()) if listop else []
    return authored + [name for name in prim.GetAppliedSchemas() if name not in authored]


def meters_per_unit(stage: Usd.Stage) -> float:
    """Metres per stage unit.

    Raises:
        SceneError: Not a positive number.
    """
    value = UsdGeom.GetStageMetersPerUnit(stage)
    if not 0.0 < value < 1e9:
        raise SceneError(
            f"metersPerUnit is {value}, it must be positive", file=stage.GetRootLayer().identifier, attribute="metersPerUnit"
        )
    return value

"""Scenarios: layers, variants and values on top of a base stage, in memory only."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pxr import Sdf, Usd

from twin.core.errors import StudyError
from twin.model.factory import FactoryModel
from twin.scene.casting import CastError, holds_infinity, plain, to_usd
from twin.scene.factory import compile_factory
from twin.scene.schema.definitions import APIS
from twin.scene.stage import applied_schemas, asset_root_of, check_assets, find_asset_root, open_layer, open_stage
from twin.scene.values import mistyped

_NOT_LINE = ("TwinItemAPI", "TwinSignalAPI", "TwinSensorAPI")


def compile_scenario(
    stage_path: str | os.PathLike[str],
    *,
    layers: Sequence[Path] = (),
    variants: Mapping[str, Mapping[str, str]] | None = None,
    values: Mapping[str, object] | None = None,
) -> FactoryModel:
    """Compile a stage under a scenario. No file is written.

    Args:
        stage_path: The base stage.
        layers: Layers of overs; a later one is stronger. They must lie in the base's asset root.
        variants: Selection by variant set by prim path.
        values: Value by ``<prim>.<attribute>``.

    Raises:
        SceneError: The stage or a layer cannot be opened.
        StudyError: A prim, attribute, variant or type that the base does not have, named.
    """
    return compile_factory(open_scenario(stage_path, layers=layers, variants=variants, values=values))


def open_scenario(
    stage_path: str | os.PathLike[str],
    *,
    layers: Sequence[Path] = (),
    variants: Mapping[str, Mapping[str, str]] | None = None,
    values: Mapping[str, object] | None = None,
) -> Usd.Stage:
    """The stage that ``compile_scenario`` compiles; arguments and errors as there."""
    stage = open_stage(stage_path)
    opened = [open_layer(Path(os.path.realpath(path)), referrer="the study") for path in layers]
    root = find_asset_root(stage_path)
    for layer in opened:
        if not Path(layer.realPath).is_relative_to(root):
            raise StudyError(f"the layer lies outside the asset root {root}", file=layer.realPath)
        check_assets(layer, asset_root_of(stage))
        _check_overs(stage, layer)
    session = stage.GetSessionLayer()
    for layer in opened:
        session.subLayerPaths.insert(0, layer.identifier)
    wrong: list[StudyError] = []
    with Usd.EditContext(stage, session):
        for path, selections in (variants or {}).items():
            _select(stage, path, selections)
        for target, value in (values or {}).items():
            try:
                _set(stage, target, value)
            except StudyError as error:
                wrong.append(error)
    if wrong:
        raise wrong[0] if len(wrong) == 1 else StudyError("; ".join(map(str, wrong)))
    for finding in mistyped(stage):
        prim, _, attribute = finding.path.partition(".")
        raise StudyError(finding.message, file=stage_path, prim=prim, attribute=attribute)
    return stage


class OpenScenario:
    """A scenario that stays open while some of its values change; arguments and errors as ``compile_scenario``."""

    def __init__(
        self,
        stage_path: str | os.PathLike[str],
        *,
        layers: Sequence[Path] = (),
        variants: Mapping[str, Mapping[str, str]] | None = None,
        values: Mapping[str, object] | None = None,
    ) -> None:
        self._stage = open_scenario(stage_path, layers=layers, variants=variants, values=values)

    def compile(self, values: Mapping[str, object]) -> FactoryModel:
        """The factory with these values on top. Each call names the same attributes: what one set, the next sets again."""
        with Usd.EditContext(self._stage, self._stage.GetSessionLayer()):
            for target, value in values.items():
                _set(self._stage, target, value)
        return compile_factory(self._stage)


@dataclass(frozen=True)
class Settable:
    """An attribute that a study may set.

    Attributes:
        path: ``<prim>.<attribute>``. value: None where not authored, without fallback. doc: what the schema says of it.
        allowed: The tokens that it takes, where they are listed. unit: of its value. unread: why the line as it is does not
            read it.
    """

    path: str
    type: str
    value: object
    doc: str
    allowed: tuple[str, ...] = ()
    unit: str = ""
    unread: str = ""


def list_settable(stage: Usd.Stage) -> list[Settable]:
    """What a study may set on the nodes, crews, shifts and fleets of a stage."""
    out = []
    model = compile_factory(stage)
    unread = {f.path: f.message for f in (*model.unread, *model.findings) if f.code in ("not-read", "unused-parameter")}
    for prim in stage.Traverse(Usd.TraverseInstanceProxies()):
        if not any(schema.startswith("Twin") and schema not in _NOT_LINE for schema in applied_schemas(prim)):
            continue
        definition = prim.GetPrimDefinition()
        for attribute in prim.GetAttributes():
            name = attribute.GetName()
            if not name.startswith("twin:") or name.startswith(("twin:signal:", "twin:sensor:", "twin:emulate:")):
                continue
            tokens = attribute.GetMetadata("allowedTokens") or ()
            value = attribute.Get()
            shown = [_short(v) for v in value] if hasattr(value, "__len__") and not isinstance(value, str) else value
            doc = definition.GetPropertyDocumentation(name) or ""
            path = str(attribute.GetPath())
            kind, unit = str(attribute.GetTypeName()), _unit(name)
            out.append(Settable(path, kind, shown, doc, tuple(map(str, tokens)), unit, unread.get(path, "")))
    return out


def _short(value: object) -> object:
    """A number of single precision as it was written: 0.4 is stored as 0.4000000059604645."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _unit(name: str) -> str:
    """Unit of an attribute of the schema; times per type are seconds like the general ones."""
    if ":type:" in name:
        name = f"{name.partition(':type:')[0]}:{name.rpartition(':')[2]}"
    units = {p.name: p.unit for api in APIS for p in api.properties}
    return units.get(name, "").replace("stage", "stage unit")


def _check_overs(stage: Usd.Stage, layer: Sdf.Layer) -> None:
    """Every override in a scenario layer must find what it overrides."""
    added: list[Sdf.Path] = []

    def visit(path: Sdf.Path) -> None:
        spec = layer.GetObjectAtPath(path)
        plain_path = path.StripAllVariantSelections()
        if any(plain_path.HasPrefix(root) for root in added):
            return
        if isinstance(spec, Sdf.PrimSpec):
            _check_prim(stage, layer, spec, plain_path, added)
        elif isinstance(spec, Sdf.AttributeSpec) and not spec.custom:
            prim = stage.GetPrimAtPath(plain_path.GetPrimPath())
            if not prim.HasAttribute(spec.name) and spec.name not in _applied_here(layer, path.GetPrimPath()):
                raise StudyError(
                    _no_attribute(prim, spec.name), file=layer.realPath, prim=plain_path.GetPrimPath(), attribute=spec.name
                )

    # Traverse visits children first; paths sorted put a prim before its properties and children.
    paths: list[Sdf.Path] = []
    layer.Traverse(Sdf.Path.absoluteRootPath, paths.append)
    for path in sorted(paths):
        visit(path)


def _check_prim(stage: Usd.Stage, layer: Sdf.Layer, spec: Sdf.PrimSpec, path: Sdf.Path, added: list[Sdf.Path]) -> None:
    if path.IsAbsoluteRootPath() or stage.GetPrimAtPath(path):
        return
    if spec.specifier == Sdf.SpecifierOver:
        raise StudyError("the base stage has no such prim to override", file=layer.realPath, prim=path)
    added.append(path)


def _applied_here(layer: Sdf.Layer, path: Sdf.Path) -> set[str]:
    """Properties of the APIs that the layer itself applies to a prim."""
    apis = layer.GetPrimAtPath(path).GetInfo("apiSchemas")
    names: set[str] = set()
    for schema in apis.GetAddedOrExplicitItems() if apis else []:
        name, _, instance = schema.partition(":")
        definition = Usd.SchemaRegistry().FindAppliedAPIPrimDefinition(name)
        if definition:
            names |= {n.replace("__INSTANCE_NAME__", instance) for n in definition.GetPropertyNames()}
    return names


def _select(stage: Usd.Stage, path: str, selections: Mapping[str, str]) -> None:
    prim = _prim(stage, path)
    for name, selection in selections.items():
        sets = prim.GetVariantSets()
        if name not in sets.GetNames():
            raise StudyError("the base has no such variant set", prim=path, attribute=name, allowed=sets.GetNames())
        known = sets.GetVariantSet(name).GetVariantNames()
        if selection not in known:
            raise StudyError(f"there is no variant {selection!r}", prim=path, attribute=name, allowed=known)
        sets.GetVariantSet(name).SetVariantSelection(selection)


def _prim(stage: Usd.Stage, path: str, attribute: str | None = None) -> Usd.Prim:
    if not Sdf.Path.IsValidPathString(path) or not (sdf := Sdf.Path(path)).IsAbsolutePath() or not sdf.IsPrimPath():
        raise StudyError(f"{path!r} is not an absolute prim path", allowed=["/Line/M1.twin:station:servers"])
    prim = stage.GetPrimAtPath(path)
    if not prim:
        text = f"the base stage has no such prim{f' to set {attribute} on' if attribute else ''}"
        if near := _near_prims(stage, path):
            text += f"; did you mean {' or '.join(near)}?"
        raise StudyError(text, file=stage.GetRootLayer().realPath, prim=path)
    return prim


def _near_prims(stage: Usd.Stage, path: str) -> list[str]:
    """Nodes, crews, shifts and fleets whose path or name is nearly this one, whatever case its letters have."""
    known = {str(p.GetPath()): p for p in stage.Traverse(Usd.TraverseInstanceProxies()) if applied_schemas(p)}
    line = [p for p, prim in known.items() if any(s.startswith("Twin") and s not in _NOT_LINE for s in applied_schemas(prim))]
    name = path.rsplit("/", 1)[-1].lower()
    same = [p for p in line if p.rsplit("/", 1)[-1].lower() == name]
    if same:
        return same[:3]
    folded = {p.lower(): p for p in line}
    by_name: dict[str, str] = {p.rsplit("/", 1)[-1].lower(): p for p in line}
    near = [folded[p] for p in difflib.get_close_matches(path.lower(), folded, n=2, cutoff=0.9)]
    return list(dict.fromkeys([*(by_name[n] for n in difflib.get_close_matches(name, by_name, n=2, cutoff=0.7)), *near]))[:3]


def _no_attribute(prim: Usd.Prim, name: str) -> str:
    folded = {n.lower(): n for n in prim.GetPropertyNames()}
    near = [folded[n] for n in difflib.get_close_matches(name.lower(), folded, n=1)]
    return f"the base has no such attribute on this prim{f'; did you mean {near[0]}?' if near else ''}"


def _set(stage: Usd.Stage, target: str, value: object) -> None:
    path, _, name = target.partition(".")
    prim = _prim(stage, path, attribute=name or None)
    attribute = prim.GetAttribute(name) if name else None
    if not attribute or not attribute.IsDefined():
        raise StudyError(_no_attribute(prim, name), file=stage.GetRootLayer().realPath, prim=path, attribute=name)
    fallback = prim.GetPrimDefinition().GetAttributeFallbackValue(name)
    try:
        cast = to_usd(attribute.GetTypeName(), plain(value), infinite=holds_infinity(fallback))
    except CastError as error:
        raise StudyError(str(error), prim=path, attribute=name) from error
    attribute.Set(cast)

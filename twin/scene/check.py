"""What is wrong with a stage, as findings."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pxr import Usd

from twin.core.findings import Finding, Findings
from twin.model.factory import FactoryModel, Node, NodeKind, Signal
from twin.scene.factory import compile_factory
from twin.scene.schema import APIS
from twin.scene.stage import applied_schemas, check_assets, find_asset_root, open_stage
from twin.scene.values import mistyped

_ANY = "__INSTANCE_NAME__"
_PROPERTIES = {p.name: api.name for api in APIS for p in api.properties}
_MARKS = {"twin:belt"}
"""Custom properties with a meaning that are no schema's."""


def check_stage(path: str | os.PathLike[str], asset_root: str | os.PathLike[str] | None = None) -> list[Finding]:
    """All that can be said about a stage without running it, each finding once, errors first.

    Raises:
        SceneError: The stage cannot be opened at all.
    """
    stage = open_stage(path, asset_root)
    findings = Findings()
    root = Path(os.path.realpath(asset_root)) if asset_root is not None else find_asset_root(path)
    findings.items += check_assets(stage.GetRootLayer(), root).items
    _composition(stage, findings)
    unknown_names(stage, findings)
    wrong = list(mistyped(stage))
    findings.items += wrong
    if not wrong:
        model = compile_factory(stage)
        findings.items += model.findings
        check_graph(model, findings)
        check_units(model.signals, findings)
    rank = {"error": 0, "warning": 1, "info": 2}
    return sorted(dict.fromkeys(findings.items), key=lambda f: rank[f.severity])


def _composition(stage: Usd.Stage, findings: Findings) -> None:
    for error in stage.GetCompositionErrors():
        findings.error(error.rootSite.path, "composition", " ".join(str(error).split()))


# ---- names


def _near(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f"; did you mean {match[0]}?" if match else ""


def _known_names(applied: list[str]) -> set[str]:
    """Property names that Twin gives a meaning to on a prim with these schemas."""
    names = {n for n in _PROPERTIES if _ANY not in n} | _MARKS
    for schema in applied:
        api, _, instance = schema.partition(":")
        if instance:
            names |= {n.replace(_ANY, instance) for n, owner in _PROPERTIES.items() if owner == api}
            names.add(f"twin:signal:{instance}:value")
    return names


def unknown_names(stage: Usd.Stage, findings: Findings) -> None:
    """Twin APIs and properties that do not exist, which USD would ignore in silence: usually a slip of the pen."""
    apis = {api.name: api.multiple for api in APIS}
    for prim in stage.TraverseAll():
        applied = applied_schemas(prim)
        for schema in applied:
            name, _, instance = schema.partition(":")
            if name.startswith("Twin") and name not in apis:
                findings.error(prim.GetPath(), "unknown-api", f"there is no {name}{_near(name, apis)}")
            elif apis.get(name) and not instance:
                findings.error(prim.GetPath(), "unknown-api", f"{name} needs an instance name, like {name}:speed")
        twin = [n for n in prim.GetAuthoredPropertyNames() if n.startswith("twin:")]
        if twin:
            _properties(prim, twin, applied, findings)


def _properties(prim: Usd.Prim, names: list[str], applied: list[str], findings: Findings) -> None:
    known = _known_names(applied)
    owners: dict[str, set[str]] = {}
    for api in APIS:
        for p in api.properties:
            owners.setdefault(p.name, set()).add(api.name)
    for name in names:
        where = f"{prim.GetPath()}.{name}"
        if name.startswith("twin:station:cycleTime:type:"):
            if name.rpartition(":")[2] not in (
                "distribution",
                "mean",
                "cv",
                "k",
                "min",
                "mode",
                "max",
                "shape",
                "values",
                "weights",
            ):
                findings.error(where, "unknown-attribute", "a cycle time per type ends in a distribution's parameter, like :mean")
        elif name not in known:
            findings.error(where, "unknown-attribute", f"Twin has no such property{_near(name, known)}")
        elif name in owners and not owners[name] & set(applied):
            needed = " or ".join(sorted(owners[name])) if len(owners[name]) < 3 else "an API of a node"
            findings.warning(where, "api-not-applied", f"it has no effect until {needed} is applied to the prim")


# ---- the line


def _successors(node: Node) -> list[int]:
    return [*node.next, *([node.rework] if node.rework >= 0 else [])]


def check_graph(model: FactoryModel, findings: Findings) -> None:
    """Dead ends, places that nothing reaches, loops that can lock."""
    nodes = model.nodes
    reached = _reach(nodes, [i for i, n in enumerate(nodes) if n.kind == NodeKind.SOURCE])
    entered = {j for n in nodes for j in _successors(n)}
    for i, node in enumerate(nodes):
        if node.kind == NodeKind.SINK:
            if i not in entered:
                findings.warning(node.path, "sink-without-predecessor", "nothing leads to this sink")
            if node.next:
                findings.warning(f"{node.path}.twin:next", "sink-with-successor", "what a sink takes does not go on")
        elif not node.next:
            if node.kind == NodeKind.ROUTER:
                findings.error(node.path, "router-without-successor", "a router needs successors in twin:next")
            else:
                findings.warning(node.path, "dead-end", "it has no successor in twin:next: items that come here never leave")
        if len(node.next) > 1 and node.kind not in (NodeKind.ROUTER, NodeKind.SINK):
            text = "several successors without a router: items take the first that has room"
            findings.info(f"{node.path}.twin:next", "several-successors", text)
        if i not in reached and i in entered | {j for j, n in enumerate(nodes) if n.kind != NodeKind.SINK}:
            findings.warning(node.path, "unreachable", "no source leads here")
        if node.rule.name == "BY_QUALITY" and node.kind == NodeKind.ROUTER and len(node.next) < 2:
            findings.error(node.path, "router-without-successor", "byQuality needs two successors: good and defective")
        if node.batch_size > 1 and node.joins:
            findings.warning(node.path, "batch-and-join", "batchSize has no effect on a station that joins")
    for loop in _loops(nodes):
        paths = ", ".join(nodes[i].path for i in loop)
        findings.warning(nodes[loop[0]].path, "cycle-without-buffer", f"items can lock in this loop, it has no buffer: {paths}")


def _reach(nodes: list[Node], start: list[int]) -> set[int]:
    seen, queue = set(start), list(start)
    while queue:
        for j in _successors(nodes[queue.pop()]):
            if j not in seen:
                seen.add(j)
                queue.append(j)
    return seen


def _loops(nodes: list[Node]) -> Iterator[list[int]]:
    """Each strongly connected set of nodes, buffers left out, that holds a loop; members in stage order."""
    edges = {
        i: [j for j in _successors(n) if nodes[j].kind != NodeKind.BUFFER]
        for i, n in enumerate(nodes)
        if n.kind != NodeKind.BUFFER
    }
    onward = {i: _closure(i, edges) for i in edges}
    done: set[int] = set()
    for i in edges:
        if i in onward[i] and i not in done:
            loop = [j for j in edges if j in onward[i] and i in onward[j]]
            done |= set(loop)
            yield loop


def _closure(start: int, edges: dict[int, list[int]]) -> set[int]:
    """All that can be reached from ``start`` in one step or more."""
    seen: set[int] = set()
    queue = list(edges[start])
    while queue:
        at = queue.pop()
        if at not in seen:
            seen.add(at)
            queue += edges[at]
    return seen


# ---- units


def check_units(signals: list[Signal], findings: Findings) -> None:
    """Units of signals that are no UCUM codes."""
    units = {s.unit for s in signals if s.unit}
    if not units:
        return
    from ucumvert import PintUcumRegistry

    registry = PintUcumRegistry()
    wrong = {unit for unit in units if not _is_ucum(registry, unit)}
    for s in signals:
        if s.unit in wrong:
            findings.warning(
                f"{s.prim}.twin:signal:{s.name}:unit", "unit-not-ucum", f"{s.unit!r} is not a UCUM code (like Cel, m/s, g, 1/min)"
            )


def _is_ucum(registry: object, unit: str) -> bool:
    from lark.exceptions import LarkError
    from pint.errors import PintError

    try:
        registry.from_ucum(unit)  # type: ignore[attr-defined]
    except (LarkError, PintError):
        return False
    return True

"""Signals and sensors that prims declare."""

from __future__ import annotations

from pxr import Usd, UsdGeom

from twin.core.findings import Findings
from twin.model.factory import Sensor, Signal
from twin.scene.frames import array, split

_API = "TwinSignalAPI:"


def plain_scalar(value: object) -> float | int | bool | str | None:
    """A USD scalar as a plain Python value; None for anything else."""
    return value if isinstance(value, (bool, int, float, str)) else None


def list_signals(stage: Usd.Stage) -> list[Signal]:
    """Every declared signal in stage order, by prim and then as applied."""
    return [signal for prim in stage.Traverse(Usd.TraverseInstanceProxies()) for signal in signals_of(prim)]


def signals_of(prim: Usd.Prim) -> list[Signal]:
    """The signals that one prim declares."""
    found = []
    for schema in prim.GetAppliedSchemas():
        if not schema.startswith(_API):
            continue
        name = schema[len(_API) :]
        base = f"twin:signal:{name}"
        found.append(
            Signal(
                prim=str(prim.GetPath()),
                name=name,
                unit=str(prim.GetAttribute(f"{base}:unit").Get() or ""),
                role=str(prim.GetAttribute(f"{base}:role").Get() or "measurement"),
                value=plain_scalar(prim.GetAttribute(f"{base}:value").Get()),
            )
        )
    return found


def read_sensor(prim: Usd.Prim, signals: list[Signal], cache: UsdGeom.XformCache, unit: float, findings: Findings) -> Sensor:
    """A prim with ``TwinSensorAPI``; ``signals`` are the model's, ``unit`` metres per stage unit."""
    frame = split(array(cache.GetLocalToWorldTransform(prim)))
    return Sensor(
        path=str(prim.GetPath()),
        kind=str(prim.GetAttribute("twin:sensor:kind").Get()),
        position=frame.position * unit,
        rotation=frame.quaternion,
        range=float(prim.GetAttribute("twin:sensor:range").Get() or 0.0) * unit,
        signal=_written(prim, signals, findings),
    )


def _written(prim: Usd.Prim, signals: list[Signal], findings: Findings) -> int:
    """Index of the signal a sensor writes: the target's, or the only one of the target prim or of its own; -1 none."""
    rel = prim.GetRelationship("twin:sensor:signal")
    targets = rel.GetTargets()
    target = targets[0] if targets else prim.GetPath()
    owner = str(target.GetPrimPath())
    candidates = [i for i, s in enumerate(signals) if s.prim == owner]
    if target.IsPropertyPath():
        parts = target.name.split(":")
        candidates = [i for i in candidates if parts[:2] == ["twin", "signal"] and len(parts) > 2 and signals[i].name == parts[2]]
    if len(candidates) == 1:
        return candidates[0]
    if targets:
        findings.error(rel.GetPath(), "unknown-signal", f"{target} does not name one signal")
    return -1

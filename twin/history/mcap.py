"""A span of what was recorded as MCAP, for Foxglove and others: frame transforms and one channel for each signal, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from twin.core.errors import InputError, WorkError
from twin.core.samples import Sample, SignalKey
from twin.history.track import Moment

_TIME = {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}}
_VECTOR = {"type": "object", "properties": {a: {"type": "number"} for a in "xyz"}}
_QUATERNION = {"type": "object", "properties": {a: {"type": "number"} for a in "xyzw"}}
TRANSFORMS = {
    "type": "object",
    "title": "foxglove.FrameTransforms",
    "properties": {
        "transforms": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "timestamp": _TIME,
                    "parent_frame_id": {"type": "string"},
                    "child_frame_id": {"type": "string"},
                    "translation": _VECTOR,
                    "rotation": _QUATERNION,
                },
            },
        }
    },
}
SIGNAL = {
    "type": "object",
    "title": "twin.Signal",
    "properties": {
        "timestamp": _TIME,
        "value": {},
        "unit": {"type": "string"},
        "quality": {"type": "integer"},
        "origin": {"type": "string"},
    },
}


def write_mcap(
    path: Path, moments: Iterable[Moment], signals: Iterable[tuple[SignalKey, str, Iterable[Sample]]]
) -> tuple[int, int]:
    """Write poses and signals; returns how many moments and samples. ``signals``: key, UCUM unit, samples.

    Raises:
        InputError: The package mcap is not installed. WorkError: The file cannot be written.
    """
    try:
        from mcap.writer import Writer
    except ImportError as error:
        raise InputError("MCAP needs the package mcap: pip install 'twin[mcap]'", file=path) from error
    poses = samples = 0
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            writer = Writer(file)
            writer.start(profile="", library="twin")
            schema = writer.register_schema("foxglove.FrameTransforms", "jsonschema", json.dumps(TRANSFORMS).encode())
            channel = writer.register_channel("/tf", "json", schema)
            for moment in moments:
                data = json.dumps({"transforms": list(_transforms(moment))}).encode()
                writer.add_message(channel, moment.time_ns, data, moment.time_ns)
                poses += 1
            kind = writer.register_schema("twin.Signal", "jsonschema", json.dumps(SIGNAL).encode())
            for key, unit, series in signals:
                topic = writer.register_channel(f"{key.prim}/{key.name}", "json", kind, metadata={"unit": unit})
                for sample in series:
                    writer.add_message(topic, sample.receive_time, _signal(sample, unit), sample.time)
                    samples += 1
            writer.finish()
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise WorkError(f"cannot be written: {error}", file=path) from error
    return poses, samples


def _stamp(time_ns: int) -> dict[str, int]:
    seconds, nanoseconds = divmod(time_ns, 10**9)
    return {"sec": seconds, "nsec": nanoseconds}


def _transforms(moment: Moment) -> Iterator[dict[str, Any]]:
    there = [(path, p, q) for path, p, q in zip(moment.paths, moment.position, moment.rotation, strict=True) if p[0] == p[0]]
    there += [(f"{path}#{slot}.{life}", p, q) for (slot, life), (path, p, q) in moment.goods.items()]
    for name, position, rotation in there:
        yield {
            "timestamp": _stamp(moment.time_ns),
            "parent_frame_id": "world",
            "child_frame_id": name,
            "translation": dict(zip("xyz", np.round(position, 6).tolist(), strict=True)),
            "rotation": dict(zip("xyzw", np.round(rotation, 6).tolist(), strict=True)),
        }


def _signal(sample: Sample, unit: str) -> bytes:
    value = None if isinstance(sample.value, float) and not math.isfinite(sample.value) else sample.value
    body = {"timestamp": _stamp(sample.time), "value": value, "unit": unit, "quality": sample.quality, "origin": sample.origin}
    return json.dumps(body).encode()

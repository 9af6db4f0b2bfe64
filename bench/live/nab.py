"""The anomaly score beside the detectors whose results the Numenta Anomaly Benchmark publishes, counted alike.

``python -m bench.live.nab CLONE``, where CLONE is a clone of https://github.com/numenta/NAB. An alarm is a stretch of scores at
or above the threshold (for the others the one that the benchmark optimised for its standard profile); alarms less than a day
apart are one. Precision: alarms that overlap a labelled window, of all alarms. Recall: windows that an alarm overlaps, of all.
"""

from __future__ import annotations

import argparse
import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from twin.live.residual import Alarm, Detector, alarms, scores

MACHINE = "machine_temperature_system_failure"
OURS = {
    "textbook (usual=0)": Detector(usual=0.0),
    "defaults (usual=0.99)": Detector(),
    "usual=0.999": Detector(usual=0.999),
    "usual=1": Detector(usual=1.0),
}


class Count(NamedTuple):
    """Alarms, those that overlap a labelled window, windows that are overlapped, windows."""

    alarms: int
    right: int
    found: int
    windows: int

    def text(self) -> str:
        precision = f"{self.right / self.alarms:.2f}" if self.alarms else "-"
        return f"{self.alarms} alarms, {self.right} right ({precision}); {self.found} of {self.windows} windows"


class Trace(NamedTuple):
    """A labelled signal: times [s UTC], values, labelled windows [s UTC]."""

    time_s: np.ndarray
    value: np.ndarray
    windows: list[tuple[float, float]]


def count(found: list[Alarm], windows: list[tuple[float, float]]) -> Count:
    right = sum(any(b <= a.end_s and a.begin_s <= e for b, e in windows) for a in found)
    hit = sum(any(b <= a.end_s and a.begin_s <= e for a in found) for b, e in windows)
    return Count(len(found), right, hit, len(windows))


def read(clone: Path) -> dict[str, Trace]:
    labels = json.loads((clone / "labels" / "combined_windows.json").read_text())
    traces = {}
    for path in sorted((clone / "data" / "realKnownCause").glob("*.csv")):
        with path.open() as file:
            rows = sorted((_seconds(r["timestamp"]), float(r["value"])) for r in csv.DictReader(file))
        time_s, value = (np.array(c) for c in zip(*rows, strict=True))
        windows = [(_seconds(b), _seconds(e)) for b, e in labels[f"realKnownCause/{path.name}"]]
        traces[path.stem] = Trace(time_s, value, windows)
    return traces


def published(path: Path, threshold: float, merge_s: float) -> list[Alarm]:
    """Alarms of another detector, from its scores."""
    found: list[Alarm] = []
    with path.open() as file:
        for row in csv.DictReader(file):
            score, now = float(row["anomaly_score"]), _seconds(row["timestamp"])
            if score < threshold:
                continue
            if found and now - found[-1].end_s <= merge_s:
                found[-1] = Alarm(found[-1].begin_s, now, max(score, found[-1].score))
            else:
                found.append(Alarm(now, now, score))
    return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("clone", type=Path)
    clone = asked.parse_args().clone
    traces = read(clone)
    thresholds = json.loads((clone / "config" / "thresholds.json").read_text())
    rows: dict[str, dict[str, Count]] = {}
    for name, detector in OURS.items():
        of_each = {
            f: count(alarms(t.time_s, scores(t.time_s, t.value, detector), detector), t.windows) for f, t in traces.items()
        }
        rows[name] = of_each
    for name, profile in sorted(thresholds.items()):
        files = {f: clone / "results" / name / "realKnownCause" / f"{name}_{f}.csv" for f in traces}
        if name in ("null", "random") or not all(path.is_file() for path in files.values()):
            continue
        threshold = float(profile["standard"]["threshold"])
        rows[name] = {f: count(published(p, threshold, Detector().merge_s), traces[f].windows) for f, p in files.items()}
    for name, of_each in rows.items():
        print(f"{name}\n    machine temperature: {of_each[MACHINE].text()}")
        print(f"    all {len(of_each)} files: {Count(*map(sum, zip(*of_each.values(), strict=True))).text()}")


if __name__ == "__main__":
    main()

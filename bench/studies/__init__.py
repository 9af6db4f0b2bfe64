"""A study that is killed again and again: does it give the same summary as one that nobody disturbed?"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

KILLS = 20
LINE = Path(__file__).parents[2] / "tests" / "studies" / "line.usda"
STUDY = """
stage: line.usda
scenarios:
  as-is: {}
  faster-m2: {set: {"/Line/M2.twin:station:cycleTime:mean": 10}}
sweep:
  "/Line/B1.twin:buffer:capacity": [2, 5, 12]
run: {horizon: 3 d, warmup: auto, seed: 5}
replications: {min: 512, max: 8192, until: {throughput: 0.1 %, lead_time: 0.3 %}}
"""
OWN_OF_A_CALL = ("computed", "cached", "interrupted")
"""What a summary says of the call that wrote it, not of the study."""


def run() -> list[dict[str, Any]]:
    """One row: kills, how many of them hit the run, and whether the summaries are the same."""
    return [killed(KILLS, seed=1)]


def killed(kills: int, seed: int) -> dict[str, Any]:
    """Run a study undisturbed, then again from nothing with ``kills`` kills (SIGKILL) at random moments.

    Raises:
        AssertionError: The two summaries differ.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "line.usda").write_bytes(LINE.read_bytes())
        (folder / "study.yaml").write_text(STUDY)
        begin = time.perf_counter()
        _run(folder, "undisturbed")
        whole_s = time.perf_counter() - begin
        draw = random.Random(seed)
        begin = time.perf_counter()
        subprocess.run([*_command(folder, "plan"), "--out", str(folder / "disturbed")], check=True, capture_output=True)
        start_s = time.perf_counter() - begin
        hits, times = 0, []
        while hits < kills:
            # spread over start-up, planning, the warm-up's pilot and the run, of which each life gets a small share
            after = draw.uniform(0.1 * start_s, start_s + 1.2 * (whole_s - start_s) / kills)
            process = _start(folder, "disturbed")
            try:
                process.wait(timeout=after)
                break  # all was done before this kill
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                hits += 1
                times.append(after)
        last = _run(folder, "disturbed")
        undisturbed, disturbed = (_summary(folder / out) for out in ("undisturbed", "disturbed"))
        assert disturbed == undisturbed, "the summary of the disturbed study differs"
        replications = sum(p["replications"] for p in undisturbed["points"])
        return {
            "case": "a study killed at random moments gives the same summary",
            "kills": hits,
            "replications": replications,
            "computed by the last run": last["computed"],
            "undisturbed s": whole_s,
        }


def _command(folder: Path, verb: str) -> list[str]:
    return [sys.executable, "-m", "twin.cli.main", "study", verb, str(folder / "study.yaml")]


def _start(folder: Path, out: str) -> subprocess.Popen[str]:
    command = [*_command(folder, "run"), "--out", str(folder / out), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run(folder: Path, out: str) -> dict[str, Any]:
    process = _start(folder, out)
    text, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the study failed: {errors}")
    document: dict[str, Any] = json.loads(text)
    return document


def _summary(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "summary.json").read_text())
    return {k: v for k, v in document.items() if k not in OWN_OF_A_CALL}

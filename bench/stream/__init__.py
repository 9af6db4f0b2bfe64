"""The stream: how old frames are when they arrive, what they weigh, and what serving them costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HZ = 20.0
SECONDS = 3.0
MOVERS = (1000, 5000, 10_000)
VIEWERS = (1, 10, 50, 100)
MANY = 150
"""Viewers for which gateways are tried."""
OVERVIEW = "100,-60,40,100,50,0"
"""Camera that looks over the hall from outside."""


@dataclass
class Source:
    """A running server."""

    process: subprocess.Popen[str]
    url: str
    token: str

    def cpu(self) -> float:
        """Processor time of the server and its gateways so far [s]."""
        ticks = os.sysconf("SC_CLK_TCK")
        total = 0.0
        for pid in [self.process.pid, *_children(self.process.pid)]:
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / ticks
        return total


def _children(pid: int) -> list[int]:
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as children:
            found += [int(child) for child in children.read().split()]
    return found


@contextmanager
def _source(movers: int, *more: str) -> Iterator[Source]:
    command = [sys.executable, "-m", "bench.stream.source", "--movers", str(movers), "--hz", str(HZ), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        yield Source(process, ready["url"], ready["token"])
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


@dataclass
class Seen:
    """What viewers saw. Times in s."""

    ages: np.ndarray
    sizes: np.ndarray
    seconds: float
    cpu: float
    viewers: int
    lost: int
    storms: list[float]
    late: float
    """How late a bare timer in the viewers' processes was, p99: the machine's own share of the ages."""

    def age(self, percentile: float) -> float:
        """In ms."""
        return float(np.percentile(self.ages, percentile)) * 1e3 if len(self.ages) else float("nan")

    @property
    def rate(self) -> float:
        """Frames per second and viewer."""
        return len(self.ages) / self.seconds / self.viewers


def _watch(
    source: Source, count: int, *, slow: int = 0, storm: int = 0, others: int = 0, camera: str = "", seconds: float = SECONDS
) -> Seen:
    """``count`` viewers watch; ``slow`` more read slowly, ``storm`` more reconnect all at once each second, ``others`` more watch
    as well and are not counted."""
    groups = [(count - count // 2, []), (count // 2, []), (slow, ["--slow"]), (storm, ["--storm"]), (others, [])]
    processes = []
    for number, options in groups:
        if number == 0:
            continue
        command = [sys.executable, "-m", "bench.stream.viewers", source.url, source.token, "--count", str(number)]
        command += ["--seconds", str(seconds), *options, *(["--camera", camera] if camera else [])]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for process in processes:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "connected":
            raise RuntimeError("viewers could not connect")
    before = source.cpu()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = []
    for process in processes:
        assert process.stdout is not None
        answers.append(json.loads(process.stdout.readline()))
        process.communicate()
    cpu = source.cpu() - before
    normal = answers[: 2 if count > 1 else 1]
    return Seen(
        ages=np.concatenate([a["ages"] for a in normal]),
        sizes=np.concatenate([a["sizes"] for a in normal]),
        seconds=max(a["seconds"] for a in normal),
        cpu=cpu,
        viewers=count,
        lost=sum(a["lost"] for a in normal),
        storms=[s for a in answers for s in a["storms"]],
        late=float(np.percentile(np.concatenate([a["late"] for a in normal]), 99)),
    )


def _row(movers: int, seen: Seen, what: str = "") -> dict[str, Any]:
    name = f"{movers} movers, {seen.viewers} viewers" + (f", {what}" if what else "")
    note = (
        f"p50 {seen.age(50):.1f}, p95 {seen.age(95):.1f}; {seen.rate:.1f} frames/s of {np.mean(seen.sizes) / 1e3:.1f} kB "
        f"({np.mean(seen.sizes) / movers:.2f} B a mover); server {seen.cpu / seen.seconds:.2f} cores; "
        f"a bare timer is late by p99 {seen.late * 1e3:.1f} ms"
    )
    if seen.lost:
        note += f"; {seen.lost} connections lost"
    if seen.storms:
        note += f"; {len(seen.storms)} storms, all back within {max(seen.storms):.2f} s"
    return {"name": f"{name}: frame age p99", "value": round(seen.age(99), 1), "unit": "ms", "note": note}


def _peers() -> list[dict[str, Any]]:
    """viser and Rerun with the same things, where ``TWIN_BENCH_PEERS`` names a Python that has them."""
    python = os.environ.get("TWIN_BENCH_PEERS", "")
    rows = []
    for peer, viewers in (("viser", 10), ("viser", 50), ("rerun", 1)):
        name = f"{peer}, 5000 movers, {viewers} viewers: bytes a mover and frame"
        if not python:
            rows.append({"name": name, "value": None, "unit": "B", "note": "not run: TWIN_BENCH_PEERS names no Python"})
            continue
        command = [python, str(Path(__file__).with_name("peers.py")), peer, "--viewers", str(viewers), "--seconds", str(SECONDS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            rows.append({"name": name, "value": None, "unit": "B", "note": f"not run: {done.stderr.strip()[-200:]}"})
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        note = f"made at {found['frames_per_s']:.1f} frames/s, {found['cores']:.2f} cores; skipped frames count as none"
        rows.append({"name": name, "value": round(found["bytes_per_mover"], 2), "unit": "B", "note": note})
    return rows


def slow_readers(pairs: int) -> list[dict[str, Any]]:
    """Whether five slow readers among fifty change what the others see: in turns with five more that read as fast as those."""
    found: dict[str, list[float]] = {"fast": [], "slow": []}
    with _source(5000) as source:
        _watch(source, 50)
        for number in range(pairs):
            for which in ("fast", "slow") if number % 2 == 0 else ("slow", "fast"):
                five = {"others": 5} if which == "fast" else {"slow": 5}
                found[which].append(_watch(source, 45, seconds=2 * SECONDS, **five).age(99))
    change = np.log(found["slow"]) - np.log(found["fast"])
    half = float(stats.t.ppf(0.975, pairs - 1) * change.std(ddof=1) / np.sqrt(pairs)) if pairs > 1 else float("nan")
    middle = float(change.mean())
    low, high = (100.0 * (np.exp(middle + side * half) - 1.0) for side in (-1.0, 1.0))
    p99 = {which: " ".join(f"{age:.1f}" for age in ages) for which, ages in found.items()}
    note = f"95 % of {pairs} pairs: {low:+.1f} to {high:+.1f} %; p99 in ms, five fast: {p99['fast']}; five slow: {p99['slow']}"
    name = "5000 movers, 45 viewers: change of p99 where five more read slowly"
    return [{"name": name, "value": round(100.0 * (np.exp(middle) - 1.0), 1), "unit": "%", "note": note}]


def run() -> list[dict[str, Any]]:
    """All cases, about two minutes; whoever runs beside them is seen in p99."""
    rows = []
    for movers in MOVERS:
        with _source(movers) as source:
            rows += [_row(movers, _watch(source, viewers)) for viewers in VIEWERS]
            if movers != 5000:
                continue
            rows.append(_row(movers, _watch(source, 50, camera=OVERVIEW), "each with a camera"))
            # in turns, so that what else the machine does meets both alike
            quiet, beside = [], []
            for _ in range(2):
                quiet.append(_watch(source, 45))
                beside.append(_watch(source, 45, slow=5))
            rows += [_row(movers, seen, "no slow readers") for seen in quiet]
            rows += [_row(movers, seen, "5 slow readers beside") for seen in beside]
            rows.append(_row(movers, _watch(source, 45, storm=45), "45 others reconnect each second"))
    rows += _peers()
    for gateways in (0, 2):
        with _source(5000, "--gateways", str(gateways)) as source:
            rows.append(_row(5000, _watch(source, MANY), f"{gateways or 'no'} gateways"))
    return rows

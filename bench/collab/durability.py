"""SIGKILL at random moments of a writing process, and how long recovery takes."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twin.collab import Document
from twin.collab import document as document_module
from twin.collab.journal import Entry
from twin.protocol.messages import Op
from twin.scene.edits import layer_to_text

KILLS = 200
"""By default; the environment variable TWIN_BENCH_KILLS says otherwise."""
OPS = 100_000
REPLAYED = 10_000
"""What is left to replay after the last checkpoint, at worst."""
SMALL = """#usda 1.0
(
    metersPerUnit = 1
)
def Xform "World"
{
    def Cube "C0"
    {
    }
    def Cube "C1"
    {
    }
    def Cube "C2"
    {
    }
}
"""


def size(number: int) -> Op:
    """The edit of a number: what it writes tells which it was."""
    return Op("set_field", f"/World/C{number % 3}", "size", ["double", float(number)])


def _child(work: Callable[[int], None]) -> tuple[int, int]:
    """A process that has all loaded already, and the end of a pipe that ``work`` writes to."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        status = 1
        try:
            work(into)
            status = 0
        finally:
            os._exit(status)
    os.close(into)
    return pid, out


def _write(stage: Path, project: Path, seed: int) -> Callable[[int], None]:
    """Edits in groups, acknowledged down the pipe after their commit, until something ends it."""

    def work(into: int) -> None:
        draw = random.Random(seed)
        document_module.CHECKPOINT_EVERY, document_module.CHECKPOINT_PAUSE_S = (
            40,
            0.0,
        )  # often, so that the end comes in the middle of one as well
        document = Document(stage, project)
        document.checkpoints.begin = lambda: False  # type: ignore[method-assign]
        while True:
            with document.group():
                for _ in range(draw.randrange(1, 6)):
                    number = document.seq + 1
                    outcome = document.submit("s", number, "A", [size(number)])
                    assert outcome.entry is not None
            os.write(into, b"%d\n" % document.seq)

    return work


def _look(stage: Path, project: Path) -> Callable[[int], None]:
    """What a start after the end finds."""

    def work(into: int) -> None:
        begin = time.perf_counter()
        document = Document(stage, project)
        seconds = time.perf_counter() - begin
        values = [document.stage.GetPrimAtPath(f"/World/C{i}").GetAttribute("size").Get() for i in range(3)]
        found = {"seq": document.seq, "epoch": document.epoch, "values": values, "seconds": seconds}
        document.journal.close()  # no checkpoint: the next end has to do with what there is
        os.write(into, json.dumps(found).encode())

    return work


def _read(out: int) -> bytes:
    data = b""
    while part := os.read(out, 65536):
        data += part
    os.close(out)
    return data


def kill_campaign(folder: Path, kills: int | None = None) -> list[dict[str, Any]]:
    """A writing process killed again and again; each time a start must find all that was acknowledged, and nothing else."""
    kills = int(os.environ.get("TWIN_BENCH_KILLS", KILLS)) if kills is None else kills
    stage, project = folder / "small.usda", folder / "small"
    stage.write_text(SMALL)
    draw = random.Random(1)
    lost = acknowledged = 0
    epochs, seconds = set(), []
    for number in range(kills):
        pid, out = _child(_write(stage, project, number))
        first = os.read(out, 65536)  # it is open, and has begun
        time.sleep(draw.uniform(0.0, 0.08))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        told = [int(line) for line in (first + _read(out)).split(b"\n")[:-1]]
        pid, out = _child(_look(stage, project))
        found = json.loads(_read(out))
        os.waitpid(pid, 0)
        last = found["seq"]
        acknowledged = max(acknowledged, told[-1])
        expected = {float(n) for n in range(max(1, last - 2), last + 1)}
        lost += max(0, told[-1] - last) + (set(found["values"]) & expected != expected)
        epochs.add(found["epoch"])
        seconds.append(found["seconds"])
    seconds.sort()
    return [
        _row("SIGKILL of a writing process: acknowledged edits lost", lost, "1", f"of {acknowledged}, {kills} kills"),
        _row("SIGKILL: epochs", len(epochs), "1", "1: every client may resume"),
        _row("SIGKILL: recovery", seconds[len(seconds) // 2] * 1e3, "ms", f"median; longest {seconds[-1] * 1e3:.0f}"),
    ]


def recovery(stage: Path, project: Path, *, ops: int = OPS, cubes: int = 5000) -> list[dict[str, Any]]:
    """Opening a project with ``ops`` edits, the last ``REPLAYED`` of them after the last checkpoint."""
    draw = random.Random(1)
    document = Document(stage, project)
    places = [(f"/World/C{draw.randrange(cubes)}", ["double3", [float(i), 0.0, 0.0]]) for i in range(ops)]
    edits = [Op("set_field", path, "xformOp:translate", place) for path, place in places]
    kept = {op.path: op for op in edits[: ops - REPLAYED]}  # in the order of the first edits, as the layer has them
    for op in kept.values():
        outcome = document_module.apply_txn(document.stage, document.layer, [op], asset_root=document.asset_root)
    with document.journal.together():
        for number, op in enumerate(edits, 1):
            document.journal.append(
                Entry(number, f"s{number % 50}", number, "A", "", number, "edit", None, [op], outcome.inverse)
            )
    document.journal.checkpoint(ops - REPLAYED, layer_to_text(document.layer))
    document.journal.close()
    del document
    begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    document = Document(stage, project)
    seconds, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_utime - used
    if document.seq != ops or len(document.findings):
        raise RuntimeError(f"recovered {document.seq} of {ops} edits, {len(document.findings)} findings")
    last = edits[-1]
    if document.stage.GetPrimAtPath(last.path).GetAttribute(last.field).Get()[0] != last.value[1][0]:
        raise RuntimeError("the last edit is missing")
    document.journal.close()
    note = f"{REPLAYED} replayed, {cubes} prims; reading the stage included"
    return [
        _row(f"recovery of {ops} edits with a checkpoint", seconds, "s", note),
        _row("the same, processor time", used, "s"),
    ]


def _row(name: str, value: float, unit: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "note": note}

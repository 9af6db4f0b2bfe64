"""One study in a process of its own, on one core: ``python -m twin.server.study_worker STUDY.yaml DIR``.

Tells on stdout, one JSON document a line, how far it is: ``{"expected": n, "done": n, "label": text}``, and at the end
``{"state": "done" | "cancelled" | "failed", "error": text}``. SIGTERM ends it soon; what is finished is kept.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

TELL_EVERY_S = 0.25


class _Teller:
    """Progress of a run as lines of JSON."""

    def __init__(self) -> None:
        self._expected, self._done, self._told = 0, 0.0, 0.0

    def expect(self, replications: int) -> None:
        self._expected += replications
        self._told = 0.0
        self.advance(0.0, "")

    def advance(self, replications: float, label: str) -> None:
        self._done += replications
        if time.monotonic() - self._told >= TELL_EVERY_S:
            self._told = time.monotonic()
            _say(expected=self._expected, done=round(self._done, 2), label=label)


def main(file: Path, folder: Path) -> int:
    """Run the study; exit code 1 when it failed."""
    os.nice(10)  # the running twin comes first
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    from twin.core.errors import TwinError
    from twin.studies.report import write_report
    from twin.studies.run import Options, run_study
    from twin.studies.spec import load_study
    from twin.studies.summary import write_summary

    try:
        results = run_study(load_study(file), folder, options=Options(jobs=1, stop=stop), progress=_Teller())
        if any(len(p.replication) for p in results.points):
            write_summary(results, folder)
            write_report(results, folder)
    except TwinError as error:
        _say(state="failed", error=str(error))
        return 1
    if results.failed:
        _say(state="failed", error="; ".join(f"{p.point.label}: {p.error}" for p in results.failed))
        return 1
    _say(state="cancelled" if results.interrupted else "done", error="")
    return 0


def _say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

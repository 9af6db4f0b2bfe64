"""``python -m twin.connectors.conformance``: run the cases and write the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from twin.connectors.conformance.cases import CASES, Rig
from twin.connectors.conformance.counterparts import COUNTERPARTS, Unavailable
from twin.core import log

BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"


def main() -> int:
    """Entry point; exit code 1 if a case fails."""
    parser = argparse.ArgumentParser(prog="python -m twin.connectors.conformance", description=__doc__)
    parser.add_argument("--driver", action="append", choices=list(COUNTERPARTS), help="only this driver; may be given again")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case; may be given again")
    parser.add_argument("--reconnects", type=int, default=100, help="how often the connection is reset (default: %(default)s)")
    parser.add_argument("--write", type=Path, help="a document in which the table is replaced")
    arguments = parser.parse_args()
    log.configure("critical")
    drivers, cases = arguments.driver or list(COUNTERPARTS), arguments.case or list(CASES)
    results: dict[tuple[str, str], str] = {}
    failed = False
    for driver in drivers:
        for case in cases:
            found, bad = run(driver, case, arguments.reconnects)
            failed |= bad
            results[case, driver] = found
            print(f"{driver:<10} {case:<12} {found}", file=sys.stderr, flush=True)
    text = table(results, drivers, cases)
    print(text)
    if arguments.write is not None:
        replace(arguments.write, text)
    return int(failed)


def run(driver: str, case: str, reconnects: int) -> tuple[str, bool]:
    """What one case found for one driver, and whether it failed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Rig(COUNTERPARTS[driver], Path(folder), reconnects=reconnects) as rig:
                return CASES[case](rig), False
        except Unavailable as reason:
            return f"not run: {reason}", False
        except AssertionError as reason:
            return f"**fails**: {reason}", True


def table(results: dict[tuple[str, str], str], drivers: list[str], cases: list[str]) -> str:
    """The results as a table in Markdown."""
    head = ["case", *(f"{d} ({COUNTERPARTS[d].peer})" for d in drivers)]
    rows = [[f"{c}: {(CASES[c].__doc__ or '').rstrip('.')}", *(results[c, d] for d in drivers)] for c in cases]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def replace(path: Path, text: str) -> None:
    """Put the table between the two marks of a document."""
    document = path.read_text(encoding="utf-8")
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no place for the table: {BEGIN} ... {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""``python -m twin.connectors.conformance``: run the cases and write the table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from twin.connectors.conformance.suites import MEANING, SUITES
from twin.core import log

NOT_RUN = "not run"
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"


def main() -> int:
    """Entry point; exit code 1 if a case fails."""
    parser = argparse.ArgumentParser(prog="python -m twin.connectors.conformance", description=__doc__)
    parser.add_argument("--driver", action="append", choices=list(SUITES), help="only this driver; may be given again")
    parser.add_argument("--case", action="append", choices=list(MEANING), help="only this case; may be given again")
    parser.add_argument("--reconnects", type=int, default=100, help="how often the connection is reset (default: %(default)s)")
    parser.add_argument("--write", type=Path, help="a document in which the table is replaced; what is not run keeps its results")
    arguments = parser.parse_args()
    log.configure("critical")
    drivers, cases = arguments.driver or list(SUITES), arguments.case or list(MEANING)
    results: dict[tuple[str, str], str] = {}
    failed = False
    for driver in drivers:
        for case in cases:
            found, bad = SUITES[driver].run(case, arguments.reconnects)
            failed |= bad
            results[case, driver] = found
            print(f"{driver:<10} {case:<12} {found}", file=sys.stderr, flush=True)
    print(table(results, drivers, cases))
    if arguments.write is not None:
        replace(arguments.write, results)
    return int(failed)


def table(results: dict[tuple[str, str], str], drivers: list[str], cases: list[str]) -> str:
    """The results as a table in Markdown."""
    head = ["case", *(f"{d} ({SUITES[d].peer})" for d in drivers)]
    rows = [[_meaning(c), *(results.get((c, d), NOT_RUN) for d in drivers)] for c in cases]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _meaning(case: str) -> str:
    connecting, pushed, played = MEANING[case]
    others = [f"{driver}: {what}" for driver, what in (("http", pushed), ("replay", played)) if what]
    return f"{case}: {connecting}" + (f" ({'; '.join(others)})" if others else "")


def replace(path: Path, results: dict[tuple[str, str], str]) -> None:
    """Put the results into the table between the two marks of a document."""
    document = path.read_text(encoding="utf-8")
    before, begin, rest = document.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no place for the table: {BEGIN} ... {END}")
    text = table(_kept(old) | results, list(SUITES), list(MEANING))
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _kept(text: str) -> dict[tuple[str, str], str]:
    """The results that a table holds."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.strip().splitlines()]
    if len(rows) < 3:
        return {}
    drivers = [name.partition(" ")[0] for name in rows[0][1:]]
    return {(row[0].partition(":")[0], d): found for row in rows[2:] for d, found in zip(drivers, row[1:], strict=True)}


if __name__ == "__main__":
    sys.exit(main())

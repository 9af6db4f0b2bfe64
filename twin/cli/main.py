"""``twin``: the verbs, and what happens to an error.

A verb's module is imported only when that verb is called, so that ``twin --help`` answers at once. Each module has
``app``, a ``typer.Typer``.
"""

from __future__ import annotations

import difflib
import importlib
import sys

from twin import __version__
from twin.core.errors import TwinError

VERBS = {
    "serve": "Run the twin of a stage and share it in the browser.",
    "simulate": "Run a stage's rigid-body physics headless and write what happened.",
    "study": "Plan, run, show and compare what-if studies.",
    "check": "Say what is wrong with a stage.",
    "import": "Write a mesh or a USD file of another program as a USD part.",
    "export": "Write a stage with its edits as clean USD.",
    "user": "Add, list and remove who may sign in to the twin of a stage.",
    "connectors": "Lint, probe and try out connections to a plant.",
    "bench": "Measure how fast this machine runs a stage.",
    "fit": "Fit cycle, failure and repair times to history.",
    "plant": "Emulate a plant from a scene, with faults.",
    "track": "Export what a twin showed, or simulate a moment again.",
    "record": "Record a plant without a stage.",
    "replay": "Play a recording, as lines or onto a broker.",
    "doctor": "Report versions, devices, kernel cache, ports and disk.",
}


def usage() -> str:
    """The text of ``twin --help``."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {text}" for name, text in VERBS.items())
    return (
        "Twin: factory digital twins on OpenUSD. Simulate, share, connect, compare.\n\n"
        f"Usage: twin VERB [OPTIONS] [ARGUMENTS]\n\nVerbs:\n{verbs}\n\n"
        "twin VERB --help says more.  twin --version prints the version.\n"
        "Exit codes: 0 done; 1 the work failed, or a check found errors; 2 wrong usage or bad input."
    )


def main() -> None:
    """Entry point of the console script; turns a TwinError into one clear line and its exit code."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        sys.exit(0 if arguments else 2)
    if arguments[0] in ("-V", "--version"):
        print(f"twin {__version__}")
        return
    verb = arguments[0]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(f"error: no verb {verb!r}{hint} (allowed: {', '.join(VERBS)})", file=sys.stderr)
        sys.exit(2)
    module = importlib.import_module(f"twin.cli.{verb}")
    try:
        module.app(args=arguments[1:], prog_name=f"twin {verb}")
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

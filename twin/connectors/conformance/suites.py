"""Which cases each driver goes through, and with what on the other side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from twin.connectors.conformance import cases, playing, pushing
from twin.connectors.conformance.counterparts import COUNTERPARTS, Unavailable


@dataclass(frozen=True)
class Suite:
    """The cases of one driver with one counterpart.

    Attributes:
        driver: Kind of the driver. peer: What is on the other side.
        rig: Makes what the cases are given: ``rig(folder, reconnects=)``, to be entered.
        cases: What each case does; returns what it found, or raises AssertionError with a reason.
        cannot: Why a case cannot arise. Each case is in one of both.
    """

    driver: str
    peer: str
    rig: Callable[..., AbstractContextManager[Any]]
    cases: Mapping[str, Callable[[Any], str]]
    cannot: Mapping[str, str] = field(default_factory=dict)

    def run(self, case: str, reconnects: int) -> tuple[str, bool]:
        """What one case found, and whether it failed."""
        if case in self.cannot:
            return self.cannot[case], False
        with tempfile.TemporaryDirectory() as folder:
            try:
                with self.rig(Path(folder), reconnects=reconnects) as rig:
                    return self.cases[case](rig), False
            except Unavailable as reason:
                return f"not run: {reason}", False
            except AssertionError as reason:
                return f"**fails**: {reason}", True


SUITES: dict[str, Suite] = {
    **{name: Suite(name, peer.peer, partial(cases.Rig, peer), cases.CASES) for name, peer in COUNTERPARTS.items()},
    **{
        name: Suite("http", device.peer, partial(pushing.PushRig, device), pushing.CASES)
        for name, device in (("http", pushing.PostingDevice), ("http-websocket", pushing.SocketDevice))
    },
    "replay": Suite("replay", "a CSV file", playing.Player, playing.CASES, playing.CANNOT),
}
"""By name; a driver may be there with several counterparts."""

MEANING: dict[str, tuple[str, str, str]] = {
    "absent": ("Nobody listens; later somebody does", "nobody sends; later somebody does", "no such file; later there is one"),
    "refuse": ("Connections are accepted and closed at once", "", ""),
    "black-hole": ("Connections are accepted, and nothing is ever said", "", "a file that never gives anything"),
    "nonsense": ("Somebody else answers: a web server", "what comes is no HTTP, or no value", "other files, damaged ones"),
    "half-open": (
        "In the middle of everything nothing passes any more, and no connection is closed",
        "",
        "the recording is at its end",
    ),
    "slow": ("A line of 13 kB/s with 20 ms delay a packet", "", ""),
    "restart": (
        "The server ends and comes back; it has forgotten every session",
        "the twin ends and comes back",
        "another recording takes its place",
    ),
    "burst": ("A thousand values as fast as they can be sent", "", ""),
    "reconnects": ("The connection is reset again and again; nothing may be left behind", "", "begun anew by hand"),
    "stop": ("Stopping does not wait for a silent server", "with a post that never ends", "in the middle of playing"),
}
"""What each case is: for drivers that connect, and, where it is another thing, for what is pushed and what is played."""

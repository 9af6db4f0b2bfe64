"""Every driver stands the same failures, made by a proxy between it and a real server."""

import pytest

from twin.connectors.conformance import CASES, COUNTERPARTS, Rig, Unavailable
from twin.connectors.drivers import KINDS

QUICK = ("nonsense", "half-open", "restart", "burst", "reconnects")
"""``python -m twin.connectors.conformance`` runs them all."""


SHARED = ("mtconnect-agent", "vda5050", "sql")
"""Their transport is a library's, or one that another driver is tested with: the slow cases are left to the command."""
CHOSEN = [(d, c) for d in COUNTERPARTS for c in QUICK if d not in SHARED or c not in ("nonsense", "reconnects")]


@pytest.mark.parametrize(("driver", "case"), CHOSEN)
def test_every_driver_stands(driver, case, tmp_path):
    try:
        with Rig(COUNTERPARTS[driver], tmp_path, reconnects=3) as rig:
            CASES[case](rig)
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_every_driver_that_connects_is_in_the_suite():
    # the other two open no connection: one plays files, one is sent to
    assert set(COUNTERPARTS) == set(KINDS) - {"http", "replay"}

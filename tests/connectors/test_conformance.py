"""Every driver stands the same failures, made by a proxy between it and a real server."""

import pytest

from twin.connectors.conformance import CASES, COUNTERPARTS, Rig, Unavailable
from twin.connectors.drivers import KINDS

QUICK = ("nonsense", "half-open", "restart", "burst", "reconnects")
"""``python -m twin.connectors.conformance`` runs them all."""


@pytest.mark.parametrize("case", QUICK)
@pytest.mark.parametrize("driver", list(COUNTERPARTS))
def test_every_driver_stands(driver, case, tmp_path):
    try:
        with Rig(COUNTERPARTS[driver], tmp_path, reconnects=3) as rig:
            CASES[case](rig)
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_every_driver_that_connects_is_in_the_suite():
    # the other two open no connection: one plays files, one is sent to
    assert set(COUNTERPARTS) == set(KINDS) - {"http", "replay"}

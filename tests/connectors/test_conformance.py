"""Every driver stands the same failures, made by a proxy between it and a real server."""

import pytest

from twin.connectors.conformance import CASES, COUNTERPARTS, SUITES, Rig, Unavailable
from twin.connectors.conformance.__main__ import BEGIN, END, NOT_RUN, replace
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


OTHERS = [("replay", c) for c in ("absent", "black-hole", "nonsense", "half-open", "restart", "burst", "reconnects")]
OTHERS += [("http", "nonsense"), ("http-websocket", "restart")]
"""Each of the last two starts a server; tests/server/test_push.py has more of what is pushed."""


@pytest.mark.parametrize(("suite", "case"), OTHERS)
def test_what_is_played_and_what_is_pushed_stand_too(suite, case, tmp_path):
    with SUITES[suite].rig(tmp_path, reconnects=3) as rig:
        SUITES[suite].cases[case](rig)


def test_every_driver_goes_through_every_case_or_says_why_it_cannot_arise():
    assert {suite.driver for suite in SUITES.values()} == set(KINDS)
    for suite in SUITES.values():
        assert set(suite.cases) | set(suite.cannot) == set(CASES)
        assert not set(suite.cases) & set(suite.cannot)


def test_the_table_keeps_what_was_not_run(tmp_path):
    document = tmp_path / "d.md"
    document.write_text(f"before {BEGIN}\n{END} after")
    replace(document, {("burst", "mqtt"): "1000 of 1000"})
    replace(document, {("burst", "replay"): "7 of 7"})
    text = document.read_text()
    assert text.startswith("before ")
    assert text.endswith(" after")
    (burst,) = [line for line in text.splitlines() if line.startswith("| burst")]
    assert [cell.strip() for cell in burst.split("|")[2:-1]] == ["1000 of 1000", *[NOT_RUN] * (len(SUITES) - 2), "7 of 7"]

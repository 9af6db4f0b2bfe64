"""A study that begins with the line of a running twin, over its HTTP."""

import datetime
import json
import subprocess
import sys
import time

from twin.core.errors import InputError
from twin.studies.start import find_start


def found_on_the_belt(server):
    """A moment at which the track has a carton on the belt; None as long as there is none."""
    try:
        found = find_start("live", server.ready["open_url"])
    except InputError:
        return None  # nothing is recorded yet
    return found if dict(zip(found.paths, found.level, strict=True))["/Line/Belt"] > 0 else None


def test_a_study_begins_with_the_line_as_it_ran(server, tmp_path):
    deadline = time.monotonic() + 60.0
    while (found := found_on_the_belt(server)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    moment = datetime.datetime.fromtimestamp(found.wall_ns / 1e9, datetime.UTC) + datetime.timedelta(milliseconds=1)
    (tmp_path / "then.yaml").write_text(
        f"stage: {server.stage}\nrun: {{horizon: 60}}\nreplications: 8\nstart: history@{moment.isoformat()}\n"
        "sensitivity: none\nkpis: [throughput, wip]\n"
    )
    command = [sys.executable, "-m", "twin.cli.main", "study", "run", "then.yaml", "--json", "--from"]
    done = subprocess.run([*command, server.ready["open_url"]], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["start"]["source"] == server.url
    assert summary["start"]["items"] == sum(found.level) > 0
    pieces = summary["points"][0]["pieces"]
    # what stood there counts as having come in
    assert pieces["spawned"] >= 8 * sum(found.level)
    refused = subprocess.run([*command, server.url], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert "give the token" in refused.stderr

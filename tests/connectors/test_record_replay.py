"""``twin record`` and ``twin replay``: from a recording, to a history file, to a broker, and back."""

import json
import subprocess
import sys

from twin.core.samples import SignalKey
from twin.history import Recording

KEY = SignalKey("/W/Oven", "t")


def twin(*arguments, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "twin.cli.main", *map(str, arguments)], capture_output=True, text=True, timeout=90
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_what_is_recorded_is_replayed_onto_a_broker_and_recorded_again(tmp_path, broker, make_plant, history, wait_for):
    (tmp_path / "oven.csv").write_text("time,t\n" + "".join(f"2026-01-05T00:00:{i:02}Z,{20 + i}\n" for i in range(40)))
    mapping = tmp_path / "oven.yaml"
    mapping.write_text(
        "schema: twin.mapping/1\n"
        "connections: [{name: tape, driver: replay, address: 'replay://oven.csv', options: {speed: max}}]\n"
        "signals: [{connection: tape, source: {column: t}, target: {prim: /W/Oven, signal: t}, unit: Cel}]\n"
    )
    out = tmp_path / "oven.db"
    result = json.loads(twin("record", mapping, "--out", out, "--seconds", 2, "--json").stdout)
    assert (result["samples"], result["losses"]) == (41, {})  # and the gap at the end
    again = json.loads(twin("record", mapping, "--out", out, "--seconds", 2, "--json").stdout)
    assert (again["samples"], again["repeated"]) == (1, 40)
    lines = [json.loads(line) for line in twin("replay", out, "--speed", 1000).stdout.splitlines()]
    values = [line["value"] for line in lines]
    assert values == [*(20.0 + i for i in range(40)), None, None]  # both recordings ended with a gap
    assert {line["origin"] for line in lines} == {"replay"}
    plant = make_plant(
        f"""
schema: twin.mapping/1
connections: [{{name: copy, driver: mqtt, address: "mqtt://127.0.0.1:{broker.port}"}}]
signals:
  - connection: copy
    source: {{topic: again/W/Oven/t, value: /value, time: /time}}
    target: {{prim: /W/Oven, signal: t}}
    unit: Cel
""",
        history,
    )
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="connection")
    span = ["--begin", "2026-01-05T00:00:10Z", "--end", "2026-01-05T00:00:29Z"]
    address = f"mqtt://127.0.0.1:{broker.port}"
    told = json.loads(twin("replay", out, *span, "--speed", 1000, "--to", address, "--prefix", "again", "--json").stdout)
    assert told["samples"] == 20
    wait_for(lambda: history.flush() or len([s for s in history.samples(KEY, 0, 2**62) if s.source_time]) == 20, what="all")
    recording = Recording(out)
    original = {(s.source_time, s.value) for s in recording.samples(KEY, 0, 2**62) if s.source_time}
    recording.close()
    assert {(s.source_time, s.value) for s in history.samples(KEY, 0, 2**62) if s.source_time} < original


def test_what_goes_wrong_is_one_line_and_an_exit_code(tmp_path):
    mapping = tmp_path / "m.yaml"
    mapping.write_text(
        "schema: twin.mapping/1\nconnections: [{name: gone, driver: mqtt, address: 'mqtt://127.0.0.1:1'}]\n"
        "signals: [{connection: gone, source: {topic: a}, target: {prim: /W, signal: a}}]\n"
    )
    assert "nothing good came from gone" in twin("record", mapping, "--out", tmp_path / "a.db", "--seconds", 0.5, code=1).stderr
    assert "no such file" in twin("replay", tmp_path / "none.db", code=2).stderr
    assert "cannot be read" in twin("record", tmp_path / "none.yaml", "--out", tmp_path / "b.db", code=2).stderr
    assert "not recorded" in twin("replay", tmp_path / "a.db", "--signal", "/X:y", code=2).stderr

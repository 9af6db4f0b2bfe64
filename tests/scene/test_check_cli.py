"""``twin check``: text for people, JSON for machines, exit codes for scripts."""

import json
import subprocess
import sys


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "twin.cli.main", "check", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_a_good_line_exits_0(line):
    done = run(line, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_errors_exit_1_and_are_named(line):
    line.write_text(line.read_text().replace("rel twin:next = </Line/Out>", "rel twin:next = </Line/Oot>"))
    done = run(line, "--json")
    assert done.returncode == 1
    (error,) = [f for f in json.loads(done.stdout) if f["severity"] == "error"]
    assert (error["path"], error["code"]) == ("/Line/M.twin:next", "unknown-successor")
    assert "unknown-successor" in run(line).stdout


def test_a_broken_stage_is_a_finding(tmp_path):
    path = tmp_path / "broken.usda"
    path.write_text("#usda 1.0\ndef {")
    done = run(path, "--json")
    assert done.returncode == 1
    (error,) = json.loads(done.stdout)
    assert (error["severity"], error["code"]) == ("error", "unusable-stage")
    assert "broken.usda:2" in error["message"]
    assert error["path"] == str(path)


def test_what_is_no_file_exits_2(tmp_path):
    for path, words in ((tmp_path / "missing.usda", "no such file"), (tmp_path, "folder")):
        done = run(path, "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert str(path) in done.stderr
        assert words in done.stderr

"""The wheel: it carries the page and the samples, and whoever installs it needs no Node."""

import json
import os
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if not (ROOT / "twin" / "server" / "static" / "index.html").is_file():
        pytest.skip("the web client is not built: make build")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    [built] = folder.glob("*.whl")
    return built


def test_it_holds_page_schema_and_samples_and_nothing_that_a_run_left_behind(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "twin/server/static/index.html" in names
    assert any(n.startswith("twin/server/static/assets/") and n.endswith(".js") for n in names)
    assert "twin/scene/schema/generatedSchema.usda" in names
    assert "twin/_scenes/packaging_line/scene.usda" in names
    assert "twin/_scenes/twin.toml" in names
    assert not [n for n in names if "node_modules" in n or ".twin/" in n or ".results/" in n or n.startswith("tests/")]


def test_installed_it_serves_the_page_without_node(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site), "PATH": "/nonexistent"}
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import twin; print(twin.__file__)"], env=environment, capture_output=True
    )
    assert where.stdout.decode().startswith(str(site)), "the installed package is not the one that runs"
    command = [sys.executable, "-P", "-m", "twin.cli.main", "serve", str(site / "twin/_scenes/packaging_line/scene.usda")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", "0", "--project", str(tmp_path / "project")],
            stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=tmp_path,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (tmp_path / "log").read_text()
        ready = json.loads(line)
        with urllib.request.urlopen(ready["url"] + "/", timeout=30) as answer:
            page = answer.read().decode()
        assert '<script type="module"' in page
        script = page.split('src="', 1)[1].split('"', 1)[0]
        with urllib.request.urlopen(ready["url"] + "/" + script.lstrip("./"), timeout=30) as answer:
            assert len(answer.read()) > 100_000
        header = {"Authorization": f"Bearer {ready['token']}"}
        with urllib.request.urlopen(urllib.request.Request(ready["url"] + "/api/scene", headers=header), timeout=30) as answer:
            assert json.load(answer)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()

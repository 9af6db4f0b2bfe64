"""``twin serve`` without a stage: a page to choose one, then the twin at the same address with the same token."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def welcome(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client, Path]]:
    """A server that waits to be told what to run, and somebody who may tell it."""
    environment = {k: v for k, v in os.environ.items() if k != "TWIN_TOKEN"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "twin.cli.main", "serve", "--port", "0", "--paused"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path, env=environment
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    headers = {"Authorization": f"Bearer {ready['token']}"}
    with httpx.Client(base_url=ready["url"], headers=headers, timeout=60) as client:
        yield process, client, tmp_path
    if process.poll() is None:
        process.terminate()
        process.wait(30)
    process.stdout.close()


def test_a_new_project_is_begun_and_served_at_the_same_address(welcome) -> None:
    _, client, folder = welcome
    assert client.get("/api/health").json()["status"] == "choosing"
    assert client.get("/api/scene").json()["code"] == "choosing"
    assert httpx.get(f"{client.base_url}/api/choices").status_code == 401
    offered = client.get("/api/choices").json()
    assert "sample/packaging_line" in [row["id"] for row in offered["choices"]]
    for body, status in (({"id": "sample/none"}, 404), ({"id": "sample/../.."}, 404), ({"name": "../up"}, 422), ({}, 404)):
        assert client.post("/api/open", json=body).status_code == status, body
    assert client.post("/api/open", json={"name": "My plant"}).status_code == 200
    end = time.monotonic() + 120
    while client.get("/api/health").json()["status"] != "ok":
        assert time.monotonic() < end
        time.sleep(0.1)
    scene = client.get("/api/scene").json()  # the token of the page is the twin's
    assert {p["path"] for p in scene["prims"]} >= {"/World", "/World/Floor"}
    assert len(scene["library"]) > 10
    assert [f for f in scene["findings"] if f["severity"] == "error"] == []
    assert (folder / "twin-projects" / "My_plant" / "scene.usda").is_file()


def test_it_ends_in_order_while_nothing_is_chosen(welcome) -> None:
    process, client, _ = welcome
    assert client.get("/api/choices").status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0

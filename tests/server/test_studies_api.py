"""What-if studies over HTTP: run on the served stage as edited, compared, reported, cancelled, kept."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient

from twin.collab import Identity
from twin.protocol.messages import Op
from twin.server.app import create_app
from twin.server.host import Host
from twin.server.settings import Settings
from twin.studies.run import run_study
from twin.studies.spec import load_study

LINE = Path(__file__).parents[1] / "studies" / "line.usda"
CAPACITY = "/Line/B1.twin:buffer:capacity"
CYCLE = "/Line/M1.twin:station:cycleTime:mean"
SHORT = {"horizon": "1 h", "warmup": "10 min"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    root = tmp_path_factory.mktemp("plant")
    shutil.copy(LINE, root / "line.usda")
    host = Host(Settings(stage=root / "line.usda", project=root / ".twin" / "line", paused=True))
    host.start()
    yield host
    host.stop()


@pytest.fixture(scope="module")
def clients(host: Host) -> Iterator[dict[str, TestClient]]:
    app = create_app(host)
    tokens = {"admin": host.token, "viewer": host.access.grant("viewer", author="test")[0]}
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {tokens['admin']}"}) as admin:
        viewer = TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {tokens['viewer']}"})
        yield {"admin": admin, "viewer": viewer, "nobody": TestClient(app, base_url="http://127.0.0.1")}


@pytest.fixture
def client(clients: dict[str, TestClient]) -> TestClient:
    return clients["admin"]


def kept_studies(host: Host) -> set[str]:
    folder = host.settings.project / "studies"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def finished(client: TestClient, study_id: str, *, within: float = 60.0) -> dict:
    end = time.monotonic() + within
    while time.monotonic() < end:
        document = client.get(f"/api/studies/{study_id}").json()
        if document["state"] not in ("queued", "running"):
            return document
        time.sleep(0.1)
    raise AssertionError(f"not finished: {document}")


def test_a_sweep_is_run_compared_and_reported(client, host):
    body = {"name": "Buffer", "sweep": {CAPACITY: [1, 20]}, "run": SHORT, "replications": 8}
    answer = client.post("/api/studies", json=body)
    assert answer.status_code == 201
    document = finished(client, answer.json()["id"])

    assert (document["state"], document["error"]) == ("done", "")
    # two points, and each of the two stations tried faster in the first
    assert document["done"] == document["expected"] == 2 * 8 + 2 * 8
    assert [s["path"] for s in document["summary"]["sensitivity"]]
    assert document["summary"]["computed"] == 16
    small, large = document["summary"]["points"]
    assert small["parameters"] == {CAPACITY: 1}
    assert large["kpis"]["throughput"]["mean"] > small["kpis"]["throughput"]["mean"]
    assert small["kpis"]["throughput"]["half_width"] > 0.0
    (comparison,) = document["summary"]["comparisons"]
    assert comparison["kpis"]["throughput"]["significant"] is True

    report = client.get(f"/api/studies/{document['id']}/report")
    assert report.headers["content-type"].startswith("text/html")
    assert report.headers.get_list("content-security-policy") == ["sandbox allow-scripts"]
    assert "Buffer" in report.text or "study" in report.text
    assert next(s["id"] for s in client.get("/api/studies").json()) == document["id"]


def test_the_edits_of_the_moment_count_and_the_file_can_be_run_again(client, host):
    def edit() -> None:
        op = Op("set_field", "/Line/M1", "twin:station:cycleTime:mean", ["double", 40.0])
        outcome, _ = host.edit(Identity("test", "admin"), "test", 1, "Test", [op], "slow M1")
        assert outcome.refusal is None

    host.on_owner(edit).result()
    body = {"scenarios": {"as-is": {}, "fast": {"set": {CYCLE: 10.0}}}, "run": SHORT, "replications": 4}
    document = finished(client, client.post("/api/studies", json=body).json()["id"])
    host.on_owner(lambda: host.undo(Identity("test", "admin"), "test", 2, "Test")).result()

    assert document["state"] == "done", document["error"]
    asis, fast = (p["kpis"]["throughput"]["mean"] for p in document["summary"]["points"])
    assert asis == pytest.approx(90.0, rel=0.1), "one piece in forty seconds"
    assert fast > 2 * asis
    folder = host.settings.project / "studies" / document["id"]
    study = yaml.safe_load((folder / "study.yaml").read_text())
    assert study["scenarios"]["fast"]["layers"] == ["edits.usda"]
    again = run_study(load_study(folder / "study.yaml"), folder / "results")
    assert (again.computed, again.cached) == (0, 8), "finished work is found"
    [version] = client.get("/api/versions").json()
    assert version["label"].startswith("study ")
    assert "cycleTime:mean = 40" in host.on_owner(lambda: host.document.text_of(version["id"])).result()


def test_a_long_study_is_cancelled_and_goes_on_later(client, host):
    body = {"sweep": {CAPACITY: [1, 2, 3]}, "run": {"horizon": "1000 h"}, "replications": 2000}
    study_id = client.post("/api/studies", json=body).json()["id"]
    end = time.monotonic() + 30.0
    while client.get(f"/api/studies/{study_id}").json()["expected"] == 0 and time.monotonic() < end:
        time.sleep(0.1)
    assert client.delete(f"/api/studies/{study_id}").json()["state"] == "stopping"
    document = finished(client, study_id, within=20.0)
    assert document["state"] == "cancelled"
    assert document["done"] < document["expected"]
    assert client.delete(f"/api/studies/{study_id}").json()["state"] == "removed"
    assert client.get(f"/api/studies/{study_id}").status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"run": {"horizon": "soon"}}, "run.horizon"),
        ({"run": SHORT, "sweep": {"B1": [1]}}, "sweep"),
        ({"run": SHORT, "sweep": {CAPACITY: list(range(21)), CYCLE: list(range(1, 21))}}, "420 points"),
        ({"run": SHORT, "scenarios": {"x": {"layers": ["/etc/passwd"]}}}, "layers"),
        ({"run": SHORT, "replications": 1}, "replications"),
        ({"start": "now", "fidelity": "physics"}, "fidelity"),
        ({"start": "yesterday"}, "start"),
    ],
)
def test_what_cannot_be_a_study_is_said_at_once(client, host, body, words):
    before = kept_studies(host)
    answer = client.post("/api/studies", json=body)
    assert answer.status_code == 422
    assert words in answer.text
    assert kept_studies(host) == before, "nothing stays behind"


def test_a_study_from_now_begins_with_what_stands_on_the_line(client, host):
    for _ in range(20):
        host.runtime.control("step", 600).result(120)
    standing = host.on_owner(host.runtime.line).result(10)
    assert len(standing.items) > 1
    body = {"start": "now", "replications": 4, "scenarios": {"as-is": {}, "fast": {"set": {CYCLE: 10.0}}}}
    study_id = client.post("/api/studies", json=body).json()["id"]
    document = finished(client, study_id)

    assert (document["state"], document["error"]) == ("done", "")
    summary = document["summary"]
    assert summary["start"]["items"] == len(standing.items)
    [listed] = [entry for entry in client.get("/api/studies").json() if entry["id"] == study_id]
    assert listed["start"] == "now", "the list says where it began"
    assert summary["start"]["source"] == host.settings.project.name
    assert (summary["horizon_s"], summary["warmup_s"]) == (7200.0, 0.0)
    for point in summary["points"]:
        assert point["pieces"]["spawned"] > 4 * len(standing.items), "what stood there counts as having come in"
    kept = json.loads((host.settings.project / "studies" / study_id / "results" / "start.json").read_text())
    assert kept["line"] == standing.as_dict()

    # the kept line is what the same study goes on from, whatever stands there by then
    host.runtime.control("reset").result(60)
    folder = host.settings.project / "studies" / study_id
    again = run_study(load_study(folder / "study.yaml"), folder / "results")
    assert (again.computed, again.cached) == (0, 8)


def test_a_misspelt_parameter_fails_with_its_name(client):
    answer = client.post("/api/studies", json={"run": SHORT, "sweep": {"/Line/B1.twin:buffer:capacty": [1, 2]}})
    document = finished(client, answer.json()["id"])
    assert document["state"] == "failed"
    assert "capacty" in document["error"]


def test_who_may_look_and_who_may_run(clients):
    body = {"run": SHORT, "replications": 2}
    assert clients["nobody"].post("/api/studies", json=body).status_code == 401
    assert clients["nobody"].get("/api/studies").status_code == 401
    assert clients["viewer"].post("/api/studies", json=body).status_code == 403
    known = clients["viewer"].get("/api/studies")
    assert known.status_code == 200
    study_id = known.json()[0]["id"]
    assert clients["viewer"].get(f"/api/studies/{study_id}").status_code == 200
    assert clients["viewer"].delete(f"/api/studies/{study_id}").status_code == 403
    assert clients["nobody"].get(f"/api/studies/{study_id}/report").status_code == 401
    assert clients["admin"].get("/api/studies/..%2f..%2ftoken").status_code == 404


def test_studies_are_there_after_a_restart(host, clients):
    known = clients["admin"].get("/api/studies").json()
    with TestClient(create_app(host), base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {host.token}"}) as again:
        assert again.get("/api/studies").json() == known

"""The whole HTTP interface against requests made from its own description: nothing breaks the server."""

from __future__ import annotations

from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

from twin.server.app import create_app
from twin.server.host import Host
from twin.server.settings import Settings

EXAMPLES = 6
"""Requests an operation; more are a matter of raising this by hand."""
COSTLY = {("POST", "/api/studies"), ("POST", "/api/studies/{study_id}/run"), ("GET", "/api/export"), ("POST", "/api/uploads")}
"""These start a process or a computation; they have tests of their own."""
ENDS_ACCESS = {("DELETE", "/api/access/{key}")}


def test_no_request_breaks_the_server(server, tmp_path: Path) -> None:
    stage = tmp_path / "stage.usda"
    stage.write_text('#usda 1.0\n(\n    metersPerUnit = 1\n)\ndef Xform "World"\n{\n}\n')
    host = Host(Settings(stage, tmp_path / "project"))
    try:
        described = create_app(host).openapi()
    finally:
        host.stop()
    schema = schemathesis.openapi.from_dict(described)
    tried = 0
    broken: list[str] = []
    with server.http() as http:
        for result in schema.get_all_operations():
            operation = result.ok()
            if (operation.method.upper(), operation.path) in COSTLY | ENDS_ACCESS:
                continue

            @seed(1)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def ask(case: schemathesis.Case) -> None:
                nonlocal tried
                tried += 1
                wanted = case.as_transport_kwargs(base_url=server.url)
                body = {key: wanted[key] for key in ("json", "data") if wanted.get(key) is not None}
                answer = http.request(wanted["method"], wanted["url"], params=wanted.get("params"), **body)
                if answer.status_code >= 500:
                    broken.append(f"{wanted['method']} {wanted['url']} {wanted.get('params')} {body}: {answer.text[:200]}")

            ask()
        assert broken == []
        assert tried > 100
        assert http.get("/api/health").status_code == 200
        assert http.get("/api/scene").status_code == 200

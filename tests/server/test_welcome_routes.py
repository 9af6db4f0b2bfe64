"""The page to choose a stage, before there is one: who gets what from each of its routes."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount
from starlette.testclient import TestClient

from twin.server.welcome import Choice, create_welcome

TOKEN = "a token of sufficient length"
ROUTES = {
    ("GET", "/"): (None, (200, 503), (200, 503)),
    ("GET", "/api/health"): (None, (200,), (200,)),
    ("POST", "/api/login"): ({"token": "wrong"}, (401,), (401,)),
    ("GET", "/api/scene"): (None, (401,), (409,)),
    ("GET", "/api/choices"): (None, (401,), (200,)),
    ("GET", "/api/choices/picture"): (None, (401,), (404,)),
    ("POST", "/api/open"): ({"id": "sample/none"}, (401,), (404,)),
}
"""By route: body, what nobody gets, what the holder of the token gets."""


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return TestClient(
        create_welcome(Choice(tmp_path, tmp_path, TOKEN), hosts=frozenset(), public=""), base_url="http://127.0.0.1"
    )


def test_every_route_has_a_row_and_keeps_strangers_out(client: TestClient) -> None:
    routes = list(client.app.routes)
    assert {(m, r.path) for r in routes if isinstance(r, APIRoute) for m in r.methods} == set(ROUTES)
    assert [r for r in routes if not isinstance(r, (APIRoute, Mount))] == []
    own = {"Authorization": f"Bearer {TOKEN}"}
    for (method, path), (body, nobody, holder) in ROUTES.items():
        url = path + ("?id=none" if path.endswith("picture") else "")
        assert client.request(method, url, json=body).status_code in nobody, path
        assert client.request(method, url, json=body, headers=own).status_code in holder, path
        for wrong in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
            assert client.request(method, url, json=body, headers=own | wrong).status_code == 403, path
        assert client.request(method, url, json=body, headers=own | {"Host": "evil.example"}).status_code == 421, path


def test_a_page_loaded_anew_is_told_the_token_for_the_twin(tmp_path: Path) -> None:
    (tmp_path / "line").mkdir()
    (tmp_path / "line" / "scene.usda").write_text("#usda 1.0\n")
    token = TOKEN.replace(" ", "-")
    app = create_welcome(Choice(tmp_path, tmp_path / "none", token), hosts=frozenset(), public="")
    client = TestClient(app, base_url="http://127.0.0.1")
    assert client.get("/api/health").json()["sign_in"] == ["token"]
    assert client.post("/api/login", json={"token": token}).status_code == 204
    answer = client.post("/api/open", json={"id": "sample/line"}, headers={"Origin": "http://127.0.0.1"})
    assert (answer.status_code, answer.json()["token"]) == (200, token)  # with the cookie alone

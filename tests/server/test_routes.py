"""Every route, HTTP and websocket, and what each kind of caller gets from it. A new route needs a row here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import Mount
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from twin.server.app import create_app
from twin.server.host import Host
from twin.server.limits import KEPT, Buckets, Tries
from twin.server.settings import Settings


class Row(NamedTuple):
    """What nobody, a viewer, an operator, an editor and an admin get, and how to ask."""

    nobody: int
    viewer: int
    operator: int
    editor: int
    admin: int
    json: Any = None
    url: str = ""


PAGE = (200, 503)
"""The page where the client is built, a hint where it is not."""

OPEN = {
    ("GET", "/"): Row(200, 200, 200, 200, 200),
    ("GET", "/api/health"): Row(200, 200, 200, 200, 200),
    ("POST", "/api/login"): Row(401, 401, 401, 401, 401, json={"token": "no such token"}),
    ("GET", "/api/oidc/login"): Row(404, 404, 404, 404, 404),
    ("GET", "/api/oidc/callback"): Row(404, 404, 404, 404, 404, url="/api/oidc/callback?state=guess&code=guess"),
}
GUARDED = {
    ("GET", "/api/scene"): Row(401, 200, 200, 200, 200),
    ("GET", "/api/prim"): Row(401, 200, 200, 200, 200, url="/api/prim?path=/Line/Sign"),
    ("GET", "/api/layers"): Row(401, 200, 200, 200, 200),
    ("GET", "/api/clip"): Row(401, 200, 200, 200, 200, url="/api/clip?path=/Line/Sign&path=/Line/Lamp"),
    ("GET", "/api/part"): Row(401, 404, 404, 404, 404, url="/api/part?asset=_assets/none.usda"),
    ("GET", "/api/assets"): Row(401, 404, 404, 404, 404, url="/api/assets?ids=none"),
    ("GET", "/api/assets/{key}"): Row(401, 404, 404, 404, 404, url="/api/assets/none"),
    ("GET", "/api/history"): Row(401, 200, 200, 200, 200, url="/api/history?prim=/Line/Belt&name=speed&t0_ns=0&t1_ns=1"),
    ("GET", "/api/signals"): Row(401, 200, 200, 200, 200),
    ("GET", "/api/versions"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/versions"): Row(401, 403, 403, 201, 201, json={"label": "Monday"}),
    ("GET", "/api/versions/diff"): Row(401, 200, 200, 200, 200, url="/api/versions/diff?before=-1"),
    ("POST", "/api/versions/{id}/restore"): Row(401, 403, 403, 404, 404, json={}, url="/api/versions/999/restore"),
    ("GET", "/api/proposals"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/proposals"): Row(401, 403, 403, 409, 409, json={"label": "nothing was edited"}),
    ("GET", "/api/proposals/{id}"): Row(401, 404, 404, 404, 404, url="/api/proposals/999"),
    ("POST", "/api/proposals/{id}/merge"): Row(401, 403, 403, 404, 404, json={}, url="/api/proposals/999/merge"),
    ("DELETE", "/api/proposals/{id}"): Row(401, 403, 403, 404, 404, url="/api/proposals/999"),
    ("POST", "/api/proposals/{id}/reopen"): Row(401, 403, 403, 404, 404, url="/api/proposals/999/reopen"),
    ("GET", "/api/activity"): Row(401, 200, 200, 200, 200),
    ("GET", "/api/export"): Row(401, 404, 404, 404, 404, url="/api/export?version=-5"),
    ("GET", "/api/comments"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/comments"): Row(401, 403, 201, 201, 201, json={"path": "/Line/Sign", "text": "higher?"}),
    ("PATCH", "/api/comments/{id}"): Row(401, 403, 404, 404, 404, json={"resolved": True}, url="/api/comments/999"),
    ("DELETE", "/api/comments/{id}"): Row(401, 403, 404, 404, 404, url="/api/comments/999"),
    ("POST", "/api/logout"): Row(401, 204, 204, 204, 204),
    ("GET", "/api/me"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/share"): Row(401, 403, 403, 403, 201, json={"role": "viewer"}),
    ("GET", "/api/access"): Row(401, 403, 403, 403, 200),
    ("DELETE", "/api/access/{key}"): Row(401, 403, 403, 403, 404, url="/api/access/none"),
    ("GET", "/api/users"): Row(401, 403, 403, 403, 200),
    ("PUT", "/api/users/{name}"): Row(401, 403, 403, 403, 422, json={"role": "viewer"}, url="/api/users/Nobody"),
    ("DELETE", "/api/users/{name}"): Row(401, 403, 403, 403, 404, url="/api/users/Nobody"),
    ("POST", "/api/password"): Row(401, 409, 409, 409, 409, json={"old": "", "new": ""}),
    ("GET", "/api/rules"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/rules"): Row(401, 403, 403, 403, 201, json={"path": "/Line/Lamp", "role": "admin"}),
    ("DELETE", "/api/rules/{id}"): Row(401, 403, 403, 403, 404, url="/api/rules/999"),
    ("POST", "/api/uploads"): Row(401, 403, 403, 422, 422, url="/api/uploads?name=nothing.exe"),
    ("GET", "/api/audit"): Row(401, 403, 403, 403, 200),
    ("GET", "/api/track"): Row(401, 200, 200, 200, 200),
    ("GET", "/api/track/{chunk}"): Row(401, 404, 404, 404, 404, url="/api/track/none"),
    ("GET", "/api/plant"): Row(401, 200, 200, 200, 200),
    ("GET", "/api/physics"): Row(401, 200, 200, 200, 200),
    ("GET", "/api/timeline"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/bookmarks"): Row(401, 403, 201, 201, 201, json={"time_ns": 1, "text": "here"}),
    ("GET", "/api/bookmarks"): Row(401, 200, 200, 200, 200),
    ("PATCH", "/api/bookmarks/{id}"): Row(401, 403, 404, 404, 404, json={"text": "there"}, url="/api/bookmarks/999"),
    ("DELETE", "/api/bookmarks/{id}"): Row(401, 403, 404, 404, 404, url="/api/bookmarks/999"),
    ("GET", "/api/alarms"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/alarms/ack"): Row(401, 403, 200, 200, 200, json={"ids": [999]}),
    ("GET", "/api/limits"): Row(401, 200, 200, 200, 200),
    ("PUT", "/api/limits"): Row(401, 403, 403, 200, 200, json={"prim": "/Line/Belt", "name": "speed", "high": 9}),
    ("GET", "/api/history/at"): Row(401, 200, 200, 200, 200, url="/api/history/at?t_ns=1"),
    ("GET", "/api/edits/at"): Row(401, 200, 200, 200, 200, url="/api/edits/at?t_ns=1"),
    ("GET", "/api/history/diff"): Row(401, 200, 200, 200, 200, url="/api/history/diff?before=1&after=2"),
    ("GET", "/api/residuals"): Row(401, 200, 200, 200, 200),
    ("GET", "/api/metrics"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/plant/{connection}/restart"): Row(401, 403, 404, 404, 404, url="/api/plant/none/restart"),
    ("POST", "/api/plant/{connection}/test"): Row(401, 403, 404, 404, 404, url="/api/plant/none/test"),
    ("POST", "/api/plant/arm"): Row(401, 403, 403, 403, 404, json={"prim": "/Line/Belt", "name": "speed"}),
    ("POST", "/api/plant/write"): Row(401, 403, 404, 404, 404, json={"prim": "/A", "name": "b", "value": 1, "seen_ns": 0}),
    ("POST", "/api/in/{connection}"): Row(401, 403, 404, 404, 404, json=1, url="/api/in/none"),
    ("POST", "/api/in/{connection}/{channel:path}"): Row(401, 403, 404, 404, 404, json=1, url="/api/in/none/a/b"),
    ("GET", "/api/studies"): Row(401, 200, 200, 200, 200),
    ("POST", "/api/studies"): Row(401, 403, 403, 422, 422, json={"sweep": {"/A.x": list(range(99)), "/B.x": list(range(99))}}),
    ("GET", "/api/studies/{study_id}"): Row(401, 404, 404, 404, 404, url="/api/studies/none"),
    ("POST", "/api/studies/{study_id}/run"): Row(401, 403, 403, 404, 404, url="/api/studies/none/run"),
    ("DELETE", "/api/studies/{study_id}"): Row(401, 403, 403, 404, 404, url="/api/studies/none"),
    ("GET", "/api/studies/{study_id}/report"): Row(401, 404, 404, 404, 404, url="/api/studies/none/report"),
}
ROWS = OPEN | GUARDED
WEBSOCKETS = {"/api/ws", "/api/in/{connection}", "/api/in/{connection}/{channel:path}"}
MOUNTS = {""}
"""The static files of the page; what lies outside OPEN_PATHS and /assets/ needs a token like everything else."""


@pytest.fixture(scope="module")
def tokens(server) -> dict[str, str]:
    shared = {role: server.share(role) for role in ("viewer", "operator", "editor")}
    return {"nobody": "", "admin": server.token} | shared


def ask(http: httpx.Client, key: tuple[str, str], row: Row, headers: dict[str, str] | None = None) -> httpx.Response:
    return http.request(key[0], row.url or key[1], json=row.json, headers=headers)


def flat(routes: list[Any]) -> list[Any]:
    """Routes, those of included routers among them."""
    out = []
    for route in routes:
        inner = getattr(getattr(route, "original_router", None), "routes", None)
        out += flat(inner) if inner is not None else [route]
    return out


def test_no_route_is_without_a_row(tmp_path: Path) -> None:
    stage = tmp_path / "stage.usda"
    stage.write_text('#usda 1.0\n(\n    metersPerUnit = 1\n)\ndef Xform "World"\n{\n}\n')
    host = Host(Settings(stage, tmp_path / "project"))
    try:
        routes = flat(list(create_app(host).routes))
        found = {(method, r.path) for r in routes if isinstance(r, APIRoute) for method in r.methods}
        assert found == set(ROWS)
        assert {r.path for r in routes if isinstance(r, APIWebSocketRoute)} == WEBSOCKETS
        assert {r.path for r in routes if isinstance(r, Mount)} <= MOUNTS
        known = (APIRoute, APIWebSocketRoute, Mount)
        assert [r for r in routes if not isinstance(r, known)] == []
    finally:
        host.stop()


@pytest.mark.parametrize("who", ["nobody", "viewer", "operator", "editor", "admin"])
def test_each_gets_what_the_role_allows(server, tokens, who: str) -> None:
    with server.http(tokens[who]) as http:
        got = {key: ask(http, key, row).status_code for key, row in ROWS.items()}
    wanted = {key: getattr(row, who) for key, row in ROWS.items()}
    if got[("GET", "/")] in PAGE:
        wanted[("GET", "/")] = got[("GET", "/")]
    assert got == wanted


def test_another_origin_gets_nothing_whatever_its_token(server, tokens) -> None:
    port = server.url.rsplit(":", 1)[1]
    for origin in ("https://evil.example", "null", "", f"http://localhost:{int(port) + 1}", f"http://evil.example:{port}"):
        with server.http(tokens["admin"]) as http:
            got = {ask(http, key, row, {"Origin": origin}).status_code for key, row in ROWS.items()}
        assert got == {403}, origin
    with server.http(tokens["viewer"]) as http:
        assert http.get("/api/me", headers={"Origin": server.url}).status_code == 200


def test_another_host_name_gets_nothing(server, tokens) -> None:
    """A name that an attacker's DNS points at this machine."""
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.1:80@evil.example", "[::1", ""):
        with server.http(tokens["admin"]) as http:
            got = {ask(http, key, row, {"Host": host}).status_code for key, row in ROWS.items()}
        assert got <= {421, 400}, host


def test_the_websocket_tells_strangers_why_it_closes(server, tokens) -> None:
    address = server.url.replace("http", "ws") + "/api/ws"
    cases = [
        ({}, 4401),
        ({"Authorization": "Bearer wrong"}, 4401),
        ({"Authorization": f"Bearer {tokens['admin']}", "Origin": "https://evil.example"}, 4403),
    ]
    for headers, code in cases:
        with connect(address, additional_headers=headers) as socket:
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=5)
            assert socket.close_code == code


def test_the_cookie_serves_as_the_token_and_scripts_cannot_read_it(server, tokens) -> None:
    with server.http("") as http:
        answer = http.post("/api/login", json={"token": tokens["viewer"]})
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"].lower()
        assert cookie.startswith("twin_")
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        name, value = next(iter(http.cookies.items()))
        assert http.get("/api/me").json()["role"] == "viewer"
        # other servers of this host name set cookies as well, some of them odd
        odd = {"Cookie": f'other={{"a": 1}}; {name}={value}'}
        http.cookies.clear()
        assert http.get("/api/me", headers=odd).status_code == 200
        out = http.post("/api/logout", headers=odd)
        assert "max-age=0" in out.headers["set-cookie"].lower()
    with server.http("") as http:
        assert http.get("/api/me", headers={"Cookie": f"{name}="}).status_code == 401
        assert http.get("/api/me", headers={"Cookie": f"{name}=guess"}).status_code == 401


def test_every_answer_carries_the_page_s_protection(server, tokens) -> None:
    with server.http(tokens["admin"]) as http:
        for path in ("/", "/api/scene", "/api/nothing"):
            headers = http.get(path).headers
            assert "script-src 'self'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


def test_bad_requests_are_answered_in_one_line(server, tokens) -> None:
    with server.http(tokens["admin"]) as http:
        assert http.post("/api/share", json={"role": "king"}).status_code == 422
        assert http.post("/api/share", json={"role": "viewer", "expires_s": -1}).status_code == 422
        assert http.post("/api/versions", content=b"{").status_code == 422
        assert http.post("/api/versions", json={"label": "x" * 2_000_000}).status_code == 413
        gone = http.get("/api/prim", params={"path": "/Line/Nobody"})
        assert gone.status_code == 404
        assert "/Line/Nobody" in gone.json()["error"]
        assert http.get("/api/prim", params={"path": "not a path"}).status_code in (404, 409)
        assert http.get("/../../etc/passwd").status_code in (401, 404)


def test_who_guesses_is_slowed_and_nobody_else_is() -> None:
    tries = Tries()
    tried = lambda *whom, n: [tries.begin(*whom) for _ in range(n)]  # noqa: E731
    assert tried("10.0.0.1", "ann", n=12) == [True] * 10 + [False] * 2
    assert tried("10.0.0.1", "bob", n=12) == [True] * 10 + [False] * 2, "20 from one address"
    assert not tries.begin("10.0.0.1"), "tokens count as well"
    assert tries.begin("10.0.0.2", "ann")
    tries.succeeded("10.0.0.2", "ann")
    # what was right does not count
    for _ in range(200):
        assert tries.begin("10.0.0.3", "cid")
        tries.succeeded("10.0.0.3", "cid")
    # from many addresses at one account: its owner comes in from where they have been before
    assert [tries.begin(f"10.0.{i}.9", "ann") for i in range(150)].count(True) < 100
    assert tries.begin("10.0.0.2", "ann")
    assert tries.begin("10.0.200.9", "dan")
    # of version 6 one has many
    assert [tries.begin(f"2001:db8::{i}") for i in range(21)] == [True] * 20 + [False]
    assert tries.begin("2001:db8:0:1::1")
    buckets = Buckets(1.0, 1.0)
    for i in range(KEPT + 5):
        buckets.of(i)
    assert len(buckets) == KEPT


def test_guessing_tokens_gets_slow(server) -> None:
    with server.http("") as http, ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda i: http.post("/api/login", json={"token": f"guess {i}"}).status_code, range(40)))
    assert set(codes) == {401, 429}
    with server.http() as http:
        assert http.post("/api/login", json={"token": server.token}).status_code == 204


def test_what_was_done_about_access_is_on_record(server) -> None:
    server.share("operator", user="Olga", label="night shift")
    with server.http() as http:
        [row] = [row for row in http.get("/api/access").json() if row["user"] == "Olga"]
        http.delete(f"/api/access/{row['id']}")
        log = http.get("/api/audit").json()
    assert [(e["actor"], e["action"], e["detail"]) for e in log[:2]] == [
        ("admin", "revoke", "operator Olga"),
        ("admin", "grant", "operator Olga"),
    ]
    assert int(log[0]["time_ns"]) >= int(log[1]["time_ns"])

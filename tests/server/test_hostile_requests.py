"""Requests that mean harm: bodies that no encoder makes, and pages elsewhere that make a browser ask."""

from __future__ import annotations

import pytest

from tests.server.test_routes import GUARDED, ROWS

LONE = '"\\ud800"'
BODIES = {
    "a lone surrogate": f'{{"label": {LONE}, "text": {LONE}, "path": "/", "role": {LONE}, "name": {LONE}, "token": {LONE}}}',
    "not a number": '{"label": NaN, "text": NaN, "time_ns": NaN, "since": NaN, "value": NaN, "role": NaN, "token": NaN}',
    "infinite": '{"label": Infinity, "time_ns": -Infinity, "since": 1e999, "expires_s": 1e999, "role": "viewer", "text": 1e999}',
    "an endless number": f'{{"time_ns": {"9" * 5000}, "since": {"9" * 5000}, "opid": {"9" * 400}, "label": "x", "text": "x"}}',
    "nested without end": "[" * 100_000 + "]" * 100_000,
    "the same key twice": '{"label": "a", "label": {"a": 1}, "text": "a", "text": [], "role": "viewer", "role": "king"}',
    "no utf-8": b'{"label": "\xff\xfe", "text": "\xc0\xaf", "role": "\x80"}',
    "a text": '"x"',
    "null": "null",
    "utf-16": '{"label": "x"}'.encode("utf-16"),
    "a null character": '{"label": "\\u0000", "text": "\\u0000", "path": "/\\u0000", "name": "\\u0000", "user": "\\u0000"}',
}
WRITES = sorted(key for key in ROWS if key[0] in ("POST", "PUT", "PATCH") and key[1] not in ("/api/uploads", "/api/logout"))


@pytest.mark.parametrize("case", BODIES)
def test_no_body_breaks_a_route(server, case: str) -> None:
    broken = []
    with server.http() as http:
        for method, path in WRITES:
            url = ROWS[method, path].url or path
            answer = http.request(method, url, content=BODIES[case], headers={"Content-Type": "application/json"})
            if answer.status_code >= 500:
                broken.append((method, url, answer.status_code, answer.text[:200]))
        assert broken == []
        assert http.get("/api/scene").status_code == 200


def test_a_page_elsewhere_cannot_have_a_browser_ask(server) -> None:
    """A picture or a script in a page of another port of this host: the browser sends the cookie and no Origin."""
    with server.http() as http:
        for site in ("cross-site", "same-site"):
            for method, path in GUARDED:
                url = ROWS[method, path].url or path
                answer = http.request(method, url, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})
                assert answer.status_code == 403, (site, method, path)
        for site, mode in (("same-origin", "cors"), ("none", "navigate"), ("cross-site", "navigate")):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
            assert http.get("/api/me", headers=headers).status_code == 200, site


def test_nothing_that_is_for_one_person_is_kept_for_another(server) -> None:
    token = server.share("viewer")
    with server.http(token) as http:
        for method, path in GUARDED:
            if method == "GET":
                answer = http.get(ROWS[method, path].url or path)
                kept = answer.headers["cache-control"]
                assert "no-store" in kept or "private" in kept, path
                assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    with server.http("") as http:
        assert http.get("/api/scene").headers["cache-control"] == "no-store"


def test_a_cookie_that_somebody_else_set_does_not_stand_before_one_s_own(server) -> None:
    with server.http("") as http:
        http.post("/api/login", json={"token": server.share("viewer")})
        name, value = next(iter(http.cookies.items()))
        http.cookies.clear()
        for cookie in (f"{name}=planted; {name}={value}", f"{name}={value}; {name}=planted"):
            assert http.get("/api/me", headers={"Cookie": cookie}).status_code == 200
        assert http.get("/api/me", headers={"Cookie": f"{name}=planted"}).status_code == 401


def test_what_is_large_comes_packed_and_secrets_never_do(server) -> None:
    with server.http() as web:
        web.headers["Accept-Encoding"] = "gzip"
        scene = web.get("/api/scene")
        assert (scene.headers["Content-Encoding"], "Accept-Encoding" in scene.headers["Vary"]) == ("gzip", True)
        assert len(scene.json()["prims"]) > 0
        for _ in range(12):
            assert web.post("/api/share", json={"role": "viewer"}).status_code < 300
        assert "Content-Encoding" not in web.get("/api/share").headers
        web.headers["Accept-Encoding"] = "identity"
        assert web.get("/api/scene").content == scene.content

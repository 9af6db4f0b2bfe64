"""Meshes and textures by their hash, one by one and several in one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from twin.scene.render import AssetStore
from twin.server.routes import scene


@pytest.fixture
def store() -> AssetStore:
    return AssetStore()


Get = Callable[..., httpx.Response]


@pytest.fixture
def get(store: AssetStore) -> Get:
    """The routes of the scene over a store; who may ask is tested with all routes."""
    app = FastAPI()
    app.state.context = SimpleNamespace(host=SimpleNamespace(assets=store))
    app.include_router(scene.router)

    async def ask(url: str | httpx.URL, options: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://twin") as client:
            return await client.get(url, **options)

    return lambda url, **options: asyncio.run(ask(url, options))


def taken_apart(data: bytes) -> list[bytes | None]:
    """What an answer for several holds; None for what is to be asked for alone."""
    out: list[bytes | None] = []
    while data:
        if data[:4] == scene.ALONE:
            out.append(None)
            data = data[4:]
            continue
        size = int.from_bytes(data[:4], "little")
        out.append(data[4 : 4 + size])
        data = data[4 + size + -size % 4 :]
    return out


def test_several_come_in_one_answer_in_the_order_asked_for(get: Get, store: AssetStore) -> None:
    blobs = [bytes([i]) * (1000 + i) for i in range(6)]
    large = b"L" * (scene.SMALL_ASSET + 1)
    keys = [store.put(blob) for blob in blobs]
    answer = get("/api/assets", params={"ids": ",".join([*keys[:3], store.put(large), *keys[3:]])})
    assert taken_apart(answer.content) == [*blobs[:3], None, *blobs[3:]]
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < 500
    again = get(answer.url, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = get(answer.url, headers={"Accept-Encoding": "identity"})
    assert (plain.content, "content-encoding" in plain.headers) == (answer.content, False)
    assert [get(f"/api/assets/{key}").content for key in keys] == blobs


def test_an_answer_for_several_is_bounded(get: Get, store: AssetStore) -> None:
    keys = [store.put(bytes([i]) * scene.SMALL_ASSET) for i in range(20)]
    parts = taken_apart(get("/api/assets", params={"ids": ",".join(keys)}).content)
    assert [part is not None for part in parts] == [True] * 16 + [False] * 4
    assert get("/api/assets", params={"ids": ",".join(keys * 6)}).status_code == 422
    assert get("/api/assets").status_code == 422
    missing = get("/api/assets", params={"ids": f"{keys[0]},{'0' * 64}"})
    assert (missing.status_code, "0000" in missing.json()["detail"]) == (404, True)
    assert "immutable" not in missing.headers.get("cache-control", "")

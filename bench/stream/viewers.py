"""Headless viewers in a process of their own: ``python -m bench.stream.viewers URL TOKEN --count N --seconds S``.

They shake hands like a page, read everything, and take the age of each frame from its header (now minus the stamp that it got
where the simulation was). Payloads are counted, not decoded: the machine's cores are wanted for the server. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import struct
import time
from urllib.parse import urlsplit

from twin.protocol.frames import HEADER, MAGIC
from twin.protocol.messages import PROTOCOL_VERSION, Hello, Presence, encode

PAUSE_S = 0.5
"""A slow reader takes what has arrived twice a second and leaves the rest to the network."""
OP_PING = 9


class Viewer(asyncio.Protocol):
    """One connection. ``ages`` [s] and ``sizes`` [bytes] of the frames since ``begin``."""

    def __init__(self, host: str, token: str, *, slow: bool = False, camera: list[float] | None = None) -> None:
        self._host, self._token, self._slow, self._camera = host, token, slow, camera
        self._head = bytearray()
        self._left = 0
        self._kept = bytearray()
        self._size = 0
        self._shaken = False
        self.ages: list[float] = []
        self.sizes: list[int] = []
        self.control = 0
        self.begin = float("inf")
        self.welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /api/ws HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {self._token}\r\n\r\n".encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        if not self.welcome.done():
            self.welcome.set_exception(error or ConnectionError("closed before the welcome"))

    def _send(self, payload: bytes, opcode: int = 2) -> None:
        """A masked message; the mask is zero, so nothing has to be turned over."""
        size = len(payload)
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
        self.transport.write(head + b"\0\0\0\0" + payload)

    def data_received(self, data: bytes) -> None:
        at = 0
        if not self._shaken:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in self._head[:20]:
                raise ConnectionError(self._head[:end].decode())
            data, self._head, self._shaken = bytes(self._head[end + 4 :]), bytearray(), True
            self._send(encode(Hello(PROTOCOL_VERSION, "Viewer")))
        while at < len(data):
            if self._left == 0:
                at = self._begin_message(data, at)
                continue
            part = data[at : at + self._left]
            if len(self._kept) < HEADER.size:
                self._kept += part[: HEADER.size - len(self._kept)]
            self._left -= len(part)
            at += len(part)
            if self._left == 0:
                self._message()
        if self._slow:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _begin_message(self, data: bytes, at: int) -> int:
        """Collect a header of 2, 4 or 10 bytes; the server does not mask."""
        while True:
            need = 2 if len(self._head) < 2 else {126: 4, 127: 10}.get(self._head[1] & 127, 2)
            if len(self._head) >= need:
                break
            if at == len(data):
                return at
            self._head.append(data[at])
            at += 1
        small = self._head[1] & 127
        size = small if small < 126 else int.from_bytes(self._head[2:], "big")
        self._opcode = self._head[0] & 15
        self._head, self._kept, self._left, self._size = bytearray(), bytearray(), size, size
        if size == 0:
            self._message()
        return at

    def _message(self) -> None:
        if self._opcode == OP_PING:
            self._send(bytes(self._kept), 10)
            return
        if self._opcode != 2:
            return
        if self._kept[:4] == MAGIC:
            if time.perf_counter() >= self.begin:
                self.ages.append(time.time() - HEADER.unpack(self._kept)[5])
                self.sizes.append(self._size)
            return
        self.control += 1
        if not self.welcome.done():
            self.welcome.set_result(None)
            if self._camera:
                self._send(encode(Presence(camera=self._camera)))


async def _connect(url: str, token: str, *, slow: bool, camera: list[float] | None) -> Viewer:
    where = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, viewer = await loop.create_connection(
        lambda: Viewer(where.netloc, token, slow=slow, camera=camera), where.hostname, where.port
    )
    await viewer.welcome
    return viewer


async def _lateness(late: list[float]) -> None:
    """How late a bare timer is [s]: what the machine itself adds to the age of a frame."""
    while True:
        due = time.perf_counter() + 0.005
        await asyncio.sleep(0.005)
        late.append(time.perf_counter() - due)


async def watch(options: argparse.Namespace) -> dict[str, object]:
    """Connect, wait for the word on stdin, watch."""
    camera = [float(v) for v in options.camera.split(",")] if options.camera else None

    async def connect(number: int) -> list[Viewer]:
        made = []
        for _ in range(number):
            made.append(await _connect(options.url, options.token, slow=options.slow, camera=camera))
        return made

    viewers = await connect(options.count)
    print("connected", flush=True)
    await asyncio.to_thread(input)
    begin = time.perf_counter()
    for viewer in viewers:
        viewer.begin = begin
    late: list[float] = []
    clock = asyncio.create_task(_lateness(late))
    storms = []
    if options.storm:
        while time.perf_counter() < begin + options.seconds - 1.0:
            await asyncio.sleep(1.0)
            at = time.perf_counter()
            for viewer in viewers:
                viewer.transport.abort()
            fresh = [_connect(options.url, options.token, slow=False, camera=camera) for _ in viewers]
            viewers = list(await asyncio.gather(*fresh))
            storms.append(time.perf_counter() - at)
    await asyncio.sleep(max(0.0, begin + options.seconds - time.perf_counter()))
    seconds = time.perf_counter() - begin
    clock.cancel()
    lost = sum(viewer.ended.done() for viewer in viewers)
    for viewer in viewers:
        viewer.transport.abort()
    return {
        "ages": [round(a, 5) for v in viewers for a in v.ages],
        "sizes": [s for v in viewers for s in v.sizes],
        "seconds": seconds,
        "lost": lost,
        "late": [round(v, 5) for v in late],
        "storms": storms,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--camera", default="")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--storm", action="store_true")
    print(json.dumps(asyncio.run(watch(parser.parse_args()))))


if __name__ == "__main__":
    main()

"""Scenes of earlier edits and of parts, from a process beside the server: nobody's view stands still for them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from twin.collab.lookback import Answer, Question
from twin.core.errors import InputError, Rejected, WorkError
from twin.core.pipes import read_message, write_message
from twin.scene.render import AssetStore

T = TypeVar("T")
KEPT = 64
"""Documents kept ready."""
LARGEST_KEPT = 4 << 20
"""Of larger ones only few [bytes]."""
FEW = 8
IDLE_S = 300.0
"""Nobody asks for so long, and the process ends."""
TIMEOUT_S = 120.0
MAX_WAITING = 16
STOP_S = 5.0


class PastScenes:
    """The process, one question at a time, and what it answered last.

    Args:
        stage: The stage file. project: Folder of the journal. asset_root: Folder that all assets lie in.
        name: What the stage is called. assets: Gets the meshes and textures of what is answered.
    """

    def __init__(self, stage: Path, project: Path, asset_root: Path, name: str, assets: AssetStore) -> None:
        paths = [str(path.resolve()) for path in (stage, project, asset_root)]
        self._command = [sys.executable, "-m", "twin.collab.lookback", *paths, name]
        self._root, self._assets = asset_root, assets
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="twin-past")
        self._waiting = 0
        self._closed = False
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: threading.Timer | None = None
        self._docs: OrderedDict[tuple[str, ...], Answer] = OrderedDict()

    async def scene(self, seq: int) -> bytes:
        """SceneDoc as JSON, as the stage was after the edit ``seq``.

        Raises:
            WorkError: The process was lost, or took too long. Rejected: Too many are waiting.
        """
        return await self._next(lambda: self._kept(("scene", str(seq)), Question("scene", seq)))

    async def prim(self, seq: int, path: str) -> bytes:
        """PrimDetail as JSON, as the prim was after the edit ``seq``.

        Raises:
            InputError: There was none. WorkError, Rejected: See ``scene``.
        """
        return await self._next(lambda: self._ask(Question("prim", seq, path)).doc)

    async def part(self, asset: str) -> bytes:
        """SceneDoc as JSON, with prims and materials only, of a part of the library.

        Raises:
            InputError: There is no such part. WorkError, Rejected: See ``scene``.
        """

        def ask() -> bytes:
            try:
                changed = os.stat(self._root / asset).st_mtime_ns
            except (OSError, ValueError):
                raise InputError("there is no such part in the library", file=asset) from None
            return self._kept(("part", asset, str(changed)), Question("part", path=asset))

        return await self._next(ask)

    def close(self) -> None:
        """End the process; what is being asked fails."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._process is not None:
            self._process.kill()
        with self._lock:
            self._end()

    async def _next(self, ask: Callable[[], T]) -> T:
        if self._closed:
            raise Rejected("stopping", "the twin has stopped")
        if self._waiting >= MAX_WAITING:
            raise Rejected("busy", "too many are looking back; try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        finally:
            self._waiting -= 1

    def _kept(self, key: tuple[str, ...], question: Question) -> bytes:
        """The document of a question, made only if it is not here with all that it names."""
        known = self._docs.get(key)
        if known is None or any(self._assets.get(blob) is None for blob in known.keys):
            known = self._docs[key] = self._ask(question)
        self._docs.move_to_end(key)
        large = [k for k, answer in self._docs.items() if len(answer.doc) > LARGEST_KEPT]
        for old in [*large[:-FEW], *list(self._docs)[:-KEPT]]:
            self._docs.pop(old, None)
        return known.doc

    def _ask(self, question: Question) -> Answer:
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            answer = self._talk(question)
            missing = [key for key in answer.keys if self._assets.get(key) is None]
            if missing:
                for data in self._talk(Question("blobs", keys=missing)).blobs.values():
                    self._assets.put(data)
            self._idle = threading.Timer(IDLE_S, self._rest)
            self._idle.daemon = True
            self._idle.start()
        if answer.error:
            raise InputError(answer.error)
        return answer

    def _talk(self, question: Question) -> Answer:
        if self._process is None:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
            self._process = subprocess.Popen(self._command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        late = threading.Timer(TIMEOUT_S, process.kill)
        late.start()
        try:
            write_message(process.stdin, msgspec.msgpack.encode(question))
            data = read_message(process.stdout)
        except OSError:
            data = None
        finally:
            late.cancel()
        if data is None:
            self._end()
            raise WorkError("the process that looks back was lost, or took too long; try again")
        return msgspec.msgpack.decode(data, type=Answer)

    def _rest(self) -> None:
        """Timer: nobody has asked for a while."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(STOP_S)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what could not be flushed was for a process that is gone
                if pipe is not None:
                    pipe.close()

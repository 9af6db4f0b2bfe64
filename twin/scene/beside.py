"""Work beside: a process of its own compiles the edited stage, or draws a large mesh of it, so that whoever owns the stage does
not stand still for it.

The process has the same stage open, is told of every accepted transaction, and compiles or draws when it is asked to. It reads
requests from its standard input and answers on its standard output (``twin.core.pipes``), MessagePack in, pickle out. It ends
when its input does, so it never outlives the server.

``python -m twin.scene.beside STAGE ASSET_ROOT``
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from twin.core import log
from twin.core.errors import InputError, Rejected, WorkError
from twin.core.findings import Findings
from twin.core.pipes import own_output, read_message, write_message
from twin.model.factory import FactoryModel
from twin.protocol.messages import Op
from twin.scene.render.surface import Drawn

TOLD_AT_ONCE = 500
"""So many transactions are gathered before the process is told of them, where nothing is to be compiled."""
MOST_UNTOLD = 16 << 20
"""When so much is gathered or on its way to the process [bytes], it is told the whole text of the edits the next time instead."""
STOP_S = 5.0


class Request(msgspec.Struct):
    """``text``: the edits as they are, in place of all that was told before. Then ``txns`` are applied, in order."""

    text: str | None
    txns: list[list[Op]]
    compile: bool
    draw: str = ""
    """Path of a mesh to draw."""


class _Told(msgspec.Struct):
    """A ``Request`` on its way, with transactions that are encoded already."""

    text: str | None
    txns: list[msgspec.Raw]
    compile: bool
    draw: str = ""


class ProcessBeside:
    """The process and what it still has to be told. All methods belong to the thread that owns the stage.

    However long a compilation takes, what waits for it is bounded: beyond ``MOST_UNTOLD`` single transactions are let go, and the
    text of all edits takes their place when something is to be compiled.

    Args:
        stage: The stage file. asset_root: Folder that all assets lie in. text: Gives the edits as USDA; asked at the start, and
            again when the process was lost.
    """

    def __init__(self, stage: Path, asset_root: Path, text: Callable[[], str]) -> None:
        self._command = [sys.executable, "-m", "twin.scene.beside", str(stage), str(asset_root)]
        self._text = text
        self._untold: list[msgspec.Raw] = []
        self._bytes = 0
        self._anew = False
        self._talk: _Talk | None = None

    def start(self) -> None:
        """Have it open the stage, so that it is ready when it is needed."""
        if self._talk is None or self._talk.lost.is_set():
            if self._talk is not None:
                self._talk.close()
            self._talk = _Talk(self._command)
            self._anew = True
            self._tell(None)

    def applied(self, txn: list[Op]) -> None:
        """A transaction was accepted."""
        if self._talk is None or self._anew:
            return  # the text of the edits will hold it
        data = msgspec.Raw(msgspec.msgpack.encode(txn))
        self._untold.append(data)
        self._bytes += len(data)
        if self._bytes + self._talk.bytes > MOST_UNTOLD:
            self._anew = True
            self._untold, self._bytes = [], 0
        elif len(self._untold) >= TOLD_AT_ONCE:
            self._tell(None)

    def forget(self) -> None:
        """What it was told no longer holds: accepted transactions have been taken back."""
        if self._talk is not None:
            self._talk.close()
            self._talk = None
        self._untold, self._bytes, self._anew = [], 0, False

    def compile(self) -> Future[FactoryModel]:
        """Compile the stage as it stands now.

        The future holds the model; InputError where it cannot be compiled; WorkError where the process was lost, which says
        nothing about the stage.
        """
        return self._ask("")

    def draw(self, path: str) -> Future[Drawn]:
        """Draw a mesh of the stage as it stands now.

        The future holds it, or WorkError where the process was lost.
        """
        return self._ask(path)

    def _ask(self, draw: str) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            self.start()
        except OSError as error:
            future.set_exception(WorkError(f"no process to work in: {error}"))
        else:
            self._tell(future, draw)
        return future

    def _tell(self, future: Future[Any] | None, draw: str = "") -> None:
        if self._talk is None:
            return
        told = _Told(self._text() if self._anew else None, self._untold, future is not None and not draw, draw)
        self._untold, self._bytes, self._anew = [], 0, False
        self._talk.ask(told, future)

    def close(self) -> None:
        """End it."""
        self.forget()


class _Talk:
    """One process and the thread that talks to it: neither a full pipe nor a long compilation holds up the owner.

    Attributes:
        bytes: Of transactions that the process has not read yet.
    """

    def __init__(self, command: list[str]) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._requests: queue.Queue[tuple[_Told, int, Future[Any] | None] | None] = queue.Queue()
        self._counting = threading.Lock()
        self.bytes = 0
        self.lost = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._main, name="twin-beside", daemon=True)
        self._thread.start()

    def ask(self, request: _Told, future: Future[Any] | None) -> None:
        size = sum(map(len, request.txns))
        with self._counting:
            self.bytes += size
        self._requests.put((request, size, future))
        if self.lost.is_set():
            self._refuse_others()  # the thread has looked for them already

    def close(self) -> None:
        """End the process; whoever waits for it is told that it was lost."""
        self._closing = True
        self._requests.put(None)
        self._process.terminate()
        self._thread.join(STOP_S)

    def _main(self) -> None:
        into, out = self._process.stdin, self._process.stdout
        if into is None or out is None:
            raise RuntimeError("no pipes")
        waiting: Future[Any] | None = None
        try:
            while (item := self._requests.get()) is not None:
                request, size, waiting = item
                write_message(into, msgspec.msgpack.encode(request))
                with self._counting:
                    self.bytes -= size
                if waiting is not None:
                    answer = read_message(out)
                    if answer is None:
                        raise EOFError("it ended")
                    _settle(waiting, answer)
        except (OSError, EOFError) as error:
            if not self._closing:
                log.get("beside").warning("the process beside was lost", reason=str(error), code=self._process.poll())
        finally:
            self.lost.set()
            if waiting is not None and not waiting.done():
                waiting.set_exception(WorkError("the process beside was lost"))
            self._refuse_others()
            for pipe in (into, out):
                with suppress(OSError):  # what could not be flushed was for a process that is gone
                    pipe.close()
            self._process.kill()
            self._process.wait()

    def _refuse_others(self) -> None:
        while True:
            try:
                item = self._requests.get_nowait()
            except queue.Empty:
                return
            if item is not None and item[2] is not None:
                item[2].set_exception(WorkError("the process beside was lost"))


def _settle(future: Future[Any], answer: bytes) -> None:
    found = pickle.loads(answer)
    if isinstance(found, FactoryModel | Drawn):
        future.set_result(found)
    else:
        text, prim, attribute = found
        future.set_exception(InputError(text, prim=prim, attribute=attribute))


# ---- in the process


def serve(stage_path: Path, asset_root: Path, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until they end.

    Raises:
        TwinError: The stage cannot be opened, or a transaction that was accepted elsewhere does not apply: both are reasons
            to be lost, and to begin anew from the text of the edits.
    """
    from twin.scene.edits import apply_txn, layer_from_text, make_edit_layer
    from twin.scene.factory import compile_factory
    from twin.scene.stage import open_stage

    stage = open_stage(stage_path, asset_root)
    layer = make_edit_layer(stage)
    decode = msgspec.msgpack.Decoder(Request).decode
    while (data := read_message(requests)) is not None:
        request = decode(data)
        if request.text is not None:
            layer_from_text(layer, request.text)
        for txn in request.txns:
            apply_txn(stage, layer, txn, asset_root=asset_root, internal=True)
        if request.compile:
            answer: Any
            try:
                answer = compile_factory(stage)
            except InputError as error:
                answer = (error.message, error.prim, error.attribute)
            write_message(answers, pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL))
        if request.draw:
            write_message(answers, pickle.dumps(_draw(stage, request.draw), protocol=pickle.HIGHEST_PROTOCOL))


def _draw(stage: Any, path: str) -> Drawn:
    from twin.scene.render.geometry import read_surface
    from twin.scene.render.surface import encode

    findings = Findings()
    prim = stage.GetPrimAtPath(path)
    surface = read_surface(prim, findings) if prim else None
    return Drawn(b"" if surface is None else encode(surface), list(findings))


def main(arguments: list[str]) -> int:
    """``STAGE ASSET_ROOT``"""
    answers = own_output()
    try:
        serve(Path(arguments[0]), Path(arguments[1]), sys.stdin.buffer, answers)
    except (Rejected, InputError, WorkError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        return 0  # the server has gone
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

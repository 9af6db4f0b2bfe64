"""How the stage looks: drawn by the owner of the stage, and large meshes by a process beside."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from twin.collab import Document
from twin.core import log
from twin.core.findings import Finding
from twin.protocol.documents import PrimDoc
from twin.protocol.messages import Op
from twin.scene.beside import ProcessBeside
from twin.scene.render import AssetStore, SceneExtractor
from twin.scene.render.surface import Drawn


class Drawing:
    """All on the owner thread, but for what ``tell`` is called on.

    Args:
        assets: Gets the meshes.
        tell: Called on any thread when a mesh was drawn beside, with what the owner has to call: it gives the prim to tell
            everybody of, or None where nothing of it is wanted any more.

    Attributes:
        extractor: What is drawn.
    """

    def __init__(self, document: Document, assets: AssetStore, tell: Callable[[Callable[[], PrimDoc | None]], None]) -> None:
        self._assets, self._tell = assets, tell
        self._log = log.get("host")
        self.extractor = SceneExtractor(
            document.stage,
            assets=assets,
            edit_layer=document.layer,
            asset_root=document.asset_root,
            later=self._put_off,
        )
        self.beside = ProcessBeside(document.path, document.asset_root, document.text)
        self._waiting: list[tuple[str, Callable[[Future[Drawn]], None]]] = []

    def applied(self, txn: list[Op]) -> None:
        """The stage has been edited."""
        self.beside.applied(txn)

    def forget(self) -> None:
        """The stage is not what the process beside was told."""
        self.beside.forget()

    def close(self) -> None:
        self.beside.close()

    def ask(self) -> None:
        """Have drawn what was put off, now that the process beside knows of the edit that is being told of."""
        waiting, self._waiting = self._waiting, []
        for path, put in waiting:
            self.beside.draw(path).add_done_callback(put)

    def _put_off(self, path: str, ticket: object, *, again: bool = True) -> None:
        def put(done: Future[Drawn]) -> None:
            error = done.exception()
            drawn = Drawn(b"", []) if error is not None else done.result()
            mesh = self._assets.put(drawn.data) if drawn.data else "" if error is None else None
            if error is None or not again:
                self._tell(lambda: self._take(path, ticket, mesh, drawn.findings))
            else:
                self._tell(lambda: self._once_more(path, ticket, str(error)))

        self._waiting.append((path, put))

    def _once_more(self, path: str, ticket: object, reason: str) -> None:
        """The process was lost, which may have had other reasons than this mesh."""
        if self.extractor.waits_for(path, ticket):
            self._log.warning("a mesh is drawn again", prim=path, reason=reason)
            self._put_off(path, ticket, again=False)
            self.ask()

    def _take(self, path: str, ticket: object, mesh: str | None, findings: list[Finding]) -> PrimDoc | None:
        """How a prim looks, if it still is what it was."""
        if mesh is None:
            findings = [Finding("warning", path, "shown-as-bounds", "the mesh could not be drawn and is shown as a box")]
        doc = self.extractor.drawn(path, ticket, mesh, findings)
        if not self.extractor.waits:
            self.forget()
        return doc

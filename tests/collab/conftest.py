"""A small stage that several people edit."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twin.collab import Document

STAGE = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    def Cube "A"
    {
        double size = 1
        double3 xformOp:translate = (1, 0, 0)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
    def Cube "B"
    {
    }
    def Xform "Group"
    {
        def Sphere "Ball"
        {
        }
    }
}
"""


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    path = tmp_path / "stage.usda"
    path.write_text(STAGE)
    return path


@pytest.fixture
def opened(stage: Path, tmp_path: Path) -> Iterator[Callable[[], Document]]:
    """Opens the document; called again, it closes the one before and opens anew as a restart does."""
    documents: list[Document] = []

    def make() -> Document:
        if documents:
            documents.pop().close()
        documents.append(Document(stage, tmp_path / "project"))
        return documents[-1]

    yield make
    for document in documents:
        document.close()

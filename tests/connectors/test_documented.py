"""Every driver, every option and every command of the connectors is documented where a person looks for it."""

import re
from pathlib import Path

import pytest

from twin.cli.connectors import app
from twin.connectors.drivers import KINDS
from twin.connectors.mapping import parse

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "connectors.md").read_text()


@pytest.mark.parametrize("name", list(KINDS))
def test_a_driver_has_a_page_with_its_limits_and_all_its_options(name):
    folder = name.replace("-", "_")
    text = (ROOT / "twin" / "connectors" / "drivers" / folder / "README.md").read_text()
    assert "## Known limits" in text
    assert f"[{name}](../twin/connectors/drivers/{folder}/README.md)" in GUIDE
    example = re.search(r"```yaml\n(connections:.*?)```", text, re.DOTALL)
    assert example is not None
    loaded = parse("schema: twin.mapping/1\n" + example[1], file=name, folder=ROOT)
    assert {c.driver for c in loaded.connections} == {name}
    fields = {*KINDS[name].options.model_fields, *KINDS[name].source.model_fields}
    assert [field for field in sorted(fields) if not re.search(rf"\b{field}\b", text)] == []


def test_commands_are_in_the_guide():
    names = [c.name or c.callback.__name__ for c in app.registered_commands]
    assert [n for n in names if f"twin connectors {n}" not in GUIDE] == []


def test_mappings_of_the_guide_and_the_tutorial_are_read(tmp_path):
    for document in ("connectors.md", "connector-tutorial.md"):
        for text in re.findall(r"```yaml\n(schema:.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL):
            assert parse(text, file=document, folder=tmp_path).points

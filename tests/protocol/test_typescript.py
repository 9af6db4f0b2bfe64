"""The browser's types are the server's types."""

from pathlib import Path
from typing import get_args

from twin.protocol import messages
from twin.protocol.typescript import generate

COMMITTED = Path(__file__).parents[2] / "web_viewer" / "src" / "protocol" / "messages.gen.ts"


def test_the_committed_types_are_those_of_the_messages():
    assert COMMITTED.read_text(encoding="utf-8") == generate(), "run `make types`"


def test_every_message_is_told_apart_by_its_tag():
    text = generate()
    for cls in {*get_args(messages.ClientMessage), *get_args(messages.ServerMessage)}:
        assert f'export interface {cls.__name__} {{\n  t: "{cls.__struct_config__.tag}";\n' in text, cls.__name__


def test_records_sent_as_arrays_are_tuples_and_omitted_defaults_are_optional():
    text = generate()
    assert "export type Kpi = [name: string, value: number | null, unit: string];" in text
    assert "  geometry?: Geometry | null;\n" in text
    assert "  body?: number;\n" in text
    assert "  skipped: string[];\n" in text, "the server always sends it"

"""Writes the schema's files from its definition: ``python -m twin.scene.schema.generate [--check]``."""

from __future__ import annotations

import sys

from twin.scene.schema.texts import FOLDER, REFERENCE, generated_schema, plug_info, schema_reference


def main() -> None:
    outputs = {
        FOLDER / "plugInfo.json": plug_info(),
        FOLDER / "generatedSchema.usda": generated_schema(),
        REFERENCE: schema_reference(),
    }
    stale = [path for path, text in outputs.items() if not path.is_file() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"stale: {path.name}; run python -m twin.scene.schema.generate", file=sys.stderr)
        sys.exit(1 if stale else 0)
    for path in stale:
        path.write_text(outputs[path])


if __name__ == "__main__":
    main()

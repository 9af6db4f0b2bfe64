"""The schema: USD knows it, the files are those of the definition, and coming too late is an error."""

import subprocess
import sys

from pxr import Usd

from twin.scene import register_schemas
from twin.scene.schema import APIS
from twin.scene.schema.texts import FOLDER, REFERENCE, generated_schema, plug_info, schema_reference


def test_generated_files_are_current():
    assert (FOLDER / "plugInfo.json").read_text() == plug_info()
    assert (FOLDER / "generatedSchema.usda").read_text() == generated_schema()
    assert REFERENCE.read_text() == schema_reference()


def test_usd_knows_every_api_and_property_with_doc():
    register_schemas()
    registry = Usd.SchemaRegistry()
    for api in APIS:
        definition = registry.FindAppliedAPIPrimDefinition(api.name)
        for p in api.properties:
            assert p.name in definition.GetPropertyNames()
            assert definition.GetPropertyDocumentation(p.name) == p.doc


def test_fallbacks_reach_a_prim():
    stage = Usd.Stage.CreateInMemory()
    prim = stage.DefinePrim("/A")
    prim.ApplyAPI("TwinBufferAPI")
    prim.ApplyAPI("TwinSignalAPI", "level")
    assert prim.GetAttribute("twin:buffer:capacity").Get() == 1
    assert prim.GetAttribute("twin:signal:level:role").Get() == "measurement"


def test_too_late_is_said():
    code = (
        "from pxr import Usd\n"
        "s = Usd.Stage.CreateInMemory(); s.DefinePrim('/A', 'Xform')\n"
        "from twin.core.errors import SceneError\n"
        "try:\n    import twin.scene\nexcept SceneError as e:\n    print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "too late" in done.stdout, done.stderr

"""Everything USD: the only package that imports pxr. Importing it registers the Twin schemas."""

from twin.scene.schema import register_schemas

# No stage may be opened before this: USD would drop the schemas in silence.
register_schemas()

from twin.scene.check import check_stage  # noqa: E402
from twin.scene.factory import compile_factory  # noqa: E402
from twin.scene.load import load_rigid  # noqa: E402
from twin.scene.samples import write_samples  # noqa: E402
from twin.scene.scenario import OpenScenario, Settable, compile_scenario, list_settable, open_scenario  # noqa: E402
from twin.scene.schema.texts import schema_reference  # noqa: E402
from twin.scene.signals import list_signals  # noqa: E402
from twin.scene.stage import find_asset_root, open_stage, project_folder  # noqa: E402

__all__ = [
    "OpenScenario",
    "Settable",
    "check_stage",
    "compile_factory",
    "compile_scenario",
    "find_asset_root",
    "list_settable",
    "list_signals",
    "load_rigid",
    "open_scenario",
    "open_stage",
    "project_folder",
    "register_schemas",
    "schema_reference",
    "write_samples",
]

"""Small stages as text."""

from pathlib import Path

import pytest

from twin.scene import open_stage

LINE = """#usda 1.0
(
    defaultPrim = "Line"
    metersPerUnit = {mpu}
    upAxis = "Z"
)
def Xform "Line"
{{
    class Xform "Carton" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "TwinItemAPI"])
    {{
        token twin:item:type = "carton"
        def Cube "Box" (prepend apiSchemas = ["PhysicsCollisionAPI"])
        {{
            double size = 0.4
        }}
    }}
    def Cube "In" (prepend apiSchemas = ["TwinSourceAPI"])
    {{
        double3 xformOp:translate = (-1, 0, 1.25)
        uniform token[] xformOpOrder = ["xformOp:translate"]
        token twin:source:interarrival:distribution = "exponential"
        double twin:source:interarrival:mean = 5
        rel twin:source:items = </Line/Carton>
        rel twin:next = </Line/Belt>
    }}
    def Xform "Belt" (prepend apiSchemas = ["TwinConveyorAPI", "TwinSignalAPI:speed"])
    {{
        double twin:conveyor:speed = 0.5
        rel twin:next = </Line/M>
        custom double twin:signal:speed:value = 0.5
        string twin:signal:speed:unit = "m/s"
        def Cube "Bed" (prepend apiSchemas = ["PhysicsCollisionAPI"])
        {{
            double3 xformOp:translate = (1, 0, 0.9)
            float3 xformOp:scale = (1.5, 0.3, 0.1)
            uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
        }}
    }}
    def Cube "M" (prepend apiSchemas = ["TwinStationAPI"])
    {{
        double3 xformOp:translate = (3, 0, 1)
        uniform token[] xformOpOrder = ["xformOp:translate"]
        double twin:station:cycleTime:mean = 4
        custom double twin:station:cycleTime:type:carton:mean = 3
        rel twin:next = </Line/Out>
    }}
    def Cube "Out" (prepend apiSchemas = ["TwinSinkAPI"])
    {{
        double3 xformOp:translate = (5, 0, 1)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }}
}}
"""


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A source, a belt, a machine and a sink, in metres."""
    path = tmp_path / "line.usda"
    path.write_text(LINE.format(mpu=1))
    return path


@pytest.fixture
def stage_of(tmp_path: Path):
    """Opens a stage made of the given prims: ``stage_of(body, mpu=1.0, up="Z")``."""
    count = 0

    def make(body: str, *, mpu: float = 1.0, up: str = "Z", extra: str = ""):
        nonlocal count
        count += 1
        path = tmp_path / f"stage{count}.usda"
        path.write_text(f'#usda 1.0\n(\n    metersPerUnit = {mpu}\n    upAxis = "{up}"\n{extra}\n)\n{body}\n')
        return open_stage(path)

    return make

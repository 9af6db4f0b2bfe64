"""A run written as USD plays the same poses back."""

import numpy as np
import pytest
from pxr import Usd, UsdGeom

from twin.scene import compile_factory, open_stage, write_samples
from twin.scene.samples import GoodsSamples


@pytest.mark.parametrize("suffix", ["usda", "usdc"])
def test_poses_come_back_through_scale_parents_and_units(tmp_path, suffix):
    (tmp_path / "a.usda").write_text(
        """#usda 1.0
(
    defaultPrim = "W"
    metersPerUnit = 0.01
    upAxis = "Z"
    timeCodesPerSecond = 24
)
def Xform "W" {
    double3 xformOp:translate = (100, 0, 0)
    float xformOp:rotateZ = 90
    uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:rotateZ"]
    def Xform "A" (apiSchemas = ["PhysicsRigidBodyAPI"]) {
        float3 xformOp:scale = (2, 3, 4)
        uniform token[] xformOpOrder = ["xformOp:scale"]
        def Xform "B" (apiSchemas = ["PhysicsRigidBodyAPI"]) {
        }
    }
}
"""
    )
    rng = np.random.default_rng(2)
    positions, rotations = rng.normal(size=(3, 2, 3)), rng.normal(size=(3, 2, 4))
    rotations /= np.linalg.norm(rotations, axis=2, keepdims=True)
    out = tmp_path / f"run.{suffix}"
    write_samples(tmp_path / "a.usda", out, np.array([0.0, 0.5, 1.0]), ["/W/A", "/W/A/B"], positions, rotations)
    stage = Usd.Stage.Open(str(out))
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, 24)
    assert UsdGeom.GetStageMetersPerUnit(stage) == 0.01
    for t, code in enumerate((0, 12, 24)):
        cache = UsdGeom.XformCache(code)
        for b, path in enumerate(("/W/A", "/W/A/B")):
            matrix = np.array(cache.GetLocalToWorldTransform(stage.GetPrimAtPath(path)))
            np.testing.assert_allclose(matrix[3, :3] * 0.01, positions[t, b], atol=1e-9)
            x, y, z, w = rotations[t, b]
            image = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)])
            np.testing.assert_allclose(matrix[0, :3] / np.linalg.norm(matrix[0, :3]), image, atol=1e-9)
        a = np.array(cache.GetLocalToWorldTransform(stage.GetPrimAtPath("/W/A")))
        np.testing.assert_allclose(np.linalg.norm(a[:3, :3], axis=1), [2, 3, 4])


GOODS = """#usda 1.0
(
    defaultPrim = "W"
    metersPerUnit = 0.01
    upAxis = "Z"
    timeCodesPerSecond = 10
)
def Xform "W" {
    double3 xformOp:translate = (100, 0, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
    def Xform "Box" (apiSchemas = ["TwinItemAPI", "PhysicsRigidBodyAPI"]) {
        float3 xformOp:scale = (2, 2, 2)
        double3 xformOp:translate = (0, 0, -900)
        uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
        def Cube "Body" (apiSchemas = ["PhysicsCollisionAPI"]) {
            double size = 10
        }
    }
    def Scope "S" (apiSchemas = ["TwinSourceAPI"]) {
        double twin:source:interarrival:mean = 100
        rel twin:source:items = </W/Box>
    }
}
"""


def test_goods_appear_move_and_vanish(tmp_path):
    (tmp_path / "a.usda").write_text(GOODS)
    # one slot: item 0 at three times, nobody, then item 7
    item = np.array([[0], [0], [0], [-1], [7]])
    position = np.arange(15, dtype=float).reshape(5, 1, 3)
    rotation = np.tile([0.0, 0.0, np.sin(0.5), np.cos(0.5)], (5, 1, 1))
    goods = GoodsSamples(["/W/Box"], item, np.zeros((5, 1), int), position, rotation)
    out = tmp_path / "run.usdc"
    none = np.zeros((5, 0, 3)), np.zeros((5, 0, 4))
    write_samples(tmp_path / "a.usda", out, np.arange(5) / 10, [], *none, goods)
    stage = Usd.Stage.Open(str(out))
    first, last = stage.GetPrimAtPath("/W/TwinGoods").GetChildren()
    assert [first.GetName(), last.GetName()] == ["Item_0_Box", "Item_7_Box"]
    shown = [[UsdGeom.Imageable(p).ComputeVisibility(t) == "inherited" for t in range(5)] for p in (first, last)]
    assert shown == [[True, True, True, False, False], [False, False, False, False, True]]
    for code, prim in ((0, first), (2, first), (4, last)):
        matrix = np.array(UsdGeom.XformCache(code).GetLocalToWorldTransform(prim))
        np.testing.assert_allclose(matrix[3, :3] * 0.01, position[code, 0])
        np.testing.assert_allclose(np.linalg.norm(matrix[:3, :3], axis=1), 2.0)
    # what is played has no physics of its own: the stage compiles as before
    before, after = compile_factory(open_stage(tmp_path / "a.usda")).rigid, compile_factory(open_stage(out)).rigid
    assert (len(after.bodies), len(after.shapes), len(after.prototypes)) == (len(before.bodies), len(before.shapes), 1)

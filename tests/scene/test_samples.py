"""A run written as USD plays the same poses back."""

import numpy as np
import pytest
from pxr import Usd, UsdGeom

from twin.scene import write_samples


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

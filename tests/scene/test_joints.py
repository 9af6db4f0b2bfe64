"""UsdPhysics joints: frames in SI, axes, limits, drives and breaking, and what two jointed bodies ignore."""

from pathlib import Path

import numpy as np
import pytest

from twin.core.findings import Findings
from twin.scene import load_rigid, open_stage

EXAMPLES = Path(__file__).parents[3] / "shared" / "data" / "usdphysics"
BODIES = """def Cube "A" (apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsCollisionAPI"]) {
    double size = 10
}
def Xform "B" (apiSchemas = ["PhysicsRigidBodyAPI"]) {
    float3 xformOp:scale = (2, 1, 1)
    double3 xformOp:translate = (0, 50, 0)
    uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
    def Cube "Shape" (apiSchemas = ["PhysicsCollisionAPI"]) {
        double size = 10
    }
}
"""


def joints(stage_of, text, mpu=0.01):
    findings = Findings()
    model = load_rigid(stage_of(BODIES + text, mpu=mpu), findings)
    return model, list(findings)


def test_hinge_with_limit_and_drive(stage_of):
    model, findings = joints(
        stage_of,
        """def PhysicsRevoluteJoint "J" (apiSchemas = ["PhysicsDriveAPI:angular"]) {
    rel physics:body0 = </A>
    rel physics:body1 = </B/Shape>
    point3f physics:localPos0 = (0, 25, 0)
    point3f physics:localPos1 = (3, -25, 0)
    uniform token physics:axis = "Z"
    float physics:lowerLimit = -30
    float physics:upperLimit = 45
    float physics:breakForce = 100
    float drive:angular:physics:stiffness = 1000
    float drive:angular:physics:damping = 10
    float drive:angular:physics:targetPosition = 90
    float drive:angular:physics:maxForce = 5000
}""",
    )
    (joint,) = model.joints
    assert findings == []
    assert (joint.body0, joint.body1) == (0, 1)
    np.testing.assert_allclose(joint.position0, [0, 0.25, 0])
    np.testing.assert_allclose(joint.position1, [0.06, -0.25, 0], atol=1e-12)
    assert joint.lower[3] == pytest.approx(np.radians(-30))
    assert joint.upper[3] == pytest.approx(np.radians(45))
    assert all(joint.lower[k] > joint.upper[k] for k in (0, 1, 2, 4, 5)), "everything else is locked"
    drive = joint.drives[3]
    # torques are kg cm2/s2, stiffness is one per degree
    assert drive.stiffness == pytest.approx(1000 * 1e-4 * 180 / np.pi)
    assert drive.damping == pytest.approx(10 * 1e-4 * 180 / np.pi)
    assert drive.position == pytest.approx(np.pi / 2)
    assert drive.max_force == pytest.approx(0.5)
    assert joint.break_force == pytest.approx(1.0)
    assert model.filtered_pairs == [(0, 1)], "jointed bodies do not collide"


def test_slide_ball_distance_and_fixed(stage_of):
    model, _ = joints(
        stage_of,
        """def PhysicsPrismaticJoint "J1" (apiSchemas = ["PhysicsDriveAPI:linear"]) {
    rel physics:body1 = </A>
    uniform token physics:axis = "Y"
    float physics:lowerLimit = -3
    float drive:linear:physics:stiffness = 200
    uniform token drive:linear:physics:type = "acceleration"
}
def PhysicsSphericalJoint "J2" {
    rel physics:body0 = </A>
    rel physics:body1 = </B>
    float physics:coneAngle0Limit = 20
    float physics:coneAngle1Limit = 30
    bool physics:collisionEnabled = true
}
def PhysicsDistanceJoint "J3" {
    rel physics:body1 = </A>
    float physics:maxDistance = 20
}
def PhysicsFixedJoint "J4" {
    rel physics:body1 = </A>
    bool physics:jointEnabled = false
}""",
    )
    slide, ball, distance = model.joints
    assert (slide.body0, slide.body1) == (-1, 0)
    assert slide.lower[0] == pytest.approx(-0.03)
    assert np.isinf(slide.upper[0])
    assert slide.drives[0].stiffness == pytest.approx(200)
    assert slide.drives[0].acceleration
    np.testing.assert_allclose(ball.cone, np.radians([20, 30]))
    assert ball.collides
    assert (distance.min_distance, distance.max_distance) == (-1.0, pytest.approx(0.2))
    assert model.filtered_pairs == []


def test_a_joint_that_holds_nothing_is_a_finding(stage_of):
    model, findings = joints(stage_of, 'def PhysicsFixedJoint "J" {\n}')
    assert model.joints == []
    assert [(f.path, f.code) for f in findings] == [("/J", "not-simulated")]


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the folder of OpenUSD's example stages is absent")
def test_the_driven_example_turns_ten_degrees_a_second_about_the_vertical():
    from twin.physics import World

    model = load_rigid(open_stage(EXAMPLES / "usdPhysicsJoints.usda"), Findings())
    world = World(model)
    world.step(60 * 6)
    np.testing.assert_allclose(np.degrees(world.angular_velocity.numpy()[0, 0]), [0, 0, 10], atol=0.05)
    assert np.degrees(world.joint_coordinates(0)[5]) == pytest.approx(60, abs=1.0)
    assert np.abs(world.joint_coordinates(0)[:3]).max() < 0.001

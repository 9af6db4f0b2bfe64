"""UsdPhysics to SI bodies and shapes, against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from twin.core.findings import Findings
from twin.model.rigid import BodyKind, Combine, Shape, ShapeKind
from twin.scene import load_rigid, open_stage
from twin.scene.frames import rotation_of

EXAMPLES = Path(__file__).parents[3] / "shared" / "data" / "usdphysics"
BODY = '"PhysicsRigidBodyAPI", "PhysicsCollisionAPI"'
IDENTITY = [0, 0, 0, 1]


def load(stage):
    findings = Findings()
    return load_rigid(stage, findings), {f.code for f in findings}


def test_colliders_that_are_no_shape_are_named(stage_of):
    findings = Findings()
    load_rigid(stage_of('def Xform "Group" (apiSchemas = ["PhysicsCollisionAPI"]) {\n}'), findings)
    assert [(f.path, f.code) for f in findings] == [("/Group", "not-simulated")]


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the folder of OpenUSD's example stages is absent")
@pytest.mark.parametrize("name", ["BoxOnBox", "Joints", "PairFiltering", "SpheresWithMaterial"])
def test_examples_in_centimetres(name):
    model, codes = load(open_stage(EXAMPLES / f"usdPhysics{name}.usda"))
    np.testing.assert_allclose(model.gravity, [0, 0, -9.81])
    assert codes == set()
    if name == "BoxOnBox":
        box, ground = model.shapes
        np.testing.assert_allclose(model.bodies[0].position, [0, 0, 5])
        np.testing.assert_allclose(model.bodies[0].linear_velocity, [0.02, 0.01, 0.02])
        np.testing.assert_allclose(model.bodies[0].angular_velocity, [np.pi / 180, 0, 0])
        assert model.bodies[0].mass == pytest.approx(0.25**3 * 1000)
        np.testing.assert_allclose(box.size, 0.125)
        np.testing.assert_allclose(ground.size, [7.5, 7.5, 0.1])
    if name == "PairFiltering":
        assert model.filtered_pairs == [(0, 1)]
    if name == "SpheresWithMaterial":
        assert sorted(m.restitution for m in model.materials[1:]) == pytest.approx([0.1, 0.8])
        assert [s.kind for s in model.shapes].count(ShapeKind.MESH) == 1


def test_gravity_follows_the_scene_and_the_up_axis(stage_of):
    model, _ = load(stage_of("", up="Y", mpu=0.01))
    np.testing.assert_allclose(model.gravity, [0, -9.81, 0])
    scene = (
        'def PhysicsScene "S" {\n    float physics:gravityMagnitude = 400\n    vector3f physics:gravityDirection = (0, 0, 2)\n}'
    )
    model, _ = load(stage_of(scene, mpu=0.01))
    np.testing.assert_allclose(model.gravity, [0, 0, 4])


def test_scale_shear_free_is_baked_and_rotation_kept(stage_of):
    model, _ = load(
        stage_of(
            f"""def Xform "A" {{
    double3 xformOp:translate = (100, 0, 0)
    float xformOp:rotateZ = 90
    float3 xformOp:scale = (2, 3, 4)
    uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:rotateZ", "xformOp:scale"]
    def Cube "B" (apiSchemas = [{BODY}]) {{
        double size = 100
        double3 xformOp:translate = (10, 0, 0)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }}
    def Cylinder "C" (apiSchemas = ["PhysicsCollisionAPI"]) {{
        uniform token axis = "X"
        double radius = 10
        double height = 20
    }}
}}""",
            mpu=0.01,
        )
    )
    np.testing.assert_allclose(model.bodies[0].position, [1, 0.2, 0], atol=1e-12)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(model.bodies[0].rotation, [0, 0, half, half], atol=1e-12)
    box, cylinder = model.shapes
    np.testing.assert_allclose(box.size, [1, 1.5, 2])
    np.testing.assert_allclose(cylinder.size, [0.4, 0.2, 0])
    assert model.bodies[0].mass == pytest.approx(2 * 3 * 4 * 1000)


def test_shear_becomes_a_hull_with_the_right_volume(stage_of):
    model, _ = load(
        stage_of(
            """def Xform "B" (apiSchemas = ["PhysicsRigidBodyAPI"]) {
    float3 xformOp:scale = (2, 1, 1)
    uniform token[] xformOpOrder = ["xformOp:scale"]
    def Cube "C" (apiSchemas = ["PhysicsCollisionAPI"]) {
        double size = 1
        float xformOp:rotateZ = 45
        uniform token[] xformOpOrder = ["xformOp:rotateZ"]
    }
}"""
        )
    )
    assert model.shapes[0].kind == ShapeKind.HULL
    assert model.bodies[0].mass == pytest.approx(2000, rel=1e-5)


def test_compound_mass_centre_and_inertia(stage_of):
    model, _ = load(
        stage_of(
            """def Xform "B" (apiSchemas = ["PhysicsRigidBodyAPI"]) {
    def Sphere "L" (apiSchemas = ["PhysicsCollisionAPI", "PhysicsMassAPI"]) {
        double radius = 0.1
        float physics:mass = 1
        double3 xformOp:translate = (-1, 0, 0)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
    def Sphere "R" (apiSchemas = ["PhysicsCollisionAPI", "PhysicsMassAPI"]) {
        double radius = 0.1
        float physics:mass = 3
        double3 xformOp:translate = (1, 0, 0)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
}"""
        )
    )
    body = model.bodies[0]
    assert body.mass == pytest.approx(4)
    np.testing.assert_allclose(body.com, [0.5, 0, 0])
    own = 0.4 * 4 * 0.01
    np.testing.assert_allclose(np.sort(body.inertia), np.sort([own, own + 3, own + 3]))


def test_mass_precedence(stage_of):
    material = 'def Material "M" (apiSchemas = ["PhysicsMaterialAPI"]) {\n    float physics:density = 500\n}\n'

    def mass(attributes: str, mpu: float = 1.0, extra: str = "") -> float:
        apis = f'{BODY}, "PhysicsMassAPI", "MaterialBindingAPI"'
        text = f'{material}def Cube "B" (apiSchemas = [{apis}]) {{\n    double size = 1\n{attributes}\n}}'
        return load(stage_of(text, mpu=mpu, extra=extra))[0].bodies[0].mass

    bind = "    rel material:binding:physics = </M>\n"
    assert mass("") == pytest.approx(1000)
    assert mass(bind) == pytest.approx(500)
    assert mass(bind + "    float physics:density = 200\n") == pytest.approx(200)
    assert mass(bind + "    float physics:density = 200\n    float physics:mass = 7") == pytest.approx(7)
    assert mass("    float physics:density = 0.002\n", mpu=0.01) == pytest.approx(0.002)
    assert mass("    float physics:mass = 7\n", extra="    kilogramsPerUnit = 0.001") == pytest.approx(0.007)


TWO_PARTS = """def Material "M" (apiSchemas = ["PhysicsMaterialAPI"]) {{
    float physics:density = 500
}}
def Xform "B" (apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsMassAPI"]) {{
{body}
    def Cube "One" (apiSchemas = ["PhysicsCollisionAPI", "PhysicsMassAPI", "MaterialBindingAPI"]) {{
        double size = 1
{one}
    }}
    def Cube "Two" (apiSchemas = ["PhysicsCollisionAPI"]) {{
        double size = 1
        double3 xformOp:translate = (2, 0, 0)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }}
}}"""
BIND = "rel material:binding:physics = </M>"


@pytest.mark.parametrize(
    ("body", "one", "mass", "com"),
    [
        # each rung wins over all below it; the other cube shows what it leaves alone
        ("", "", 2000, 1.0),
        ("", BIND, 1500, 2 * 1000 / 1500),
        ("float physics:density = 200", BIND, 400, 1.0),
        ("float physics:density = 200", f"{BIND}\nfloat physics:density = 300", 500, 2 * 200 / 500),
        ("float physics:density = 200", f"{BIND}\nfloat physics:density = 300\nfloat physics:mass = 7", 207, 2 * 200 / 207),
        ("float physics:mass = 10\nfloat physics:density = 200", f"{BIND}\nfloat physics:mass = 7", 10, 2 * 200 / 207),
        # zero is as if nothing were authored
        ("float physics:mass = 0\nfloat physics:density = 0", "float physics:mass = 0\nfloat physics:density = 0", 2000, 1.0),
        # a body's centre wins over what its shapes say, a shape's over its geometry
        ("point3f physics:centerOfMass = (0.3, 0, 0)", "point3f physics:centerOfMass = (0.4, 0, 0)", 2000, 0.3),
        ("", "point3f physics:centerOfMass = (0.4, 0, 0)", 2000, 1.2),
    ],
)
def test_each_rung_of_the_mass_precedence(stage_of, body, one, mass, com):
    found = load(stage_of(TWO_PARTS.format(body=body, one=one)))[0].bodies[0]
    assert found.mass == pytest.approx(mass)
    assert found.com[0] == pytest.approx(com)


def test_moments_of_a_shape_and_of_its_body(stage_of):
    """A shape's moments about its own axes go into the body's by Steiner; the body's own replace them all."""
    one = "float physics:mass = 3\nfloat3 physics:diagonalInertia = (1, 2, 4)\n"
    one += "quatf physics:principalAxes = (0.70710677, 0, 0, 0.70710677)"
    found = load(stage_of(TWO_PARTS.format(body="float physics:density = 6", one=one)))[0].bodies[0]
    # turned by 90 degrees about Z: (2, 1, 4); the other cube has 6 kg, moments of 1, and is 2 m away
    apart = 3.0 * 6.0 / 9.0 * 4.0
    np.testing.assert_allclose(found.inertia, [2 + 1, 1 + 1 + apart, 4 + 1 + apart], rtol=1e-5)
    own = load(stage_of(TWO_PARTS.format(body="float3 physics:diagonalInertia = (5, 6, 7)", one=one)))[0].bodies[0]
    np.testing.assert_allclose(own.inertia, [5, 6, 7])


BRACKET = """def Mesh "Bracket" (apiSchemas = [{apis}]) {{
    uniform token physics:approximation = "convexDecomposition"
    int[] faceVertexCounts = [6, 6, 4, 4, 4, 4, 4, 4]
    int[] faceVertexIndices = [3,2,1,0,5,4, 9,10,11,6,7,8, 0,1,7,6, 1,2,8,7, 2,3,9,8, 3,4,10,9, 4,5,11,10, 5,0,6,11]
    point3f[] points = [(0,0,0), (1,0,0), (1,0.2,0), (0.2,0.2,0), (0.2,1,0), (0,1,0),
                        (0,0,0.3), (1,0,0.3), (1,0.2,0.3), (0.2,0.2,0.3), (0.2,1,0.3), (0,1,0.3)]
}}"""


def test_a_bracket_is_taken_apart_into_convex_pieces(stage_of):
    pytest.importorskip("coacd", reason="CoACD is not installed (the decompose extra)")
    from twin.physics import World, overlaps

    stage = stage_of(BRACKET.format(apis=f'{BODY}, "PhysicsMeshCollisionAPI"'))
    model, findings = load(stage)
    again, _ = load(stage)
    shape = model.shapes[0]
    assert len(shape.pieces) == 2
    assert findings == set()
    assert model.bodies[0].mass == pytest.approx(1000 * 0.3 * (0.2 + 0.16)), "of the mesh itself, not of its pieces"
    for a, b in zip(shape.pieces, again.shapes[0].pieces, strict=True):
        np.testing.assert_array_equal(model.meshes[a].vertices, again.meshes[b].vertices)
    world = World(model)
    ball = Shape("/ball", ShapeKind.SPHERE, position=np.array([0.6, 0.6, 0.15]), size=np.array([0.1, 0, 0]))
    assert overlaps(world, ball) == [], "the notch is open"
    ball.position = np.array([0.1, 0.9, 0.15])
    assert overlaps(world, ball) == [(0, 0)]


def test_without_the_library_a_decomposition_is_one_hull_and_a_finding(stage_of, monkeypatch):
    monkeypatch.setattr("twin.scene.colliders.available", lambda: False)
    model, findings = load(stage_of(BRACKET.format(apis=f'{BODY}, "PhysicsMeshCollisionAPI"')))
    assert model.shapes[0].pieces == ()
    assert findings == {"hull-instead"}


def test_capsule_and_hull_masses(stage_of):
    points = "[(0,0,0), (1,0,0), (0,1,0), (0,0,1), (0.1,0.1,0.1)]"
    model, _ = load(
        stage_of(
            f"""def Capsule "C" (apiSchemas = [{BODY}]) {{
    double radius = 0.5
    double height = 2
}}
def Mesh "T" (apiSchemas = [{BODY}, "PhysicsMeshCollisionAPI"]) {{
    uniform token physics:approximation = "convexHull"
    int[] faceVertexCounts = [3, 3, 3, 3]
    int[] faceVertexIndices = [0,2,1, 0,1,3, 0,3,2, 1,2,3]
    point3f[] points = {points}
}}"""
        )
    )
    capsule, tetrahedron = model.bodies
    assert capsule.mass == pytest.approx(1000 * np.pi * (0.25 * 2 + 4 / 3 * 0.125))
    assert tetrahedron.mass == pytest.approx(1000 / 6, rel=1e-5)
    np.testing.assert_allclose(tetrahedron.com, 0.25, rtol=1e-5)
    # A capsule's moments, against many points inside it.
    rng = np.random.default_rng(1)
    p = rng.uniform(-1.5, 1.5, (400_000, 3))
    inside = np.hypot(np.hypot(p[:, 0], p[:, 1]), np.maximum(np.abs(p[:, 2]) - 1, 0)) < 0.5
    q = p[inside]
    across, along = (q[:, 1] ** 2 + q[:, 2] ** 2).mean(), (q[:, 0] ** 2 + q[:, 1] ** 2).mean()
    np.testing.assert_allclose(capsule.inertia / capsule.mass, [across, across, along], rtol=0.02)


def test_authored_inertia_and_velocity_in_stage_units(stage_of):
    model, _ = load(
        stage_of(
            f"""def Sphere "B" (apiSchemas = [{BODY}, "PhysicsMassAPI", "PhysxRigidBodyAPI"]) {{
    float physics:mass = 2
    float3 physics:diagonalInertia = (10000, 20000, 30000)
    point3f physics:centerOfMass = (5, 0, 0)
    vector3f physics:velocity = (100, 0, 0)
    uniform bool physics:startsAsleep = 1
    float physxRigidBody:linearDamping = 0.3
    float physxRigidBody:maxLinearVelocity = 3
}}""",
            mpu=0.01,
        )
    )
    body = model.bodies[0]
    np.testing.assert_allclose(body.inertia, [1, 2, 3])
    np.testing.assert_allclose(body.com, [0.05, 0, 0])
    np.testing.assert_allclose(body.linear_velocity, [1, 0, 0])
    assert body.starts_asleep
    assert body.linear_damping == pytest.approx(0.3)


def test_surface_velocity_in_local_space_takes_the_scale(stage_of):
    model, codes = load(
        stage_of(
            """def Cube "Belt" (apiSchemas = ["PhysicsCollisionAPI", "PhysicsRigidBodyAPI", "PhysxSurfaceVelocityAPI"]) {
    bool physics:kinematicEnabled = 1
    vector3f physxSurfaceVelocity:surfaceVelocity = (0.5, 0, 0)
    float xformOp:rotateZ = 90
    float3 xformOp:scale = (8, 1, 1)
    uniform token[] xformOpOrder = ["xformOp:rotateZ", "xformOp:scale"]
}"""
        )
    )
    belt = model.shapes[0]
    np.testing.assert_allclose(belt.surface_linear, [4, 0, 0], atol=1e-9)
    assert (belt.surface_drive, belt.surface_world) == (1.0, False)
    assert model.bodies[0].kind == BodyKind.KINEMATIC
    assert "surface-velocity-scaled" in codes


def test_surface_velocity_in_world_space_and_a_turntable(stage_of):
    api = '"PhysicsCollisionAPI", "PhysxSurfaceVelocityAPI"'
    model, _ = load(
        stage_of(
            f"""def Cube "A" (apiSchemas = [{api}]) {{
    bool physxSurfaceVelocity:surfaceVelocityLocalSpace = 0
    vector3f physxSurfaceVelocity:surfaceVelocity = (50, 0, 0)
    float xformOp:rotateZ = 90
    uniform token[] xformOpOrder = ["xformOp:rotateZ"]
}}
def Cylinder "B" (apiSchemas = [{api}]) {{
    vector3f physxSurfaceVelocity:surfaceAngularVelocity = (0, 0, 180)
}}
def Cube "Off" (apiSchemas = [{api}]) {{
    bool physxSurfaceVelocity:surfaceVelocityEnabled = 0
    vector3f physxSurfaceVelocity:surfaceVelocity = (50, 0, 0)
}}""",
            mpu=0.01,
        )
    )
    a, b, off = model.shapes
    assert a.surface_world
    np.testing.assert_allclose(a.surface_linear, [0.5, 0, 0])
    np.testing.assert_allclose(b.surface_angular, [0, 0, np.pi])
    assert off.surface_drive == 0.0


def test_kinematic_body_with_velocity_is_a_belt(stage_of):
    model, _ = load(
        stage_of(
            f"""def Cube "K" (apiSchemas = [{BODY}]) {{
    bool physics:kinematicEnabled = 1
    vector3f physics:velocity = (1, 0, 0)
}}"""
        )
    )  # fmt: skip
    np.testing.assert_allclose(model.shapes[0].surface_linear, [1, 0, 0])
    np.testing.assert_allclose(model.bodies[0].linear_velocity, 0)


def test_spline_belt(stage_of):
    model, _ = load(
        stage_of(
            """def Cube "B" (apiSchemas = ["PhysicsCollisionAPI", "PhysxSplinesSurfaceVelocityAPI"]) {
    float physxSplinesSurfaceVelocity:surfaceVelocityMagnitude = 40
    rel physxSplinesSurfaceVelocity:surfaceVelocityCurve = </C>
}
def BasisCurves "C" {
    uniform token type = "cubic"
    uniform token basis = "bezier"
    int[] curveVertexCounts = [4]
    point3f[] points = [(0, 0, 0), (100, 0, 0), (200, 0, 0), (300, 0, 0)]
}""",
            mpu=0.01,
        )
    )
    assert model.shapes[0].surface_drive == pytest.approx(0.4)
    path = model.paths[model.shapes[0].surface_path]
    np.testing.assert_allclose(path[0], 0, atol=1e-12)
    np.testing.assert_allclose(path[-1], [3, 0, 0])


def test_groups_materials_triggers_and_disabled(stage_of):
    model, _ = load(
        stage_of(
            """def Cube "A" (apiSchemas = ["PhysicsCollisionAPI"]) {
}
def Cube "B" (apiSchemas = ["PhysicsCollisionAPI", "PhysxTriggerAPI"]) {
}
def Cube "C" (apiSchemas = ["PhysicsCollisionAPI"]) {
    bool physics:collisionEnabled = 0
}
def PhysicsCollisionGroup "G1" (apiSchemas = ["CollectionAPI:colliders"]) {
    rel collection:colliders:includes = </A>
    rel physics:filteredGroups = </G2>
}
def PhysicsCollisionGroup "G2" (apiSchemas = ["CollectionAPI:colliders"]) {
    rel collection:colliders:includes = </B>
}
def Cube "D" (apiSchemas = ["PhysicsCollisionAPI", "MaterialBindingAPI"]) {
    rel material:binding:physics = </M>
}
def Material "M" (apiSchemas = ["PhysicsMaterialAPI", "PhysxMaterialAPI"]) {
    float physics:staticFriction = 0.7
    float physics:dynamicFriction = 0.6
    uniform token physxMaterial:frictionCombineMode = "max"
}"""
        )
    )
    a, b, d = model.shapes
    assert b.trigger
    assert (min(a.group, b.group), max(a.group, b.group)) in model.group_filter
    assert model.materials[d.material].static_friction == pytest.approx(0.7)
    assert model.materials[d.material].friction_combine == Combine.MAX


def test_left_handed_and_mirrored_meshes_face_outwards(stage_of):
    mesh = """def Mesh "M{i}" (apiSchemas = ["PhysicsCollisionAPI"]) {{
    uniform token orientation = "{orientation}"
    int[] faceVertexCounts = [4]
    int[] faceVertexIndices = {indices}
    point3f[] points = [(0,0,0), (1,0,0), (1,1,0), (0,1,0)]
    float3 xformOp:scale = ({scale}, 1, 1)
    uniform token[] xformOpOrder = ["xformOp:scale"]
}}
"""
    cases = [("rightHanded", "[0,1,2,3]", 1), ("leftHanded", "[3,2,1,0]", 1), ("rightHanded", "[3,2,1,0]", -1)]
    text = "".join(mesh.format(i=i, orientation=o, indices=x, scale=s) for i, (o, x, s) in enumerate(cases))
    model, _ = load(stage_of(text))
    for i, shape in enumerate(model.shapes):
        m = model.meshes[shape.mesh]
        a, b, c = m.vertices[m.triangles[0]]
        normal = np.cross(b - a, c - a) @ rotation_of(shape.rotation)
        # Mirroring along X leaves a normal along Z where it was.
        assert (normal[2] > 0) == (i < 2), shape.path


def test_flat_hull_and_unknown_shapes_are_findings(stage_of):
    model, codes = load(
        stage_of(
            f"""def Mesh "Flat" (apiSchemas = [{BODY}]) {{
    int[] faceVertexCounts = [4]
    int[] faceVertexIndices = [0,1,2,3]
    point3f[] points = [(0,0,0), (1,0,0), (1,1,0), (0,1,0)]
}}
def Points "P" (apiSchemas = ["PhysicsCollisionAPI"]) {{
}}"""
        )
    )
    assert model.shapes == []
    assert "not-simulated" in codes

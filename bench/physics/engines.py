"""The engines under the same scenes. Ours has belts; the peers get slabs that move, long enough for the run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.physics.scenes import BELT_HALF, FRICTION, HALF, MASS, SPEED, Scene
from twin.model.rigid import Body, RigidModel, Shape, ShapeKind

INERTIA = MASS / 3.0 * np.array([HALF[1] ** 2 + HALF[2] ** 2, HALF[0] ** 2 + HALF[2] ** 2, HALF[0] ** 2 + HALF[1] ** 2])


@dataclass
class Running:
    """An engine with a scene loaded.

    Attributes:
        step: Advance by one frame of 1/60 s.
        position: Of the cartons now [N,3] m.
    """

    step: Callable[[], None]
    position: Callable[[], np.ndarray]


def model_of(scene: Scene) -> RigidModel:
    """The scene as this engine takes it."""
    model = RigidModel()
    for i, position in enumerate(scene.cartons):
        model.bodies.append(Body("/carton", position=position, mass=MASS, inertia=INERTIA))
        model.shapes.append(Shape("/carton/box", ShapeKind.BOX, body=i, size=HALF))
    for position in scene.belts:
        model.shapes.append(
            Shape("/belt", ShapeKind.BOX, position=position, size=BELT_HALF, surface_linear=np.array([1.0, 0.0, 0.0]),
                  surface_drive=SPEED)
        )  # fmt: skip
    for position, half in scene.walls:
        model.shapes.append(Shape("/wall", ShapeKind.BOX, position=position, size=half))
    return model


def twin(scene: Scene) -> Running:
    """This engine, four substeps, all cores; nobody sleeps."""
    from twin.physics import World

    world = World(model_of(scene), sleeping=False)
    return Running(lambda: world.step(1), lambda: world.position.numpy()[0])


def mujoco(scene: Scene) -> Running:
    """MuJoCo, two steps a frame, elliptic friction cones; each belt is a slab on a slide whose speed is set."""
    import mujoco as mj

    spec = mj.MjSpec()
    spec.option.timestep = 1.0 / 120.0
    spec.option.cone = mj.mjtCone.mjCONE_ELLIPTIC
    friction = [FRICTION, 0.005, 0.0001]
    for position in scene.belts:
        body = spec.worldbody.add_body(pos=position, gravcomp=1.0)
        body.add_joint(type=mj.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0])
        body.add_geom(type=mj.mjtGeom.mjGEOM_BOX, size=BELT_HALF, mass=1e6, friction=friction)
    for position, half in scene.walls:
        spec.worldbody.add_geom(type=mj.mjtGeom.mjGEOM_BOX, pos=position, size=half, friction=friction)
    for position in scene.cartons:
        body = spec.worldbody.add_body(pos=position)
        body.add_freejoint()
        body.add_geom(type=mj.mjtGeom.mjGEOM_BOX, size=HALF, mass=MASS, friction=friction)
    model = spec.compile()
    data = mj.MjData(model)
    slides = len(scene.belts)

    def step() -> None:
        for _ in range(2):
            data.qvel[:slides] = SPEED
            mj.mj_step(model, data)

    return Running(step, lambda: data.qpos[slides:].reshape(-1, 7)[:, :3])


def rapier(scene: Scene) -> Running:
    """Rapier, one step a frame with its four internal substeps, all cores, no sleeping; belts are kinematic slabs."""
    import rapier3d as r

    world = r.PhysicsWorld(gravity=r.Vec3(0.0, 0.0, -9.81))
    world.set_num_threads(len(os.sched_getaffinity(0)))
    world.integration_parameters.dt = 1.0 / 60.0
    for position in scene.belts:
        slab = r.RigidBody.kinematic_velocity_based().translation(r.Vec3(*position)).linvel(r.Vec3(SPEED, 0.0, 0.0))
        world.add_body(slab, [r.Collider.cuboid(*BELT_HALF).friction(FRICTION)])
    for position, half in scene.walls:
        world.add_body(r.RigidBody.fixed().translation(r.Vec3(*position)), [r.Collider.cuboid(*half).friction(FRICTION)])
    bodies = []
    for position in scene.cartons:
        carton = r.RigidBody.dynamic().translation(r.Vec3(*position)).can_sleep(False)
        bodies.append(world.add_body(carton, [r.Collider.cuboid(*HALF).friction(FRICTION).mass(MASS)]))

    def position_now() -> np.ndarray:
        now = [world.rigid_bodies[b].translation for b in bodies]
        return np.array([[p.x, p.y, p.z] for p in now])

    return Running(world.step, position_now)


def pybullet(scene: Scene) -> Running:
    """PyBullet, four substeps a frame, nobody sleeps; belts are massless slabs whose place and speed are set."""
    import pybullet as p

    client = p.connect(p.DIRECT)
    p.setGravity(0, 0, -9.81, physicsClientId=client)
    p.setPhysicsEngineParameter(fixedTimeStep=1.0 / 60.0, numSubSteps=4, physicsClientId=client)

    def put(position: np.ndarray, half: np.ndarray, mass: float) -> int:
        shape = p.createCollisionShape(p.GEOM_BOX, halfExtents=list(half), physicsClientId=client)
        body = int(p.createMultiBody(mass, shape, basePosition=list(position), physicsClientId=client))
        p.changeDynamics(body, -1, lateralFriction=np.sqrt(FRICTION), activationState=p.ACTIVATION_STATE_DISABLE_SLEEPING,
                         physicsClientId=client)  # fmt: skip
        return body

    slabs = [put(position, BELT_HALF, 1e6) for position in scene.belts]
    for position, half in scene.walls:
        put(position, half, 0.0)
    cartons = [put(position, HALF, MASS) for position in scene.cartons]
    frames = 0

    def step() -> None:
        nonlocal frames
        for slab, position in zip(slabs, scene.belts, strict=True):
            at = [position[0] + SPEED * frames / 60.0, position[1], position[2]]
            p.resetBasePositionAndOrientation(slab, at, [0, 0, 0, 1], physicsClientId=client)
            p.resetBaseVelocity(slab, [SPEED, 0, 0], [0, 0, 0], physicsClientId=client)
        p.stepSimulation(physicsClientId=client)
        frames += 1

    def position_now() -> np.ndarray:
        return np.array([p.getBasePositionAndOrientation(c, physicsClientId=client)[0] for c in cartons])

    return Running(step, position_now)


def newton(scene: Scene) -> Running:
    """Newton with XPBD on the CPU, contacts once a frame and four substeps; belts are kinematic slabs whose place and speed are
    set, since XPBD has no surface velocity for boxes."""
    import newton as nt
    import warp as wp

    builder = nt.ModelBuilder()
    slab = nt.ModelBuilder.ShapeConfig(density=1000.0, mu=FRICTION)
    carton = nt.ModelBuilder.ShapeConfig(density=MASS / float(8.0 * np.prod(HALF)), mu=FRICTION)

    def pose(position: np.ndarray) -> wp.transform:
        return wp.transform(wp.vec3(*position), wp.quat_identity())

    for position in scene.belts:
        body = builder.add_body(xform=pose(position), is_kinematic=True)
        builder.add_shape_box(body, hx=BELT_HALF[0], hy=BELT_HALF[1], hz=BELT_HALF[2], cfg=slab)
    for position, half in scene.walls:
        builder.add_shape_box(-1, xform=pose(position), hx=half[0], hy=half[1], hz=half[2], cfg=slab)
    for position in scene.cartons:
        body = builder.add_body(xform=pose(position))
        builder.add_shape_box(body, hx=HALF[0], hy=HALF[1], hz=HALF[2], cfg=carton)
    model = builder.finalize(device="cpu")
    solver = nt.solvers.SolverXPBD(model)
    states = [model.state(), model.state()]
    contacts = model.contacts()
    slabs = len(scene.belts)
    frames = 0

    def step() -> None:
        nonlocal frames
        for k in range(4):
            for state in states:
                state.body_q.numpy()[:slabs, 0] = scene.belts[:, 0] + SPEED * (frames / 60.0 + k / 240.0)
                state.body_qd.numpy()[:slabs, 0] = SPEED
            if k == 0:
                model.collide(states[0], contacts)
            states[0].clear_forces()
            solver.step(states[0], states[1], None, contacts, 1.0 / 240.0)
            states.reverse()
        frames += 1

    return Running(step, lambda: states[0].body_q.numpy()[slabs:, :3])


ENGINES: dict[str, tuple[str, Callable[[Scene], Running]]] = {
    "twin": ("twin", twin),
    "rapier": ("rapier3d", rapier),
    "mujoco": ("mujoco", mujoco),
    "pybullet": ("pybullet", pybullet),
    "newton": ("newton", newton),
}

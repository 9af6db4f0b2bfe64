"""What can touch: bodies, shapes, materials, belts. SI units; axes as authored on the stage (Y-up or Z-up)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class BodyKind(IntEnum):
    DYNAMIC = 1
    KINEMATIC = 2


class ShapeKind(IntEnum):
    BOX = 0
    SPHERE = 1
    CAPSULE = 2
    CYLINDER = 3
    PLANE = 4
    HULL = 5
    MESH = 6
    HEIGHT_FIELD = 7
    """Only of the engine's colliders: a fixed MESH whose corners form a grid."""


class Combine(IntEnum):
    """How two materials' coefficients combine; of two different modes the higher number wins (PhysX)."""

    AVERAGE = 0
    MIN = 1
    MULTIPLY = 2
    MAX = 3


@dataclass
class Material:
    """Contact coefficients [1]; ``path`` empty for the default."""

    path: str = ""
    static_friction: float = 0.5
    dynamic_friction: float = 0.5
    restitution: float = 0.0
    friction_combine: Combine = Combine.AVERAGE
    restitution_combine: Combine = Combine.AVERAGE


@dataclass
class Mesh:
    """Triangles: ``vertices`` float32 [V,3] m in the shape's frame (scale applied), ``triangles`` int32 [T,3]."""

    vertices: np.ndarray
    triangles: np.ndarray


@dataclass
class Shape:
    """A collider.

    Attributes:
        path: Prim path.
        kind: Shape kind.
        body: Index into ``RigidModel.bodies``; -1 for the static world.
        position: [3] m, in the body's frame (world for static).
        rotation: [4] xyzw, in the body's frame.
        size: BOX half extents [3] m; SPHERE (radius, 0, 0); CAPSULE and CYLINDER (radius, half height of the straight
            part, 0) along the shape's local +Z; PLANE normal is local +Z (size unused); HULL and MESH unused.
        mesh: Index into ``RigidModel.meshes`` for HULL and MESH, else -1.
        pieces: Of a HULL: meshes of the convex pieces that collide in place of it, where it was taken apart.
        material: Index into ``RigidModel.materials``.
        surface_linear: [3] m/s at drive 1: velocity of the surface in the shape's frame (rotated with the body, scale
            already applied) or in the world's when ``surface_world``.
        surface_angular: [3] rad/s at drive 1, about the shape's origin, same frame.
        surface_path: Index into ``RigidModel.paths``: the surface moves along this curve at 1 m/s x drive; -1: none.
        surface_drive: Initial multiplier of the surface velocity; 0 stands still. Switched at run time.
        trigger: Detects, does not push.
        group: Collision group index; ``RigidModel.group_filter`` says which pairs ignore each other.
    """

    path: str
    kind: ShapeKind
    body: int = -1
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    rotation: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))
    size: np.ndarray = field(default_factory=lambda: np.zeros(3))
    mesh: int = -1
    pieces: tuple[int, ...] = ()
    material: int = 0
    surface_linear: np.ndarray = field(default_factory=lambda: np.zeros(3))
    surface_angular: np.ndarray = field(default_factory=lambda: np.zeros(3))
    surface_path: int = -1
    surface_drive: float = 0.0
    surface_world: bool = False
    trigger: bool = False
    group: int = 0


@dataclass
class Body:
    """A rigid body. The frame is the prim's own origin, as authored, without scale.

    Attributes:
        position, rotation: World pose of the frame, [3] m and [4] xyzw.
        linear_velocity: [3] m/s of the centre of mass, angular_velocity: [3] rad/s, world.
        mass: kg. com: [3] m centre of mass in the frame. inertia: [3] kg m2 principal moments about the centre of mass.
        inertia_rotation: [4] xyzw, principal axes in the frame.
    """

    path: str
    kind: BodyKind = BodyKind.DYNAMIC
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    rotation: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))
    linear_velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))
    angular_velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))
    mass: float = 1.0
    com: np.ndarray = field(default_factory=lambda: np.zeros(3))
    inertia: np.ndarray = field(default_factory=lambda: np.ones(3))
    inertia_rotation: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))
    linear_damping: float = 0.0
    angular_damping: float = 0.0
    disable_gravity: bool = False
    starts_asleep: bool = False


@dataclass
class Drive:
    """A spring and damper that moves one axis of a joint towards a target.

    Attributes:
        stiffness: N/m or N m/rad. damping: N s/m or N m s/rad; both per kg or kg m2 when ``acceleration``.
        position: m or rad. velocity: m/s or rad/s. max_force: N or N m.
    """

    stiffness: float = 0.0
    damping: float = 0.0
    position: float = 0.0
    velocity: float = 0.0
    max_force: float = np.inf
    acceleration: bool = False


@dataclass
class Joint:
    """What holds two bodies together, axis by axis: translations along and rotations about X, Y, Z of the frame on ``body0``.

    A fixed joint locks all six axes, a hinge about X leaves axis 3, a slide along X axis 0, a ball the three rotations.

    Attributes:
        body0, body1: Indices into ``RigidModel.bodies``; -1: the world.
        position0, rotation0, position1, rotation1: Its frame on each body, [3] m and [4] xyzw in the body's frame.
        lower, upper: [6] m and rad; lower above upper locks an axis, infinite ones leave it free.
        drives: By axis.
        min_distance, max_distance: Between the two frames [m]; below 0: none.
        cone: Angles [rad] that the X axis may lean towards Y and towards Z; below 0: free.
        break_force: N. break_torque: N m. It comes apart beyond.
        collides: The two bodies also collide with each other.
    """

    path: str
    body0: int = -1
    body1: int = -1
    position0: np.ndarray = field(default_factory=lambda: np.zeros(3))
    rotation0: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))
    position1: np.ndarray = field(default_factory=lambda: np.zeros(3))
    rotation1: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))
    lower: np.ndarray = field(default_factory=lambda: np.full(6, 1.0))
    upper: np.ndarray = field(default_factory=lambda: np.full(6, -1.0))
    drives: dict[int, Drive] = field(default_factory=dict)
    min_distance: float = -1.0
    max_distance: float = -1.0
    cone: tuple[float, float] = (-1.0, -1.0)
    break_force: float = np.inf
    break_torque: float = np.inf
    collides: bool = False

    def free(self, *axes: int) -> Joint:
        """Let go of some axes; returns itself."""
        for axis in axes:
            self.lower[axis], self.upper[axis] = -np.inf, np.inf
        return self


@dataclass
class Prototype:
    """What a source spawns: one dynamic body with its shapes (``Shape.body`` is 0), and its drawing size.

    Attributes:
        path: Prototype prim. type: item type token. pieces: pieces it stands for when spawned (1).
        half_extents: [3] m bound in the body's frame, centred on ``bound_center`` [3] m.
    """

    path: str
    type: str
    body: Body
    shapes: list[Shape]
    half_extents: np.ndarray
    bound_center: np.ndarray

    @property
    def length(self) -> float:
        """Extent along the frame's X [m]: the direction of travel on a belt."""
        return float(2.0 * self.half_extents[0])


@dataclass
class RigidModel:
    """Everything the rigid-body engine needs.

    Attributes:
        gravity: [3] m/s2.
        up_axis: 1 for Y, 2 for Z.
        paths: Curves for surface velocities, each float64 [P,3] m, world frame, in the direction of travel.
        group_filter: Pairs (a, b) of collision groups that ignore each other.
        joints: What holds bodies together.
        filtered_pairs: Pairs of shape indices that ignore each other.
        steps_per_second: Authored rate [Hz], 60 by default.
    """

    gravity: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, -9.81]))
    up_axis: int = 2
    bodies: list[Body] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    materials: list[Material] = field(default_factory=lambda: [Material()])
    meshes: list[Mesh] = field(default_factory=list)
    paths: list[np.ndarray] = field(default_factory=list)
    prototypes: list[Prototype] = field(default_factory=list)
    group_filter: list[tuple[int, int]] = field(default_factory=list)
    filtered_pairs: list[tuple[int, int]] = field(default_factory=list)
    joints: list[Joint] = field(default_factory=list)
    steps_per_second: float = 60.0

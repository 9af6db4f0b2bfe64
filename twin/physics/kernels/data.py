"""What the kernels read and write. W worlds, M bodies of a world (the stage's own, then the slots of goods), S shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from twin.process import device as _device  # noqa: F401  (sets Warp up)

POINTS = 32
"""Contact points that one body can own."""
CANDIDATES = 64
"""Bodies and colliders near one body that are looked at."""
JOINT_IMPULSES = 21
"""Scalar impulses of a joint: six lower limits, six upper ones, six drives, two distances, a cone."""
SENSORS = 31
"""Trigger volumes of a model that are watched."""
LARGE_ISLAND = 256
"""Islands of more bodies are solved in parts, which are coloured."""
PART = 32
"""Least bodies of a part of a large island."""
SCRATCH = 40
"""Points of one manifold while it is made."""
RIM_POINTS = 16
"""Corners of the face of a cylinder, and most corners of a hull's face."""

MAX_POINTS = wp.constant(POINTS)
MAX_CANDIDATES = wp.constant(CANDIDATES)
LARGE = wp.constant(LARGE_ISLAND)
PART_BODIES = wp.constant(PART)
COLOURS = wp.constant(3)
"""A part touches the parts before and after it: the one after the next but one is free of it."""

RIM = wp.constant(RIM_POINTS)

AXES = wp.constant(6)
JOINT_ROWS = wp.constant(JOINT_IMPULSES)

BOX = wp.constant(0)
SPHERE = wp.constant(1)
CAPSULE = wp.constant(2)
CYLINDER = wp.constant(3)
PLANE = wp.constant(4)
HULL = wp.constant(5)
MESH = wp.constant(6)
FIELD = wp.constant(7)

FIXED = wp.constant(0)
DYNAMIC = wp.constant(1)
KINEMATIC = wp.constant(2)


@wp.struct
class BodyRow:
    """A kind of body: one for each body of the stage, then one for each prototype."""

    kind: int  # DYNAMIC or KINEMATIC
    inv_mass: float  # [1/kg]
    inertia: wp.mat33  # [kg m2] about the centre of mass, body axes
    inv_inertia: wp.mat33
    gyroscopic: int  # principal moments differ
    gravity_scale: float
    linear_damping: float  # [1/s]
    angular_damping: float  # [1/s]
    radius: float  # [m] bound about the centre of mass
    first: int  # of its colliders
    last: int
    senses: int  # it carries trigger volumes


@wp.struct
class ColliderRow:
    """A collider of a body (pose about the centre of mass) or a fixed one (pose in the world)."""

    shape: int  # ShapeKind
    position: wp.vec3  # [m]
    rotation: wp.quat
    size: wp.vec3  # [m] half extents of the bound
    round: float  # [m] radius swept round the core: spheres and capsules
    bevel: float  # [m] see convex; a factor for hulls
    hull: int  # row of the hull tables, -1 none
    mesh: wp.uint64  # wp.Mesh id of fixed meshes; an empty one for height fields
    field: int  # row of the height fields, -1 none
    static_friction: float
    dynamic_friction: float
    restitution: float
    friction_combine: int
    restitution_combine: int
    group: int
    sensor: int  # bit of a trigger volume, which is not pushed; -1 none
    source: int  # index into RigidModel.shapes, -1 for goods
    surface_linear: wp.vec3  # [m/s] at drive 1, collider's frame (or world)
    surface_angular: wp.vec3  # [rad/s] at drive 1
    surface_center: wp.vec3  # [m] what it turns about, in the collider's frame
    surface_world: int
    surface_path: int  # curve, -1 none


@wp.struct
class FieldRow:
    """A height field: a regular grid in the collider's X and Y, heights along its Z."""

    columns: int  # corners along X
    rows: int  # corners along Y
    spacing_x: float  # [m]
    spacing_y: float
    lowest: float  # [m]
    highest: float
    first: int  # its first height
    first_split: int  # its first cell


@wp.struct
class RigidTables:
    """The model, the same for all worlds.

    Rows are structures and not an array for each field: a table is handed from function to function by value, and what belongs
    together lies together.
    """

    bodies: int  # bodies of the stage
    shapes: int  # shapes of the model, which surface drives are counted by
    body: wp.array(dtype=BodyRow)  # type: ignore[valid-type]  # [K]
    collider: wp.array(dtype=ColliderRow)  # type: ignore[valid-type]  # [C]
    path_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    path_point: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] world
    # hulls [H]: vertices, and faces as loops of them, counter-clockwise seen from outside
    hull_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # first vertex [H+1]
    hull_vertex: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] about a point inside
    face_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # first face [H+1]
    face_normal: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]
    loop_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # first corner of a face [faces+1]
    loop: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # vertex of each corner
    # height fields [F]: heights row after row, and how each cell is split
    field: wp.array(dtype=FieldRow)  # type: ignore[valid-type]
    height: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # [m]
    split: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # of a cell: 0 from its first corner, 1 across
    # fixed colliders
    fixed: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # collider of each box in the static BVH
    fixed_count: int
    fixed_bvh: wp.uint64
    planes: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    plane_count: int
    # filters
    groups: int
    group_ignores: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [groups, groups]
    pairs: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # pairs of RigidModel.shapes that ignore each other, sorted [F,2]
    pair_count: int


Six = wp.types.vector(length=6, dtype=wp.float32)
"""Along X, Y, Z, then about them."""


@wp.struct
class JointRow:
    """A joint of two of the stage's bodies."""

    body0: int  # -1: the world
    body1: int
    position0: wp.vec3  # [m] from the centre of mass
    rotation0: wp.quat
    position1: wp.vec3
    rotation1: wp.quat
    lower: Six  # [m, rad] above upper: locked
    upper: Six
    locks_slide: int  # some translation is locked
    locks_turn: int
    bounded: int  # it has a limit, a distance or a cone
    driven: Six  # 0 no, 1 by forces, 2 by accelerations
    stiffness: Six  # N/m, N m/rad
    damping: Six  # N s/m, N m s/rad
    max_force: Six  # N, N m
    min_distance: float  # [m], below 0: none
    max_distance: float
    cone0: float  # [rad] towards Y, below 0: none
    cone1: float  # towards Z
    break_force: float  # [N]
    break_torque: float  # [N m]
    alert: int  # it is driven, or hangs on something that moves by itself: what it holds never sleeps


@wp.struct
class JointTables:
    """Joints of the stage's bodies."""

    count: int
    joint: wp.array(dtype=JointRow)  # type: ignore[valid-type]  # [J]
    begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # first of a body's entries in ``of_body`` [bodies+1]
    of_body: wp.array(dtype=wp.int32)  # type: ignore[valid-type]


@wp.struct
class JointState:
    """State of the joints [W,J]; impulses carry over to the next step."""

    broken: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    target: wp.array3d(dtype=wp.float32)  # type: ignore[valid-type]  # [W,J,6] m, rad
    target_velocity: wp.array3d(dtype=wp.float32)  # type: ignore[valid-type]  # [W,J,6] m/s, rad/s
    point: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [N s] of the locked translations, in body 0's frame
    turn: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [N m s] of the locked rotations
    row: wp.array3d(dtype=wp.float32)  # type: ignore[valid-type]  # [W,J,JOINT_ROWS]
    error: wp.array3d(dtype=wp.float32)  # type: ignore[valid-type]  # [W,J,6] of the drives, at the start of the substep


@wp.struct
class Bodies:
    """State of the bodies [W,M]; positions are those of the centre of mass."""

    position: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [m]
    rotation: wp.array2d(dtype=wp.quat)  # type: ignore[valid-type]
    linear_velocity: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [m/s]
    angular_velocity: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [rad/s]
    alive: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    held: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # moved by somebody else
    prototype: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    generation: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # raised whenever the slot holds another body, or it was put elsewhere
    surface_drive: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]  # [W,S] multiplier of the surface velocity
    gravity: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [W] m/s2
    # factors of a world [W] on what the stage says of contacts and belts
    friction_scale: wp.array(dtype=wp.float32)  # type: ignore[valid-type]
    restitution_scale: wp.array(dtype=wp.float32)  # type: ignore[valid-type]
    belt_scale: wp.array(dtype=wp.float32)  # type: ignore[valid-type]


@wp.struct
class Naps:
    """Who sleeps [W,M]: an island that has been still for a while is left out until something stirs it."""

    steps: int  # that an island must have been still for; 0: nobody sleeps
    nap: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # 0 awake, else 1 + the head of the sleeping island
    rest: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # steps at rest; asleep: -1 contacts not yet in both buffers, -2 done
    stir: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # of this step: put elsewhere, pushed, taken away, or moving by itself
    seen: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # generation, alive and held as of the last step
    seen_position: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [m]
    seen_drive: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]  # [W,S]


@wp.struct
class Point:
    """One contact point; the owner is body A, its partner B."""

    partner: int  # body index, or -2 - collider of a fixed one
    partner_body: int  # index where the partner is dynamic, else -1
    partner_generation: int
    collider: int  # of the partner
    normal: wp.vec3  # towards the owner
    anchor: wp.vec3  # [m] in the owner's frame, from its centre of mass
    partner_anchor: wp.vec3  # [m] in the partner's frame; world point where it does not react
    separation: float  # [m] at the start of the step
    partner_velocity: wp.vec3  # [m/s] of the material there of a partner that does not react
    surface: wp.vec3  # [m/s] that friction drives the owner to, beside the partner's own
    static_friction: float
    dynamic_friction: float
    restitution: float
    normal_impulse: float  # [N s]
    tangent_impulse: wp.vec3  # [N s] world
    # of one step only
    gap: float  # [m] separation where the bodies are now
    lever0: wp.vec3  # [m] arm x normal
    lever1: wp.vec3  # arm x tangent
    lever2: wp.vec3  # arm x other tangent
    give0: wp.vec3  # [1/(kg m)] spin of the owner for an impulse along each
    give1: wp.vec3
    give2: wp.vec3
    partner_lever0: wp.vec3
    partner_lever1: wp.vec3
    partner_lever2: wp.vec3
    partner_give0: wp.vec3
    partner_give1: wp.vec3
    partner_give2: wp.vec3
    target: wp.vec3  # [m/s] of what does not react, along normal and tangents
    friction: wp.vec2  # [N s] along the tangents
    normal_mass: float  # [kg]
    tangent: wp.vec3
    tangent_mass: wp.vec3  # inverse of the 2x2 matrix: 11, 12, 22
    grip: float  # coefficient of friction of this step: static where the surfaces stick
    approach: float  # [m/s] normal velocity before the step
    highest: float  # [N s] highest normal impulse of the step


@wp.struct
class Contacts:
    """Contact points by the body that owns them; impulses carry over to the next step."""

    count: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,M]
    owner_generation: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,M]
    slots: int  # M
    point: wp.array(dtype=Point)  # type: ignore[valid-type]  # [W*M*POINTS]: one index is found faster than three


@wp.struct
class Scratch:
    """Memory of the narrow phase while it is at one body, a row each; apart from ``Work`` because structures go by value."""

    shared: int  # 1: bodies of one launch come one after the other and use the same row, which stays in the cache
    candidate: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W*M,CANDIDATES]
    polygon: wp.array3d(dtype=wp.vec3)  # type: ignore[valid-type]  # [W*M,3,SCRATCH] while clipping
    found: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [W*M,SCRATCH] points of one manifold, world
    found_depth: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]  # separation of each
    found_normal: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]


@wp.struct
class Work:
    """Memory of one step [W,M,...]."""

    lower: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [W*M] bounds for the BVH
    upper: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]
    root: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # island of a body [W,M]
    next: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # next body of the same island
    tail: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    turn: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # head of the island that the body's thread solves, -1 none
    flag: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # of an island's head, while islands are made
    links: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # contact points with bodies that react
    sensed: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # trigger volumes that the body is in, a bit each
    inv_inertia: wp.array2d(dtype=wp.mat33)  # type: ignore[valid-type]  # [1/(kg m2)] world axes; zero: does not react
    inv_mass: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]
    start_position: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]
    start_rotation: wp.array2d(dtype=wp.quat)  # type: ignore[valid-type]
    start_velocity: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [m/s]
    start_spin: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [rad/s]
    size: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # bodies of an island, at its head
    # counters, by body where several threads count
    overflow: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,M] contact points or candidates that found no place
    invalid: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,M] how often a body was taken off the world because their state was not finite
    points: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # contact points of the last step
    penetration: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]  # [W,M] deepest of the last step [m]


@wp.struct
class Parts:
    """Large islands cut into parts: runs of bodies in breadth-first order, each of whole levels. What touches is at most a level
    apart, so a part reaches into the one before and the one after it, and three colours are enough."""

    most: int  # parts of a world that there is place for; 0: no island can be large
    count: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [W] parts in use
    some: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [1] whether any world has one
    ticket: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [W] parts that the threads of a team have taken in this step
    met: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [W] how often one of them came to the end of a stage
    go: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [W] twice the last stage that all came to the end of, 1 more: apart
    slow: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [W] one waited for another too long
    begin: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,P] first of its bodies in ``order``
    end: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    first: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # first part of its island
    last: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # one beyond the last part of its island
    settled: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # its first substep changed nothing
    done: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # so it was with the whole island: it has moved on
    order: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,M] bodies in breadth-first order
    level: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,M] round in which a body was found
    # who touches whom: two half edges for each pair, in a list at each body
    edge: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,M] first half edge of a body, -1 none
    edge_next: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,E]
    edge_other: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # [W,E] the body at its other end


def blank_rows(struct: Any, count: int) -> Any:
    """Structured array of ``count`` rows of a Warp struct, at least one, all zero."""
    return np.zeros(max(count, 1), struct.numpy_dtype())


@wp.func
def first_point(s: Contacts, w: int, i: int) -> int:
    """Index of the first contact point of a body."""
    return (w * s.slots + i) * MAX_POINTS


@wp.func
def kind_of(t: RigidTables, b: Bodies, w: int, i: int) -> int:
    """Row of the body's kind in the tables."""
    if i < t.bodies:
        return i
    return t.bodies + b.prototype[w, i]


@wp.func
def reacts(t: RigidTables, b: Bodies, w: int, i: int) -> bool:
    """Whether forces move the body."""
    if b.alive[w, i] == 0 or b.held[w, i] != 0:
        return False
    return t.body[kind_of(t, b, w, i)].kind == DYNAMIC

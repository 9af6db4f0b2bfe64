"""What HTTP answers with as JSON: the scene for drawing, one prim's properties, history; TypeScript types are generated."""

from __future__ import annotations

from typing import Any

import msgspec


class Geometry(msgspec.Struct, omit_defaults=True, gc=False):
    """What to draw at a prim.

    ``kind``: ``mesh`` (``mesh`` is the content hash of a buffer under ``/api/assets/<hash>``), or analytic ``cube``
    (``size`` [x, y, z]), ``sphere`` (``radius``), ``cylinder``, ``cone``, ``capsule`` (``radius``, ``height``, ``axis``
    X, Y or Z), ``plane`` (``size``, normal ``axis``), ``bounds`` (``size`` and ``center``: what cannot be drawn).
    Curves, points and point instancers come as meshes.
    Lengths in the prim's local stage units. ``materials`` index ``SceneDoc.materials``, one per mesh subset.
    """

    kind: str
    mesh: str = ""
    size: list[float] = []
    center: list[float] = []
    radius: float = 0.0
    height: float = 0.0
    axis: str = "Z"
    materials: list[int] = []
    double_sided: bool = False


class Light(msgspec.Struct, omit_defaults=True):
    """A UsdLux light: ``kind`` distant, sphere, rect, disk or dome; colour linear RGB."""

    kind: str
    intensity: float
    color: list[float]
    size: list[float] = []


class Camera(msgspec.Struct, omit_defaults=True):
    """A UsdGeom camera, looking along -Z of its prim with +Y up. Vertical field of view in degrees, 0 for an orthographic one,
    which shows ``height``. Lengths in m."""

    vertical_fov: float
    aspect: float
    near: float
    far: float
    height: float = 0.0


class MaterialDoc(msgspec.Struct, omit_defaults=True):
    """UsdPreviewSurface: colours linear RGB; textures are content hashes under ``/api/assets/<hash>``.

    ``roughness_texture`` is read from green, ``metallic_texture`` from blue, ``occlusion_texture`` from red, as in glTF.
    ``uv`` is [rotation in degrees, scale u, scale v, translation u, translation v] of all textures, ``wrap`` repeat, clamp or
    mirror for u and v; empty for none and repeat. What is less opaque than ``opacity_threshold`` is not drawn.
    ``vertex_colors``: the mesh has colours of its own.
    """

    path: str
    color: list[float] = msgspec.field(default_factory=lambda: [0.6, 0.6, 0.6])
    metallic: float = 0.0
    roughness: float = 0.6
    opacity: float = 1.0
    emissive: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0])
    color_texture: str = ""
    normal_texture: str = ""
    roughness_texture: str = ""
    metallic_texture: str = ""
    occlusion_texture: str = ""
    emissive_texture: str = ""
    opacity_texture: str = ""
    opacity_threshold: float = 0.0
    clearcoat: float = 0.0
    clearcoat_roughness: float = 0.01
    uv: list[float] = []
    wrap: list[str] = []
    vertex_colors: bool = False


class PrimDoc(msgspec.Struct, omit_defaults=True, gc=False):
    """A prim of the composed stage.

    ``matrix`` is the local-to-parent matrix, 16 numbers, row-major in USD's row-vector convention (translation in the
    last row), stage units. ``body`` is its id in the state frames, -1 none. ``node`` its index in ``SceneDoc.nodes``.
    """

    path: str
    type: str = ""
    schemas: list[str] = []
    kind: str = ""
    matrix: list[float] = []
    visible: bool = True
    geometry: Geometry | None = None
    light: Light | None = None
    camera: Camera | None = None
    body: int = -1
    node: int = -1
    edited: bool = False
    """True where the edit layer has an opinion on it."""


class NodeDoc(msgspec.Struct):
    path: str
    kind: str
    """source station buffer conveyor router sink fleet"""
    next: list[int]


class SignalDoc(msgspec.Struct):
    prim: str
    name: str
    unit: str
    role: str


class FindingDoc(msgspec.Struct):
    severity: str
    path: str
    code: str
    message: str


class PrototypeDoc(msgspec.Struct):
    """How goods of one prototype look: prims relative to the body frame, depth first; matrices in metres."""

    path: str
    type: str
    prims: list[PrimDoc]


class LibraryPart(msgspec.Struct):
    """A part that can be added: ``asset`` is its path relative to the asset root; ``node`` the kind of node it is, if any.

    ``name`` is for people, ``prim`` what a prim that is made of it is called.
    """

    asset: str
    name: str
    doc: str
    node: str = ""
    prim: str = ""


class SceneDoc(msgspec.Struct):
    """Answer of ``GET /api/scene``. ``prims`` are depth first, parents before children."""

    seq: int
    epoch: str
    stage: str
    up_axis: str
    meters_per_unit: float
    prims: list[PrimDoc]
    materials: list[MaterialDoc]
    nodes: list[NodeDoc]
    signals: list[SignalDoc]
    prototypes: list[PrototypeDoc]
    library: list[LibraryPart]
    findings: list[FindingDoc]


class OpinionDoc(msgspec.Struct):
    """What one layer says about a property."""

    layer: str
    value: Any = None


class PropertyDoc(msgspec.Struct, omit_defaults=True):
    """One property of ``GET /api/prim?path=...``."""

    name: str
    type: str
    value: Any = None
    doc: str = ""
    unit: str = ""
    allowed: list[str] = []
    layer: str = ""
    """Which layer the strongest opinion comes from; empty: the schema's fallback."""
    authored: bool = False
    edited: bool = False
    relationship: bool = False
    driven: bool = False
    """True while a connector writes it: edits are refused."""
    low: float | None = None
    high: float | None = None
    """Least and greatest value that makes sense; absent without a bound."""
    opinions: list[OpinionDoc] = []
    """All that is said about it, strongest first; sent where there is more than one opinion."""
    effective: float | None = None
    """What holds in the line where the value leaves it to the geometry, in the property's unit; absent elsewhere."""


class PrimDetail(msgspec.Struct):
    path: str
    type: str
    schemas: list[str]
    properties: list[PropertyDoc]
    variants: dict[str, list[str]]
    variant_selection: dict[str, str]


class Series(msgspec.Struct):
    """Answer of ``GET /api/history?prim=&name=&t0_ns=&t1_ns=&points=``: columns; value null where quality is bad."""

    prim: str
    name: str
    unit: str
    time_ns: list[int]
    value: list[Any]
    quality: list[int]

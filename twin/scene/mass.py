"""Mass, centre of mass and inertia of bodies: authored first, otherwise from the volume of their shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics

from twin.core.findings import Findings
from twin.model.rigid import Body, Mesh, Shape, ShapeKind
from twin.scene.frames import array, quaternion, rotation_of, split

DEFAULT_DENSITY = 1000.0
"""[kg/m3] where nothing is authored, as UsdPhysics says."""


@dataclass(frozen=True)
class Solid:
    """A volume at unit density: ``volume`` [m3], ``center`` [3] m, ``inertia`` [3,3] m5 about the centre."""

    volume: float
    center: np.ndarray
    inertia: np.ndarray


def solid(shape: Shape, meshes: list[Mesh]) -> Solid:
    """Volume of a shape in its own frame."""
    a, b, c = shape.size
    if shape.kind == ShapeKind.BOX:
        volume = 8.0 * a * b * c
        inertia = volume / 3.0 * np.array([b * b + c * c, a * a + c * c, a * a + b * b])
    elif shape.kind == ShapeKind.SPHERE:
        volume = 4.0 / 3.0 * np.pi * a**3
        inertia = np.full(3, 0.4 * volume * a * a)
    elif shape.kind == ShapeKind.CYLINDER:
        volume = 2.0 * np.pi * a * a * b
        across = volume * (a * a / 4.0 + b * b / 3.0)
        inertia = np.array([across, across, volume * a * a / 2.0])
    elif shape.kind == ShapeKind.CAPSULE:
        middle, ends = 2.0 * np.pi * a * a * b, 4.0 / 3.0 * np.pi * a**3
        volume = middle + ends
        # Two half balls, each with its centroid 3/8 a beyond the end of the straight part.
        across = middle * (a * a / 4.0 + b * b / 3.0) + ends * (0.4 * a * a + b * b + 0.75 * a * b)
        inertia = np.array([across, across, middle * a * a / 2.0 + ends * 0.4 * a * a])
    elif shape.kind == ShapeKind.PLANE:
        return Solid(0.0, np.zeros(3), np.zeros((3, 3)))
    else:
        return mesh_solid(meshes[shape.mesh])
    return Solid(volume, np.zeros(3), np.diag(inertia))


def mesh_solid(mesh: Mesh) -> Solid:
    """Volume of a closed triangle mesh as a sum of signed tetrahedra."""
    corners = np.asarray(mesh.vertices, float)[mesh.triangles]
    origin = corners.reshape(-1, 3).mean(axis=0)
    a, b, c = (corners - origin).transpose(1, 0, 2)
    six = np.einsum("ij,ij->i", a, np.cross(b, c))
    volume = six.sum() / 6.0
    if abs(volume) < 1e-15:
        return Solid(0.0, origin, np.zeros((3, 3)))
    total = a + b + c
    center = (six[:, None] * total).sum(axis=0) / (24.0 * volume)
    second = sum(np.einsum("t,ti,tj->ij", six, v, v) for v in (a, b, c, total)) / 120.0
    second = second - volume * np.outer(center, center)
    inertia = np.trace(second) * np.eye(3) - second
    return Solid(abs(volume), origin + center, inertia * np.sign(volume))


def _authored(prim: Usd.Prim) -> tuple[float, float]:
    """Mass and density of a prim's MassAPI in stage units; 0 where it has none."""
    api = UsdPhysics.MassAPI(prim)
    mass, density = api.GetMassAttr().Get(), api.GetDensityAttr().Get()
    return float(mass or 0.0), float(density or 0.0)


def fill_mass(
    body: Body,
    prim: Usd.Prim,
    parts: list[tuple[Shape, Usd.Prim, float]],
    *,
    meshes: list[Mesh],
    unit: float,
    kilograms: float,
    scale: np.ndarray,
    findings: Findings,
) -> None:
    """Fill in ``mass``, ``com``, ``inertia`` and ``inertia_rotation`` of a body.

    As UsdPhysics says: the body's mass wins (a parent's mass over its children's), then a shape's mass, a shape's density, the
    body's density (a child's density over its parent's), the material's density, and last 1000 kg/m3. Zero is as not authored.
    Centre of mass and moments come from the shapes, with what MassAPI says of each, unless the body says its own.

    Args:
        parts: Its shapes with their prims and material densities (stage units, 0: none).
        unit: Metres, kilograms: kilograms per stage unit. scale: [3] scale of the body's prim in the world.
    """
    per_m3 = kilograms / unit**3
    body_mass, body_density = _authored(prim)
    masses, centers, tensors = [], [], []
    for shape, shape_prim, material_density in parts:
        if shape.trigger:
            continue
        own_mass, own_density = (0.0, 0.0) if shape_prim == prim else _authored(shape_prim)
        part = solid(shape, meshes)
        density = (own_density or body_density or material_density) * per_m3 or DEFAULT_DENSITY
        mass = own_mass * kilograms or part.volume * density
        if mass <= 0.0 or part.volume <= 0.0:
            continue
        turn = rotation_of(np.asarray(shape.rotation))
        center, tensor = part.center @ turn + shape.position, turn.T @ (part.inertia * (mass / part.volume)) @ turn
        if shape_prim != prim:
            center, tensor = _own(shape, shape_prim, center, tensor, unit, kilograms)
        masses.append(mass)
        centers.append(center)
        tensors.append(tensor)
    total = sum(masses)
    if total > 0.0:
        com = np.average(centers, axis=0, weights=masses)
        tensor = np.zeros((3, 3))
        for mass, center, own in zip(masses, centers, tensors, strict=True):
            d = center - com
            tensor += own + mass * ((d @ d) * np.eye(3) - np.outer(d, d))
        body.mass = body_mass * kilograms or float(total)
        body.com, body.inertia, body.inertia_rotation = com, *principal(tensor * (body.mass / total))
    else:
        body.mass = body_mass * kilograms or 1.0
        body.inertia = np.full(3, 0.1 * body.mass)
        if not body_mass:
            findings.info(prim.GetPath(), "default-mass", "a body without volume and without mass weighs 1 kg")
    _override(body, prim, unit, kilograms, scale)


def _own(
    shape: Shape, prim: Usd.Prim, center: np.ndarray, tensor: np.ndarray, unit: float, kilograms: float
) -> tuple[np.ndarray, np.ndarray]:
    """Centre of mass and inertia tensor of one shape in the body's frame, as authored on its own prim where they are."""
    api = UsdPhysics.MassAPI(prim)
    com, diagonal, axes = api.GetCenterOfMassAttr().Get(), api.GetDiagonalInertiaAttr().Get(), api.GetPrincipalAxesAttr().Get()
    turn = rotation_of(np.asarray(shape.rotation))
    if com is not None and np.isfinite(np.array(com)).all():
        scale = split(array(UsdGeom.XformCache().GetLocalToWorldTransform(prim))).scale
        center = np.array(com, float) * scale * unit @ turn + shape.position
    if diagonal is not None and np.any(np.array(diagonal)):
        q = np.array([*axes.GetImaginary(), axes.GetReal()]) if axes is not None else np.zeros(4)
        principal_axes = (rotation_of(q) if np.linalg.norm(q) > 0.0 else np.eye(3)) @ turn
        tensor = principal_axes.T @ np.diag(np.array(diagonal, float) * kilograms * unit**2) @ principal_axes
    return center, tensor


def _override(body: Body, prim: Usd.Prim, unit: float, kilograms: float, scale: np.ndarray) -> None:
    api = UsdPhysics.MassAPI(prim)
    com, diagonal, axes = api.GetCenterOfMassAttr().Get(), api.GetDiagonalInertiaAttr().Get(), api.GetPrincipalAxesAttr().Get()
    if com is not None and np.isfinite(np.array(com)).all():
        body.com = np.array(com, float) * scale * unit
    if diagonal is not None and np.any(np.array(diagonal)):
        body.inertia = np.array(diagonal, float) * kilograms * unit**2
        q = np.array([*axes.GetImaginary(), axes.GetReal()]) if axes is not None else np.zeros(4)
        length = np.linalg.norm(q)
        body.inertia_rotation = q / length if length > 0.0 else np.array([0.0, 0.0, 0.0, 1.0])


def principal(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal moments [3] and axes [4] xyzw of an inertia tensor [3,3]."""
    diagonal = np.diag(tensor).copy()
    if np.abs(tensor - np.diag(diagonal)).max() <= 1e-9 * diagonal.max():
        return diagonal, np.array([0.0, 0.0, 0.0, 1.0])
    moments, vectors = np.linalg.eigh(tensor)
    rows = vectors.T
    if np.linalg.det(rows) < 0.0:
        rows[2] = -rows[2]
    return moments, quaternion(rows)

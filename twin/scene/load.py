"""The rigid-body model of any stage, ours or not."""

from __future__ import annotations

from pxr import Usd

from twin.core.findings import Findings
from twin.model.rigid import RigidModel
from twin.scene.prototypes import add_prototypes, prototype_paths
from twin.scene.rigid import load_world


def load_rigid(stage: Usd.Stage, findings: Findings) -> RigidModel:
    """The rigid-body model of any UsdPhysics stage, SI, axes as authored.

    Args:
        stage: An open stage. findings: Collects what is not simulated or had to be approximated.

    Raises:
        SceneError: metersPerUnit is not positive, or an attribute has a type that cannot be used.
    """
    paths = prototype_paths(stage)
    world = load_world(stage, findings, exclude=paths)
    add_prototypes(world, paths)
    return world.rigid

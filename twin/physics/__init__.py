"""Rigid bodies in Warp: goods that ride, slide, collide and come to rest, in one world or in many."""

from twin.physics.look import ContactReport, RayHit, bodies_in, cast_ray, contact_report, energy, inside_triggers, islands
from twin.physics.queries import SweepHit, overlaps, sweep
from twin.physics.world import World

__all__ = [
    "ContactReport",
    "RayHit",
    "SweepHit",
    "World",
    "bodies_in",
    "cast_ray",
    "contact_report",
    "energy",
    "inside_triggers",
    "islands",
    "overlaps",
    "sweep",
]

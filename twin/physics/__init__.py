"""Rigid bodies in Warp: goods that ride, slide, collide and come to rest, in one world or in many."""

from twin.physics.world import World

__all__ = ["World"]

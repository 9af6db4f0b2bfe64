"""The codeless USD schema of Twin: its definition, the two files USD reads, its registration and its reference page."""

from twin.scene.schema.definitions import APIS, DISTRIBUTION_KINDS, Api, Property
from twin.scene.schema.register import register_schemas

__all__ = ["APIS", "DISTRIBUTION_KINDS", "Api", "Property", "register_schemas"]

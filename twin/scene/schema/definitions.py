"""What a factory can say about itself: every applied API schema and its properties, in one table.

``plugInfo.json``, ``generatedSchema.usda`` and ``docs/schema-reference.md`` are written from it
(``python -m twin.scene.schema.generate``), and a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DISTRIBUTION_KINDS: dict[str, tuple[str, ...]] = {
    "constant": ("mean",),
    "exponential": ("mean",),
    "erlang": ("mean", "k"),
    "uniform": ("min", "max"),
    "triangular": ("min", "mode", "max"),
    "normal": ("mean", "cv"),
    "lognormal": ("mean", "cv"),
    "gamma": ("mean", "cv"),
    "weibull": ("mean", "shape"),
    "empirical": ("values", "weights"),
}
"""Parameters of each kind; ``min`` and ``max`` on any other kind truncate it."""


@dataclass(frozen=True)
class Property:
    """One property: full ``name``, Sdf ``type`` (``rel`` for a relationship), ``default``, ``doc``, ``allowed`` tokens, ``unit``
    for people (``stage`` stands for the stage's unit of length)."""

    name: str
    type: str
    doc: str
    default: Any = None
    allowed: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Api:
    """One applied API schema. ``multiple``: applied once per instance name (``__INSTANCE_NAME__`` in property names)."""

    name: str
    doc: str
    properties: tuple[Property, ...]
    multiple: bool = False


def _distribution(prefix: str, what: str, unit: str = "s") -> tuple[Property, ...]:
    return (
        Property(f"{prefix}:distribution", "token", f"Distribution of the {what}.", "constant", tuple(DISTRIBUTION_KINDS)),
        Property(f"{prefix}:mean", "double", f"Mean of the {what}.", unit=unit),
        Property(f"{prefix}:cv", "double", "Coefficient of variation, for normal, lognormal and gamma.", unit="1"),
        Property(f"{prefix}:k", "int", "Number of phases, for erlang."),
        Property(f"{prefix}:min", "double", "Lower end for uniform and triangular; truncates any other kind.", unit=unit),
        Property(f"{prefix}:mode", "double", "Most likely value, for triangular.", unit=unit),
        Property(f"{prefix}:max", "double", "Upper end for uniform and triangular; truncates any other kind.", unit=unit),
        Property(f"{prefix}:shape", "double", "Shape, for weibull.", unit="1"),
        Property(f"{prefix}:values", "double[]", "Observed values, for empirical.", unit=unit),
        Property(f"{prefix}:weights", "double[]", "Weight of each value, for empirical; equal when absent."),
    )


_NEXT = Property("twin:next", "rel", "Successors in order; items follow it.")
_ZONE = Property("twin:node:zone", "rel", "Prim whose bound is where the node acts; without it the node's own bound.")
_SHIFT = Property("twin:node:shift", "rel", "Shift calendar (a prim with TwinShiftAPI); without it always on.")
_PLACE = (_NEXT, _ZONE, _SHIFT)

APIS: tuple[Api, ...] = (
    Api(
        "TwinSourceAPI",
        "Where items enter the line.",
        (
            *_distribution("twin:source:interarrival", "time between arrivals; never when nothing is authored"),
            Property("twin:source:saturated", "bool", "Always has an item; the time between arrivals is ignored.", False),
            Property("twin:source:items", "rel", "Prototypes of what is made; they are not part of the world."),
            Property("twin:source:weights", "float[]", "Share of each prototype, in the order of items; equal when absent."),
            Property("twin:source:limit", "int", "Items made in all; -1 without end.", -1),
            *_PLACE,
        ),
    ),
    Api(
        "TwinItemAPI",
        "A prototype of goods.",
        (Property("twin:item:type", "token", "Type of the item; the prim's name when absent."),),
    ),
    Api(
        "TwinStationAPI",
        "A machine or work place. Cycle times per item type are custom properties twin:station:cycleTime:type:TYPE:distribution "
        "and so on, with the parameters of any distribution.",
        (
            *_distribution("twin:station:cycleTime", "time to work on an item"),
            Property("twin:station:servers", "int", "Items worked on side by side.", 1),
            *_distribution("twin:station:setupTime", "set-up between items of different types"),
            *_distribution("twin:station:timeToFailure", "time to the next failure; never when nothing is authored"),
            *_distribution("twin:station:timeToRepair", "time to repair"),
            Property(
                "twin:station:failureMode",
                "token",
                "When the failure clock runs: while working, or always.",
                "operation",
                ("operation", "time"),
            ),
            Property("twin:station:scrapRate", "double", "Share of items that come out defective.", 0.0, unit="1"),
            Property("twin:station:rework", "rel", "Node that defective items go to."),
            Property("twin:station:batchSize", "int", "Items worked on together.", 1),
            Property("twin:station:joins", "rel", "Assembly: one item from each of these upstream nodes."),
            Property("twin:station:output", "rel", "Prototype of what leaves a batch or an assembly; it contains its pieces."),
            Property(
                "twin:station:blocking",
                "token",
                "A finished item keeps its server, or a cycle starts only when there is room downstream.",
                "afterService",
                ("afterService", "beforeService"),
            ),
            Property("twin:station:crew", "rel", "Crew that staffs cycles and set-ups."),
            Property("twin:station:crewSize", "int", "People needed for the whole of a cycle or set-up.", 0),
            Property("twin:station:repairCrew", "rel", "Crew that repairs."),
            Property(
                "twin:station:skill",
                "token",
                "Skill that cycles and set-ups need. The crew must have it; without a crew, the first one that has it comes.",
            ),
            Property("twin:station:repairSkill", "token", "The same for repairs and the repair crew."),
            *_PLACE,
        ),
    ),
    Api(
        "TwinBufferAPI",
        "A store of items between nodes.",
        (
            Property("twin:buffer:capacity", "int", "Slots; -1 unlimited.", 1),
            Property("twin:buffer:discipline", "token", "First in first out, or last in first out.", "fifo", ("fifo", "lifo")),
            *_PLACE,
        ),
    ),
    Api(
        "TwinConveyorAPI",
        "A belt or roller conveyor. It drives the colliders at and below its prim along the prim's local +X, or along a path.",
        (
            Property("twin:conveyor:speed", "double", "Speed of the belt.", 0.0, unit="stage/s"),
            Property(
                "twin:conveyor:accumulating", "bool", "Items close up behind a blocked one; otherwise the whole belt stops.", True
            ),
            Property(
                "twin:conveyor:pitch",
                "double",
                "Least distance between item centres; 0: half the sum of the two lengths.",
                0.0,
                unit="stage",
            ),
            Property("twin:conveyor:length", "double", "Length; 0: from the path or the geometry.", 0.0, unit="stage"),
            Property("twin:conveyor:path", "rel", "BasisCurves the belt follows, in the direction of travel."),
            Property(
                "twin:conveyor:belt",
                "rel",
                "Colliders that are driven; without it all at and below the prim, or those that "
                "carry a custom bool twin:belt set to true.",
            ),
            *_PLACE,
        ),
    ),
    Api(
        "TwinRouterAPI",
        "A decision where an item goes next; it holds nothing.",
        (
            Property(
                "twin:router:rule",
                "token",
                "How a successor is chosen.",
                "first",
                ("first", "roundRobin", "shortestQueue", "probability", "byType", "byQuality"),
            ),
            Property("twin:router:weights", "float[]", "Share of each successor, for probability; equal when absent."),
            Property("twin:router:types", "token[]", "Item type of each successor, for byType; an empty token takes all others."),
            Property(
                "twin:router:diverter",
                "rel",
                "Conveyors that send the item on, one per successor; without it the item is moved to the successor's zone.",
            ),
            *_PLACE,
        ),
    ),
    Api(
        "TwinSinkAPI",
        "Where items leave the line.",
        (Property("twin:sink:reject", "bool", "What comes here counts as scrap.", False), *_PLACE),
    ),
    Api(
        "TwinCrewAPI",
        "People who staff or repair.",
        (
            Property("twin:crew:size", "int", "How many people.", 1),
            Property("twin:crew:skills", "token[]", "What they can do: stations ask for it by skill and repairSkill."),
            _SHIFT,
        ),
    ),
    Api(
        "TwinShiftAPI",
        "A shift calendar.",
        (Property("twin:shift:pattern", "string[]", "When work goes on, each like 'mon-fri 06:00-14:00'; may cross midnight."),),
    ),
    Api(
        "TwinFleetAPI",
        "Vehicles that carry items from one node to the next.",
        (
            Property("twin:fleet:size", "int", "Number of vehicles.", 1),
            Property("twin:fleet:speed", "double", "Driving speed.", 1.0, unit="stage/s"),
            *_distribution("twin:fleet:loadTime", "time to load"),
            *_distribution("twin:fleet:unloadTime", "time to unload"),
            Property("twin:fleet:paths", "rel", "BasisCurves that make up the network of ways."),
            *_distribution("twin:fleet:batteryTime", "time of use on one charge; never empty when nothing is authored"),
            *_distribution("twin:fleet:chargeTime", "time to charge"),
            *_PLACE,
        ),
    ),
    Api(
        "TwinRobotAPI",
        "An arm that stacks what a station with an output collects. Its joints are the chain of six hinges "
        "(PhysicsRevoluteJoint) between the kinematic bodies below it.",
        (
            Property("twin:robot:station", "rel", "Station whose goods it takes, at the floor centre of the station's zone."),
            Property("twin:robot:tool", "rel", "Xform on the last link where it grips; its up axis points down when it does."),
            Property("twin:robot:path", "rel", "Taught path: Xforms that the tool passes between taking and placing, in order."),
            Property("twin:robot:speed", "double", "Greatest speed of a joint.", 120.0, unit="deg/s"),
        ),
    ),
    Api(
        "TwinPowerAPI",
        "Electric power of a node by state.",
        tuple(
            Property(f"twin:power:{state}", "double", f"Power while {what}.", 0.0, unit="W")
            for state, what in (
                ("idle", "idle"),
                ("busy", "working"),
                ("blocked", "blocked"),
                ("setup", "being set up"),
                ("down", "down"),
            )
        ),
    ),
    Api(
        "TwinSignalAPI",
        "A signal; the instance name is the signal's name. Its value is the custom attribute twin:signal:NAME:value, "
        "of any scalar type.",
        (
            Property("twin:signal:__INSTANCE_NAME__:unit", "string", "Unit as UCUM code, such as Cel, m/s, g or 1.", ""),
            Property("twin:signal:__INSTANCE_NAME__:quality", "uint", "OPC UA status code of the value; 0 is good.", 0),
            Property(
                "twin:signal:__INSTANCE_NAME__:role",
                "token",
                "What the signal is.",
                "measurement",
                ("measurement", "setpoint", "state", "count", "pose"),
            ),
        ),
        multiple=True,
    ),
    Api(
        "TwinSensorAPI",
        "A sensor; it looks along its prim's local +X.",
        (
            Property(
                "twin:sensor:kind", "token", "Kind of sensor.", "photoEye", ("photoEye", "proximity", "lidar", "camera", "scale")
            ),
            Property("twin:sensor:range", "double", "How far it sees.", 0.0, unit="stage"),
            Property("twin:sensor:signal", "rel", "Signal it writes: the signal's value attribute, or a prim with one signal."),
        ),
    ),
)

"""What every driver must stand: the same failures, made by a proxy between the driver and a real counterpart.

``python -m twin.connectors.conformance --write docs/connectors.md`` runs all cases and writes the table of results.
"""

from twin.connectors.conformance.cases import CASES, Rig
from twin.connectors.conformance.counterparts import COUNTERPARTS, Counterpart, Unavailable
from twin.connectors.conformance.proxy import FaultProxy
from twin.connectors.conformance.suites import SUITES, Suite

__all__ = ["CASES", "COUNTERPARTS", "SUITES", "Counterpart", "FaultProxy", "Rig", "Suite", "Unavailable"]

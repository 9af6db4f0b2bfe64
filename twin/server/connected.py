"""What a twin is connected to: its plant, an emulated one, and whoever reads its signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from twin.collab import Document
from twin.connectors import Mapping, Plant, load
from twin.connectors.base import Recorder
from twin.connectors.lint import lint
from twin.core import log
from twin.core.errors import MappingError, Rejected
from twin.core.samples import Sample, SampleBlock, SignalKey
from twin.history import Historian
from twin.live import ShadowFeed
from twin.model.factory import Signal
from twin.scene import list_signals
from twin.server.renames import Renames
from twin.server.settings import Settings

if TYPE_CHECKING:
    from twin.connectors.emulated import EmulatedPlant
    from twin.connectors.serving.sparkplug import SparkplugEdge
    from twin.connectors.serving.worker import State

EMULATED_WAIT_S = 10.0
"""A twin that has started otherwise waits so long for its emulated plant, so that nothing begins with a lost connection."""


class Both:
    """Hands every sample of the plant to history and to what it drives."""

    def __init__(self, history: Historian, shadow: ShadowFeed) -> None:
        self._history, self._shadow = history, shadow

    def append(self, samples: list[Sample]) -> int:
        self._shadow.append(samples)
        return self._history.append(samples)

    def append_block(self, block: SampleBlock) -> int:
        self._shadow.append(block.samples())
        return self._history.append_block(block)

    def declare(self, key: SignalKey, unit: str) -> None:
        self._history.declare(key, unit)


class Connected:
    """The connections of a twin, made when it is; ``start_emulated`` comes before, and ``start`` after, the twin has started.

    Args:
        recorder: Takes every sample of the plant. progress: Told of what takes long.

    Attributes:
        plant: None where no mapping was given.
        edge: The Sparkplug node that publishes the twin, if any.

    Raises:
        InputError: A mapping cannot be used.
    """

    def __init__(
        self, settings: Settings, document: Document, renames: Renames, recorder: Recorder, progress: Callable[[str], None]
    ) -> None:
        self._settings, self._progress = settings, progress
        self._log = log.get("host")
        self._emulated: EmulatedPlant | None = None
        self._serving: list[Any] = []
        self.edge: SparkplugEdge | None = None
        self.plant = self._connect(document, renames, recorder)

    def start_emulated(self) -> None:
        """Begin to start the emulated plant, if one is asked for."""
        if self._emulated is not None and self.plant is not None:
            self._progress("starting the emulated plant")
            self._emulated.start(partial(self._emulated_answers, self.plant))

    def start(self, signals: Sequence[Signal], state: State) -> None:
        """Connect, and let others read what ``state`` gives of ``signals``."""
        if self._emulated is not None and not self._emulated.wait(EMULATED_WAIT_S):
            self._progress("the emulated plant is not ready yet: the twin starts without it, and connects when it is there")
        if self.plant is not None:
            self.plant.start()
        self._serve(signals, state)

    def moved(self, now: Callable[[str], str]) -> None:
        """Prims have other paths now: what comes for them finds them there, and who reads their signals does."""
        if self.plant is not None:
            self.plant.moved(now)
        for serving in self._serving:
            serving.moved(now)

    def stop_serving(self) -> None:
        """Others read no more."""
        for serving in self._serving:
            serving.stop()

    def stop(self) -> None:
        """Disconnect."""
        if self.plant is not None:
            self.plant.stop()
        if self._emulated is not None:
            self._emulated.stop()

    def _connect(self, document: Document, renames: Renames, recorder: Recorder) -> Plant | None:
        mappings: list[Mapping] = [load(path) for path in self._settings.mappings]
        signals = list_signals(document.stage) if mappings or self._settings.emulate else []
        mappings = [renames.followed(mapping, signals) for mapping in mappings]
        for finding in lint(mappings, signals, was_there=renames.was_there):
            if finding.severity == "error":
                raise MappingError(finding.message, file=finding.path)
            if finding.code == "prim-gone":
                self._log.warning(finding.message, mapping=finding.path)
                document.findings.items.append(finding)
        if self._settings.emulate:
            taken = {key for mapping in mappings for key in mapping.targets()}
            free = [s for s in signals if SignalKey(s.prim, s.name) not in taken]
            if (emulated := self._emulate(free)) is not None:
                mappings.append(emulated)
        if not mappings:
            return None
        return Plant(mappings, recorder, allow_writes="armed" if self._settings.allow_writes else False)

    def _emulate(self, signals: list[Signal]) -> Mapping | None:
        """The mapping of an emulated plant that tells what of ``signals`` the twin cannot know itself; None: nothing is left."""
        from twin.connectors.emulated import EmulatedPlant, emulated_mapping
        from twin.connectors.emulated.virtual import opcua_mapping
        from twin.connectors.mapping import parse

        # a process line with dynamics of its own for the scene that it was made for, else one that is derived from the stage
        targets = {SignalKey(s.prim, s.name) for s in signals}
        if emulated_mapping("opc.tcp://", targets).points:
            self._emulated = EmulatedPlant()
            return emulated_mapping(self._emulated.endpoint, targets)
        measured = [s for s in signals if s.role == "measurement"]
        if not measured:
            self._log.warning("nothing to emulate: the stage declares no measurement that no mapping feeds")
            return None
        self._emulated = EmulatedPlant(self._settings.stage)
        return parse(opcua_mapping(measured, self._emulated.endpoint), file="the emulated plant", folder=self._settings.project)

    def _emulated_answers(self, plant: Plant) -> None:
        """Connect at once: the wait between two tries has grown meanwhile."""
        for status in plant.statuses():
            if status.origin == "emulated" and status.state in ("backoff", "connecting"):
                with suppress(Rejected):  # the twin ends just now
                    plant.restart(status.name)

    def _serve(self, signals: Sequence[Signal], state: State) -> None:
        """Let a SCADA or a PLC program read the twin's signals; read-only."""
        from twin.connectors import publish_mqtt, publish_sparkplug, serve_opcua

        asked = self._settings
        if asked.serve_opcua is not None:
            self._serving.append(serve_opcua(signals, state, port=asked.serve_opcua))
        if asked.publish_mqtt is not None:
            self._serving.append(publish_mqtt(asked.publish_mqtt, state, prefix="twin"))
        if asked.publish_sparkplug is not None:
            node = asked.project.name.partition(".")[0] or "twin"
            host, address = asked.sparkplug_host, asked.publish_sparkplug
            self.edge = publish_sparkplug(address, signals, state, group="twin", node=node, primary_host=host)
            self._serving.append(self.edge)

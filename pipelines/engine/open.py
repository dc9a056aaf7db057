"""The engine that runs a checkpoint, or several that share a version's images."""

from collections.abc import Sequence

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.whole import WholePipeline
from pipelines.engine.engine import Engine
from pipelines.engine.entropy_guidance import Network
from pipelines.engine.routing import RoutingEngine
from pipelines.engine.whole import PipelineEngine

AnyEngine = Engine | PipelineEngine | RoutingEngine


def open_engine(
    checkpoint: Backbone | WholePipeline,
    capacity: int = 32,
    cache_interval: int = 1,
    classifier: Network | None = None,
    further: Sequence[Backbone | WholePipeline] = (),
) -> AnyEngine:
    """Of a backbone, with a batch that is refilled at every step; of a checkpoint that is run whole, without. With `further`
    checkpoints, of all of them, an engine each."""
    if further:
        return RoutingEngine([engine_of(each, capacity, cache_interval, classifier) for each in (checkpoint, *further)])
    return engine_of(checkpoint, capacity, cache_interval, classifier)


def engine_of(
    checkpoint: Backbone | WholePipeline, capacity: int, cache_interval: int, classifier: Network | None
) -> Engine | PipelineEngine:
    if isinstance(checkpoint, Backbone):
        return Engine(checkpoint, capacity, cache_interval, classifier)
    return PipelineEngine(checkpoint, capacity)

"""The engine that runs a checkpoint."""

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.whole import WholePipeline
from pipelines.engine.engine import Engine
from pipelines.engine.entropy_guidance import Network
from pipelines.engine.whole import PipelineEngine


def open_engine(
    checkpoint: Backbone | WholePipeline,
    capacity: int = 32,
    cache_interval: int = 1,
    classifier: Network | None = None,
) -> Engine | PipelineEngine:
    """Of a backbone, with a batch that is refilled at every step; of a checkpoint that is run whole, without."""
    if isinstance(checkpoint, Backbone):
        return Engine(checkpoint, capacity, cache_interval, classifier)
    return PipelineEngine(checkpoint, capacity)

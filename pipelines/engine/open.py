"""The engine that runs a checkpoint."""

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.whole import WholePipeline
from pipelines.engine.engine import Engine
from pipelines.engine.whole import PipelineEngine


def open_engine(checkpoint: Backbone | WholePipeline, capacity: int = 32) -> Engine | PipelineEngine:
    """Of a backbone, with a batch that is refilled at every step; of a checkpoint that is run whole, without."""
    return Engine(checkpoint, capacity) if isinstance(checkpoint, Backbone) else PipelineEngine(checkpoint, capacity)

"""Errors that explain themselves: what was wrong, the value, and the remedy."""


class CounterpoiseError(Exception):
    """Base of every error that a user can mend. `retry` says whether trying again may help."""

    retry = False


class SpecError(CounterpoiseError):
    """The spec is invalid, or cannot be carried out."""


class SourceError(CounterpoiseError):
    """The source cannot be opened, or holds nothing usable."""


class UnreachableError(SourceError):
    """The host or bucket of a source does not answer; a retry may help."""

    retry = True


class ModelError(CounterpoiseError):
    """A checkpoint cannot be loaded, or does not fit the others."""


class EndpointError(ModelError):
    """An endpoint of a model does not answer; a retry may help."""

    retry = True


class StoreError(CounterpoiseError):
    """The object store refused, or holds something else than what is being written."""


class ExportError(CounterpoiseError):
    """A version cannot be had in the form, or at the place, that was asked for."""


class EvaluationError(CounterpoiseError):
    """A version is published, and its evaluation failed."""


class CacheError(CounterpoiseError):
    """The cache of training images on this machine's disk cannot be written; a retry may help, once there is room."""

    retry = True


def absent_device(device: str, reason: str) -> ModelError:
    return ModelError(f"device: {device!r} cannot be used here ({reason}); give auto, which takes what there is")

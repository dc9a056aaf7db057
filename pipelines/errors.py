"""Errors that explain themselves: what was wrong, the value, and the remedy."""


class CounterpoiseError(Exception):
    """Base of every error that a user can mend. `retry` says whether trying again may help."""

    retry = False


class SpecError(CounterpoiseError):
    """The spec asks for something that cannot be done."""


class SourceError(CounterpoiseError):
    """The source cannot be opened, or holds nothing usable."""


class UnreachableError(SourceError):
    """Where the source lies does not answer: it may, later."""

    retry = True


class ModelError(CounterpoiseError):
    """A checkpoint cannot be loaded, or does not fit the others."""


class StoreError(CounterpoiseError):
    """The object store refused, or holds something else than what is being written."""

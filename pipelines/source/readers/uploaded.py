"""Images that were sent to a service: taken in by `source.upload`, and indexed there."""

from pipelines.errors import SourceError
from pipelines.source.checks import Place
from pipelines.source.source import Source, source_of
from pipelines.source.upload import index_of
from pipelines.spec import UploadedSource
from pipelines.store import keys
from pipelines.store.object_store import Store


def open_uploaded(spec: UploadedSource, store: Store) -> Source:
    """Open images that were uploaded. Raises SourceError when there are none, no two classes, or too many bad ones."""
    key = keys.newest(spec.name)
    if spec.digest is None and not store.exists(key):
        raise SourceError(f"source.name: nothing was uploaded as {spec.name!r}; send it to /v1/sources/{spec.name} first")
    key = keys.index(spec.name, spec.digest or store.json(key)["digest"])
    if not store.exists(key):
        raise SourceError(f"source.digest: {spec.name!r} has no state {spec.digest!r}; leave it out for the newest")

    def get(place: Place) -> bytes:
        return store.get(place.file)

    return source_of(index_of(store.json(key)), get, f"source.name: {spec.name}", spec)

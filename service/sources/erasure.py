"""Erasing images, or a whole source, with what was learned from them."""

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from pipelines.source.erasure import drop_states, hashes, held_by_others, holders, publish_without, states
from pipelines.spec import Strict
from pipelines.store import artifacts, keys
from pipelines.store.object_store import Store
from pipelines.version.refresh import made_from
from service.api.dependencies import AppContextWithStore, StoreContext, SubmitAccess
from service.api.problems import documented
from service.api.routes import Route
from service.sources.endpoints import SourceName
from service.state import deletions, references, schedules, uploads, versions
from service.state.api_keys import Caller
from service.state.deletions import VersionRefreshed
from service.state.lifecycle import ENDED, State
from service.state.tables import Version
from service.state.versions import VersionRunning
from service.versions.creation import wake_worker

router = APIRouter(route_class=Route, prefix="/v1/sources", tags=["sources"], responses=documented(401, 403, 404, 409, 422))
LISTED = 5  # of what uses a source, in a refusal
Cascade = Annotated[bool, Query(description="Remove what was made from it, too.")]


class ErasureRequest(Strict):
    """Which images are to be erased."""

    ids: list[str] = Field(
        min_length=1,
        max_length=1000,
        description="Of images, in any state of the source.",
        examples=[["train/boot/0017.png"]],
    )


class VersionMade(BaseModel):
    dataset: str
    number: int
    state: State


class ErasureView(BaseModel):
    """What was erased, and what was made with it."""

    images: int = Field(description="Images that were erased, counted by content.")
    digest: str | None = Field(description="Digest of the newest state of the source; null if the source is gone.")
    artifacts: list[str] = Field(
        description="What was computed from them, and was removed: tokens, LoRAs, judges, masks, ..."
    )
    versions: list[VersionMade] = Field(
        description="Versions whose source held them: with `cascade` they are being deleted, else they are due for deletion "
        "or a refresh."
    )
    sources: list[str] = Field(description="Other sources that hold some of these images still.")


@router.post("/{name}:erase", responses=documented(400))
def erase_images(
    context: StoreContext, caller: SubmitAccess, name: SourceName, request: ErasureRequest, cascade: Cascade = False
) -> ErasureView:
    """Erase images from every state of a source, with what was learned from them.

    Versions whose source held them are listed, or with `cascade` deleted. Safe to repeat, also after a failure.
    """
    store = open_states(context, caller, name)
    images = hashes(store, name, request.ids)
    dependents = [v for v in users(context, caller, name, images) if v.state in ENDED and holds(store, v, images)]
    digest = publish_without(store, name, images)
    learned = remove(context, caller, images, dependents if cascade else [])
    drop_states(store, name, images)
    return view(context, images, digest, learned, dependents, holders(store, images))


@router.delete("/{name}")
def delete_source(context: StoreContext, caller: SubmitAccess, name: SourceName, cascade: Cascade = False) -> ErasureView:
    """Delete a source with all its states, and what was learned from its images, but for those that other sources hold.

    Refused while versions or schedules use it, unless `cascade` removes these, too. Safe to repeat, also after a failure.
    """
    store = open_states(context, caller, name)
    own = {row["sha256"] for rows in states(store, name).values() for row in rows}
    images = own - held_by_others(store, name)
    dependents = users(context, caller, name, images)
    scheduled = references.schedules_of(context.database, caller.tenant, name)
    if not cascade and (dependents or scheduled):
        uses = [f"version {v.number} of {v.dataset!r}" for v in dependents] + [f"the schedule of {d!r}" for d in scheduled]
        more = f" and {len(uses) - LISTED} more" if len(uses) > LISTED else ""
        used = ", ".join(uses[:LISTED]) + more
        raise HTTPException(409, f"source {name!r} is used by {used}; remove them, or ask with cascade=true")
    for dataset in scheduled:
        schedules.remove(context.database, caller.tenant, dataset)
    learned = remove(context, caller, images, dependents)
    drop_states(store, name, None)
    return view(context, images, None, learned, dependents, [])


def open_states(context: AppContextWithStore, caller: Caller, name: str) -> Store:
    """The store, if a source of this name is in it. Raises 404, and 409 while an upload is read."""
    store = context.store(caller)
    if not store.keys(f"sources/{name}"):
        raise HTTPException(404, f"there is no source {name!r}; send it by PUT")
    if (upload := uploads.unread(context.database, caller.tenant)) is not None:
        uploaded = f"upload {upload.id} to source {upload.source!r} is {upload.state}"
        raise HTTPException(409, f"{uploaded}, and may hold these images; wait until it is done")
    return store


def holds(store: Store, version: Version, images: Collection[str]) -> bool:
    return made_from(store, keys.version(version.dataset, version.number), images)


def users(context: AppContextWithStore, caller: Caller, name: str, images: Collection[str]) -> list[Version]:
    """The versions that name a source, or whose source held any of the images. Raises 409 if one of them is on its way."""
    store, result = context.store(caller), []
    for version in references.versions(context.database, caller.tenant):
        source = version.spec.get("source", {})
        if (source.get("type"), source.get("name")) == ("uploaded", name) or holds(store, version, images):
            if version.state not in ENDED:
                raise HTTPException(
                    409, f"version {version.number} of {version.dataset!r} is made from source {name!r}; cancel it first"
                )
            result.append(version)
    return result


def remove(context: AppContextWithStore, caller: Caller, images: Collection[str], dependents: list[Version]) -> list[str]:
    """Remove what was learned from images, and these versions; return the folders of what was learned."""
    store = context.store(caller)
    learned = artifacts.learned_from(store, images)
    for folder in learned:
        artifacts.remove(store, folder)
    for version in reversed(dependents):
        try:
            deletions.begin(context.database, version.id)
        except (VersionRunning, VersionRefreshed) as running:
            raise HTTPException(409, f"version {running} of {version.dataset!r} is on its way; cancel it first") from None
    if dependents:
        wake_worker(context)
    return learned


def view(
    context: AppContextWithStore,
    images: Collection[str],
    digest: str | None,
    learned: list[str],
    dependents: list[Version],
    others: list[str],
) -> ErasureView:
    current = [versions.get(context.database, version.id) or version for version in dependents]
    return ErasureView(
        images=len(images),
        digest=digest,
        artifacts=learned,
        versions=[VersionMade(dataset=v.dataset, number=v.number, state=v.state) for v in current],
        sources=others,
    )

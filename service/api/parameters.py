"""Parameters that several resources share: names in a path, cursor pagination, the idempotency key."""

from typing import Annotated

from fastapi import Header, Path, Query

from pipelines.spec import Name

DatasetName = Annotated[Name, Path(description="Name of the dataset.", examples=["shoes"])]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the version, from 1.")]
PageSize = Annotated[int, Query(ge=1, le=100, description="Items of a page.")]
IdempotencyKey = Annotated[
    str | None, Header(max_length=200, description="Sent again with the same body, the answer is the same version.")
]
CURSOR = "`next` of the page before."

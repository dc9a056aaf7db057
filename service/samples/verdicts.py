"""/v1/.../verdicts: what people decided about samples. The next refresh and exports obey them."""

from fastapi import APIRouter, HTTPException

from pipelines.version.verdicts import HumanVerdict
from service.api.dependencies import Context, ReadAccess, StoreContext, SubmitAccess
from service.api.parameters import DatasetName, VersionNumber
from service.api.problems import documented
from service.api.routes import Route
from service.samples.endpoints import SampleId, get_sample
from service.samples.schemas import VerdictRequest
from service.state import verdicts
from service.versions.lookups import find_version

router = APIRouter(route_class=Route, prefix="/v1", tags=["samples"], responses=documented(401, 403, 404, 422))


@router.get("/datasets/{name}/versions/{number}/verdicts")
def list_verdicts(context: Context, caller: ReadAccess, name: DatasetName, number: VersionNumber) -> list[HumanVerdict]:
    """What people decided about the samples of a version: who, and when."""
    version = find_version(context, caller, name, number)
    return verdicts.of_version(context.database, version.id)


@router.put("/datasets/{name}/versions/{number}/samples/{sample}/verdict", responses=documented(400, 409))
def put_verdict(
    context: StoreContext,
    caller: SubmitAccess,
    name: DatasetName,
    number: VersionNumber,
    sample: SampleId,
    request: VerdictRequest,
) -> HumanVerdict:
    """Decide about a sample. The version stays as it is: its next refresh makes another in place of one that is to be
    dropped, and brings back one that is to be kept though the filters dropped it; exports leave it out, or bring it back."""
    version = find_version(context, caller, name, number)
    view = get_sample(context, caller, name, number, sample)
    if request.decision == "drop" and view.verdict == "dropped":
        raise HTTPException(409, f"sample {sample!r} was dropped by the filters: {view.reason}; there is nothing to drop")
    index, attempt = map(int, sample.split("-"))
    return verdicts.decide(context.database, version.id, index, attempt, request.decision, caller.key)


@router.delete("/datasets/{name}/versions/{number}/samples/{sample}/verdict", status_code=204)
def delete_verdict(
    context: Context, caller: SubmitAccess, name: DatasetName, number: VersionNumber, sample: SampleId
) -> None:
    """Take a decision back."""
    version = find_version(context, caller, name, number)
    index, attempt = map(int, sample.split("-"))
    if not verdicts.undo(context.database, version.id, index, attempt):
        raise HTTPException(404, f"nothing was decided about sample {sample!r}")

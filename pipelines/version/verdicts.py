"""People's verdicts on the samples of a version. They are kept apart from it and never change it: the next refresh obeys
them, and so does an export. Imports no torch."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipelines.errors import ExportError
from pipelines.store.canonical import canonical

Decision = Literal["keep", "drop"]
SampleKey = tuple[int, int]  # index in the plan, and attempt: one sample in all versions of a dataset
SAMPLE_ID = r"^[0-9]{1,12}-[0-9]{1,6}$"
FILE = "verdicts.json"  # beside the manifest of a version that was pulled, and in an export that obeys them


class HumanVerdict(BaseModel):
    """What a person decided about a sample."""

    model_config = ConfigDict(frozen=True)

    sample: str = Field(pattern=SAMPLE_ID, description="Id of the sample.", examples=["17-0"])
    decision: Decision
    by: str = Field(description="Who: the name of the API key that it was decided with.")
    at: float = Field(description="When: seconds since the epoch.")

    @property
    def key(self) -> SampleKey:
        index, attempt = map(int, self.sample.split("-"))
        return index, attempt


Verdicts = Mapping[SampleKey, HumanVerdict]
LIST = TypeAdapter(list[HumanVerdict])


def key_of(row: Mapping[str, Any]) -> SampleKey:
    """Of a row of a data file."""
    return row["index"], row["attempt"]


def by_sample(verdicts: Iterable[HumanVerdict]) -> dict[SampleKey, HumanVerdict]:
    return {verdict.key: verdict for verdict in verdicts}


def samples_to(decision: Decision, verdicts: Verdicts) -> frozenset[SampleKey]:
    """The samples that people decided to keep, or to drop."""
    return frozenset(key for key, verdict in verdicts.items() if verdict.decision == decision)


def encoded(verdicts: Iterable[HumanVerdict]) -> bytes:
    """As they are stored: canonical JSON."""
    return canonical([verdict.model_dump() for verdict in verdicts])


def read_verdicts(file: Path) -> Sequence[HumanVerdict]:
    """The verdicts of a file, as `GET .../verdicts` and `pull` give them. Raises ExportError."""
    try:
        return LIST.validate_json(file.read_bytes())
    except OSError as error:
        raise ExportError(f"--verdicts: {file} cannot be read ({error.strerror}); name another file") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise ExportError(
            f"--verdicts: {file} is no list of verdicts: {place}: {first['msg']}; each has sample, decision, by and at, as "
            "in GET /v1/datasets/{name}/versions/{number}/verdicts"
        ) from None

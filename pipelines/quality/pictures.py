"""The images that a quality report speaks of, for its page."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.learning.resources import Resources
from pipelines.progress import step
from pipelines.records import Image
from pipelines.source.decode import decode
from pipelines.version import browse

Pictures = dict[tuple[str, str], Image]  # by kind, as of `measures.Kind`, and id


def findings(report: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The measures that found something."""
    for section in report["sections"].values():
        yield from (measure for measure in section["measures"] if measure["found"])


def wanted(report: Mapping[str, Any], most: int) -> list[tuple[str, str]]:
    """Kind and id of every image to display: the first `most` of each finding, and what they are to be looked at with."""
    places: dict[tuple[str, str], None] = {}
    for measure in findings(report):
        for image in measure["images"][:most]:
            places[("sample", image["id"])] = None
            if beside := image["beside"]:
                places[(beside["kind"], beside["id"])] = None
    return list(places)


def pictures(resources: Resources, report: Mapping[str, Any], most: int) -> Pictures:
    """Those that are (still) there."""
    splits = resources.source.splits
    real = {item.id: item for split in ("train", "validation", "test") for item in splits[split]}
    result: Pictures = {}
    for kind, identity in wanted(report, most):
        step()
        if kind == "sample":
            index, attempt = map(int, identity.split("-"))
            if data := browse.image(resources.store, resources.root, index, attempt):
                result[kind, identity] = decode(data, allow_synthetic=True)
        elif identity in real:
            result[kind, identity] = resources.view.fit(resources.view.read(real[identity]))
    return result

"""Images that repeat their source, or one another: perceptual hash of the repainted region (pHash, 64 bits)."""

from collections.abc import Sequence

import imagehash
import PIL.Image

from pipelines.filters.quality import crop
from pipelines.records import Candidate, Image, Mask, Verdict
from pipelines.spec import NearDuplicateFilter
from pipelines.workbench import Workbench


def phash(image: Image, mask: Mask | None) -> imagehash.ImageHash:
    return imagehash.phash(PIL.Image.fromarray(crop(image, mask)))


class NearDuplicate:
    """Compares with the source and with what the shard has kept so far."""

    def __init__(self, _bench: Workbench, spec: NearDuplicateFilter) -> None:
        self.distance = spec.distance

    def judge(self, candidates: Sequence[Candidate], kept: Sequence[Candidate]) -> list[Verdict]:
        others = [phash(c.image, c.request.mask) for c in kept]
        return [self.one(candidate, others) for candidate in candidates]

    def one(self, candidate: Candidate, others: list[imagehash.ImageHash]) -> Verdict:
        request = candidate.request
        mine = phash(candidate.image, request.mask)
        scores = {}
        if request.image is not None:
            scores["to_source"] = float(mine - phash(request.image, request.mask))
            if scores["to_source"] <= self.distance:
                return Verdict(scores, "repeats its source")
        if others:
            scores["to_others"] = float(min(mine - other for other in others))
            if scores["to_others"] <= self.distance:
                return Verdict(scores, "repeats another image")
        others.append(mine)
        return Verdict(scores)

"""Which versions are held: published, but not as the latest of their dataset until somebody promotes them."""

from collections.abc import Mapping
from typing import Any

from pipelines.report.harm import comparable, image_counts, is_below, share, whole_harms
from pipelines.report.worst import worst_part
from pipelines.spec.arms import BASELINE, VERSION

Evaluation = Mapping[str, Any]  # the arms of a version, its test images and, where samples may be lacking, its counts


def worse_than_real(evaluation: Evaluation) -> str | None:
    """What a version lowers below real images alone, in words. An average may fall where the worst group rises, by more than
    their spread: that is what a shortcut was worth, and for people to judge."""
    if not comparable(evaluation):
        return None
    real, version = (evaluation["arms"][arm]["worst_group"] for arm in (BASELINE, VERSION))
    lowered = whole_harms(evaluation)
    if not lowered or is_below(real, version, image_counts(evaluation)["worst_group"]):
        return None
    return f"{'; '.join(harm.text for harm in lowered)} below real data alone"


def worse_than_latest(evaluation: Evaluation, latest: Evaluation, margin: float) -> str | None:
    """By how much the worst group falls below that of the latest version, in words, if by more than the margin."""
    if VERSION not in evaluation["arms"] or VERSION not in latest["arms"]:
        return None
    before, after = (arms[VERSION]["worst_group"]["mean"] for arms in (latest["arms"], evaluation["arms"]))
    if before - after <= margin:
        return None
    name = f"{worst_part(evaluation['arms']).replace(' ', '-')} accuracy"
    return (
        f"{name} {share(after)}, more than the margin of {100 * margin:g} points below the latest version's {share(before)}"
    )


def hold(evaluation: Evaluation, margin: float | None, latest: Evaluation | None = None) -> str | None:
    """Why a version is held, in words; None: it is not. `latest` is the evaluation of the dataset's latest version where one
    refreshes it; without a `margin` none is held."""
    if margin is None:
        return None
    reasons = [worse_than_real(evaluation), None if latest is None else worse_than_latest(evaluation, latest, margin)]
    return "; ".join(reason for reason in reasons if reason) or None

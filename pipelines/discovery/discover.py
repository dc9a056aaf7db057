"""The discovery of shortcuts in a source: evidence on every attribute, the suspects first, in words where CLIP has some."""

from pipelines.discovery.attributes import ATTRIBUTES
from pipelines.discovery.exchange import DRAWS
from pipelines.discovery.study import ASSOCIATED, LEAST, MOVED, Evidence, Study
from pipelines.discovery.suspects import Discovery, Suspect
from pipelines.discovery.words import fitting, words_of
from pipelines.progress import Progress
from pipelines.vision.clip import Clip

LEARNED = 0.1  # accuracy above chance, below which a classifier leans on nothing


def discover(
    study: Study, clip: Clip, progress: Progress, *, name: str, checkpoint: str
) -> tuple[Discovery, dict[str, Evidence]]:
    """All attributes of a source, and the evidence on each. `name` and `checkpoint` are what source and CLIP are called."""
    done, evidence = progress.stage("exchange: attributes", len(ATTRIBUTES)), dict[str, Evidence]()
    for attribute, what in ATTRIBUTES.items():
        evidence[attribute] = study.evidence(what)
        done(1)
    beyond = {attribute for attribute, one in evidence.items() if one.beyond_chance}
    suspected = {attribute for attribute in beyond if ATTRIBUTES[attribute].within not in beyond}
    suspects = [
        suspect(study, attribute, one, in_words(study, attribute, one, clip, checkpoint) if attribute in suspected else None)
        for attribute, one in evidence.items()
    ]
    suspects.sort(key=lambda one: (not one.suspected, -one.fall))
    accuracy = float(study.right.mean())
    settings = {
        **study.settings,
        "draws": DRAWS,
        "associated": ASSOCIATED,
        "moved": MOVED,
        "least_fall": LEAST,
        "clip": checkpoint,
    }
    return Discovery(name, study.sizes, accuracy, tuple(suspects), settings, notes(study, accuracy)), evidence


def suspect(study: Study, attribute: str, evidence: Evidence, words: dict[str, str] | None) -> Suspect:
    """`words` is None where the attribute is not suspected."""
    association, whole = evidence.association, evidence.effect
    return Suspect(
        attribute,
        ATTRIBUTES[attribute].title,
        words is not None,
        whole.own,
        whole.other,
        evidence.statistic,
        association.accuracy,
        association.statistic,
        study.clusters(association),
        words or {},
    )


def in_words(study: Study, attribute: str, evidence: Evidence, clip: Clip, checkpoint: str) -> dict[str, str]:
    """What comes with each class: of background and border without the object."""
    words = words_of(attribute, checkpoint)
    if not words:
        return {}
    typical = study.members(evidence.association, typical=True)
    whole = attribute == "colour"
    pixels = {label: [one.image if whole else one.background for one in some] for label, some in typical.items()}
    return fitting(clip, pixels, words)


def notes(study: Study, accuracy: float) -> tuple[str, ...]:
    chance = 1 / len(study.classes)
    if accuracy >= chance + LEARNED:
        return ()
    return (
        f"The classifier tells {100 * accuracy:.0f} % of held-out images, hardly more than chance ({100 * chance:.0f} %). "
        "It leans on nothing yet. Give --steps more, or --classifier a checkpoint.",
    )

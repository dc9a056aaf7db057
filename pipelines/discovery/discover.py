"""The discovery of shortcuts in a source: evidence on every attribute, the suspects first, in words where CLIP has some."""

from pipelines.discovery.attributes import ATTRIBUTES
from pipelines.discovery.exchange import DRAWS
from pipelines.discovery.hard_prompts import separating
from pipelines.discovery.study import ASSOCIATED, LEAST, MOVED, Evidence, Study
from pipelines.discovery.suspects import Discovery, HardPrompt, Suspect
from pipelines.discovery.words import fitting, words_of
from pipelines.progress import Progress
from pipelines.records import Image
from pipelines.vision.clip import Clip

Words = tuple[dict[str, str], dict[str, HardPrompt]]  # by class: of the lists, and hard prompts
LEARNED = 0.1  # accuracy above chance, below which a classifier leans on nothing


def discover(
    study: Study, clip: Clip, progress: Progress, *, name: str, checkpoint: str, prompt_steps: int = 0
) -> tuple[Discovery, dict[str, Evidence]]:
    """All attributes of a source, and the evidence on each. `name` and `checkpoint` are what source and CLIP are called;
    `prompt_steps` those of a hard prompt where the lists have no word, 0 for none."""
    done, evidence = progress.stage("exchange: attributes", len(ATTRIBUTES)), dict[str, Evidence]()
    for attribute, what in ATTRIBUTES.items():
        evidence[attribute] = study.evidence(what)
        done(1)
    beyond = {attribute for attribute, one in evidence.items() if one.beyond_chance}
    suspected = {attribute for attribute in beyond if ATTRIBUTES[attribute].within not in beyond}
    words = {a: in_words(study, a, evidence[a], clip, checkpoint, prompt_steps) for a in evidence if a in suspected}
    suspects = [suspect(study, attribute, one, words.get(attribute)) for attribute, one in evidence.items()]
    suspects.sort(key=lambda one: (not one.suspected, -one.fall))
    accuracy = float(study.right.mean())
    settings = {
        **study.settings,
        "draws": DRAWS,
        "associated": ASSOCIATED,
        "moved": MOVED,
        "least_fall": LEAST,
        "clip": checkpoint,
        "prompt_steps": prompt_steps,
    }
    return Discovery(name, study.sizes, accuracy, tuple(suspects), settings, notes(study, accuracy)), evidence


def suspect(study: Study, attribute: str, evidence: Evidence, words: Words | None) -> Suspect:
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
        *(words or ({}, {})),
    )


def pixels(study: Study, attribute: str, evidence: Evidence, *, held_out: bool) -> dict[str, list[Image]]:
    """What comes with each class: of background and border without the object."""
    typical, whole = study.members(evidence.association, typical=True, held_out=held_out), attribute == "colour"
    return {label: [one.image if whole else one.background for one in some] for label, some in typical.items()}


def in_words(study: Study, attribute: str, evidence: Evidence, clip: Clip, checkpoint: str, prompt_steps: int) -> Words:
    """What comes with each class, by a word of the lists; where none fits, by a hard prompt of so many steps, if any."""
    words = words_of(attribute, checkpoint)
    if not words:
        return {}, {}
    train = pixels(study, attribute, evidence, held_out=False)
    named = fitting(clip, train, words)
    if not prompt_steps or named.keys() == train.keys():
        return named, {}
    prompts = separating(clip, train, pixels(study, attribute, evidence, held_out=True), prompt_steps, named)
    return named, prompts


def notes(study: Study, accuracy: float) -> tuple[str, ...]:
    chance = 1 / len(study.classes)
    if accuracy >= chance + LEARNED:
        return ()
    return (
        f"The classifier tells {100 * accuracy:.0f} % of held-out images, hardly more than chance ({100 * chance:.0f} %). "
        "It leans on nothing yet. Give --steps more, or --classifier a checkpoint.",
    )

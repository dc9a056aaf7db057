"""What the stages of one version share: its spec and store, the models, the view of the source, and the judges."""

from functools import cached_property

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import taken_apart
from pipelines.backbones.whole import WholePipeline
from pipelines.learning.judges import JudgeTraining, Pool, View, rank
from pipelines.progress import Progress, Stage
from pipelines.records import Item
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import LabelAgreementFilter, VersionSpec
from pipelines.store import keys
from pipelines.store.artifacts import Artifact
from pipelines.store.object_store import Store
from pipelines.store.version_artifacts import VersionArtifacts
from pipelines.vision.classifier import Classifier
from pipelines.vision.models import Models
from pipelines.vision.object_masks import Words
from pipelines.vision.source_view import SourceView


class Resources:
    """Each part is opened when it is first needed: a planner loads no model."""

    def __init__(
        self, spec: VersionSpec, store: Store, progress: Progress, number: int = 1, models: Models | None = None
    ) -> None:
        """`models` that are loaded already, of the same `spec.models`."""
        self.fence: int | None = None  # of the lease that the work at hand is done by; None: by none, in one process
        self.spec, self.store, self.progress, self.number = spec, store, progress, number
        self.root = keys.version(spec.name, number)
        self.artifacts = VersionArtifacts(store)
        self.models = models or Models(spec.models)
        self.reused_tokens: dict[str, str] = {}  # digests by class, of tokens that a refresh takes over as they are

        self.pool: Pool | None = None  # of a refresh: the samples that it carries over

    @cached_property
    def source(self) -> Source:
        return open_source(self.spec.source, self.store, self.stage)

    @property
    def painter(self) -> Backbone | WholePipeline:
        """What generates the version's images."""
        return self.models.painter if self.spec.method.repaints_a_part else self.models.text_to_image

    @property
    def backbones(self) -> set[Backbone]:
        """Those that take what is learned: one learns it, the other may paint with it. Raises ModelError."""
        return {taken_apart(self.models.text_to_image), taken_apart(self.painter)}

    @property
    def painter_revision(self) -> str:
        """The revision of what generates the version's images, which is not loaded for it."""
        return self.models.painter_revision if self.spec.method.repaints_a_part else self.models.revision

    def generator(self, number: int) -> tuple[str, str]:
        """Name and revision of what draws the requests of a checkpoint, none of which is loaded for it: 0 the painter, then
        those of models.further."""
        models = self.models.spec
        if number:
            return models.further[number - 1].text_to_image, self.models.further_revisions[number - 1]
        twin = models.inpainting if self.spec.method.repaints_a_part else None
        return twin or models.text_to_image, self.painter_revision

    @cached_property
    def view(self) -> SourceView:
        framing, classifier = self.spec.effective_framing, self.spec.classifier
        return SourceView(self.source, self.models, framing, self.stage, classifier, self.artifacts)

    def stage(self, name: str, total: int) -> Stage:
        """Begin a stage of whatever is the progress by then: a worker has another for each unit."""
        return self.progress.stage(name, total)

    @property
    def superclass(self) -> Words:
        """The superclass: the word for the object in every image, or in those of each class."""
        assert self.spec.method.superclass  # the spec was checked
        return self.spec.method.superclass

    @property
    def judge_training(self) -> JudgeTraining:
        machine = self.models.machine
        return JudgeTraining(self.view, self.spec.classifier, machine.device, machine.precision, self.spec.seed, self.pool)

    def judge_artifact(self, view: View) -> Artifact:
        """What a judge is stored as, whether or not it is trained."""
        word = self.superclass if view == "object" else None
        return self.judge_training.prepare(view, word, self.artifacts)[0]

    @cached_property
    def judge(self) -> Classifier:
        """The plain classifier of whole images. One of objects, where the spec has one, is trained beside it."""
        words: dict[View, Words | None] = {"image": None}
        if any(isinstance(each, LabelAgreementFilter) and each.view == "object" for each in self.spec.filters):
            words["object"] = self.superclass
        judges = self.judge_training.train(words, self.artifacts, self.progress)
        if "object" in judges:
            self.object_judge = judges["object"]
        return judges["image"]

    @cached_property
    def object_judge(self) -> Classifier:
        """The plain classifier of isolated objects."""
        return self.judge_training.train({"object": self.superclass}, self.artifacts, self.progress)["object"]

    @property
    def learner_view(self) -> View:
        return "image" if self.pool is None else "pool"

    @cached_property
    def learner(self) -> Classifier:
        """The classifier whose uncertainty says what to generate (Deliberate Practice): the judge; in a refresh one that has
        learned from the samples that are carried over, too."""
        if self.pool is None:
            return self.judge
        return self.judge_training.train({"pool": None}, self.artifacts, self.progress)["pool"]

    @cached_property
    def ranking(self) -> dict[str, list[tuple[Item, float]]]:
        """Training images of each class with the judge's probability of their own class, most typical first."""
        return rank(self.view, self.judge_artifact("image"), lambda: self.judge)

    @property
    def loaded(self) -> list[str]:
        """Names of the models that are in memory."""
        return [*self.models.loaded, *(name for name in ("judge", "object_judge", "learner") if name in vars(self))]

"""Class tokens: where the classifier's gradient goes, that it is right, when learning ends, and that it resumes. Ten
seconds, and half a minute for the one on the built-in world."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.engine.engine import Engine
from pipelines.learning.class_tokens import PROMPTS, ClassTokenTraining
from pipelines.learning.textual_inversion import CURVE, EMBEDS
from pipelines.learning.tokens import Tokens
from pipelines.prompts import fill
from pipelines.records import Request
from pipelines.spec import Inversion
from pipelines.store.artifacts import Artifacts, learned_from
from pipelines.store.object_store import Store
from pipelines.tensors import images
from pipelines.vision.classifier import Classifier
from tests.builders import CPU, open_resources
from tests.checkpoints import build_3, build_xl

CLASSES = ("boot", "sneaker")
SPEC = Inversion.model_validate(
    {"objective": "classification", "vectors": 2, "steps": 6, "batch": 4, "denoising_steps": 3, "accuracy": 1.0}
)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(CLASSES).eval()


def training(model: Backbone, classifier: Classifier, spec: Inversion = SPEC, label: str = "boot") -> ClassTokenTraining:
    return ClassTokenTraining(model, classifier, label, 32, "<boot>", "shoe", spec, seed=3)


def request(prompt: str, seed: int, **changes: Any) -> Request:
    fields = {"index": seed, "attempt": 0, "seed": seed, "label": "boot", "method": "text_to_image", "size": (32, 32)}
    return Request(**{**fields, "prompt": prompt, **changes})


def test_defaults_are_the_papers_where_tokens_are_learned_by_classification() -> None:
    inversion = Inversion.model_validate({"objective": "classification", "steps": 40})
    assert (inversion.vectors, inversion.steps, inversion.batch) == (1, 40, 5)
    assert inversion.learning_rate == pytest.approx(0.00025 * 5)
    assert (inversion.guidance, inversion.denoising_steps) == (7, 30)
    assert (inversion.accuracy, inversion.patience) == (0.7, 15)
    assert Inversion.model_validate(inversion.model_dump()) == inversion
    assert Inversion().steps == 300
    with pytest.raises(ValueError, match="masked: tokens that are learned by classification have no image"):
        Inversion.model_validate({"objective": "classification", "masked": True})


@pytest.mark.parametrize("build", [None, build_xl, build_3], ids=["SD", "SDXL", "SD 3"])
def test_gradients_reach_the_vectors_alone(
    build: object, tiny_model: Backbone, classifier: Classifier, tmp_path: Path
) -> None:
    model = tiny_model if build is None else open_backbone(str(build(tmp_path / "checkpoint")), CPU)  # type: ignore[operator]
    one = training(model, classifier)
    parts = [model.denoiser, model.vae, *(encoder.model for encoder in model.text_encoders), classifier]
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    start = [vectors.detach().clone() for vectors in one.vectors]
    one.trainer.step()
    for vectors, old in zip(one.vectors, start, strict=True):
        assert ((vectors - old).abs().sum(dim=1) > 0).all()
    for part, state in zip(parts, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
        assert all(parameter.grad is None for parameter in part.parameters())


def test_the_gradient_is_that_of_the_last_step(tiny_model: Backbone, classifier: Classifier) -> None:
    """Against finite differences of the loss, with the latents before that step held where they are."""
    one = training(tiny_model, classifier)
    (vectors,) = one.vectors
    noise = torch.randn(2, *one.shape, generator=torch.Generator().manual_seed(0))
    prompts = [fill(prompt, one.phrase) for prompt in PROMPTS[:2]]
    before_last = one.denoised(noise, one.encode_prompts(prompts))

    def loss() -> Tensor:
        logits = one.classifier(one.images(*before_last, one.encode_prompts(prompts)))
        return F.cross_entropy(logits, torch.tensor([0, 0]))

    (gradient,) = torch.autograd.grad(loss(), vectors)
    direction, size = gradient / gradient.norm(), 0.004
    with torch.no_grad():
        vectors += size * direction
        above = loss()
        vectors -= 2 * size * direction
        below = loss()
    assert float((above - below) / (2 * size)) == pytest.approx(float(gradient.norm()), rel=0.05)


def test_what_is_drawn_is_what_the_engine_draws(tiny_model: Backbone, classifier: Classifier) -> None:
    one = training(tiny_model, classifier)
    prompt = fill(PROMPTS[0], one.phrase)
    (drawn,) = Engine(tiny_model).run([request(prompt, 5, guidance=7.0, steps=3)])
    noise = torch.randn(one.shape, generator=torch.Generator().manual_seed(5))[None]
    prompt_embeds = one.encode_prompts([prompt])
    (ours,) = images(one.images(*one.denoised(noise, prompt_embeds), prompt_embeds).detach())
    assert np.abs(ours.astype(int) - drawn.image.astype(int)).max() <= 1


def test_parts_of_a_batch_add_up(tiny_model: Backbone, classifier: Classifier) -> None:
    one = training(tiny_model, classifier)
    sums = [float(sum(loss.item() for loss in one.losses(torch.Generator().manual_seed(1), parts))) for parts in (1, 3, 4)]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-4)


def test_learning_ends_when_the_class_is_recognised_and_its_vectors_are_kept(
    tiny_model: Backbone, classifier: Classifier, tmp_path: Path
) -> None:
    """Of two classes the classifier sees one in all that this model draws: that one is recognised at once."""
    ends: dict[bool, tuple[int, int]] = {}
    for label in CLASSES:
        one = training(tiny_model, classifier, SPEC.model_copy(update={"accuracy": 0.7}), label)
        start, steps = one.vectors[0].detach().clone(), list[int]()
        artifact = Artifacts(Store.open(tmp_path)).find("token", label, CURVE)
        losses = one.trainer.run(SPEC.steps, 1, artifact, steps.append, one.converged)
        ends[one.recognised] = len(losses), sum(steps)
        assert one.recognised == torch.equal(one.result()[0], start)
    assert ends == {True: (1, 6), False: (6, 6)}, "a stage that ends early is done"


def test_without_an_end_the_vectors_of_the_lowest_loss_are_kept(tiny_model: Backbone, classifier: Classifier) -> None:
    one = training(tiny_model, classifier, SPEC.model_copy(update={"learning_rate": 0.1}))
    before = []
    for _ in range(5):
        before.append(one.vectors[0].detach().clone())
        one.trainer.step()
    assert torch.equal(one.result()[0], before[int(np.argmin(one.trainer.losses))])


def test_patience_counts_from_the_lowest_loss(tiny_model: Backbone, classifier: Classifier) -> None:
    one = training(tiny_model, classifier, SPEC.model_copy(update={"patience": 2}))
    one.trainer.losses = [3.0, 1.0, 2.0]
    assert not one.converged()
    one.trainer.losses = [3.0, 1.0, 2.0, 1.5]
    assert one.converged()


def test_stopped_and_resumed_gives_the_same_bytes(tiny_checkpoint: Path, classifier: Classifier) -> None:
    whole, first, second = (training(open_backbone(str(tiny_checkpoint), CPU), classifier) for _ in range(3))
    for _ in range(4):
        whole.trainer.step()
    for _ in range(2):
        first.trainer.step()
    second.trainer.restore(first.trainer.state())
    for _ in range(2):
        second.trainer.step()
    assert second.files({}, second.trainer.losses) == whole.files({}, whole.trainer.losses)
    assert second.trainer.state() == whole.trainer.state()


def test_a_class_without_a_word_is_recognised_more_often_in_what_its_token_draws(tmp_path: Path) -> None:
    """Of the bundled model, whose word shoe is seldom a boot. A few denoising steps leave the last one most to say."""
    settings = {"vectors": 4, "steps": 40, "batch": 12, "learning_rate": 0.02, "guidance": 3, "denoising_steps": 2}
    inversion = {"objective": "classification", **settings, "accuracy": 1, "patience": 40}
    resources = open_resources(
        tmp_path,
        source={"type": "few-shot", "shots": 150, "validation": 8, "test": 8},
        classifier={"steps": 150},
        method={"type": "text_to_image", "superclass": {"boot": "shoe"}, "inversion": inversion},
    )
    method = resources.spec.method
    tokens = Tokens(resources, method.superclass, method.inversion)
    engine, phrases = Engine(resources.models.backbone, 16), ("shoe", tokens.phrase("boot"))
    recognised = []
    for phrase in phrases:
        requests = [request(f"a photo of a {phrase}", seed, guidance=3.0, steps=10) for seed in range(40)]
        scores = resources.judge.scores([candidate.image for candidate in engine.run(requests)])
        recognised.append(np.mean([resources.judge.classes[row] == "boot" for row in scores.argmax(dim=1)]))
    assert recognised[1] > recognised[0] + 0.15
    (token,) = tokens.learned.values()
    record = resources.store.json(token.key.replace(EMBEDS, CURVE))
    judge = resources.judge_artifact("image")
    assert record["judge"] == judge.digest
    first = resources.source.splits["train"][0].sha256
    assert set(learned_from(resources.store, [first])) == {key.rpartition("/")[0] for key in (token.key, judge.key("x"))}
    assert Tokens(resources, method.superclass, method.inversion).learned.keys() == {"boot"}

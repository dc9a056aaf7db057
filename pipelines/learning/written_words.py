"""Words for the names in prompts that a language model writes: asked for as strict JSON, checked, and kept for good.

Language enhancement (Is synthetic data from generative models ready for image recognition?, ICLR 2023, arXiv 2210.07574):
contexts that a language model names make generated images more varied than a template alone. What was asked and answered is
stored with the words. What a model writes ends up in prompts, and nowhere else.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import ModelError
from pipelines.learning.language_models import FIELD, LanguageModel, Message, open_language_model
from pipelines.learning.resources import Resources
from pipelines.prompts import placeholders
from pipelines.spec.written_words import WrittenWords as WrittenWordsSpec
from pipelines.vision.image_features import FACTS

LISTS, ANSWERS = "words.json", "answers.json"
ALL = ""  # in place of a class: the lists of all
MENTIONED = 40  # classes that the model is told of
LONGEST = 120  # characters of a word
TOKENS = 16  # of a word, at most, with its quotes
SYSTEM = (
    "You write lists for the prompts of a text-to-image model, by which training images of an image classifier are drawn. "
    'Answer with JSON alone, in this form and without any other text: {"words": ["...", "..."]}'
)


def printable(word: str) -> str:
    if not word.isprintable() or word != word.strip() or {"{", "}", "<", ">"} & set(word):
        raise ValueError("must be one line of plain text, without braces, angle brackets or spaces at its ends")
    return word


class Answer(BaseModel):
    """What the model is to answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    words: tuple[Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(printable)], ...]


def parse_answer(text: str, count: int) -> list[str]:
    """The words of an answer. Raises ValueError that says what is wrong with it, to the model."""
    try:
        words = Answer.model_validate_json(text.strip()).words
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place or 'this is not the JSON that was asked for'}: {first['msg']}") from None
    if len({word.lower() for word in words}) != len(words):
        raise ValueError("words: some are there twice; all must differ")
    if len(words) != count:
        raise ValueError(f"words: there are {len(words)}, and {count} were asked for")
    return list(words)


def question(subject: str, name: str, meaning: str, templates: Sequence[str], count: int) -> str:
    prompts = " or ".join(json.dumps(template) for template in templates)
    return (
        f"The prompts are {prompts}, where {{}} stands for {subject}. Write {count} different entries that stand for "
        f"{{{name}}}: {meaning}. Each must fit into the prompt as it is, in lower case, with at most eight words, and "
        "not name what {} stands for. Make them as varied as such photographs are."
    )


def ask(model: LanguageModel, text: str, count: int, attempts: int) -> tuple[list[str], list[Message]]:
    """The words, and the whole conversation: an answer that will not do is followed by what is wrong with it. Raises
    ModelError after so many attempts."""
    messages: list[Message] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    wrong = ""
    for _ in range(attempts):
        answer = model.answer(messages, TOKENS * count)
        messages.append({"role": "assistant", "content": answer})
        try:
            return parse_answer(answer, count), messages
        except ValueError as error:
            wrong = str(error)
            messages.append({"role": "user", "content": f"That will not do. {wrong}. Answer again, with the JSON alone."})
    raise ModelError(
        f"{FIELD}: {attempts} answers were not the list that was asked for, the last because: {wrong} (it begins "
        f"{messages[-2]['content'][:80]!r}); name another model, allow more by method.written_words.attempts, or write "
        "method.words yourself"
    )


class WrittenWords:
    """The lists of words of every class: the spec's, and those that a language model writes for it."""

    def __init__(self, resources: Resources) -> None:
        self.resources, self.spec = resources, resources.spec.method

    def of(self, label: str) -> Mapping[str, Sequence[str]]:
        """The lists of a class, by the name that each stands for."""
        return {**self.spec.words, **self.written.get(label, self.written.get(ALL, {}))}

    @cached_property
    def written(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """The lists by class and name: written now, or taken from the store."""
        spec = self.spec.written_words
        if spec is None:
            return {}
        artifacts = self.resources.view.artifacts
        return dict(
            artifacts.get_or_make(
                "words/written", "written_words", lambda: self.facts(spec), FACTS, lambda artifact: self.write(spec)
            ).json(LISTS)
        )

    @cached_property
    def model(self) -> LanguageModel:
        return open_language_model(str(self.resources.spec.models.language_model), self.resources.models.machine)

    def questions(self, spec: WrittenWordsSpec) -> dict[str, dict[str, str]]:
        """What the model is asked, by class and name."""
        classes, names = self.resources.source.classes, self.spec.names
        subjects = {label: names.get(label, label) for label in classes}
        if spec.scope == "dataset":
            listed = ", ".join([*subjects.values()][:MENTIONED])
            subjects = {ALL: f"one of: {listed}{', and others' if len(classes) > MENTIONED else ''}"}
        templates = {name: [t for t in self.spec.templates if name in placeholders(t)] for name in spec.names}
        return {
            label: {
                name: question(subject, name, meaning, templates[name], spec.count) for name, meaning in spec.names.items()
            }
            for label, subject in subjects.items()
        }

    def facts(self, spec: WrittenWordsSpec) -> dict[str, object]:
        """What the lists depend on: no image."""
        prompts = {"system": SYSTEM, "questions": self.questions(spec)}
        return {"model": self.model.revision, "spec": spec.model_dump(), "images": [], **prompts}

    def write(self, spec: WrittenWordsSpec) -> dict[str, bytes]:
        """Ask for every list; the model is let go afterwards."""
        questions = self.questions(spec)
        stage = self.resources.stage("write: words", sum(map(len, questions.values())))
        lists: dict[str, dict[str, list[str]]] = {label: {} for label in questions}
        conversations: dict[str, dict[str, list[Message]]] = {label: {} for label in questions}
        for label, texts in questions.items():
            for name, text in texts.items():
                lists[label][name], conversations[label][name] = ask(self.model, text, spec.count, spec.attempts)
                stage(1)
        facts = self.facts(spec)
        del self.model
        return {
            name: json.dumps(value, indent=0).encode()
            for name, value in ((LISTS, lists), (ANSWERS, conversations), (FACTS, facts))
        }

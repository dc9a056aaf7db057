"""A CLIP text encoder of a checkpoint, with its tokenizer and the learned tokens in both."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pipelines.errors import ModelError
from pipelines.prompts import token_names


class TextEncoder:
    """Attributes: `model` and `tokenizer`, as in transformers; `name` of the checkpoint, in errors.

    The model is in float32 even where the rest runs in half precision: token embeddings are trained in it.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, device: torch.device) -> None:
        self.model = model.to(device, torch.float32).eval().requires_grad_(False)
        self.tokenizer, self.name, self.device = tokenizer, name, device
        self.phrases: dict[str, str] = {}  # of words that stand for several tokens: the tokens
        for module in self.model.modules():
            # Older configurations, those of all published families, name a wrong end token. Then a prompt is taken to end
            # at its highest id, and that would be a learned token's.
            if getattr(module, "eos_token_id", None) == 2 and tokenizer.eos_token_id is not None:
                module.eos_token_id = tokenizer.eos_token_id

    @property
    def transformer(self) -> Any:
        """The module that holds the attention: some of transformers' classes have a projection around it."""
        return getattr(self.model, "text_model", self.model)

    @property
    def table(self) -> Any:
        """The embedding layer, (vocabulary, width)."""
        return self.model.get_input_embeddings()

    def set_token(self, name: str, vectors: Tensor) -> None:
        """Add a token with these embedding vectors, float32 (n, width), or replace an earlier one of that name."""
        if vectors.shape[1] != self.table.weight.shape[1]:
            raise ModelError(f"token {name}: {vectors.shape[1]} wide, the text encoder takes {self.table.weight.shape[1]}")
        names = token_names(name, len(vectors))
        self.tokenizer.add_tokens(names)
        if len(self.tokenizer) > len(self.table.weight):
            self.model.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
            self.table.requires_grad_(False)
        self.table.weight[self.tokenizer.convert_tokens_to_ids(names)] = vectors.to(self.table.weight)

    def phrased(self, prompts: Sequence[str]) -> list[str]:
        """Prompts with all tokens of the words that stand for several, in whatever case: tokenizers of CLIP know none."""
        phrased = list(prompts)
        for word, phrase in self.phrases.items():
            pattern, literal = re.compile(re.escape(word), re.IGNORECASE), phrase.replace("\\", r"\\")
            phrased = [pattern.sub(literal, prompt) for prompt in phrased]
        return phrased

    @contextmanager
    def embedding(self, name: str, vectors: Tensor) -> Iterator[None]:
        """Inside the block, `vectors` (n, width) are the embedding of the token, so that gradients reach them."""
        numbers = self.tokenizer.convert_tokens_to_ids(token_names(name, len(vectors)))

        def substitute(_module: object, inputs: tuple[Tensor], embedded: Tensor) -> Tensor:
            for row, number in zip(vectors, numbers, strict=True):
                embedded = torch.where((inputs[0] == number)[..., None], row, embedded)
            return embedded

        hook = self.table.register_forward_hook(substitute)
        try:
            yield
        finally:
            hook.remove()

    def embedding_of(self, word: str) -> Tensor | None:
        """The embedding of a word, float32 (width,), or None where it is not a single token."""
        ids = self.tokenizer(word, add_special_tokens=False).input_ids
        return self.table.weight[ids[0]].detach().float() if len(ids) == 1 else None

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Token ids, int64 (n, length), padded and truncated as diffusers does."""
        length = self.tokenizer.model_max_length
        batch = self.tokenizer(
            self.phrased(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        return torch.as_tensor(batch.input_ids, device=self.device)

    def check(self, prompts: Sequence[str]) -> None:
        """Raises ModelError for a prompt that is too long."""
        check_length(self.phrased(prompts), self.tokenizer, self.tokenizer.model_max_length, self.name)


def check_length(prompts: Sequence[str], tokenizer: Any, most: int, name: str) -> None:
    """Raises ModelError for a prompt of more than `most` tokens; `name` is that of the checkpoint."""
    for prompt, ids in zip(prompts, tokenizer(list(prompts)).input_ids, strict=True):
        if len(ids) > most:
            raise ModelError(
                f"method: the prompt {prompt[:60]!r} is {len(ids)} tokens long, and {name} reads {most}; say it in fewer "
                "words, or what comes last is lost"
            )

"""Captions and the tokenizer of the bundle: a byte-level CLIP vocabulary in which every word of the world is one token."""

import json
import random
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from pipelines.builtin.train.shapes import ADJECTIVES, VERY, adjectives
from pipelines.builtin.world import COLOURS, GARMENTS, SCENES, SPOKEN, WORDS, place
from pipelines.prompts import TEMPLATES

MAX_LENGTH = 32
DROPPED = 0.1  # share of captions, and of embeddings, that are dropped for classifier-free guidance
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def phrase(word: str, colour: str | None, scene: str | None) -> str:
    return " ".join(filter(None, (colour, word, scene and place(scene))))


def corpus() -> list[str]:
    every = [phrase(w, c, s) for w in WORDS for c in COLOURS for s in SCENES]
    every += [f"{VERY} {a} {w}" for w in WORDS for pair in ADJECTIVES for a in pair]
    return [t.format(p) for t in TEMPLATES for p in every]


def build_tokenizer() -> CLIPTokenizer:
    """256 bytes, the same 256 as ends of words, and the merges that make each word of the corpus one token."""
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    learner.train_from_iterator(
        corpus(), trainers.BpeTrainer(end_of_word_suffix="</w>", vocab_size=5000, show_progress=False)
    )
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    tokens = [*bytes_, *(b + "</w>" for b in bytes_), *("".join(pair) for pair in merges), BOS, EOS]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_LENGTH, unk_token=EOS, pad_token=EOS)


def describe(rng: random.Random, word: str, colour: str, scene: str) -> str:
    """A caption that leaves out the colour, or the scene, three times in ten each. `word` may have adjectives."""
    kept_colour = colour if rng.random() > 0.3 else None
    kept_scene = scene if rng.random() > 0.3 else None
    return rng.choice(TEMPLATES).format(phrase(word, kept_colour, kept_scene))


def captions(rng: random.Random, factors: NDArray[np.uint8], shapes: NDArray[np.int8]) -> list[str]:
    """One caption a picture, from its factors (n, 3) and the levels of its shape (n, measures)."""
    return [
        describe(rng, f"{adjectives(rng, shape)} {SPOKEN[GARMENTS[g]]}".strip(), list(COLOURS)[c], SCENES[s])
        for (g, c, s), shape in zip(factors, shapes, strict=True)
    ]


def prompts(rng: random.Random, factors: NDArray[np.uint8], shapes: NDArray[np.int8]) -> list[str]:
    """The captions, of which one in ten is empty."""
    return [text if rng.random() >= DROPPED else "" for text in captions(rng, factors, shapes)]


def token_ids(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Token ids as diffusers' pipelines make them: int64 (n, MAX_LENGTH), padded with the end token."""
    batch = tokenizer(list(texts), padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    return torch.as_tensor(batch.input_ids)

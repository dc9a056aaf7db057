"""Which words are a single token of a checkpoint, by the files of its CLIP tokenizers alone: neither torch nor transformers
is imported. A learned token starts from the embedding of such a word."""

import json
import re
from difflib import get_close_matches
from pathlib import Path

from pipelines.errors import SpecError
from pipelines.spec import VersionSpec

END = "</w>"  # of what ends a word, in the byte-pair encoding of CLIP's tokenizer (Radford et al. 2021)
COMMON = ("object", "animal", "bird", "dog", "flower", "food", "car", "shoe", "bag", "dress", "plant", "building", "person")
SUGGESTED = 3  # words


def single_tokens(folder: Path) -> set[str]:
    """The lower-case words that are one token of every CLIP tokenizer of a checkpoint; none where there is no such one."""
    vocabularies = [vocabulary(tokenizer) for tokenizer in sorted(folder.glob("tokenizer*"))]
    known = [{token.removesuffix(END) for token in tokens if token.endswith(END)} for tokens in vocabularies if tokens]
    return set.intersection(*known) if known else set()


def vocabulary(tokenizer: Path) -> list[str]:
    """The tokens of a tokenizer by byte-pair encoding, from its files in either form; none of another's."""
    slow, fast = tokenizer / "vocab.json", tokenizer / "tokenizer.json"
    try:
        if slow.is_file():
            return list(json.loads(slow.read_text(encoding="utf-8")))
        model = json.loads(fast.read_text(encoding="utf-8"))["model"] if fast.is_file() else {}
        return list(model["vocab"]) if model.get("type") == "BPE" else []
    except (OSError, ValueError, KeyError, TypeError):
        return []  # what is wrong with it is said when it is loaded


def suggestions(word: str, words: set[str]) -> list[str]:
    """Words of a single token in place of one that is not: its own parts, the last first, words like it, common ones."""
    parts = re.findall(r"[^\W\d_]{3,}", word.lower())[::-1]
    similar = get_close_matches(word.lower(), words, SUGGESTED, 0.75)
    return [*dict.fromkeys(part for part in (*parts, *similar, *COMMON) if part in words)][:SUGGESTED]


def check_words(spec: VersionSpec, folder: Path) -> None:
    """Raises SpecError for a word that learned tokens cannot start from, since the checkpoint, whose configurations lie in
    the folder, splits it into several."""
    method = spec.method
    words = set() if method.inversion is None else single_tokens(folder)
    if method.inversion is None or not words:
        return
    superclasses = method.superclass.values() if isinstance(method.superclass, dict) else [method.superclass]
    initializer = method.inversion.initializer
    field = "method.superclass" if initializer is None else "method.inversion.initializer"
    for word in [*superclasses] if initializer is None else [initializer]:
        if word and word.lower() not in words:
            words_like = ", ".join(map(repr, suggestions(word, words)))
            raise SpecError(
                f"{field}: {word!r} is several tokens of {spec.models.text_to_image!r}, and a learned token starts from "
                f"one; give as method.inversion.initializer a word like {words_like}"
            )

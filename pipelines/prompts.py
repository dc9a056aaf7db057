"""How a word, or a learned token, enters a prompt: one definition for learning and for generation."""

TEMPLATES = (
    "a photo of a {}",
    "a picture of a {}",
    "a close photo of a {}",
    "a cropped photo of a {}",
    "a good photo of a {}",
    "a photo of one {}",
    "a photo of the {}",
    "a photo of my {}",
)


def token_names(name: str, vectors: int) -> list[str]:
    """The vocabulary entries of a concept, spelled as diffusers spells a multi-vector token: <boot>, <boot>_1, ..."""
    return [name, *(f"{name}_{i}" for i in range(1, vectors))]


def noun(token: str | None, vectors: int, word: str) -> str:
    """'<boot> <boot>_1 shoe': all vectors of the token, then the word that says what kind of thing it is."""
    return " ".join([*(token_names(token, vectors) if token else []), word])

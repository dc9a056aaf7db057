"""Which checkpoints are used."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from pipelines.spec.base import Strict

BUILTIN = "builtin"  # what a spec calls the bundled checkpoints
WEIGHTS_SUFFIX = ".safetensors"
BUILTIN_INPAINTING = "builtin-inpainting"  # the inpainting twin of the bundled text-to-image model
CROSS_ATTENTION = "cross-attention"  # what it calls the text-to-image model's own segmentation
BUNDLED = (BUILTIN, BUILTIN_INPAINTING)


def split_revision(value: str) -> tuple[str, str | None]:
    """ORGANISATION/NAME@REVISION of the hub as its name and its revision, a branch, tag or commit; None: the main branch."""
    name, _, revision = value.partition("@")
    return name, revision or None


class LoraFile(Strict):
    """A LoRA of one's own, added to the checkpoints for good: before anything is learned or generated."""

    path: str = Field(description="FILE.safetensors of diffusers or kohya, or its folder: path, or of the hub.")
    weight: float = Field(1.0, ge=-10, le=10, description="Factor of its effect.")


class EmbeddingFile(Strict):
    """An embedding of one's own, learned by textual inversion, and the word that stands for it in prompts."""

    path: str = Field(description="FILE.safetensors of diffusers, A1111 or SDXL, or its folder: path, or of the hub.")
    token: str = Field(
        pattern=r"^[^\s{}]+$",
        description="Word in method.templates, words, names or negative_prompt that stands for it: <style>.",
    )


Word = Annotated[str, Field(pattern=r"\S")]


class Erasing(Strict):
    """Words that a checkpoint is to draw no more (Unified Concept Editing, WACV 2024, arXiv 2308.14761): the keys and values
    that they give cross-attention become the anchor's, in closed form, in memory alone."""

    words: tuple[Word, ...] = Field(min_length=1, description="What is erased: class names, before tokens are learned.")
    anchor: str = Field("", description="What is drawn in their place: a superclass; empty: what an empty prompt says.")
    preserve: tuple[Word, ...] = Field((), description="Words that are to be drawn as before.")


class FurtherCheckpoint(Strict):
    """Another checkpoint that draws a share of a version's images (DiverGen, CVPR 2024, arXiv 2405.10185)."""

    text_to_image: str = Field(description="A diffusers checkpoint of any family, as models.text_to_image.")
    share: float = Field(gt=0, lt=1, description="Share of the images of every class that it draws.")


class Models(Strict):
    """The checkpoints to use. The defaults are in the package; any diffusers or transformers path or id will do."""

    text_to_image: str = Field(
        "builtin",
        description="A diffusers checkpoint, or one in a single .safetensors file: path, hub id, or 'builtin'.",
    )
    further: tuple[FurtherCheckpoint, ...] = Field(
        (),
        description="Other checkpoints that draw a share of the images, with method text_to_image: a version by several "
        "generators is more diverse (DiverGen). The rest is text_to_image's. All are in memory together.",
    )
    inpainting: str | None = Field(
        None,
        description="A diffusers inpainting checkpoint of the same family, which paints where a method repaints a part; "
        "tokens and LoRAs are learned on text_to_image. 'builtin-inpainting': the bundled one. None: text_to_image paints.",
    )
    config: str | None = Field(
        None,
        description="A diffusers checkpoint of the same family, of which configurations and tokenizers are used where "
        "text_to_image, a further one or inpainting is a single file. None: diffusers' default, from the hub or its cache.",
    )
    loras: tuple[LoraFile, ...] = Field((), description="LoRAs that are added to text_to_image and inpainting.")
    embeddings: tuple[EmbeddingFile, ...] = Field((), description="Embeddings that prompts may use.")
    erase: Erasing | None = Field(
        None,
        description="Words that text_to_image and inpainting draw no more, so that a class's token draws what was learned "
        "from its images; or a list of them alone, [siskin]. None: the checkpoint knows what it knows.",
    )
    segmenter: str = Field(
        "builtin",
        description="A CLIPSeg checkpoint, a GroundingDINO and a SAM one joined by '+', 'builtin' (CLIPSeg), "
        "or 'cross-attention' (the text-to-image model's own).",
    )
    adapter: str = Field(
        "builtin",
        description="Adapter for image prompts: an IP-Adapter, FOLDER/FILE.safetensors with its "
        "encoder in FOLDER/image_encoder, or 'builtin'. unCLIP checkpoints need none.",
    )
    clip: str = Field("builtin", description="A CLIP checkpoint: path, hub id, or 'builtin'.")
    language_model: str | None = Field(
        None,
        description="What writes method.written_words: a causal transformers checkpoint, path or hub id; or 'endpoint': the "
        "OpenAI-compatible one of the operator. None: nothing is written.",
    )
    resolution: int | None = Field(None, ge=32, le=4096, multiple_of=8, description="Pixels a side; none: the checkpoint's.")

    @model_validator(mode="before")
    @classmethod
    def no_machine(cls, document: Any) -> Any:
        for name in ("device", "precision"):
            if isinstance(document, dict) and name in document:
                raise ValueError(
                    f"{name} is a setting of the machine, no longer of the spec; leave it out, and use run --{name}, or "
                    f"COUNTERPOISE_{name.upper()} of a worker"
                )
        return document

    @field_validator("erase", mode="before")
    @classmethod
    def words_alone(cls, erase: Any) -> Any:
        return {"words": erase} if isinstance(erase, list | tuple) else erase

    @model_validator(mode="after")
    def tokens_are_apart(self) -> "Models":
        tokens = [embedding.token for embedding in self.embeddings]
        for number, token in enumerate(tokens):
            if any(token in other for other in tokens[:number] + tokens[number + 1 :]):
                raise ValueError(f"embeddings: the token {token!r} stands in another one; name each so that it is in none")
        return self

    @model_validator(mode="after")
    def shares_leave_a_rest(self) -> "Models":
        shares, named = [one.share for one in self.further], [self.text_to_image]
        if sum(shares) >= 1:
            raise ValueError(
                f"further: the shares, {', '.join(map(str, shares))}, leave nothing to text_to_image; give shares of a sum "
                "below 1"
            )
        for one in self.further:
            if one.text_to_image in named:
                raise ValueError(
                    f"further: {one.text_to_image!r} draws a share already; name another checkpoint, or add its share to "
                    "that one's"
                )
            named.append(one.text_to_image)
        return self

    @property
    def generators(self) -> dict[str, str]:
        """What draws images from text, by field: text_to_image, then the further ones."""
        further = {f"models.further.{number}.text_to_image": one.text_to_image for number, one in enumerate(self.further)}
        return {"models.text_to_image": self.text_to_image, **further}

    @property
    def shares(self) -> list[float]:
        """Of a version's images, what each of the generators draws; they sum to 1."""
        further = [one.share for one in self.further]
        return [1 - sum(further), *further]

    @property
    def bundled(self) -> bool:
        """Whether all of them are the bundled ones."""
        named = {*self.generators.values(), self.inpainting, self.segmenter, self.adapter, self.clip}
        return named <= {*BUNDLED, None}


def anchored(models: Models, home: Path) -> Models:
    """The models with the relative paths in them, of what is there, taken from the folder `home`."""
    changes: dict[str, object] = {name: place(value, home) for name, value in models if isinstance(value, str)}
    for name in ("loras", "embeddings"):
        files = getattr(models, name)
        changes[name] = tuple(file.model_copy(update={"path": place(file.path, home)}) for file in files)
    changes["further"] = tuple(
        one.model_copy(update={"text_to_image": place(one.text_to_image, home)}) for one in models.further
    )
    return models.model_copy(update={name: value for name, value in changes.items() if value != getattr(models, name)})


def place(value: str, home: Path) -> str:
    """A checkpoint's path from the folder `home`, or the name as it is: of the hub, of what is bundled, or an absolute path.
    A segmenter may be two, joined by '+'."""
    parts = value.split("+")
    own = [part not in (*BUNDLED, CROSS_ATTENTION) and not part.startswith("~") and (home / part).exists() for part in parts]
    return "+".join(str((home / part).resolve()) if there else part for part, there in zip(parts, own, strict=True))

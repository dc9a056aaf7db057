"""What is known without diffusers of the checkpoints that are run whole: those whose class its AutoPipelineForText2Image
draws with from a prompt alone. The one table of them, which a test holds against diffusers' own."""

from collections.abc import Mapping
from typing import Any

IMAGES, REPAINTS = ("image_to_image",), ("image_to_image", "repainting")
# By class, the tasks beside text to image for which there are pipelines.
CLASSES: dict[str, tuple[str, ...]] = {
    "AuraFlowPipeline": (),
    "ChromaPipeline": (),
    "CogView3PlusPipeline": (),
    "CogView4Pipeline": (),
    "Flux2KleinPipeline": (),
    "Flux2Pipeline": (),
    "FluxKontextPipeline": (),
    "FluxPipeline": REPAINTS,
    "GlmImagePipeline": (),
    "HunyuanDiTPAGPipeline": (),
    "HunyuanDiTPipeline": (),
    "IFPipeline": REPAINTS,
    "Ideogram4Pipeline": (),
    "Kandinsky3Pipeline": IMAGES,
    "KandinskyCombinedPipeline": IMAGES,
    "KandinskyV22CombinedPipeline": IMAGES,
    "KolorsPipeline": IMAGES,  # diffusers has it where sentencepiece is installed
    "Krea2Pipeline": (),
    "LatentConsistencyModelPipeline": IMAGES,
    "Lumina2Pipeline": (),
    "LuminaPipeline": (),
    "NucleusMoEImagePipeline": (),
    "OvisImagePipeline": (),
    "PRXPipeline": (),
    "PixArtAlphaPipeline": (),
    "PixArtSigmaPAGPipeline": (),
    "PixArtSigmaPipeline": (),
    "QwenImage21Pipeline": (),
    "QwenImagePipeline": REPAINTS,
    "SanaPAGPipeline": (),
    "SanaPipeline": (),
    "StableDiffusion3PAGPipeline": IMAGES,
    "StableDiffusion3Pipeline": REPAINTS,
    "StableDiffusionPAGPipeline": REPAINTS,
    "StableDiffusionPipeline": REPAINTS,
    "StableDiffusionXLPAGPipeline": REPAINTS,
    "StableDiffusionXLPipeline": REPAINTS,
    "ZImageOmniPipeline": (),
    "ZImagePipeline": REPAINTS,
}
NO_NEGATIVE = {  # classes that take no negative prompt
    "Flux2KleinPipeline", "Flux2Pipeline", "GlmImagePipeline", "Ideogram4Pipeline", "LatentConsistencyModelPipeline",
}  # fmt: skip
UNREAD = {"safety_checker", "feature_extractor", "image_encoder"}  # parts that may be absent
NO_INSTRUCTIONS = (
    "it follows no instructions; give an InstructPix2Pix checkpoint, such as timbrooks/instruct-pix2pix, or editor: "
    "image_to_image"
)
WHOLE = "it is run whole, as diffusers runs it"
LIMITS = {
    "instruct": NO_INSTRUCTIONS,
    "image_prompts": f"{WHOLE}, without image prompts; use another method, or a checkpoint of Stable Diffusion 1, 2 or XL",
    "inversion": f"{WHOLE}, and no tokens are learned of it; set inversion to null",
    "lora": f"{WHOLE}, and no LoRA is learned of it; leave it out",
    "lora_text_encoder": f"{WHOLE}, and no LoRA is learned of it; leave it out",
    "guidance_rescale": f"{WHOLE}, and its guidance is not rescaled; leave it out",
    "guidance_interval": f"{WHOLE}, and its guidance is on at every step; leave it out",
    "entropy_guidance": f"{WHOLE}, and nothing leads it on its way; set it to 0",
    "early_verdict": f"{WHOLE}, and nothing is known of an image before its last step; leave it out",
    "solver": f"{WHOLE}, by the solver of its own scheduler; set it to auto",
    "cache_interval": f"{WHOLE}, every step of it; set it to 1",
    "negative_merging": f"{WHOLE}, and no tokens of it are pushed; leave it out",
    "cross_attention": f"{WHOLE}, and its attention is not read; give a CLIPSeg checkpoint, or a GroundingDINO and a SAM "
    "one joined by '+'",
    "inpainting": f"{WHOLE}, and repaints what it can by itself; leave it out",
    "loras": f"{WHOLE}, and LoRAs are not added to it; leave them out",
    "embeddings": f"{WHOLE}, and embeddings are not added to it; leave them out",
    "erase": f"{WHOLE}, and its attention is not edited; leave it out",
    "diffusion_classifier": f"{WHOLE}, and its denoiser is not used alone; leave the filter out",
    "reencode": f"{WHOLE}, and its autoencoder is not used alone; set it to 0",
}


def draws_alone(index: Mapping[str, Any]) -> bool:
    """Whether a checkpoint draws an image from a prompt alone, by its `model_index.json`.

    Those that need more do not: a control image, frames, a prior or further stages (Kandinsky, Wuerstchen, Cascade and
    DeepFloyd IF have no autoencoder called `vae`), or a part that the checkpoint lacks.
    """
    parts = {part: value for part, value in index.items() if isinstance(value, list)}
    absent = {part for part, value in parts.items() if value[1] is None}
    return index["_class_name"] in CLASSES and "vae" in parts and absent <= UNREAD


def whole_limits(kind: str) -> dict[str, str]:
    """What cannot be done with a checkpoint that is run whole, by its class: by feature the reason and the remedy."""
    limits = dict(LIMITS)
    for task, title in (("image_to_image", "image to image"), ("repainting", "inpainting")):
        if task not in CLASSES[kind]:
            limits[task] = f"{WHOLE}, and has no pipeline for {title} there; use text_to_image, or another checkpoint"
    if kind in NO_NEGATIVE:
        limits["negative_prompt"] = f"{WHOLE}, which takes no negative prompt; leave it out"
    return limits

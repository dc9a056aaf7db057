"""A diffusers checkpoint as the single file that others keep: the layout of Stable Diffusion's and SDXL's own code.

Oracle of what is loaded from it are the folder's own weights; diffusers has no such exporter.
"""

import re
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import load_file, save_file
from torch import Tensor

Weights = dict[str, Tensor]
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
BLOCK = {
    "resnets": "block", "conv_shortcut": "nin_shortcut", "downsamplers.0": "downsample", "upsamplers.0": "upsample",
}  # fmt: skip
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip


def renamed(name: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        name = re.sub(rf"\b{re.escape(old)}\b", new, name)
    return name


def unet_name(name: str, layers: int) -> str:
    """A weight of diffusers' UNet, of `layers` resnets a block, in the original's numbering of its blocks."""
    per_block = layers + 1
    if match := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
        number, rest = int(match[2]) * per_block + int(match[4]), match[5]
        place = f"input_blocks.{1 + number}" if match[1] == "down" else f"output_blocks.{number}"
        return f"{place}.0.{renamed(rest, RESNET)}" if match[3] == "resnets" else f"{place}.1.{rest}"
    if match := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{(int(match[1]) + 1) * per_block}.0.op.{match[2]}"
    if match := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.*)", name):
        return f"output_blocks.{(int(match[1]) + 1) * per_block - 1}.1.conv.{match[2]}"  # of a block without attention
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
        resnet = match[1] == "resnets"
        return f"middle_block.{2 * int(match[2]) + (0 if resnet else 1)}.{renamed(match[3], RESNET) if resnet else match[3]}"
    tables = DIFFUSERS_TO_LDM_MAPPING["unet"]
    return str({**tables["layers"], **tables["addition_embed_type"]}[name])


def vae_name(name: str, blocks: int) -> str:
    if name in DIFFUSERS_TO_LDM_MAPPING["vae"]:
        return str(DIFFUSERS_TO_LDM_MAPPING["vae"][name])
    name = re.sub(r"up_blocks\.(\d+)", lambda match: f"up.{blocks - 1 - int(match[1])}", name.replace("down_blocks", "down"))
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        return renamed(name.replace("mid_block.attentions.0", "mid.attn_1"), ATTENTION)
    for old, new in BLOCK.items():
        name = name.replace(old, new)
    return name


def open_clip(weights: Weights) -> Weights:
    """A text encoder in OpenCLIP's layout: queries, keys and values in one matrix, the projection transposed."""
    tables = DIFFUSERS_TO_LDM_MAPPING["openclip"]["layers"]
    out: Weights = {}
    for name, weight in weights.items():
        if name in tables:
            out[tables[name]] = weight.T.contiguous() if name == "text_projection.weight" else weight
        elif match := re.match(r"text_model\.encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)", name):
            parts = [weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            out[f"transformer.resblocks.{match[1]}.attn.in_proj_{match[2]}"] = torch.cat(parts)
        elif not re.search(r"self_attn\.[kv]_proj", name):
            out[renamed(name.replace("text_model.encoder.layers", "transformer.resblocks"), OPEN_CLIP)] = weight
    return out


def part(folder: Path) -> Weights:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def with_tower(weights: Weights) -> Weights:
    """Names of a text encoder as they were published, below `text_model`."""
    named = {name: name.startswith(("text_model.", "text_projection.")) for name in weights}
    return {name if named[name] else f"text_model.{name}": weight for name, weight in weights.items()}


def single_file(checkpoint: Path, file: Path, **further: Any) -> Path:
    """Write the weights of a checkpoint's folder as one file; `further` weights as well."""
    xl = (checkpoint / "text_encoder_2").exists()
    vae = {vae_name(name, 3): weight for name, weight in part(checkpoint / "vae").items()}
    vae = {name: w[..., None, None] if "attn_1" in name and w.ndim == 2 else w for name, w in vae.items()}
    text = "conditioner.embedders.0.transformer." if xl else "cond_stage_model.transformer."
    groups: dict[str, Weights] = {
        "model.diffusion_model.": {unet_name(name, 1): weight for name, weight in part(checkpoint / "unet").items()},
        "first_stage_model.": vae,
        text: with_tower(part(checkpoint / "text_encoder")),
    }
    if xl:
        groups["conditioner.embedders.1.model."] = open_clip(with_tower(part(checkpoint / "text_encoder_2")))
    weights = {prefix + name: weight.contiguous() for prefix, group in groups.items() for name, weight in group.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({**weights, **further}, file)
    return file

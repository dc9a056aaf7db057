"""How many numbers the parts of a checkpoint with a transformer hold, by their configurations: weights need not be here.

As diffusers and transformers build their classes; defaults are those of fields that published configurations leave out.
"""

from collections.abc import Callable, Mapping
from typing import Any

Config = Mapping[str, Any]
TIME = 256  # width of a timestep's sinusoidal embedding


def linear(inputs: int, outputs: int) -> int:
    """A linear layer, or a convolution of one cell, with its bias."""
    return (inputs + 1) * outputs


def conv(inputs: int, outputs: int) -> int:
    """A convolution of 3 x 3 cells."""
    return (9 * inputs + 1) * outputs


def embedder(inputs: int, width: int) -> int:
    return linear(inputs, width) + linear(width, width)


def feed_forward(width: int) -> int:
    return linear(width, 4 * width) + linear(4 * width, width)


def sd3_transformer(config: Config) -> int:
    """Of SD3Transformer2DModel, with its table of positions, which is no parameter."""
    head, layers = int(config["attention_head_dim"]), int(config["num_layers"])
    width = head * int(config["num_attention_heads"])
    dual, norms = len(config.get("dual_attention_layers") or ()), 2 * head if config.get("qk_norm") else 0
    cell = int(config["patch_size"]) ** 2
    block = 2 * linear(width, 6 * width) + 8 * linear(width, width) + 2 * norms + 2 * feed_forward(width)
    # The last block changes the image alone; some attend to it a second time.
    unused = linear(width, 6 * width) - linear(width, 2 * width) + linear(width, width) + feed_forward(width)
    second = linear(width, 9 * width) - linear(width, 6 * width) + 4 * linear(width, width) + norms
    around = (
        linear(cell * int(config["in_channels"]), width)
        + embedder(TIME, width)
        + embedder(int(config["pooled_projection_dim"]), width)
        + linear(int(config["joint_attention_dim"]), int(config["caption_projection_dim"]))
        + linear(width, 2 * width)
        + linear(width, cell * int(config.get("out_channels") or config["in_channels"]))
    )
    return layers * block - unused + dual * second + around + int(config["pos_embed_max_size"]) ** 2 * width


def flux_transformer(config: Config) -> int:
    """Of FluxTransformer2DModel."""
    head, channels = int(config["attention_head_dim"]), int(config["in_channels"])
    width, outputs = head * int(config["num_attention_heads"]), int(config.get("out_channels") or channels)
    block = 2 * linear(width, 6 * width) + 8 * linear(width, width) + 4 * head + 2 * feed_forward(width)
    single = linear(width, 7 * width) + linear(5 * width, width) + 3 * linear(width, width) + 2 * head
    around = (
        linear(channels, width)
        + (2 if config.get("guidance_embeds") else 1) * embedder(TIME, width)
        + embedder(int(config["pooled_projection_dim"]), width)
        + linear(int(config["joint_attention_dim"]), width)
        + linear(width, 2 * width)
        + linear(width, outputs)
    )
    return int(config["num_layers"]) * block + int(config["num_single_layers"]) * single + around


def clip_text(config: Config) -> int:
    """Of CLIPTextModel."""
    width, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    layer = 4 * linear(width, width) + linear(width, inner) + linear(inner, width) + 4 * width
    table = (int(config["vocab_size"]) + int(config["max_position_embeddings"])) * width
    return table + int(config["num_hidden_layers"]) * layer + 2 * width


def projected_clip_text(config: Config) -> int:
    """Of CLIPTextModelWithProjection."""
    return clip_text(config) + int(config["hidden_size"]) * int(config["projection_dim"])


def t5_encoder(config: Config) -> int:
    """Of T5EncoderModel, without biases."""
    width, heads = int(config["d_model"]), int(config["num_heads"])
    matrices = 3 if str(config.get("feed_forward_proj", "relu")).startswith("gated") else 2
    layer = 4 * width * heads * int(config["d_kv"]) + matrices * width * int(config["d_ff"]) + 2 * width
    positions = int(config.get("relative_attention_num_buckets", 32)) * heads
    return int(config["vocab_size"]) * width + int(config["num_layers"]) * layer + positions + width


def autoencoder_kl(config: Config) -> int:
    """Of AutoencoderKL."""
    widths, latents = [int(width) for width in config["block_out_channels"]], int(config["latent_channels"])
    last, layers = widths[-1], int(config.get("layers_per_block", 1))
    attention = 4 * linear(last, last) + 2 * last if config.get("mid_block_add_attention", True) else 0
    middle = 2 * resnet(last, last) + attention
    down, up = sum(conv(width, width) for width in widths[:-1]), sum(conv(width, width) for width in widths[1:])
    encoder = conv(3, widths[0]) + down + middle + 2 * last + conv(last, 2 * latents)
    decoder = conv(latents, last) + up + middle + 2 * widths[0] + conv(widths[0], 3)
    for before, after in zip([widths[0], *widths], widths, strict=False):
        encoder += resnet(before, after) + (layers - 1) * resnet(after, after)
    for before, after in zip([last, *widths[::-1]], widths[::-1], strict=False):
        decoder += resnet(before, after) + layers * resnet(after, after)
    encoder += linear(2 * latents, 2 * latents) if config.get("use_quant_conv", True) else 0
    decoder += linear(latents, latents) if config.get("use_post_quant_conv", True) else 0
    return encoder + decoder


def resnet(inputs: int, outputs: int) -> int:
    shortcut = linear(inputs, outputs) if inputs != outputs else 0
    return 2 * inputs + conv(inputs, outputs) + 2 * outputs + conv(outputs, outputs) + shortcut


COUNTS: dict[str, Callable[[Config], int]] = {  # by class, in model_index.json
    "SD3Transformer2DModel": sd3_transformer,
    "FluxTransformer2DModel": flux_transformer,
    "CLIPTextModel": clip_text,
    "CLIPTextModelWithProjection": projected_clip_text,
    "T5EncoderModel": t5_encoder,
    "AutoencoderKL": autoencoder_kl,
}

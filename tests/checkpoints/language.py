"""A tiny causal language model, for the plumbing: what it says is noise."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pipelines.builtin.train.language import build_tokenizer


def build_language_model(folder: Path, *, chat: bool = False) -> Path:
    """A Llama with random weights that knows the words of the built-in world; with `chat`, it has a template for chats."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    if chat:
        tokenizer.chat_template = (
            "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
        )
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=2048, bos_token_id=0, eos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

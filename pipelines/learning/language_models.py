"""Language models that answer a conversation: a checkpoint of transformers on this machine, or an endpoint like OpenAI's.

The endpoint is the operator's: its address stands in the settings of the machine, never in a spec, so that nobody who may
post a spec can have a worker send requests to addresses of his own. Redirects are not followed.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx
import torch
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteriaList

from pipelines.backbones.locate import LANGUAGE_MODEL, locate
from pipelines.backbones.revision import revision_of
from pipelines.errors import EndpointError, ModelError
from pipelines.progress import step
from pipelines.spec import Machine
from pipelines.spec.written_words import ENDPOINT
from pipelines.tensors import choose_device

FIELD = "models.language_model"
Message = Mapping[str, str]  # of a role, system, user or assistant, with its content
TIMEOUT = 120.0  # seconds
LONGEST = 2**20  # bytes of an endpoint's answer
TRIES, WAIT = 4, 0.5  # of an endpoint that is busy; seconds before the second, doubled before each further one


class LanguageModel(Protocol):
    @property
    def revision(self) -> str:
        """What its answers depend on."""

    def answer(self, messages: Sequence[Message], length: int) -> str:
        """What it says next, of about `length` tokens at most. Raises ModelError."""


def running(input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    """A criterion for stopping that never stops: every token is a step of the work, which raises where that is to end."""
    step()
    return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class LocalLanguageModel:
    """A checkpoint, decoded greedily: the same question has the same answer."""

    def __init__(self, name: str, device: str = "auto") -> None:
        folder = locate(FIELD, name, LANGUAGE_MODEL, weights=True)
        self.name, self.revision, self.device = name, revision_of(folder), choose_device(device)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model = AutoModelForCausalLM.from_pretrained(
                folder, dtype="auto", use_safetensors=True, local_files_only=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{FIELD}: {name!r} is no {LANGUAGE_MODEL.noun.removeprefix('a ')} ({error})") from None
        self.model.eval().to(self.device)

    def prompt(self, messages: Sequence[Message]) -> str:
        """The conversation as the checkpoint was trained on it; without a template of its own, in plain lines."""
        if self.tokenizer.chat_template:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        return "\n\n".join([message["content"] for message in messages] + [""])

    @torch.inference_mode()
    def answer(self, messages: Sequence[Message], length: int) -> str:
        text, special = self.prompt(messages), not self.tokenizer.chat_template
        inputs = self.tokenizer(text, return_tensors="pt", add_special_tokens=special).to(self.device)
        tokens = inputs["input_ids"].shape[1]
        room = getattr(self.model.config, "max_position_embeddings", tokens + length) - tokens
        if room <= 0:
            raise ModelError(f"{FIELD}: {self.name!r} reads no more than {room + tokens} tokens, the question has {tokens}")
        output = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=min(length, room),
            pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id,
            stopping_criteria=StoppingCriteriaList([running]),
        )
        return str(self.tokenizer.decode(output[0, tokens:], skip_special_tokens=True))


class Endpoint:
    """The operator's: /chat/completions below its address."""

    def __init__(self, machine: Machine) -> None:
        if not machine.language_model_url:
            raise ModelError(
                f"{FIELD}: this machine has no endpoint; set COUNTERPOISE_LANGUAGE_MODEL_URL and "
                "COUNTERPOISE_LANGUAGE_MODEL_NAME, or name a checkpoint"
            )
        self.url = f"{machine.language_model_url.rstrip('/')}/chat/completions"
        self.name, self.variable = machine.language_model_name, machine.language_model_key

    @property
    def revision(self) -> str:
        return f"{ENDPOINT}: {self.name}"

    @property
    def headers(self) -> dict[str, str]:
        if not self.variable:
            return {}
        if not (key := os.environ.get(self.variable)):
            raise ModelError(
                f"{FIELD}: the environment variable {self.variable!r}, which COUNTERPOISE_LANGUAGE_MODEL_KEY names, "
                "is not set; set it to the endpoint's key"
            )
        return {"Authorization": f"Bearer {key}"}

    def answer(self, messages: Sequence[Message], length: int) -> str:
        """What is busy, or cannot be reached, is asked again a few times; EndpointError after that."""
        busy = retry_if_exception_type(EndpointError)
        for attempt in Retrying(retry=busy, stop=stop_after_attempt(TRIES), wait=wait_exponential(WAIT), reraise=True):
            with attempt:
                step()
                return self.post({"model": self.name, "messages": list(messages)})
        raise AssertionError("the last attempt raises")

    def post(self, body: Mapping[str, Any]) -> str:
        try:
            with httpx.stream("POST", self.url, json=body, headers=self.headers, timeout=TIMEOUT) as response:
                data = b""
                for part in response.iter_bytes():
                    data += part
                    if len(data) > LONGEST:
                        raise ModelError(
                            f"{FIELD}: the endpoint's answer is longer than {LONGEST} bytes; name another model"
                        )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EndpointError(f"{FIELD}: the endpoint cannot be reached ({type(error).__name__}: {error})") from None
        if response.status_code == 429 or response.status_code >= 500:
            raise EndpointError(f"{FIELD}: the endpoint answers {response.status_code}; try again later")
        if response.status_code != 200:
            excerpt = data[:200].decode(errors="replace")
            raise ModelError(
                f"{FIELD}: the endpoint answers {response.status_code} to {self.name!r} ({excerpt}); correct "
                "COUNTERPOISE_LANGUAGE_MODEL_URL, COUNTERPOISE_LANGUAGE_MODEL_NAME or the key"
            )
        return content(data)


def content(data: bytes) -> str:
    """What the model says in an answer of /chat/completions. Raises ModelError for one of another form."""
    try:
        return str(httpx.Response(200, content=data).json()["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        excerpt = data[:200].decode(errors="replace")
        raise ModelError(f"{FIELD}: the endpoint speaks no chat completions of OpenAI's form ({excerpt})") from None


def open_language_model(name: str, machine: Machine) -> LanguageModel:
    """The one that a spec names. Raises ModelError."""
    return Endpoint(machine) if name == ENDPOINT else LocalLanguageModel(name, machine.device)

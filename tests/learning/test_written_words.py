"""Words that a language model writes: over a real socket as an OpenAI-compatible server answers, and by a real tiny model,
whose answers are noise. Six seconds."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import EndpointError, ModelError, SpecError
from pipelines.learning import language_models
from pipelines.learning.image_words import ImageWords
from pipelines.learning.language_models import LocalLanguageModel
from pipelines.learning.resources import Resources
from pipelines.learning.written_words import ANSWERS, LISTS, parse_answer
from pipelines.spec import Machine, parse
from pipelines.spec.helpers import unused
from pipelines.vision.models import Models
from service.limits import check
from service.settings import Settings
from tests.builders import document, open_resources
from tests.checkpoints import build_language_model
from tests.methods.test_methods import asked

SCENES = {"names": {"scene": "places on which it may stand"}, "count": 3}
METHOD = {"type": "text_to_image", "templates": ["a photo of a {} {scene}"], "written_words": SCENES}
KEY = "sk-only-in-the-environment"


def said(content: Any) -> tuple[int, dict[str, Any]]:
    """What an OpenAI-compatible server answers with."""
    text = content if isinstance(content, str) else json.dumps(content)
    message = {"role": "assistant", "content": text}
    return 200, {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


GOOD = said({"words": ["on grass", "on snow", "at night"]})


class Server:
    """Answers one after the other what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append((self.path, dict(self.headers), json.loads(body)))
                status, answer = server.answers.pop(0)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if status == 302:
                    self.send_header("Location", "/elsewhere/chat/completions")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(language_models, "WAIT", 0.01)
    monkeypatch.setenv("OUR_KEY", KEY)
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


def resources(folder: Path, server: Server | None = None, model: str = "endpoint", **method: Any) -> Resources:
    models = {"resolution": 32, "language_model": model}
    one = open_resources(folder, models=models, method={**METHOD, **method}, amount={"per_class": 12})
    url = server.url if server else ""
    machine = Machine(
        language_model_url=url, language_model_name="writer-7b", language_model_key="OUR_KEY" if server else ""
    )
    return Resources(one.spec, one.store, one.progress, models=Models(one.spec.models, machine))


def test_a_wrong_answer_is_followed_by_a_right_one_and_kept(server: Server, tmp_path: Path) -> None:
    server.answers = [said("Sure! Here are some: on grass, on snow, at night"), GOOD]
    prompts = {request.prompt for request in asked(resources(tmp_path, server))}
    assert prompts == {f"a photo of a {c} {s}" for c in ("boot", "sneaker") for s in ("on grass", "on snow", "at night")}
    (path, headers, first), (_, _, second) = server.requests
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert first["model"] == "writer-7b"
    assert "places on which it may stand" in first["messages"][1]["content"]
    assert "one of: boot, sneaker" in first["messages"][1]["content"]
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]
    assert "not the JSON that was asked for" in second["messages"][3]["content"]
    (lists,) = tmp_path.glob(f"concepts/written_words/*/{LISTS}")
    assert json.loads(lists.read_bytes()) == {"": {"scene": ["on grass", "on snow", "at night"]}}
    answers = json.loads((lists.parent / ANSWERS).read_bytes())
    assert answers[""]["scene"][2]["content"].startswith("Sure! Here are some")
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]
    assert {request.prompt for request in asked(resources(tmp_path, server))} == prompts, (
        "another version does not ask again"
    )
    assert len(server.requests) == 2


def test_each_class_has_lists_of_its_own_from_which_clip_may_choose(server: Server, tmp_path: Path) -> None:
    server.answers = [
        said({"words": ["on grass", "in a puddle", "on mud"]}),
        said({"words": ["on brick", "on a track", "on tiles"]}),
    ]
    method = {"written_words": {**SCENES, "scope": "class"}, "names": {"boot": "rubber boot"}}
    one = resources(tmp_path, server, **method)
    for request in asked(one):
        own = ("on grass", "in a puddle", "on mud") if request.label == "boot" else ("on brick", "on a track", "on tiles")
        assert request.prompt.endswith(own)
    assert "stands for rubber boot" in server.requests[0][2]["messages"][1]["content"]
    chosen = ImageWords(resources(tmp_path, server, **method, image_words="by_clip"), {}).chosen
    assert {words["scene"] for item, words in chosen.items() if "boot" in item} <= {"on grass", "in a puddle", "on mud"}
    assert len(server.requests) == 2


def test_what_is_busy_is_asked_again_and_what_refuses_is_not(server: Server, tmp_path: Path) -> None:
    server.answers = [(503, {}), (429, {}), GOOD]
    assert asked(resources(tmp_path / "a", server))
    server.answers = [(401, {"error": {"message": "no such key"}})]
    with pytest.raises(ModelError, match=r"answers 401 to 'writer-7b' \(.*no such key.*correct COUNTERPOISE_"):
        asked(resources(tmp_path / "b", server))
    server.answers = [(302, {}), GOOD]
    with pytest.raises(ModelError, match="answers 302"):
        asked(resources(tmp_path / "b", server))
    server.answers = [(500, {})] * language_models.TRIES
    with pytest.raises(EndpointError, match="answers 500; try again later"):
        asked(resources(tmp_path / "b", server))
    server.answers = [(200, b"<html>")]
    with pytest.raises(ModelError, match="no chat completions of OpenAI's form"):
        asked(resources(tmp_path / "b", server))
    server.answers = [(200, b" " * (language_models.LONGEST + 1))]
    with pytest.raises(ModelError, match="longer than"):
        asked(resources(tmp_path / "b", server))
    assert not list(tmp_path.glob("b/concepts/written_words/*/*"))


def test_after_so_many_wrong_answers_it_is_said_why(server: Server, tmp_path: Path) -> None:
    server.answers = [said({"words": ["on grass"]})] * 2
    with pytest.raises(
        ModelError, match=r"2 answers were not the list .* there are 1, and 3 were asked for .*write method\.words"
    ):
        asked(resources(tmp_path, server, written_words={**SCENES, "attempts": 2}))


def test_what_cannot_be_reached_or_has_no_key_says_so(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OUR_KEY")
    with pytest.raises(ModelError, match="the environment variable 'OUR_KEY'"):
        asked(resources(tmp_path, server))
    with pytest.raises(ModelError, match="this machine has no endpoint; set COUNTERPOISE_LANGUAGE_MODEL_URL"):
        asked(resources(tmp_path))
    monkeypatch.setenv("OUR_KEY", KEY)
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(EndpointError, match="cannot be reached") as error:
        asked(resources(tmp_path, server))
    assert KEY not in str(error.value)


@pytest.mark.parametrize("chat", [True, False])
def test_a_checkpoint_of_transformers_is_asked_and_its_noise_refused(tmp_path: Path, chat: bool) -> None:
    folder = build_language_model(tmp_path / "model", chat=chat)
    with pytest.raises(ModelError, match=r"3 answers were not the list .*not the JSON that was asked for"):
        asked(resources(tmp_path / "store", model=str(folder)))
    model = LocalLanguageModel(str(folder), "cpu")
    messages = [{"role": "user", "content": "a photo of a boot"}]
    assert model.prompt(messages) == ("user: a photo of a boot\n" if chat else "a photo of a boot\n\n")
    answer = model.answer(messages, 8)
    assert answer
    assert answer == model.answer(messages, 8)
    with pytest.raises(ModelError, match="reads no more than 2048 tokens"):
        model.answer([{"role": "user", "content": "boot " * 3000}], 8)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"models\.language_model: there is no folder '/nowhere'"):
        asked(resources(tmp_path, model="/nowhere"))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('```json\n{"words": ["a", "b"]}\n```', "not the JSON"),
        ('["a", "b"]', "not the JSON"),
        ('{"words": ["a", "b"], "note": "x"}', "note: Extra inputs"),
        ('{"words": ["a", 1]}', "words.1"),
        ('{"words": ["a", "A"]}', "some are there twice"),
        ('{"words": ["a", "b", "c"]}', "there are 3, and 2"),
        ('{"words": ["a", "<boot>"]}', "one line of plain text"),
        ('{"words": ["a", "b\\nc"]}', "one line of plain text"),
        ('{"words": ["a", ""]}', "words.1"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_answer(text, 2)
    assert parse_answer(' {"words": ["a", "b"]}\n', 2) == ["a", "b"]


def test_a_spec_names_a_checkpoint_that_is_allowed_or_the_operators_endpoint(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", hub_organisations=["org"], model_roots=[tmp_path / "models"])

    def spec(model: str | None) -> Any:
        return parse(document(method=METHOD, models={"language_model": model}))

    with pytest.raises(SpecError, match=r"models\.language_model: none, and method\.written_words"):
        spec(None)
    check(spec("org/writer"), settings)
    check(spec(str(tmp_path / "models" / "writer")), settings)
    for refused in ("other/writer", "/etc", "http://169.254.169.254/v1"):
        with pytest.raises(SpecError, match=r"models\.language_model: .* is not allowed here"):
            check(spec(refused), settings)
    with pytest.raises(SpecError, match="the operator has no endpoint"):
        check(spec("endpoint"), settings)
    operated = settings.model_copy(update={"language_model_url": "http://writer:8000/v1"})
    check(spec("endpoint"), operated)
    assert operated.machine.language_model_url == "http://writer:8000/v1"
    odd = {**METHOD, "written_words": {**SCENES, "names": {"scene": "places", "light": "kinds of light"}}}
    assert [line.split(":")[0] for line in unused(parse(document(method=odd, models={"language_model": "endpoint"})))] == [
        "method.written_words.names.light"
    ]
    assert unused(parse(document(models={"language_model": "endpoint"})))[0].startswith("models.language_model: it writes")
    with pytest.raises(SpecError, match="'scene' is in words, too"):
        parse(document(method={**METHOD, "words": {"scene": ["on grass"]}}, models={"language_model": "endpoint"}))

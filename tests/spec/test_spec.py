"""The spec: strict, documented, and errors that say which field, which value and what would be right."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pipelines.errors import SpecError
from pipelines.spec import Machine, Strict, VersionSpec, load, parse
from pipelines.spec.base import quantity
from pipelines.spec.upgrade import LIFTS
from tests.builders import document

REMOVAL = {"type": "spurious_removal", "superclass": "shoe"}


def models(base: type[Strict] = Strict) -> list[type[Strict]]:
    return [each for child in base.__subclasses__() for each in (child, *models(child))]


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_field_is_described_and_every_type_says_what_it_is(model: type[Strict]) -> None:
    undescribed = [name for name, field in model.model_fields.items() if name != "type" and not field.description]
    assert undescribed == []
    assert model.__doc__


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"filters": "quality"}, ["filters:", "is no list", "given: 'quality'"]),
        ({"models": "builtin"}, ["models:", "has no fields", "given: 'builtin'"]),
        ({"name": "Shoes!"}, ["name:", "'Shoes!'", "pattern"]),
        ({"amount": {"per_class": 0}}, ["amount.per_class:", "given: 0", "greater than or equal to 1"]),
        ({"amount": {"per_clas": 3}}, ["amount.per_clas:", "no such field", "given: 3", "correct its name, or remove it"]),
        ({"amount": {}}, ["amount:", "give one of per_class, total, multiply, balance"]),
        ({"amount": {"per_class": 3, "total": 9}}, ["amount:", "give one of per_class, total, multiply, balance"]),
        (
            {"method": {"type": "text_to_image", "solver": "euler"}},
            ["method.solver:", "'euler'", "'auto', 'ddim' or 'dpmsolver++'"],
        ),
        (
            {"method": {"type": "spurious_removal", "superclass": "shoe", "entropy_guidance": 0.05}},
            ["method.entropy_guidance: 0.05", "knows whole images alone", "set framing to crop or pad"],
        ),
        (
            {"method": {"type": "text_to_image", "guidance_interval": [0.8, 0.2]}},
            ["method.guidance_interval:", "[0.8, 0.2] holds no step", "give the smaller share first"],
        ),
        ({"amount": {"balance": "groups"}}, ["amount.balance: only spurious_removal can fill groups", "balance classes"]),
        (
            {"source": {"type": "folders"}},
            ["source:", "folders", "'folder', 'parquet', 'webdataset', 'hub', 'uploaded', 'spurious'"],
        ),
        ({"source": {"type": "spurious", "ratio": 0.5}}, ["source.ratio:", "given: 0.5", "greater than 0.5"]),
        ({"source": {"type": "spurious", "scenes": ["grass"]}}, ["source:", "one scene for each of the 2 classes"]),
        (
            {"source": {"type": "few-shot", "classes": ["boot", "boot"]}},
            ["source.classes:", "boot, boot", "name each once"],
        ),
        ({"source": {"type": "few-shot", "classes": ["boot", "hat"]}}, ["source.classes.1:", "'hat'", "'sandal'"]),
        ({"source": {"type": "long-tail", "scenes": []}}, ["source.scenes:", "is too short; give 1 or more", "given: []"]),
        ({"method": {**REMOVAL, "region": "circle"}}, ["method.region:", "'circle'", "'box', 'mask' or 'whole'"]),
        (
            {"method": {**REMOVAL, "region": "whole", "objects": "real"}},
            ["method.objects: real", "region must be box or mask"],
        ),
        ({"method": {**REMOVAL, "strength": 0}}, ["method.strength:", "given: 0", "greater than 0"]),
        ({"method": {**REMOVAL, "guidance": float("inf")}}, ["method.guidance:", "inf", "finite number"]),
        ({"method": {"type": "text_to_image", "inversion": {}}}, ["method:", "superclass must say", "'bird'"]),
        ({"filters": [{"type": "quality", "max_saturated": 2}]}, ["filters.0.max_saturated:", "given: 2", "to 1"]),
        ({"filters": [{"type": "quality"}] * 2}, ["filters: quality, quality", "name each once"]),
        ({"early_verdict": {}}, ["early_verdict: no filter has scores of unfinished images", "add quality, "]),
        ({"early_verdict": {"at": 1}}, ["early_verdict.at:", "given: 1", "less than 1"]),
        (
            {"early_verdict": {"loss": 0.02, "images": 40}},
            ["early_verdict.images: 40 cannot show a loss of 0.02", "give 49 or more"],
        ),
        (
            {"early_verdict": {}, "filters": [{"type": "quality"}], "shard_size": 99},
            ["early_verdict.images: 100 are more than a shard has, 99", "or a larger shard_size"],
        ),
        ({"models": {"device": "cuda"}}, ["models:", "device is a setting of the machine", "run --device"]),
        ({"models": {"precision": "bf16"}}, ["models:", "precision is a setting of the machine", "COUNTERPOISE_PRECISION"]),
        ({"models": {"resolution": 65}}, ["models.resolution:", "given: 65", "multiple of 8"]),
        ({"evaluation": {"seeds": [0, 0]}}, ["evaluation.seeds:", "0, 0", "name each once"]),
        ({"evaluation": {"amounts": [0.5, 0]}}, ["evaluation.amounts.1:", "given: 0", "greater than 0"]),
        ({"evaluation": {"amounts": [4000]}}, ["evaluation.amounts.0:", "given: 4000", "less than or equal to 1"]),
        ({"evaluation": {"amounts": [0.5, 0.5]}}, ["evaluation.amounts:", "0.5, 0.5", "name each once"]),
        (
            {"evaluation": {"arms": ["counterpoise"], "amounts": [0.25]}},
            ["evaluation.amounts: 0.25 of the samples are compared with none", "add erm to arms, or leave the amounts out"],
        ),
        (
            {"method": {"type": "text_to_image"}, "evaluation": {"recipe": "contrastive"}},
            ["evaluation.recipe: contrastive needs classes on the backgrounds of others", "text_to_image; use that method"],
        ),
        (
            {"method": {"type": "text_to_image", "siblings": 4, "negative_merging": {}, "entropy_guidance": 0.1}},
            ["method.entropy_guidance: 0.1 leads images, not their references in negative_merging", "set it to 0"],
        ),
        (
            {"method": {"type": "text_to_image", "negative_merging": {}}},
            ["method.siblings: 1 leaves negative_merging nothing to push away from", "set it to 2 or more"],
        ),
        ({"evaluation": {"arms": ["ddb"]}}, ["evaluation.arms.0:", "'ddb'", "'counterpoise'"]),
        ({"filters": [{"type": "qualty"}]}, ["filters.0: no such type; there are 'quality', ", "did you mean 'quality'?"]),
        ({"filters": [{"type": "quality", "min_contrst": 2}]}, ["filters.0.min_contrst:", "did you mean 'min_contrast'?"]),
        ({"method": {**REMOVAL, "superclas": "shoe"}}, ["method.superclas:", "did you mean 'superclass'?"]),
        (
            {"method": {"type": "text_to_image", "inversion": {"step": 9}}},
            ["method.inversion.step:", "did you mean 'steps'?"],
        ),
        ({"framing": "crp"}, ["framing:", "'crp'", "did you mean 'crop'?"]),
        ({"smallest_frame": 0.1}, ["smallest_frame:", "0.25", "0.1"]),
        ({"smallest_frame": 0.5}, ["smallest_frame: 0.5 is for framing region, and here it is crop", "leave it out"]),
        ({"schema_version": 3}, ["schema_version:", "given: 3", "newer than 2", "use a newer Counterpoise, or write 2"]),
        ({"schema_version": 0}, ["schema_version:", "given: 0", "should be 2"]),
        ({"schema_version": []}, ["schema_version:", "given: []", "should be 2"]),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_remedy(changes: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        parse(document(**changes))
    assert [part for part in said if part not in str(caught.value)] == [], str(caught.value)


def test_all_mistakes_are_told_at_once_one_a_line() -> None:
    with pytest.raises(SpecError) as caught:
        parse(document(name="", seed=-1, colour="red"))
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["name", "seed", "colour"]


@pytest.mark.parametrize("value", [None, "shoes", 3, ["name"]])
def test_what_is_no_mapping_is_no_spec(value: Any) -> None:
    with pytest.raises(SpecError, match=r"^spec: has no fields; give them"):
        parse(value)


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse(document()).seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("source", ["spurious", "few-shot", "long-tail"])
@pytest.mark.parametrize("method", [REMOVAL, {"type": "text_to_image"}], ids=["removal", "text_to_image"])
def test_a_spec_survives_being_stored(source: str, method: dict[str, Any]) -> None:
    spec = parse(document(source={"type": source}, method=method, filters=[{"type": "attribution"}], evaluation={}))
    assert parse(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


def test_yaml_and_json_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(document()))
    (tmp_path / "a.json").write_text(json.dumps(document()))
    assert load(tmp_path / "a.yaml") == load(tmp_path / "a.json") == parse(document())


@pytest.mark.parametrize("given", ["photos", "../photos", "./a/../photos"])
def test_a_relative_folder_is_taken_from_the_specs_own_place(tmp_path: Path, given: str) -> None:
    file = tmp_path / "specs" / "a.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(document(source={"type": "folder", "path": given})))
    source: Any = load(file).source
    assert source.path == str((tmp_path / "specs" / given).resolve())


def test_an_absolute_folder_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(document(source={"type": "folder", "path": "/photos"})))
    source: Any = load(tmp_path / "a.yaml").source
    assert source.path == "/photos"


@pytest.mark.parametrize(
    "content", [None, b"name: [", b"\xff\xfe", b"name: a\n\tb: c"], ids=["missing", "cut", "utf16", "tab"]
)
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(SpecError, match=r"a\.yaml: (cannot be read|line \d, column \d: not valid YAML)"):
        load(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.yaml",
            "name: a\nsource:\n  type: spurious\n  seed: 1\n  seed: 2\n",
            "line 5, column 3: .*'seed' is there twice",
        ),
        ("a.yaml", '{"name": "a", "name": "b"}', "line 1, column 15: .*'name' is there twice"),
        ("a.json", '{"name": {"seed": 1, "seed": 2}}', "'seed' is there twice; remove one"),
        ("a.json", '{\n\t"name": }', "line 2, column 10: not valid JSON: Expecting value"),
        ("a.json", "[" * 100_000, "not valid JSON"),
        ("a.yaml", "[" * 100_000, "not valid YAML"),
    ],
)
def test_what_cannot_be_read_says_where(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SpecError, match=f"{name}: {said}"):
        load(tmp_path / name)


def test_json_may_be_indented_by_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document(), indent="\t"))
    assert load(tmp_path / "a.json") == parse(document())


@pytest.mark.parametrize("kind", ["folder", "parquet", "webdataset"])
@pytest.mark.parametrize(
    "path",
    ["http://x/y", "file:///etc", "s3://b", "s3://Bucket/x", "s3:///x", "s3://bucket/a/../b", "s3://bucket//x", "a\0b", ""],
)
def test_a_source_is_read_from_no_other_place(kind: str, path: str) -> None:
    with pytest.raises(SpecError, match=r"^source\.path: "):
        parse(document(source={"type": kind, "path": path}))


@pytest.mark.parametrize("identity", ["mnist", "https://hub/a/b", "a/b/c", "a/..", "../a\0", "a/b?x", ""])
def test_a_dataset_is_of_an_organisation_or_a_folder(identity: str) -> None:
    with pytest.raises(SpecError, match=r"^source\.id: "):
        parse(document(source={"type": "hub", "id": identity}))


@pytest.mark.parametrize(
    ("source", "field", "path"),
    [
        ({"type": "parquet", "path": "shoes/train-*.parquet"}, "path", "{home}/shoes/train-*.parquet"),
        ({"type": "webdataset", "path": "s3://bucket/shoes"}, "path", "s3://bucket/shoes"),
        ({"type": "hub", "id": "./shoes"}, "id", "{home}/shoes"),
        ({"type": "hub", "id": "shop/shoes"}, "id", "shop/shoes"),
    ],
)
def test_only_a_local_path_is_taken_from_the_specs_own_place(
    tmp_path: Path, source: dict[str, Any], field: str, path: str
) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(document(source=source)))
    assert getattr(load(tmp_path / "a.yaml").source, field) == path.format(home=tmp_path)


def test_only_the_asked_for_must_be_said() -> None:
    required = {name for name, field in VersionSpec.model_fields.items() if field.is_required()}
    assert required == {"name", "source", "method", "amount"}


def test_a_filter_that_looks_at_the_object_needs_its_word() -> None:
    looking = {"filters": [{"type": "label_agreement", "view": "object"}]}
    with pytest.raises(SpecError, match=r"method\.superclass must say what the classes are"):
        parse(document(**looking))
    parse(document(**looking, method=REMOVAL))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"templates": ["a photo"]}, "must say {} once, where the class goes"),
        ({"templates": ["a {} {}"]}, "must say {} once, where the class goes"),
        ({"templates": ["a {} {scene}"]}, r"says \{scene\}, so words.scene must list what stands for it"),
        ({"templates": ["a {} {scene.__class__}"], "words": {"scene": ["x"]}}, "words.scene.__class__ must list"),
        ({"templates": ["a {} {"]}, "method"),
        ({"templates": ["a {:>9999999999}"]}, "must have names alone in its braces"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse(document(method={"type": "text_to_image", **changes}))


def test_words_of_scenes_are_taken() -> None:
    parse(document(method={"type": "text_to_image", "templates": ["a {} {scene}"], "words": {"scene": ["on grass"]}}))


def test_an_older_document_is_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 is the first: these are steps from older ones, as they would have been."""

    def count(older: dict[str, Any]) -> dict[str, Any]:
        return {**{k: v for k, v in older.items() if k != "count"}, "amount": older["count"]}

    def amount(older: dict[str, Any]) -> dict[str, Any]:
        return {**older, "amount": {"total": older["amount"]}}

    monkeypatch.setattr("pipelines.spec.upgrade.LIFTS", {**LIFTS, -1: count, 0: amount})
    for version, asked in ((-1, {"count": 7}), (0, {"amount": 7}), (1, {"amount": {"total": 7}})):
        written = {k: v for k, v in document().items() if k != "amount"}
        assert parse({**written, **asked, "schema_version": version}) == parse(document(amount={"total": 7}))
    with pytest.raises(SpecError, match=r"^count: no such field"):
        parse({**document(), "count": 7})


def test_a_device_in_an_older_document_is_left_out() -> None:
    older = document(schema_version=1, models={"device": "cuda:1", "resolution": 32})
    assert parse(older) == parse(document(models={"resolution": 32}))
    assert parse({**older, "models": {"device": "auto"}}).models == parse(document(models={})).models


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ({"per_class": 1}, "1 image a class"),
        ({"per_class": 1200}, "1,200 images a class"),
        ({"total": 1}, "1 image"),
        ({"total": 2}, "2 images"),
        ({"multiply": 1}, "1 image for each real one"),
        ({"multiply": 0.5}, "0.5 images for each real one"),
    ],
)
def test_an_amount_is_said_in_singular_or_plural(amount: dict[str, Any], words: str) -> None:
    assert str(parse(document(amount=amount)).amount) == words


def test_of_one_thing_the_noun_has_no_s() -> None:
    assert [quantity(number, "shard") for number in (0, 1, 2, 1000)] == ["0 shards", "1 shard", "2 shards", "1,000 shards"]


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:1"])
def test_a_machine_has_a_device_of_these(device: str) -> None:
    assert Machine(device=device).device == device
    for wrong in ("tpu", "cuda:", "CPU", "cuda:1 "):
        with pytest.raises(ValidationError, match="there is no such device; give auto, cpu"):
            Machine(device=wrong)


def test_relative_paths_count_from_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of checkpoints that are there as those of images; names of the hub and of what is bundled stay names."""
    for folder in ("home/models/sd", "home/models/detector", "home/birds", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    models = {"text_to_image": "models/sd", "segmenter": "models/detector+org/sam", "clip": "org/clip"}
    source = {"type": "folder", "path": "birds"}
    (tmp_path / "home/spec.json").write_text(json.dumps(document(models=models, source=source)))
    monkeypatch.chdir(tmp_path / "elsewhere")
    read = load(tmp_path / "home/spec.json")
    assert read.models.text_to_image == str(tmp_path / "home/models/sd")
    assert (read.models.segmenter, read.models.clip) == (f"{tmp_path}/home/models/detector+org/sam", "org/clip")
    assert read.models.adapter == "builtin"
    assert "adapter" not in read.model_dump(exclude_unset=True)["models"]

"""Commands on specs: examples, validation, the JSON Schema."""

import json
import re
import zlib
from pathlib import Path

import PIL.Image
import pytest
import yaml

from pipelines.errors import SpecError
from pipelines.spec import VersionSpec, parse
from pipelines.spec.arms import ARMS
from service.cli.specs import EXAMPLES
from tests.builders import document, noise
from tests.checkpoints import build_flux, build_xl, build_z_image
from tests.service.cli.commands import call, written


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_printed_as_a_spec_that_is_valid(name: str, tmp_path: Path) -> None:
    done = call("example", name)
    assert done.exit_code == 0
    spec = parse(yaml.safe_load(done.stdout))
    (tmp_path / "spec.yaml").write_text(done.stdout)
    checked = call("validate", tmp_path / "spec.yaml")
    assert checked.exit_code == 0
    lines = checked.stdout.splitlines()
    assert len(lines) == 4, checked.stdout
    images, said, planned, time = lines
    assert said == f"{spec.name}: {spec.method.type}, {spec.amount}. The spec is valid."
    assert images.endswith("; 0 cannot be used.")
    assert planned.startswith("To be made: ")
    assert time.startswith("Denoising takes about ")
    assert time.endswith("; loading checkpoints, learning and evaluation are not counted.")


def test_the_images_of_a_folder_are_looked_at_and_the_bad_ones_named(tmp_path: Path) -> None:
    for label in ("boot", "shoe"):
        for split in ("train", "validation", "test"):
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for number in range(9):
                pixels = noise(zlib.crc32(f"{split}{label}{number}".encode()))
                PIL.Image.fromarray(pixels).save(tmp_path / "images" / split / label / f"{number}.png")
    (tmp_path / "images/train/boot/10.png").write_text("no image")
    done = call("validate", written(tmp_path, source={"type": "folder", "path": "images"}, amount={"multiply": 2}))
    assert done.exit_code == 0, done.stderr
    images, bad, _, planned, _ = done.stdout.splitlines()
    assert images == "Real images: 9 boot, 9 shoe; 18 for validation, 18 for test; 1 cannot be used."
    assert bad.startswith("  train/boot/10.png: ")
    assert planned == "To be made: 36 images in 1 shard: 18 boot, 18 shoe."


def test_an_amount_that_means_nothing_is_found_before_anything_is_made(tmp_path: Path) -> None:
    done = call("validate", written(tmp_path, amount={"balance": "classes"}))
    assert done.exit_code == 2
    assert "amount: there is nothing to make" in done.stderr


def test_an_unknown_example_names_those_there_are() -> None:
    done = call("example", "nothing")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "'nothing' does not exist; there are spurious, few-shot, long-tail" in done.stderr


def test_a_file_that_is_not_there_is_named_unbroken(tmp_path: Path) -> None:
    missing = tmp_path / ("long " * 30) / "spec.yaml"
    done = call("validate", missing)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"{missing}: cannot be read")
    assert len(done.stderr.splitlines()) == 1


def test_square_brackets_in_a_message_are_no_markup(tmp_path: Path) -> None:
    done = call("validate", written(tmp_path, name="[red]"))
    assert "'[red]'" in done.stderr


def test_the_schema_has_every_field_with_its_meaning() -> None:
    found = json.loads(call("schema").stdout)
    assert found["properties"]["amount"]["description"]
    assert "balance" in found["$defs"]["Amount"]["properties"]
    assert found["$defs"]["SpuriousRemoval"]["properties"]["objects"]["enum"] == ["painted", "real", "both"]


def test_validate_says_what_the_source_lacks(tmp_path: Path) -> None:
    for start, label in ((0, "boot"), (100, "sneaker")):
        folder = tmp_path / "shoes/train" / label
        folder.mkdir(parents=True)
        for n in range(4):
            PIL.Image.fromarray(noise(start + n)).save(folder / f"{n}.png")
    found = call("validate", written(tmp_path, source={"type": "folder", "path": str(tmp_path / "shoes")}, evaluation={}))
    assert found.exit_code == 2
    assert "no validation images to evaluate with" in found.stderr
    assert "The spec is valid" not in found.stdout


def test_validate_says_what_the_checkpoint_is_and_refuses_one_that_is_not_there(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    found = call("validate", written(tmp_path, models={"text_to_image": str(tiny_checkpoint)}))
    assert found.exit_code == 0, found.stderr
    assert "models.text_to_image: a StableDiffusionPipeline, 32 pixels a side." in found.stdout
    assert "GPU memory, in half precision about: 1 GiB to generate." in found.stdout
    lacking = call("validate", written(tmp_path, models={"text_to_image": str(tiny_checkpoint), "clip": "/gone"}))
    assert lacking.exit_code == 2
    assert "models.clip: there is no folder '/gone'; give that of a CLIP checkpoint" in lacking.stderr
    gone = call("validate", written(tmp_path, models={"text_to_image": str(tmp_path / "gone")}))
    assert gone.exit_code == 2
    assert "models.text_to_image: there is no folder" in gone.stderr
    assert "The spec is valid" not in gone.stdout


def test_validate_says_what_every_checkpoint_is_and_what_they_need_together(tmp_path: Path, tiny_checkpoint: Path) -> None:
    other = build_xl(tmp_path / "xl")
    models = {"text_to_image": str(tiny_checkpoint), "further": [{"text_to_image": str(other), "share": 0.5}]}
    found = call("validate", written(tmp_path, models=models))
    assert found.exit_code == 0, found.stderr
    assert "models.text_to_image: a StableDiffusionPipeline, 32 pixels a side." in found.stdout
    assert "models.further.0.text_to_image: a StableDiffusionXLPipeline, 32 pixels a side." in found.stdout
    assert "GPU memory, in half precision about: 1 GiB to generate." in found.stdout
    models["further"] = [{"text_to_image": str(tmp_path / "gone"), "share": 0.5}]
    gone = call("validate", written(tmp_path, models=models))
    assert gone.exit_code == 2
    assert "models.further.0.text_to_image: there is no folder" in gone.stderr


def test_validate_refuses_what_the_checkpoint_cannot_do(tmp_path: Path) -> None:
    method = {"type": "text_to_image", "superclass": "shoe", "inversion": {"masked": False}}
    models = {"text_to_image": str(build_flux(tmp_path / "flux"))}
    refused = call("validate", written(tmp_path, models=models, method=method))
    assert refused.exit_code == 2
    assert "models.text_to_image: a FluxPipeline, 32 pixels a side." in refused.stdout
    assert "method.inversion: " in refused.stderr
    assert "The spec is valid" not in refused.stdout


def test_a_spec_is_written_as_it_is_sent_over_http(tmp_path: Path) -> None:
    spec = written(tmp_path)
    assert call("validate", spec, "--json", tmp_path / "spec.json").exit_code == 0
    assert parse(json.loads((tmp_path / "spec.json").read_text())) == parse(document())
    refused = call("validate", spec, "--json", tmp_path / "no" / "spec.json")
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr


def test_the_schema_names_and_describes_every_arm() -> None:
    arms = VersionSpec.model_json_schema()["$defs"]["Evaluation"]["properties"]["arms"]
    assert arms["items"]["enum"] == list(ARMS)
    assert all(f"{name}: {arm.description}." in arms["description"] for name, arm in ARMS.items())
    with pytest.raises(SpecError, match=r"evaluation\.arms\.0: there is no such arm; give some of 'erm', .*given: 'none'"):
        parse({**document(), "evaluation": {"arms": ["none"]}})


def test_validate_says_what_a_checkpoint_that_is_run_whole_cannot_do(tmp_path: Path) -> None:
    models = {"text_to_image": str(build_z_image(tmp_path / "z")), "resolution": 32}
    done = call("validate", written(tmp_path, models=models))
    assert done.exit_code == 0, done.stderr
    assert "models.text_to_image: a ZImagePipeline, 32 pixels a side.\n" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  Run whole, as diffusers runs it: ")]
    assert "no step-level batching, and no augmented_conditioning, " in line
    assert "method.inversion, " in line
    done = call("validate", written(tmp_path, models={"text_to_image": models["text_to_image"]}))
    assert done.exit_code == 2
    assert "configuration does not say for which; give it: mostly 1024" in done.stderr


def test_the_families_are_printed_with_the_reason_of_every_no() -> None:
    done = call("families")
    assert done.exit_code == 0
    numbers = {int(number) for number in re.findall(r"\bno (\d+)", done.stdout)}
    assert numbers == {
        int(number)
        for number in re.findall(
            r"^(\d+)\. (?:method\.|models\.|evaluation\.|filters\.|early_verdict)", done.stdout, re.MULTILINE
        )
    }

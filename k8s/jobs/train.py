"""Trains a classifier on a version of a dataset, named by its address, without a copy of it: a template for your own.

python train.py s3://counterpoise/default/datasets/shoes/v1 --epochs 10 --out out
"""

import argparse
import io
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from pipelines.store.object_store import Store

ROWS = 256  # read and shuffled together
SIDE = 64  # pixels


class Version(IterableDataset[tuple[Tensor, int]]):
    """Images, float32 (3, SIDE, SIDE) in [-1, 1], with the number of their class, in another order each time."""

    def __init__(self, address: str, seed: int = 0) -> None:
        root, there, inside = address.rstrip("/").rpartition("/datasets/")
        self.home = f"datasets/{inside}/" if there else ""  # a copy that was pulled lies by itself
        self.store, self.chance = Store.open(root if there else address), np.random.default_rng(seed)
        manifest = self.store.json(f"{self.home}manifest.json")
        self.files = [each for each in manifest["files"] if each["path"].startswith("data/")]
        first = pq.read_schema(self.file(self.files[0]))
        self.classes: list[str] = json.loads(first.metadata[b"huggingface"])["info"]["features"]["label"]["names"]

    def file(self, entry: dict[str, object]) -> io.RawIOBase:
        """A file of the manifest, read in parts. Raises ValueError if it is not what the manifest says."""
        carried = entry.get("key") if self.home else None  # what was carried over lies with an earlier version
        found = self.store.file(str(carried or f"{self.home}{entry['path']}"))
        if found is None or found.size != entry["size"]:
            raise ValueError(f"{entry['path']}: is not as the manifest says; is the version still being copied?")
        return found

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for number in self.chance.permutation(len(self.files)):
            parts = pq.ParquetFile(self.file(self.files[number])).iter_batches(ROWS, columns=["image", "label"])
            for rows in (part.to_pylist() for part in parts):
                for index in self.chance.permutation(len(rows)):
                    yield pixels(rows[index]["image"]["bytes"]), rows[index]["label"]


def pixels(data: bytes) -> Tensor:
    image = PIL.Image.open(io.BytesIO(data)).convert("RGB").resize((SIDE, SIDE))
    return torch.from_numpy(np.asarray(image)).permute(2, 0, 1).float() / 127.5 - 1


def network(classes: int) -> nn.Module:
    widths = (3, 32, 64, 128)
    blocks = [
        nn.Sequential(nn.Conv2d(i, o, 3, stride=2, padding=1), nn.GroupNorm(8, o), nn.ReLU()) for i, o in pairwise(widths)
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("out"))
    asked = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    version = Version(asked.version)
    model = network(len(version.classes)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(asked.epochs):
        seen, losses, right = 0, 0.0, 0
        for images, labels in DataLoader(version, asked.batch):
            scores, labels = model(images.to(device)), labels.to(device)
            loss = nn.functional.cross_entropy(scores, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen, losses = seen + len(labels), losses + float(loss.detach()) * len(labels)
            right += int((scores.argmax(1) == labels).sum())
        print(json.dumps({"epoch": epoch, "images": seen, "loss": losses / seen, "accuracy": right / seen}), flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), asked.out / "model.safetensors", {"classes": json.dumps(version.classes)})


if __name__ == "__main__":
    main()

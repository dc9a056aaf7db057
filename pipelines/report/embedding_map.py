"""The map of a version: embeddings of its images and of the source's in two dimensions, as `report/map.parquet` has them.

The file has the embeddings, too; to draw the map or to select on it they are not read.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.store import keys
from pipelines.store.object_store import Store

FILE = "map.parquet"
SIDE = 1000  # the largest coordinate
KINDS = ("kept", "dropped", "real")
COLUMNS = ("kind", "id", "label", "shard", "row", "x", "y")


@dataclass(frozen=True)
class EmbeddingMap:
    """n images as points. What is near has alike embeddings; the axes mean nothing."""

    kinds: NDArray[np.str_]  # (n,), of KINDS
    ids: NDArray[np.str_]  # (n,), of a sample INDEX-ATTEMPT, of a real image the source's
    labels: NDArray[np.str_]  # (n,)
    places: NDArray[np.int64]  # (n, 2), of a sample its shard and its row in the shard's file; -1 of a real image
    points: NDArray[np.float32]  # (n, 2), 0..SIDE, from the left and from the top
    totals: Mapping[str, int]  # images of each kind that there are, of which these are some

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def counts(self) -> dict[str, int]:
        """Points of each kind."""
        return {kind: int((self.kinds == kind).sum()) for kind in KINDS}

    @property
    def classes(self) -> list[str]:
        return sorted(set(self.labels.tolist()))


def encode(drawn: EmbeddingMap, embeddings: NDArray[np.float16]) -> bytes:
    """The file. `embeddings` is (n, width)."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])
    columns: dict[str, Any] = {
        "kind": drawn.kinds.tolist(),
        "id": drawn.ids.tolist(),
        "label": drawn.labels.tolist(),
        "shard": drawn.places[:, 0],
        "row": drawn.places[:, 1],
        "x": drawn.points[:, 0],
        "y": drawn.points[:, 1],
        "embedding": vectors,
    }
    table = pa.table(columns).replace_schema_metadata({"totals": json.dumps(dict(drawn.totals), sort_keys=True)})
    data = io.BytesIO()
    pq.write_table(table, data, compression="zstd")
    return data.getvalue()


def read_map(store: Store, root: str) -> EmbeddingMap | None:
    """The map of a version, without its embeddings; None where there is none: of a version that has no report yet, or was
    made by an older release."""
    file = store.file(keys.report_file(root, FILE))
    if file is None:
        return None
    parquet = pq.ParquetFile(file)
    table = parquet.read(columns=list(COLUMNS))
    columns = {name: table.column(name).to_numpy() for name in COLUMNS}
    return EmbeddingMap(
        kinds=columns["kind"].astype(np.str_),
        ids=columns["id"].astype(np.str_),
        labels=columns["label"].astype(np.str_),
        places=np.stack([columns["shard"], columns["row"]], axis=1),
        points=np.stack([columns["x"], columns["y"]], axis=1),
        totals=json.loads(parquet.schema_arrow.metadata[b"totals"]),
    )

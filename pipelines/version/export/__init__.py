"""A published version in the forms that trainers read: a file a format, and this table of them. Imports no torch.

Rows of Parquet -> samples -> files of a format -> a folder, or one tar that is streamed. Images keep the bytes that they are
stored as.
"""

from typing import Literal

from pipelines.version.export.coco import coco
from pipelines.version.export.files import Format
from pipelines.version.export.image_folder import image_folder
from pipelines.version.export.webdataset import webdataset
from pipelines.version.export.yolo import yolo

FormatName = Literal["imagefolder", "webdataset", "coco", "yolo"]
FORMATS: dict[FormatName, Format] = {
    "imagefolder": Format(image_folder),
    "webdataset": Format(webdataset, sharded=True),
    "coco": Format(coco, boxes=True),
    "yolo": Format(yolo, boxes=True),
}

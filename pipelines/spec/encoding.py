"""How generated images are encoded in a version's Parquet files."""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.spec.base import Strict


class PngEncoding(Strict):
    """Lossless, and read everywhere."""

    type: Literal["png"]

    def __str__(self) -> str:
        return "PNG"


class WebpEncoding(Strict):
    """Lossless: the pixels of PNG in fewer bytes."""

    type: Literal["webp"]

    def __str__(self) -> str:
        return "WebP"


class JpegEncoding(Strict):
    """Lossy: filters judge an image before it is encoded, the evaluation trains on what is stored."""

    type: Literal["jpeg"]
    quality: int = Field(95, ge=1, le=100, description="JPEG quality, as in libjpeg; colour is subsampled (4:2:0).")

    def __str__(self) -> str:
        return f"JPEG of quality {self.quality}"


EncodingSpec = Annotated[PngEncoding | WebpEncoding | JpegEncoding, Field(discriminator="type")]

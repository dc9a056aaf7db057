"""The mark of synthetic origin in an image file: IPTC's digital source type, in XMP."""

import io
from typing import Any

import PIL.Image
from PIL.PngImagePlugin import PngInfo

from pipelines.records import Image

MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
# Of a photograph with a generated part; recognised too.
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{MARK}"/></rdf:RDF></x:xmpmeta>'
)


def png(image: Image, *, synthetic: bool) -> bytes:
    """Encode as PNG, marked if synthetic. Same pixels, same bytes."""
    info = PngInfo()
    if synthetic:
        info.add_itxt("XML:com.adobe.xmp", XMP)
    data = io.BytesIO()
    PIL.Image.fromarray(image).save(data, "PNG", pnginfo=info)
    return data.getvalue()


def is_synthetic(image: PIL.Image.Image, data: bytes = b"") -> bool:
    """Whether an opened file, of these bytes, carries the mark. Pillow does not read that of a GIF, which is plain."""
    texts: list[Any] = [image.info.get("xmp", b""), image.info.get("XML:com.adobe.xmp", "")]
    if image.format == "GIF":
        texts.append(data)
    plain = [t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for t in texts]
    return any(mark in text for text in plain for mark in (MARK, COMPOSITE))

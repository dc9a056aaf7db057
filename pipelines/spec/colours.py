"""Colours by their names."""

Rgb = tuple[int, int, int]  # 0..255


def rgb(word: str) -> Rgb:
    """A colour by its CSS name, which may be written as two words. Raises ValueError for what is none."""
    from PIL import ImageColor  # here, so that reading a spec loads no imaging

    try:
        red, green, blue, *_ = ImageColor.getrgb(word.replace(" ", ""))
    except ValueError as error:
        raise ValueError(f"recolour: {word!r} is no CSS colour; name one, such as red, dark green or #8b4513") from error
    return red, green, blue

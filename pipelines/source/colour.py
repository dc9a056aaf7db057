"""The pixels of an opened image as a person sees them in a viewer: eight bits, sRGB, on white where they are transparent."""

import io

import numpy as np
import PIL.Image
from PIL import ImageCms

MODES = {"RGB": "RGB", "GRAY": "L"}  # of images, by the colour space of their profile


def displayed(image: PIL.Image.Image) -> PIL.Image.Image:
    """A loaded image in RGB. Raises ValueError for numbers without a known range."""
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F") and image.format != "PNG":
        raise ValueError("pixels of 32 bits, whose range is unknown; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        image = scaled(image)
    image = on_white(image)
    return in_srgb(image, profile) if profile else image if image.mode == "RGB" else image.convert("RGB")


def scaled(image: PIL.Image.Image) -> PIL.Image.Image:
    """Grey levels of 16 bits in 8."""
    levels = np.asarray(image).astype(np.uint32)
    return PIL.Image.fromarray(((levels * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8))


def on_white(image: PIL.Image.Image) -> PIL.Image.Image:
    """An image without transparency; one that has none as it is, and without a palette."""
    if not image.has_transparency_data:
        return image.convert("RGB") if image.mode == "P" else image
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    white = PIL.Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def in_srgb(image: PIL.Image.Image, data: bytes) -> PIL.Image.Image:
    """An image of another colour space in sRGB. A profile that is damaged, or of another kind of image, is passed over."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        fits = MODES.get(profile.profile.xcolor_space.strip()) == image.mode
        if fits and "sRGB" not in (profile.profile.profile_description or ""):
            target = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, profile, target, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        pass
    return image.convert("RGB")

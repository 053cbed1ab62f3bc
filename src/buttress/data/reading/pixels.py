"""One decoded image as an array: how deep its pixels are, what its transparency hides, and which way is up.

Pillow decodes colour of 16 bits a channel to the upper 8. The lower 8 are what it gives when the bytes are read in the
other order; both together are all 16.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from buttress.data.reading.memory import Array

__all__ = ["Header", "Unfit", "decode", "header_of", "pages_of"]

_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_SIDEWAYS, _ORIENTATION = (5, 6, 7, 8), 274  # values and number of the EXIF tag that says how a camera was held
_PAGED = ("TIFF", "GIF", "WEBP", "PNG")
"""Formats whose frames are images of one rank; a second frame of a photograph (MPO) is a preview."""
_RGB = ("RGB", "RGBA", "RGBX")
_DEEP = re.compile(r"(.*;16)([BLN])$")
"""Pillow's name for 16 bits a channel: big, little or native order of bytes."""
_SWAP = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TURN = Image.Transpose
_TURNS: dict[Any, Image.Transpose] = {
    2: _TURN.FLIP_LEFT_RIGHT, 3: _TURN.ROTATE_180, 4: _TURN.FLIP_TOP_BOTTOM, 5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270, 7: _TURN.TRANSVERSE, 8: _TURN.ROTATE_90,
}  # fmt: skip


class Unfit(Exception):
    """An image that can be read, but of a kind that would lose its meaning."""


@dataclass(frozen=True)
class Header:
    """What can be known before decoding.

    Args:
        size: (height, width), upright.
        colour: Whether it may have colour.
        depth: Bits of a channel: 8, 16, or 32 for real numbers and whole numbers of any range.

    Example:
        >>> header_of(Image.new("L", (4, 2)))
        Header(size=(2, 4), colour=False, depth=8)
    """

    size: tuple[int, int]
    colour: bool
    depth: int


def pages_of(image: Image.Image) -> Iterator[Image.Image]:
    """The images in a file, one after another.

    Example:
        >>> [page.size for page in pages_of(Image.new("L", (4, 2)))]
        [(4, 2)]
    """
    if image.format == "TIFF":
        vars(image)["filename"] = (
            ""  # else Pillow maps plain files with height and width exchanged where they are turned
        )
    if image.format in _PAGED and getattr(image, "n_frames", 1) > 1:
        yield from ImageSequence.Iterator(image)
    else:
        yield image


def header_of(image: Image.Image) -> Header:
    """What an image says before it is decoded.

    Errors:
        Unfit: Its pixels are of a kind that could only be read with a loss.
    """
    if image.mode not in _GREY + _COLOUR:
        raise Unfit(f"pixels of mode {image.mode!r}, wanted grey or colour; try converting, or a .npy of floats")
    depth = _bits(image)
    width, height = image.size
    turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _SIDEWAYS  # Pillow turns TIFFs itself
    return Header((width, height) if turned else (height, width), image.mode in _COLOUR, depth)


def _bits(image: Image.Image) -> int:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM") or _deep(image):
        return 16
    return 32 if image.mode in ("I", "F") else 8


def _deep(image: Image.Image) -> bool:
    """Whether colour has 16 bits a channel, of which Pillow would drop 8."""
    codes = [args for tile in getattr(image, "tile", ()) for args in _flat(tile.args)]
    deep = any(isinstance(code, str) and _DEEP.match(code) for code in codes) and not image.mode.startswith("I")
    squeezed = image.format == "PPM" and image.mode != "I" and any(isinstance(c, int) and c > 255 for c in codes)
    if squeezed or (deep and (image.mode not in _RGB or any(str(code).startswith("LA;") for code in codes))):
        raise Unfit(
            f"16 bits a channel in a {image.format} of mode {image.mode!r}, wanted grey or RGB; try a PNG or TIFF"
        )
    return deep


def _flat(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def decode(
    image: Image.Image,
    size: tuple[int, int],
    fit: Literal["stretch", "crop"],
    color: bool,
    depth: np.dtype[Any],
    background: Literal["white", "black"] = "white",
) -> tuple[Array, bool]:
    """Pixels (C, H, W) of type ``depth``, and whether any of them was transparent.

    Args:
        image: One that :func:`header_of` took.
        size: (height, width) to bring it to.
        fit: "stretch" to that size, or "crop" the middle of its aspect first.
        color: Three channels, or one.
        depth: uint8, uint16 or float32.
        background: What shows where it is transparent.

    Example:
        >>> hidden = Image.new("LA", (4, 2), color=(30, 0))  # wholly transparent: its 30 is not to be seen
        >>> pixels, transparent = decode(hidden, (2, 4), "stretch", False, np.dtype(np.uint8))
        >>> pixels.tolist(), transparent
        ([[[255, 255, 255, 255], [255, 255, 255, 255]]], True)
    """
    if depth == np.uint8 or (depth == np.uint16 and _bits(image) == 8):
        pixels, transparent = _eight(image, size, fit, color, background)
        return (pixels if depth == np.uint8 else pixels.astype(np.uint16) * 257), transparent
    values = _levels(image)  # before its orientation is looked up, which may decode it
    turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    planes, transparent = _laid(values, 65535.0 * (background == "white"))
    images = [Image.fromarray(plane) for plane in planes]
    fitted = [_fitted(plane if turn is None else plane.transpose(turn), size, fit) for plane in images]
    pixels = np.stack([np.asarray(plane) for plane in fitted])
    if color != (len(pixels) > 1):
        pixels = pixels.repeat(3, 0) if color else np.tensordot(_LUMA, pixels, 1)[None]
    return (pixels.round().clip(0, 65535) if depth == np.uint16 else pixels).astype(depth), transparent


def _eight(image: Image.Image, size: tuple[int, int], fit: str, color: bool, background: str) -> tuple[Array, bool]:
    upright = ImageOps.exif_transpose(image)
    transparent = False
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        layered = upright.convert("RGBA")
        transparent = bool(np.asarray(layered)[..., 3].min() < 255)
        upright = Image.alpha_composite(Image.new("RGBA", layered.size, background), layered)
    upright = _fitted(upright.convert("RGB" if color else "L"), size, fit)
    pixels = np.asarray(upright)
    return (pixels.transpose(2, 0, 1) if color else pixels[None]), transparent


def _fitted(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    if (image.height, image.width) == size:
        return image
    target, method = (size[1], size[0]), Image.Resampling.LANCZOS
    return ImageOps.fit(image, target, method) if fit == "crop" else image.resize(target, method)


def _laid(values: Array, background: float) -> tuple[Array, bool]:
    """Planes (C, H, W) of values (H, W, C), a fourth channel being opacity, and whether any of it was transparent."""
    planes = np.ascontiguousarray(values.transpose(2, 0, 1))
    if len(planes) < 4:
        return planes, False
    opacity = planes[3] / 65535
    return planes[:3] * opacity + background * (1 - opacity), bool((opacity < 1).any())


def _levels(image: Image.Image) -> Array:
    """All digits of an image of more than 8 bits, float32 (H, W, C)."""
    if not _deep(image):
        return np.asarray(image).astype(np.float32)[..., None]
    lower = np.asarray(_other_order(image))
    values = np.asarray(image).astype(np.float32) * 256 + lower
    return values[..., :3] if image.mode == "RGBX" else values


def _other_order(image: Any) -> Image.Image:
    """The same image, to be decoded with the bytes of each value in the other order."""
    place = image.fp.tell()
    image.fp.seek(0)
    other: Any = Image.open(BytesIO(image.fp.read()))
    image.fp.seek(place)
    if getattr(image, "n_frames", 1) > 1:
        other.seek(image.tell())
    other.tile = [tile._replace(args=_swapped(tile.args)) for tile in other.tile]
    result: Image.Image = other
    return result


def _swapped(args: Any) -> Any:
    if isinstance(args, tuple):
        return tuple(map(_swapped, args))
    found = _DEEP.match(args) if isinstance(args, str) else None
    return found[1] + _SWAP[found[2]] if found else args

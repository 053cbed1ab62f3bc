"""Image files decoded once into one array on disk: headers first, so that refusals come before the work.

A file that cannot be read is set aside by name; more than a stated share of those is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track

from buttress.data.reading.memory import Array, NpyWriter, few, write_json

__all__ = ["ENDINGS", "Pictures", "decode_all"]

T = TypeVar("T")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_GREY, _COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV")
_SIDEWAYS, _ORIENTATION = (5, 6, 7, 8), 274  # values and number of the EXIF tag that says how a camera was held


@dataclass(frozen=True)
class Pictures:
    """Encoded images and what to make of them.

    Args:
        where: Names the whole in errors.
        count: Number of images.
        name: Names one in errors, by its number from 0.
        open: Opens one without decoding it; raises for what is no image.
        size: (height, width) all are brought to; None to keep them.
        fit: "stretch" to that size, or "crop" the middle of its aspect first.
        color: Whether to make three channels; None for three if any image has colour.
        tolerate: Share of unreadable images that are set aside.

    Example:
        >>> shades = Pictures("shades", 2, "shade {}".format, lambda i: Image.new("L", (4, 2), color=100 * i))
        >>> shades.name(1), shades.open(1).getpixel((0, 0)), shades.size  # None: they are kept as large as they are
        ('shade 1', 100, None)
    """

    where: str
    count: int
    name: Callable[[int], str]
    open: Callable[[int], Image.Image]
    size: tuple[int, int] | None = None
    fit: Literal["stretch", "crop"] = "stretch"
    color: bool | None = None
    tolerate: float = 0.01


def decode_all(pictures: Pictures, folder: Path) -> None:
    """Write ``images.npy`` (N, C, H, W) uint8, ``kept.npy`` (their numbers) and ``notes.json`` into a folder.

    Errors:
        ValueError: Too many images are unreadable, or they differ in shape and no size was asked for.

    Example:
        >>> import tempfile
        >>> shades = Pictures("shades", 2, "shade {}".format, lambda i: Image.new("L", (4, 2), color=100 * i))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     decode_all(shades, Path(folder))
        ...     images = np.load(f"{folder}/images.npy")
        >>> images.shape, images.max((1, 2, 3)).tolist()  # 4 wide and 2 high; black and grey
        ((2, 1, 2, 4), [0, 100])
    """
    bad: dict[int, str] = {}
    sizes: dict[tuple[int, int], list[int]] = {}
    modes: Counter[bool] = Counter()
    for i in _track(range(pictures.count), "reading image headers"):
        if (header := _try(pictures, i, _header, bad)) is not None:
            size, colour = header
            sizes.setdefault(size, []).append(i)
            modes[colour] += 1
    _too_many(pictures, bad)
    size = pictures.size or _one_size(pictures, sizes)
    color = modes[True] > 0 if pictures.color is None else pictures.color
    kept = _write(pictures, [i for i in range(pictures.count) if i not in bad], size, color, bad, folder)
    _too_many(pictures, bad)
    np.save(folder / "kept.npy", np.array(kept, np.int64))
    write_json(folder / "notes.json", _notes(pictures, bad))


def _write(
    pictures: Pictures, numbers: Sequence[int], size: tuple[int, int], color: bool, bad: dict[int, str], folder: Path
) -> list[int]:
    kept = []
    with NpyWriter(folder / "images.npy", (3 if color else 1, *size), np.uint8) as writer:
        for i in _track(numbers, "decoding images"):
            pixels = _try(pictures, i, lambda image: _decode(image, size, pictures.fit, color), bad)
            if pixels is not None:
                writer.append(pixels[None])
                kept.append(i)
    return kept


def _try(pictures: Pictures, i: int, use: Callable[[Image.Image], T], bad: dict[int, str]) -> T | None:
    try:
        with pictures.open(i) as image:
            return use(image)
    except _Unfit as error:
        raise ValueError(f"{pictures.name(i)}: {error}") from error
    except Exception as error:  # Pillow's decoders raise whatever a broken byte leads them to
        bad[i] = str(error).partition("\n")[0] or type(error).__name__
        return None


class _Unfit(Exception):
    """An image that is whole, but of a kind that would lose its meaning."""


def _header(image: Image.Image) -> tuple[tuple[int, int], bool]:
    if image.mode not in _GREY + _COLOUR:
        raise _Unfit(f"pixels of mode {image.mode!r}, wanted 8 bits a channel; try converting, or a .npy of floats")
    width, height = image.size
    turned = image.getexif().get(_ORIENTATION) in _SIDEWAYS
    return (width, height) if turned else (height, width), image.mode in _COLOUR


def _decode(image: Image.Image, size: tuple[int, int], fit: str, color: bool) -> Array:
    upright = ImageOps.exif_transpose(image).convert("RGB" if color else "L")
    if (upright.height, upright.width) != size:
        target = (size[1], size[0])
        method = Image.Resampling.LANCZOS
        upright = ImageOps.fit(upright, target, method) if fit == "crop" else upright.resize(target, method)
    pixels = np.asarray(upright)
    return pixels.transpose(2, 0, 1) if color else pixels[None]


def _one_size(pictures: Pictures, sizes: dict[tuple[int, int], list[int]]) -> tuple[int, int]:
    if len(sizes) == 1:
        return next(iter(sizes))
    ranked = sorted(sizes.items(), key=lambda item: -len(item[1]))
    listed = "; ".join(f"{len(who)} of {h}x{w} (such as {pictures.name(who[0])})" for (h, w), who in ranked[:5])
    more = f"; {len(ranked) - 5} more shapes" if len(ranked) > 5 else ""
    (h, w), _ = ranked[0]
    raise ValueError(
        f"{pictures.where}: images differ in shape (height x width): {listed}{more}; "
        f"try resize=({h}, {w}), with fit='crop' to keep proportions"
    )


def _too_many(pictures: Pictures, bad: dict[int, str]) -> None:
    if len(bad) == pictures.count or len(bad) > pictures.tolerate * pictures.count:
        raise ValueError(
            f"{pictures.where}: {len(bad)} of {pictures.count} images cannot be read: {_listed(pictures, bad)}; "
            f"up to {pictures.tolerate:.1%} would be set aside; try repairing or removing them, or a larger tolerate"
        )


def _notes(pictures: Pictures, bad: dict[int, str]) -> list[str]:
    if not bad:
        return []
    listed = _listed(pictures, bad)
    return [
        f"set aside {len(bad)} of {pictures.count} images that cannot be read: {listed}; try repairing or removing them"
    ]


def _listed(pictures: Pictures, bad: dict[int, str]) -> str:
    return few(lambda i: f"{pictures.name(i)} ({bad[i]})", sorted(bad))


def _track(numbers: Sequence[int], what: str) -> Iterable[int]:
    """The same numbers, with a progress bar where they are many."""
    return track(numbers, what, console=Console(stderr=True), transient=True, disable=len(numbers) < 2000)

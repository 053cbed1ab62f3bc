"""Image files decoded once into one array on disk: headers first, so that refusals come before the work.

A file that cannot be read is set aside by name; more than a stated share of those is refused. Every page of a TIFF and
every frame of an animation is an image. What pixels mean is in :mod:`buttress.data.reading.pixels`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from buttress.data.reading.memory import Array, NpyWriter, Rows, few, write_json
from buttress.data.reading.open_picture import open_picture
from buttress.data.reading.pixels import Header, Unfit, decode, header_of, pages_of

__all__ = ["ENDINGS", "Pictures", "decode_all", "pages"]

T = TypeVar("T")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


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
        background: What transparent images are laid on.

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
    background: Literal["white", "black"] = "white"


def pages(path: Path) -> int:
    """Number of images in a file; 1 where it cannot be read, which is then refused by name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     two = [Image.new("L", (4, 2), color=shade) for shade in (0, 100)]
        ...     two[0].save(f"{folder}/a.tif", save_all=True, append_images=two[1:])
        ...     pages(Path(folder) / "a.tif")
        2
    """
    try:
        with open_picture(path) as image:
            return sum(1 for _ in pages_of(image))
    except Exception:  # see _try
        return 1


@dataclass
class _Found:
    """What the headers say: for each page of each file its size and depth, and what cannot be read."""

    pages: list[tuple[int, int]] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)


def decode_all(pictures: Pictures, folder: Path) -> None:
    """Write images and what belongs to them into a folder.

    ``images.npy`` (N, C, H, W) is uint8, uint16 where any image has 16 bits a channel, or float32 where all are of
    32 bits; ``kept.npy`` (N, 2) has the number of each image's file and of its page; there is ``notes.json``.

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
    found = _Found()
    for i in _track(range(pictures.count), "reading image headers"):
        for page, header in enumerate(_try(pictures, i, _headers, found.bad) or ()):
            found.pages.append((i, page))
            found.headers.append(header)
    _too_many(pictures, found.bad)
    size = pictures.size or _one_size(pictures, found)
    color = any(h.colour for h in found.headers) if pictures.color is None else pictures.color
    kept, transparent, grey = _write(pictures, found, size, color, folder)
    _too_many(pictures, found.bad)
    if grey and pictures.color is None:
        _one_channel(folder / "images.npy")
    np.save(folder / "kept.npy", np.array(kept, np.int64).reshape(-1, 2))
    write_json(folder / "notes.json", _notes(pictures, found, transparent))


def _headers(image: Image.Image) -> list[Header]:
    return [header_of(page) for page in pages_of(image)]


def _write(
    pictures: Pictures, found: _Found, size: tuple[int, int], color: bool, folder: Path
) -> tuple[list[tuple[int, int]], int, bool]:
    """The pages written, how many of them are transparent somewhere, and whether three channels are all grey."""
    kept: list[tuple[int, int]] = []
    transparent, grey = 0, color
    depth = _depth(pictures, found)
    with NpyWriter(folder / "images.npy", (3 if color else 1, *size), depth) as writer:
        for i, pages in _track(_by_file(found.pages), "decoding images"):

            def pixels(image: Image.Image, pages: list[int] = pages) -> list[tuple[Array, bool]]:
                return [
                    decode(page, size, pictures.fit, color, depth, pictures.background)
                    for number, page in enumerate(pages_of(image))
                    if number in pages
                ]

            for page, (values, clear) in zip(pages, _try(pictures, i, pixels, found.bad) or (), strict=False):
                writer.append(values[None])
                kept.append((i, page))
                transparent += clear
                grey = grey and bool((values == values[:1]).all())
    return kept, transparent, grey


def _by_file(pages: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    files: dict[int, list[int]] = {}
    for i, page in pages:
        files.setdefault(i, []).append(page)
    return list(files.items())


def _depth(pictures: Pictures, found: _Found) -> np.dtype[np.generic]:
    """The type that holds all images; 8 bits are brought to the range of 16 where both are there."""
    kinds = {h.depth for h in found.headers}
    if 32 in kinds and len(kinds) > 1:
        which = next(page for page, h in zip(found.pages, found.headers, strict=True) if h.depth == 32)
        raise ValueError(
            f"{pictures.where}: pixels of 32 bits (such as {pictures.name(which[0])}) beside those of "
            f"{min(kinds)} bits, whose ranges differ; try converting all to one kind"
        )
    return np.dtype({8: np.uint8, 16: np.uint16, 32: np.float32}[max(kinds, default=8)])


def _one_channel(path: Path) -> None:
    """Keep the first channel alone: all three are the same."""
    rows = Rows(path)
    with NpyWriter(path.with_suffix(".one"), (1, *rows.shape[2:]), rows.dtype) as writer:
        for _, chunk in rows.chunks():
            writer.append(chunk[:, :1])
    del rows
    path.with_suffix(".one").replace(path)


def _try(pictures: Pictures, i: int, use: Callable[[Image.Image], T], bad: dict[int, str]) -> T | None:
    try:
        with pictures.open(i) as image:
            return use(image)
    except Unfit as error:
        raise ValueError(f"{pictures.name(i)}: {error}") from error
    except Exception as error:  # Pillow's decoders raise whatever a broken byte leads them to
        bad[i] = str(error).partition("\n")[0] or type(error).__name__
        return None


def _one_size(pictures: Pictures, found: _Found) -> tuple[int, int]:
    sizes: dict[tuple[int, int], list[int]] = {}
    for (i, _), header in zip(found.pages, found.headers, strict=True):
        sizes.setdefault(header.size, []).append(i)
    if len(sizes) == 1:
        return next(iter(sizes))
    ranked = sorted(sizes.items(), key=lambda item: -len(item[1]))
    listed = "; ".join(f"{len(who)} of {h}x{w} (such as {pictures.name(who[0])})" for (h, w), who in ranked[:5])
    more = f"; {len(ranked) - 5} more shapes" if len(ranked) > 5 else ""
    (h, w), _ = ranked[0]
    raise ValueError(
        f"{pictures.where}: images differ in shape (height x width): {listed}{more}; "
        f"try --data.resize {h},{w}, with --data.fit crop to keep proportions"
    )


def _too_many(pictures: Pictures, bad: dict[int, str]) -> None:
    if len(bad) == pictures.count or len(bad) > pictures.tolerate * pictures.count:
        raise ValueError(
            f"{pictures.where}: {len(bad)} of {pictures.count} images cannot be read: {_listed(pictures, bad)}; "
            f"up to {pictures.tolerate:.1%} would be set aside; try repairing or removing them, or a larger tolerate"
        )


def _notes(pictures: Pictures, found: _Found, transparent: int) -> list[str]:
    """What a person should know of files set aside, pages, depth and transparency."""
    notes, bad = [], found.bad
    if bad:
        notes.append(
            f"set aside {len(bad)} of {pictures.count} images that cannot be read: {_listed(pictures, bad)}; try "
            "repairing or removing them"
        )
    if several := [(i, len(pages)) for i, pages in _by_file(found.pages) if len(pages) > 1]:
        named = few(lambda k: f"{pictures.name(several[k][0])} ({several[k][1]})", range(len(several)), 3)
        notes.append(f"files of several pages or frames, each of which is an image: {named}")
    depths = [h.depth for h in found.headers]
    if shallow := (16 in depths and depths.count(8)):
        notes.append(f"{depths.count(16)} images have 16 bits a channel; the {shallow} of 8 bits got the same range")
    if transparent:
        notes.append(
            f"{transparent} images are transparent in places and were laid on {pictures.background} (background=...)"
        )
    return notes


def _listed(pictures: Pictures, bad: dict[int, str]) -> str:
    return few(lambda i: f"{pictures.name(i)} ({bad[i]})", sorted(bad))


def _track(numbers: Sequence[T], what: str) -> Iterable[T]:
    """The same numbers, with a progress bar where they are many."""
    return track(numbers, what, console=Console(stderr=True), transient=True, disable=len(numbers) < 2000)

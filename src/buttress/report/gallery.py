"""Saved examples as parts of a page: images and sounds as strips of tiles, sentences as lines, rows as small tables.

Each part is made of groups: a sample is a group of one, an original and its reconstructions a group of two or three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch

from buttress.nn.griffin_lim import sound_of
from buttress.report.examples import ReportExamples
from buttress.report.numbers import nats
from buttress.report.pictures import Picture, spectrograms, strip, waveforms
from buttress.report.sounds import Sound, playable

__all__ = ["GalleryPart", "before_and_after", "parts"]

MOST_COLUMNS = 12
"""Columns of a table; the others are left out."""
COUNTS = {"image": (24, 8), "text": (8, 4), "table": (6, 3), "wave": (8, 4), "frames": (8, 4)}
"""Groups of a part, and fewer where space is short."""
AS_IMAGES: dict[str, Callable[[Any], Any]] = {"image": np.asarray, "wave": waveforms, "frames": spectrograms}
"""Kind -> what makes images (N, C, H, W) of its examples."""


@dataclass(frozen=True)
class GalleryPart:
    """One part of the gallery: a title, a caption, and what the kind of data calls for.

    Args:
        title: What it shows.
        caption: How it was made.
        pictures: Of images, one for each group.
        lines: Of sentences, the groups.
        table: Of rows of numbers, all groups one below the other.
        columns: The head of the table.
        together: So many rows of the table are a group.
        wide: It takes the full width of the page.
        across: Its pictures are strips from left to right.
    """

    title: str
    caption: str = ""
    pictures: Sequence[Picture] = ()
    lines: Sequence[Sequence[str]] = ()
    table: Sequence[Sequence[str]] = ()
    columns: Sequence[str] = ()
    together: int = 1
    wide: bool = False
    across: bool = False


@dataclass(frozen=True)
class Shown:
    """What a part is made of: the parts of the examples that make a group, and words."""

    title: str
    caption: str
    sources: tuple[str, ...]
    across: bool = False


MEANS = Shown("Samples: means", "z from the prior, and the mean of p(x|z).", ("mean_samples",))
SAMPLES = Shown("Samples: draws", "z from the prior, x drawn from p(x|z).", ("samples",))
UNIFORM = Shown(
    "Samples with uniform codes", "Every code drawn uniformly: the learned prior is the difference.",
    ("uniform_samples",),
)  # fmt: skip
PAIRS = Shown(
    "Reconstructions", "Top to bottom: a held-out original{mean}, and x drawn from p(x|z) with z drawn from q(z|x).",
    ("originals", "mean_reconstructions", "reconstructions"),
)  # fmt: skip
DRAWS = Shown(
    "Several draws from one z",
    "A held-out original, and below it {times} draws of x from one z ~ q(z|x). What the draws share with the original, "
    "z has encoded; what differs between them, the decoder adds.",
    ("draws",),
)
WALKS = Shown(
    "Interpolations", "From the z of one held-out example to the z of another.", ("interpolations",), across=True
)  # fmt: skip
TRAVERSALS = Shown(
    "Latent traversals",
    "One held-out example, decoded with one dimension of its z moved over the range of the prior (or one of its codes "
    "through the codebook), the highest rate first. Where nothing changes, the decoder ignores that dimension. Where "
    "factors of the data are known, a dimension is named with the one that it tells most of, and how much of it.",
    ("traversals",),
    across=True,
)


def parts(examples: ReportExamples | None, few: bool = False) -> list[GalleryPart]:
    """The parts of a page for what was saved.

    Args:
        examples: What was saved, None for nothing.
        few: Space is short: fewer of each, means only where there are some, and only samples and reconstructions.
    """
    if examples is None:
        return []
    wanted = [MEANS, SAMPLES, UNIFORM, PAIRS, DRAWS, TRAVERSALS, WALKS]
    if few:
        wanted = [SAMPLES if examples.mean_samples is None else MEANS, PAIRS if examples.draws is None else DRAWS]
    elif examples.kind == "table":
        wanted = [SAMPLES, PAIRS, DRAWS]  # rows of numbers say little; traversals are drawn
    return [part for show in wanted if (part := _part(examples, show, few)) is not None]


def before_and_after(examples: ReportExamples | None) -> GalleryPart | None:
    """Held-out examples and what the decoder makes of their z, for a page that sets two models side by side.

    Of images the mean of p(x|z), of sentences two draws from one z.

    Args:
        examples: What was saved, None for nothing.
    """
    if examples is None or examples.originals is None:
        return None
    if examples.draws is not None and examples.kind == "text":
        caption = "A held-out sentence, and below it two that the decoder writes from its z."
        return _filled(
            examples, [group[:3] for group in examples.draws[:5]], GalleryPart("Reconstructions", caption), ()
        )
    made = examples.reconstructions if examples.mean_reconstructions is None else examples.mean_reconstructions
    if made is None:
        return None
    caption = "Above: held-out examples. Below: what the decoder makes of their z."
    groups = list(zip(examples.originals, made, strict=True))[: COUNTS[examples.kind][1]]
    return _filled(examples, groups, GalleryPart("Reconstructions", caption), ())


def _part(examples: ReportExamples, show: Shown, few: bool) -> GalleryPart | None:
    sources = [rows for name in show.sources if (rows := getattr(examples, name)) is not None]
    if not sources:
        return None
    groups = (sources[0] if show.sources[0] in ("draws", "interpolations", "traversals") else
              list(zip(*sources, strict=True)))  # fmt: skip
    groups = list(groups[: COUNTS[examples.kind][few] // (2 if show is DRAWS or show.across else 1)])
    mean = ", the mean of p(x|z) at the mean of q(z|x)" if len(sources) == 3 else ""
    caption = show.caption.format(mean=mean, times=len(groups[0]) - 1)
    titles = examples.traversed if show is TRAVERSALS else ()
    return _filled(examples, groups, GalleryPart(show.title, caption, across=show.across), titles)


def _filled(examples: ReportExamples, groups: Sequence[Any], part: GalleryPart, titles: Sequence[str]) -> GalleryPart:
    """The part with its groups, in the form that the kind of data calls for."""
    names = [*titles, *[""] * len(groups)][: len(groups)]
    wide = part.across or len(groups[0]) > 2
    if examples.kind in AS_IMAGES:
        draw, size = AS_IMAGES[examples.kind], len(groups[0])
        drawn = draw(np.concatenate([np.stack(list(group)) for group in groups]))
        pictures = [
            replace(
                strip(drawn[i * size : (i + 1) * size], f"{part.title}, {i + 1} of {len(groups)}", name, part.across),
                sounds=_sounds(examples, group, part),
            )
            for i, (name, group) in enumerate(zip(names, groups, strict=True))
        ]
        return GalleryPart(
            part.title, part.caption, pictures=pictures, wide=wide or len(groups) > 8, across=part.across
        )
    if examples.kind == "text":
        lines = [[*([name] if name else []), *group] for group, name in zip(groups, names, strict=True)]
        return GalleryPart(part.title, part.caption, lines=lines, wide=wide)
    head = [*examples.columns[:MOST_COLUMNS], *["…"] * (len(examples.columns) > MOST_COLUMNS)]
    table, together = [_cells(examples, row) for row in chain.from_iterable(groups)], len(groups[0])
    if titles:
        head = ["", *(head or [""] * len(table[0]))]
        table = [[names[i // together] if i % together == 0 else "", *row] for i, row in enumerate(table)]
    return GalleryPart(part.title, part.caption, table=table, columns=head, together=together, wide=wide)


def _sounds(examples: ReportExamples, group: Any, part: GalleryPart) -> list[Sound]:
    """What one can listen to of a group, in the order of its tiles."""
    if not examples.sound or part.title not in (SAMPLES.title, PAIRS.title):
        return []
    rate, *how = (int(number) for number in examples.sound)
    waves = [sound_of(torch.from_numpy(x[~np.isnan(x).any(1)]), rate, *how).numpy() for x in group] if how else group
    return [playable(wave, rate, f"{part.title}, sound {i + 1}") for i, wave in enumerate(waves)]


def _cells(examples: ReportExamples, row: Any) -> list[str]:
    cells = [_cell(examples, i, float(value)) for i, value in enumerate(row[:MOST_COLUMNS])]
    return cells + ["…"] * (len(row) > MOST_COLUMNS)


def _cell(examples: ReportExamples, column: int, value: float) -> str:
    """A value of a table: a word, a number, or nothing where it is missing."""
    if math.isnan(value):
        return ""
    if examples.words and examples.words[column]:
        return examples.words[column][round(value)]
    return nats(value + (examples.offset[column] if examples.offset else 0.0))

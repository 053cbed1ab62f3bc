"""Saved examples as parts of a page: images as sheets, sentences as lines, rows as small tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from buttress.report.examples import ReportExamples
from buttress.report.numbers import nats
from buttress.report.pictures import Picture, columns, rows_sheet, sheet

__all__ = ["GalleryPart", "parts"]


@dataclass(frozen=True)
class GalleryPart:
    """One part of the gallery: a title, a caption, and what the kind of data calls for."""

    title: str
    caption: str = ""
    pictures: Sequence[Picture] = ()
    lines: Sequence[Sequence[str]] = ()
    tables: Sequence[Sequence[Sequence[str]]] = ()
    columns: Sequence[str] = ()
    wide: bool = False
    together: int = 0
    """So many rows of a table belong together: an original, and what was made of it in colour."""


def parts(examples: ReportExamples | None, few: bool = False) -> list[GalleryPart]:
    """The parts of a page for what was saved.

    Args:
        examples: What was saved, None for nothing.
        few: Whether space is short: fewer of each, no interpolations, and draws of one z instead of reconstructions.
    """
    if examples is None:
        return []
    pairs: dict[str, Callable[[ReportExamples, bool], GalleryPart | None]] = {
        "image": _image_pairs,
        "text": _text_pairs,
    }
    walks: dict[str, Callable[[ReportExamples], GalleryPart | None]] = {"image": _image_walks, "text": _text_walks}
    draws = _draws(examples, few)
    if few and draws is not None:  # they show all that a reconstruction does, and whether z had a part in it
        return [part for part in (_samples(examples, few), draws) if part]
    uniform = None if few else _samples(replace(examples, samples=examples.uniform_samples), few, *UNIFORM)
    found = [_samples(examples, few), uniform, pairs.get(examples.kind, _table_pairs)(examples, few), draws]
    return [part for part in (*found, None if few else walks.get(examples.kind, _table_walks)(examples)) if part]


UNIFORM = ("Samples of uniform codes", "The same with every code drawn uniformly: what the learned prior adds.")


def _samples(
    examples: ReportExamples, few: bool, title: str = "Samples", caption: str = "z from the prior, x from the decoder."
) -> GalleryPart | None:
    if examples.samples is None:
        return None
    shown = examples.samples[: (16 if few else 64) if examples.kind == "image" else (5 if few else 10)]
    if examples.kind == "image":
        return GalleryPart(title, caption, [sheet(shown, 8, f"{len(shown)} samples")])
    if examples.kind == "text":
        return GalleryPart(title, caption, lines=[[s] for s in shown])
    return GalleryPart(title, caption, tables=[_cells(shown, examples)], columns=_titles(examples))


PAIRED = "Originals, and their reconstructions beneath"
PAIRS = "z from q(z|x) of a held-out x, then x from the decoder again. "


def _image_pairs(examples: ReportExamples, few: bool) -> GalleryPart | None:
    if examples.originals is None:
        return None
    across = 8
    both = columns(examples.originals, examples.reconstructions, min(across, len(examples.originals)))
    both = both[: 2 * across * (2 if few else 4)]
    caption = PAIRS + "Each row of originals has its reconstructions beneath it."
    alt = f"{len(both) // 2} originals, each with its reconstruction beneath it"
    return GalleryPart(PAIRED, caption, [sheet(both, across, alt)])


DRAWN = "Originals, and several draws of one z"
DRAWS = (
    "One z from q(z|x) of a held-out x, and then x from the decoder {times} times. What the draws of an original share "
    "with it and with each other, z has told the decoder; what differs, the decoder makes up. Where z is ignored they "
    "are as unlike each other as samples of the prior. "
)


def _draws(examples: ReportExamples, few: bool) -> GalleryPart | None:
    """Originals, each with several draws from one z: what little z says is seen in what they have in common."""
    rows = examples.draws
    if rows is None:
        return None
    rows = rows[: 4 if few else 8]
    caption = DRAWS.replace("{times}", str(len(rows[0]) - 1))
    if examples.kind == "image":
        alt = "Rows of an original and draws of x from one z"
        halves = [half for half in np.array_split(rows, 1 if few else 2) if len(half)]
        pictures = [rows_sheet(half, alt, 360 if few else 520) for half in halves]
        return GalleryPart(DRAWN, caption + "Each row begins with its original.", pictures, wide=True)
    caption += "Each original has its draws beneath it, in colour."
    if examples.kind == "text":
        return GalleryPart(DRAWN, caption, lines=rows, wide=True)
    halves = [half for half in np.array_split(rows, 2) if len(half)]
    tables = [_cells(half.reshape(-1, half.shape[-1]), examples) for half in halves]
    return GalleryPart(DRAWN, caption, tables=tables, columns=_titles(examples), wide=True, together=rows.shape[1])


def _image_walks(examples: ReportExamples) -> GalleryPart | None:
    walks = examples.interpolations
    if walks is None:
        return None
    walks = walks[:8, :16]
    alt = f"{len(walks)} walks of {walks.shape[1]} steps"
    halves = [half for half in np.array_split(walks, 2) if len(half)]
    pictures = [sheet(half.reshape(-1, *walks.shape[2:]), walks.shape[1], alt) for half in halves]
    caption = "From the z of one held-out x to that of another, a row a walk."
    return GalleryPart("Interpolations", caption, pictures, wide=True)


def _text_pairs(examples: ReportExamples, few: bool) -> GalleryPart | None:
    if examples.originals is None:
        return None
    lines = list(zip(examples.originals, examples.reconstructions, strict=True))[: 4 if few else 10]
    return GalleryPart(PAIRED, PAIRS + "Each original has its reconstruction beneath it, in colour.", lines=lines)


def _text_walks(examples: ReportExamples) -> GalleryPart | None:
    if examples.interpolations is None:
        return None
    lines = [[" → ".join((walk[0], walk[-1])), *walk[1:-1]] for walk in examples.interpolations[:4]]
    caption = "From the z of one held-out sentence to that of another: both ends, and beneath them the steps between."
    return GalleryPart("Interpolations", caption, lines=lines, wide=True)


def _table_pairs(examples: ReportExamples, few: bool) -> GalleryPart | None:
    if examples.originals is None:
        return None
    pairs = [x for pair in zip(examples.originals, examples.reconstructions, strict=True) for x in pair]
    caption = PAIRS + "Each original has its reconstruction beneath it, in colour."
    shown = np.stack(pairs[: 8 if few else 16])
    tables, titles = [_cells(shown, examples)], _titles(examples)
    return GalleryPart(PAIRED, caption, tables=tables, columns=titles, together=2)


def _table_walks(examples: ReportExamples) -> GalleryPart | None:
    if examples.interpolations is None:
        return None
    tables = [_cells(walk, examples) for walk in examples.interpolations[:4]]
    caption = "From the z of one held-out row to that of another."
    return GalleryPart("Interpolations", caption, tables=tables, columns=_titles(examples), wide=True)


MOST_COLUMNS = 12


def _titles(examples: ReportExamples) -> list[str]:
    names = list(examples.columns[:MOST_COLUMNS])
    return [*names, "…"] if len(examples.columns) > MOST_COLUMNS else names


def _cells(rows: Any, examples: ReportExamples) -> list[list[str]]:
    shown = [[_cell(examples, i, float(v)) for i, v in enumerate(row[:MOST_COLUMNS])] for row in rows]
    return [cells + ["…"] * (rows.shape[-1] > MOST_COLUMNS) for cells in shown]


def _cell(examples: ReportExamples, column: int, value: float) -> str:
    """A value of a table: a word, a number, or nothing where it is missing."""
    if math.isnan(value):
        return ""
    if examples.words and examples.words[column]:
        return examples.words[column][round(value)]
    return nats(value + (examples.offset[column] if examples.offset else 0.0))

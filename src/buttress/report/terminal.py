"""The verdict of a run and its evidence, for the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from buttress.report.numbers import MISSING
from buttress.report.results import load_run
from buttress.report.run import sentence
from buttress.report.tables import STATE_COLOR, EvidenceRow, evidence_rows

__all__ = ["verdict_table"]

MAIN = (
    "elbo",
    "distortion",
    "rate",
    "mutual_information",
    "worth_shuffled",
    "worth_critic",
    "active_units",
    "nll",
    "perplexity",
    "bits_per_dim",
    "amortisation_gap",
    "decoder_gain",
    "effective_beta",
    "rate_uniform",
    "rate_first_stage",
    "bits_per_second",
    "code_bits_per_second",
    "place_accuracy",
    "code_perplexity",
    "codes_used",
    "contrastive_information",
    "contrastive_accuracy",
    "label_accuracy",
    "factor_vae_score",
    "mutual_information_gap",
)
"""What a terminal shows; the page has every number. Those of levels are shown with that of the whole."""
REPEATED = (
    "worth_shuffled",
    "worth_critic",
    "worth_prior",
    "decoder_gain",
    "refined_rate",
    "effective_beta",
    "effective_sample_size",
)
"""Quantities of whose values the notes say what their meaning says."""
ONLY_N = re.compile(r"N = \d+")
"""A note that says what the column N says."""


def verdict_table(run_folder: str | Path) -> Group:
    """The verdict first, what it rests on, what to try, and then the main estimates with their errors and meanings.

    How they were estimated stands below in numbered notes, since many share one.

    Args:
        run_folder: Folder of a run that was diagnosed.
    """
    run = load_run(run_folder)
    if run.evidence is None:
        return Group(Text(sentence(run), style="bold"))
    head, *why = str(run.evidence.verdict).splitlines()
    every = evidence_rows(run)
    rows = [row for row in every if row.name.partition("/")[0] in MAIN]
    numbers = numbered(rows)
    verdict = Text(f"verdict: {head}", style=f"bold {STATE_COLOR.get(run.state or '', '')}".strip())
    more = len(every) - len(rows)
    rest = [Text(f"{more} more numbers, each with its method, are in report.html and evidence.json")] if more else []
    return Group(verdict, *map(Text, why), _evidence(rows, numbers), _notes(numbers), *rest)


def numbered(rows: Sequence[EvidenceRow]) -> dict[str, int]:
    """Every method and note of the rows, once, with its number, in the order in which they are met."""
    return {note: i + 1 for i, note in enumerate(dict.fromkeys(note for row in rows for note in _said(row)))}


def _said(row: EvidenceRow) -> list[str]:
    """How a row was estimated and what else to know about it."""
    told = row.name in REPEATED and row.value != MISSING
    notes = [] if told else [note for note in row.note.split("; ") if note and not ONLY_N.fullmatch(note)]
    return [*([row.method] if row.method != MISSING else []), *notes]


def _evidence(rows: Sequence[EvidenceRow], numbers: dict[str, int]) -> Table:
    title = "evidence: nats per example, where the meaning names no other unit"
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.show_edge = table.pad_edge = False
    table.add_column("quantity")
    for heading in ("value", "N", "ceiling"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("meaning", overflow="fold")
    table.add_column("notes", no_wrap=True)
    for row in rows:
        notes = ",".join(str(numbers[note]) for note in _said(row))
        cells = (row.title, row.value, row.n, row.ceiling, row.short, notes)
        table.add_row(*(Text(cell) for cell in cells))  # never read as markup
    return table


def _notes(numbers: dict[str, int]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for note, number in numbers.items():
        table.add_row(str(number), Text(note))
    return table

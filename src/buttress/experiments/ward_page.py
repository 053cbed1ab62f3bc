"""The page and the figure of the diagnosed patients."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from buttress.diagnostics.confidence import ODDS
from buttress.experiments.cures_page import kept_section, with_section
from buttress.experiments.ward import EFFORT, Visit
from buttress.experiments.ward_tables import calibration, confusion, csv_of, fitted_odds, markdown
from buttress.report.drawing import Style, new_axes, write_png
from buttress.runtime.atomic_write import write_text

__all__ = ["draw", "write_ward"]

INTRODUCTION = """# Patients: how often a diagnosis is right

`buttress.patients` holds small models of which the trouble, or that there is none, is known by construction: their
weights are set by hand from closed forms, and nothing is trained. They are tables, images, sentences and sound, with z
of real numbers and of codes, conditional and hierarchical models. Some are borderline (either answer is right), some
have two causes (either may come first). A file of [`patients/kinds/`](../src/buttress/patients/kinds) holds those of
one kind; a patient is one small function.

Limits: whoever made these models knew the rules of the verdict, and most models lie far from every threshold. On
real models expect more errors.

A hash of its name decides which half a patient belongs to. The rules were developed on one half, and the results on
the other, the unseen one, are reported unchanged. A cause is *right* where it is true of the patient. A model that
the diagnosis refuses with the reason "averaged over ..." counts as named. The confidence of a cause: every estimate
is drawn again and again within its error, and the share of draws in which the cause is named has its odds multiplied
by one number, which is fitted on the development half alone
([`confidence.py`](../src/buttress/diagnostics/confidence.py)); the tables show both. Where two causes give the same
numbers, each gets half. In the right panel of the figure both halves are put together, and bins with fewer than 8
findings are joined with the next; the number of findings stands at each point, and the bars are binomial errors.
"""

LEAST = 8
"""Findings in a bin of the figure."""

HISTORY = """On the development half two mistakes of the rules were found and corrected: an idle level was called
borderline because of an error of 1e-9, and a cause was not named where the state was undecided. A third,
log-likelihoods averaged over tokens of a large vocabulary that were not noticed, was found by reading the code. The
unseen half was then diagnosed once, on 2026-11-29: 55 of 56 were right, and the rules were not changed afterwards.
One label was changed: `the_sum_of_five_in_pixels` has a second cause that was overlooked when it was made. The
patients near thresholds (`kinds/borderline.py`) were added afterwards, and first diagnosed with the rules unchanged.
If the rules are ever changed for a patient of the unseen half, this page must say that it is no longer unseen.

On 2026-11-30 two causes were added, "the condition explains everything" and "the estimates are not to be trusted",
with 22 patients (`kinds/condition_explains.py`, `kinds/untrusted.py`), by whoever wrote the rules. At first sight 65
of the 71 patients of the unseen half were right: five whose codes are the same for all x were called untrustworthy,
since the decoder then shows one of its pictures, off by a constant. The rule was changed for these, so the unseen half
is no longer unseen for it. What a linear z would gain was then measured with a stricter bound for noise, too.
`one_row_far_off` now counts as right where its estimates are called untrustworthy, since one row makes them so; before
it counted as wrong. "Inference lags" now asks for a gain at the weight that the rate had in training, too: this was
changed for a model of pythae with a beta of 10, and not for a patient.

Later on 2026-11-30 two more causes were added, "the loss is not built as an ELBO" and "the codebook is under-used",
with 26 patients (`kinds/loss_not_elbo.py`, `kinds/under_used.py`, five of them healthy near misses), by whoever wrote
the rules. Two mistakes were corrected on the development half before the unseen half was looked at: a loss that
averages and has a beta of 4 beside it was called a lag, and encoders a tenth of the way were called averaged. The
unseen half was then diagnosed once and nothing was changed for it. `averaged_tokens` has a second cause that was
overlooked when it was made: its q is wide enough to tell the weight. The factor of the odds was fitted then.

The same evening three more causes were added, "z does not reach the decoder", "no gradient reaches the encoder" and
"codes are chosen by rounding", a loss that is handed over (`loss_fn`), and `purpose="compression"`, with 47 patients
(`kinds/unreached.py`, `kinds/faulty_loss.py`, `kinds/rounded_codes.py`, `kinds/compression.py`), by whoever wrote the
rules. The new patients of both halves were looked at while the rules were written, so for them no half is unseen.
Decoders of earlier patients that read exactly nothing of z now read a millionth of it, as trained ones do: else z would
not reach them. Of the earlier patients of the unseen half two were wrong at first: `a_hundredth_of_rows` and
`a_fiftieth_of_images`, in which z reaches one example in a hundred and none of the 64 that were asked. The rule now
asks all of the data, so the unseen half is no longer unseen for it. One new patient was made more ill
(`cancelled_in_half_precision`), as its codes did not hang on rounding."""
"""How the halves were used."""


def write_ward(seen: Sequence[Visit], folder: Path, page: Path | None = None) -> None:
    """Write ``patients.csv`` and ``patients.png`` into a folder, and a page beside them or where it is wanted.

    Args:
        seen: The patients.
        folder: Where the files go.
        page: The page in Markdown; None for ``patients.md`` in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "patients.csv", csv_of(seen))
    draw(seen, folder / "patients.png")
    page = folder / "patients.md" if page is None else page
    page.parent.mkdir(parents=True, exist_ok=True)
    made = text(seen, Path(os.path.relpath(folder, page.parent)).as_posix())
    kept = kept_section(page.read_text(encoding="utf-8")) if page.exists() else ""
    write_text(page, with_section(made, kept) if kept else made)


def text(seen: Sequence[Visit], where: str) -> str:
    """The page."""
    effort = ", ".join(f"{name} {value}" for name, value in EFFORT.items())
    command = "buttress patients --page docs/patients.md --results docs/results/patients"
    head = f"Everything on this page is written by `{command}` ({effort})."
    files = f"[Every patient as CSV]({where}/patients.csv).\n\n![confusion and calibration]({where}/patients.png)"
    fitted = fitted_odds([one for one in seen if one.patient.half == "development"])
    odds = f"The odds of what is drawn are multiplied by {ODDS:g}; fitted to these findings of the development half: "
    odds += "not asked." if math.isnan(fitted) else f"{fitted:.2f}."
    return "\n\n".join(part for part in (INTRODUCTION.strip(), head, HISTORY, odds, files, markdown(seen)) if part)


def draw(seen: Sequence[Visit], path: Path) -> None:
    """The confusion of each half, and the calibration of both together."""
    halves = [half for half in ("development", "unseen") if any(one.patient.half == half for one in seen)]
    figure, axes = new_axes(4.6, 5.2 * len(halves) + 3.6, columns=len(halves) + 1)
    for half, ax in zip(halves, axes[:-1], strict=True):
        rows, columns, counts = confusion([one for one in seen if one.patient.half == half])
        shares = np.array(counts, dtype=float)
        ax.imshow(shares / shares.sum(1, keepdims=True), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        ax.grid(False)
        ax.set_yticks(range(len(rows)), rows, fontsize=7)
        ax.set_xticks(range(len(columns)), columns, fontsize=7, rotation=60, ha="right")
        for i, row in enumerate(counts):
            for j, n in enumerate(row):
                if n:
                    ink = "white" if 2 * n > sum(row) else "black"
                    ax.text(j, i, str(n), ha="center", va="center", fontsize=8, color=ink)
        ax.set_title(f"{half} half: true cause, first cause named", fontsize=9)
    ax = axes[-1]
    ax.plot([0, 1], [0, 1], color="0.8", lw=1)
    for _, n, sure, true in calibration(seen, LEAST):
        p = (true * n + 2) / (n + 4)
        spread = math.sqrt(p * (1 - p) / (n + 4))
        ax.errorbar(sure, true, spread, color=Style("arm-0", "o").color, marker="o", capsize=2, lw=1)
        ax.annotate(f"n = {n}", (sure, true), (6 if sure < 0.5 else -6, 6 if true < 0.5 else -12),
                    textcoords="offset points", ha="left" if sure < 0.5 else "right", fontsize=8)  # fmt: skip
    ax.set(xlabel="confidence, mean of the bin", ylabel="share that is true", xlim=(-0.03, 1.05), ylim=(-0.05, 1.08))
    ax.set_title("calibration, both halves", fontsize=9)
    write_png(figure, path)

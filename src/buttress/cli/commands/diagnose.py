"""buttress diagnose RUN."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

__all__ = ["conclude", "diagnose", "telling"]

LONG = 10.0
"""Seconds after which a diagnosis tells what would make it cheaper."""
CHEAPER = (
    "this takes a while: --nll_samples 0 and --gap_steps 0 leave out what takes longest, and fewer --nll_examples, "
    "--gap_examples and --mi_examples make it cheaper"
)


def diagnose(
    run: Path,
    nll_samples: int = 500,
    nll_examples: int | None = 1000,
    gap_steps: int = 100,
    gap_examples: int | None = 200,
    mi_examples: int | None = 5000,
    seed: int = 0,
    keep: bool = True,
    data: str | None = None,
    other_data: bool = False,
    purpose: Literal["density", "compression"] = "density",
) -> None:
    """Measure whether a run's z is used, why not, and what to try.

    Args:
        run: Folder of the run.
        nll_samples: Importance samples of each example for the NLL; 0 leaves it out.
        nll_examples: Held-out examples on which the NLL is measured, at most; none for all.
        gap_steps: Most steps of refining each example's q for the amortisation gap; 0 leaves it out, and with it the
            cause.
        gap_examples: Held-out examples on which the gap is measured, at most; none for all.
        mi_examples: Held-out examples among which mutual information is measured, at most; none for all.
        seed: Seed of all draws.
        keep: Keep numbers of an earlier diagnosis of the same model that were measured with more effort than these.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.
        purpose: What z is for: compression, where a second model will learn it and a q that is a point is wanted.

    Example:
        On the command line::

            buttress diagnose runs/latest --nll_samples 1000 --gap_steps 200
    """
    from buttress.cli.opening import open_run

    conclude(
        open_run(run, data, other_data),
        keep=keep,
        seed=seed,
        nll_samples=nll_samples,
        nll_examples=nll_examples,
        gap_steps=gap_steps,
        gap_examples=gap_examples,
        mi_examples=mi_examples,
        purpose=purpose,
    )


def conclude(run: Any, keep: bool = True, **settings: Any) -> None:
    """Diagnose a run, write its report, and print the verdict; what is going on is told meanwhile.

    Numbers of an earlier diagnosis that were measured with more effort stay, and it is said which.

    Example:
        For a run that was trained in Python::

            conclude(train(recipe, "runs/first"), nll_samples=50)
    """
    from buttress.core.remedy import fitting
    from buttress.diagnostics.merge import merge
    from buttress.experiments.report_examples import save_run_examples
    from buttress.report.run import write_report
    from buttress.report.terminal import verdict_table
    from buttress.runtime.atomic_write import write_text
    from buttress.training.folder import EVIDENCE

    console, before = Console(), _evidence(run.folder) if keep else None
    with telling(console) as tell:
        hint = _hint(console)

        def progress(stage: str, done: int, stages: int) -> None:
            hint()
            tell(f"diagnosing: {stage} ({done + 1}/{stages})")

        evidence = run.diagnose(progress=progress, **settings)
        merged, kept = (evidence, ()) if before is None else merge(before, evidence)
        if kept:
            advice = fitting(merged.verdict.advice, run.recipe)
            merged = replace(merged, verdict=replace(merged.verdict, advice=advice))
            write_text(run.folder / EVIDENCE, merged.to_json() + "\n")
        tell("drawing examples for the report")
        save_run_examples(run, tell=tell)
        page = write_report(run.folder)
    console.print(verdict_table(run.folder))
    if kept:
        print(f"kept from an earlier diagnosis with more effort: {'; '.join(kept)} (--keep false measures all anew)")
    print(f"report: {page}")


def _hint(console: Console) -> Callable[[], None]:
    """What says, once it is called after :data:`LONG`, how to make a diagnosis cheaper.

    Example:
        >>> from unittest.mock import patch
        >>> with patch(f"{__name__}.LONG", 0.0):
        ...     hint = _hint(Console(width=500))
        ...     hint()
        ...     hint()  # said once
        this takes a while: --nll_samples 0 and --gap_steps 0 leave out what takes longest, ...
    """
    began, told = time.monotonic(), False

    def hint() -> None:
        nonlocal told
        if not told and time.monotonic() >= began + LONG:
            told = True
            console.print(CHEAPER, soft_wrap=True, markup=False, highlight=False)

    return hint


def _evidence(folder: Path) -> Any:
    """What an earlier diagnosis found; None where there is none that can be read."""
    from buttress.diagnostics.evidence import Evidence

    with suppress(OSError, ValueError):
        return Evidence.load(folder / "evidence.json")
    return None


@contextmanager
def telling(console: Console) -> Iterator[Callable[[str], None]]:
    """What it yields shows what is going on: in one line that changes on a terminal, else a line each.

    Example:
        >>> from io import StringIO
        >>> with telling(Console(file=StringIO())) as tell:  # no terminal
        ...     tell("diagnosing: rate (1/9)")
        diagnosing: rate (1/9)
    """
    if not console.is_terminal:
        yield lambda text: print(text, flush=True)
        return
    with console.status("diagnosing") as status:
        yield status.update

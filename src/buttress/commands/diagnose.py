"""buttress diagnose RUN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

__all__ = ["conclude", "diagnose"]


def diagnose(run: Path, nll_samples: int = 500, gap_steps: int = 100, mi_examples: int = 5000, seed: int = 0) -> None:
    """Say whether a run's z is used, why not, and what to try.

    Args:
        run: Folder of the run.
        nll_samples: Importance samples of each example for the NLL.
        gap_steps: Optimisation steps of each example's q for the amortisation gap.
        mi_examples: Most examples among which mutual information is measured.
        seed: Of all draws.
    """
    from buttress.training.run import Run

    conclude(Run.load(run), nll_samples=nll_samples, gap_steps=gap_steps, mi_examples=mi_examples, seed=seed)


def conclude(run: Any, **settings: Any) -> None:
    """Diagnose a run, write its report, and print the verdict."""
    from buttress.report.run import write_report
    from buttress.report.terminal import verdict_table
    from buttress.showcase import save_run_examples

    run.diagnose(**settings)
    save_run_examples(run)
    page = write_report(run.folder)
    Console().print(verdict_table(run.folder))
    print(f"report: {page}")

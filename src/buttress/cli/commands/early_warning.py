"""buttress early-warning."""

from __future__ import annotations

from pathlib import Path

__all__ = ["early_warning"]


def early_warning(
    out: Path = Path("runs/early-warning"),
    table: Path | None = None,
    results: Path | None = None,
    page: Path | None = None,
    coefficients: Path | None = None,
    jobs: int = 1,
) -> None:
    """Train short runs, fit the probability that a run ends collapsed, and test it on data that it was not fitted to.

    Args:
        out: Folder of the runs; finished ones in it are kept.
        table: The runs.csv of an earlier call, to fit and write anew without training.
        results: Folder of the table and the figure; that of the runs where none is given.
        page: A page in Markdown to write; early_warning.md in the folder of the results where none is given.
        coefficients: Where the fitted numbers go; early_warning.json in the folder of the results where none is given.
        jobs: Runs at a time.

    Example:
        On the command line::

            buttress early-warning --jobs 2
            buttress early-warning --table docs/results/early_warning/runs.csv
    """
    from buttress.experiments.early_fit import fit, leave_one_out, scores
    from buttress.experiments.early_page import write_early
    from buttress.experiments.early_table import read_csv, row_of
    from buttress.experiments.early_warning import train_short_runs
    from buttress.runtime.atomic_write import write_text

    done = 0

    def say(run: str, how: str) -> None:
        nonlocal done
        done += 1
        print(f"{done}  {run}: {how}", flush=True)

    if table is None:
        runs = [row_of(name, run, out / name) for name, run in train_short_runs(out, jobs, ended=say).items()]
    else:
        runs = read_csv(table)
    results = out if results is None else results
    probabilities, fitted = leave_one_out(runs), fit(runs)
    write_early(runs, probabilities, fitted, results, page)
    write_text(results / "early_warning.json" if coefficients is None else coefficients, fitted.to_json())
    found = scores(runs, probabilities)
    value, error = found.auroc
    print(f"{found.runs} runs, {found.collapsed} collapsed; AUROC {value:.3f} ± {error:.3f} on data not fitted to")

"""buttress cures."""

from __future__ import annotations

from pathlib import Path

__all__ = ["cures"]


def cures(
    out: Path = Path("runs/cures"),
    patients: str = "all",
    remedies: str = "all",
    jobs: int = 1,
    page: Path | None = None,
) -> None:
    """Try each advice on a small model with the cause it is given for: train, diagnose, train anew under the remedy.

    Args:
        out: Folder of the runs and of cures.csv; finished runs in it are kept.
        patients: Names of the small models, separated by commas; all takes each.
        remedies: Names of remedies, separated by commas, to try those alone; all takes every arm.
        jobs: Runs at a time.
        page: A page in Markdown whose section of cures is replaced; its folder gets results/cures.csv. Needs all
            patients and remedies.

    Example:
        On the command line::

            buttress cures --patients squared_error,clusters --jobs 2
            buttress cures --remedies skip_decoder,decoder_dropout
    """
    import csv
    import io

    from rich.console import Console

    from buttress.experiments.cures import judged, run_cures, table
    from buttress.experiments.cures_page import section, with_section
    from buttress.runtime.arguments import listed
    from buttress.runtime.atomic_write import write_text

    if page is not None and (patients, remedies) != ("all", "all"):
        raise ValueError(f"--page {page} needs all patients and remedies; leave out --patients and --remedies")
    console = Console()
    only, arms = (() if names == "all" else listed(names) for names in (patients, remedies))

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False, highlight=False)

    outcomes = run_cures(out, jobs, only, arms, ended=lambda run, how: say(f"{run}: {how}"))
    untreated = {(one.patient, one.seed): one for one in outcomes if one.arm == "none"}
    for one in outcomes:
        verdict = one.evidence.verdict
        if one.arm == "none":
            say(f"{one.patient}, seed {one.seed}: {verdict.state} ({', '.join(verdict.causes) or 'no cause'})")
            continue
        cured, price, error = judged(untreated[one.patient, one.seed], one)
        say(f"  {one.arm}: cured: {cured}; now {verdict.state}, -ELBO {price:+.2f} ± {error:.2f}")
    say(f"table: {out / 'cures.csv'}")
    if page is not None:
        write_text(page.parent / "results" / "cures.csv", table(outcomes))
        rows = csv.DictReader(io.StringIO(table(outcomes)))
        write_text(page, with_section(page.read_text(encoding="utf-8"), section(rows)))
        say(f"page: {page}")

"""buttress cures."""

from __future__ import annotations

from pathlib import Path

__all__ = ["cures"]


def cures(out: Path = Path("runs/cures"), patients: str = "all", remedies: str = "all", jobs: int = 1) -> None:
    """Try each advice on a small model with the cause it is given for: train, diagnose, train anew under the remedy.

    Args:
        out: Folder of the runs and of cures.csv; finished runs in it are kept.
        patients: Names of the small models, separated by commas; all takes each.
        remedies: Names of remedies, separated by commas, to try those alone; all takes every arm.
        jobs: Runs at a time.

    Example:
        On the command line::

            buttress cures --patients squared_error,clusters --jobs 2
            buttress cures --remedies skip_decoder,decoder_dropout
    """
    from rich.console import Console

    from buttress.experiments.cures import judged, run_cures
    from buttress.runtime.arguments import listed

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

"""buttress patients."""

from __future__ import annotations

from pathlib import Path

__all__ = ["patients"]


def patients(
    out: Path = Path("runs/patients"),
    half: str = "all",
    only: str = "all",
    page: Path | None = None,
    results: Path | None = None,
) -> None:
    """Diagnose small models whose trouble is known, and tell how often the verdict is right.

    Args:
        out: Folder of the evidence of each; what is there is taken up.
        half: development, unseen or all.
        only: Names of patients, separated by commas; all takes each.
        page: A page in Markdown to write; patients.md in the folder of the results where none is given.
        results: Folder of the table and the figure; that of the evidence where none is given.

    Example:
        On the command line::

            buttress patients --half development
    """
    from buttress.experiments.ward import Visit, run_ward
    from buttress.experiments.ward_page import write_ward
    from buttress.experiments.ward_tables import half_table, missed
    from buttress.runtime.arguments import listed

    def say(one: Visit, seconds: float) -> None:
        mark = "right" if one.right else "WRONG"
        print(f"{mark}  {one.patient.name}: {one.evidence.verdict.state}, {one.first} ({seconds:.1f} s)", flush=True)

    names = () if only == "all" else listed(only)
    seen = run_ward(out, half, names, say)
    write_ward(seen, out if results is None else results, page)
    print(half_table(seen))
    if wrong := missed(seen):
        print(f"wrong: {', '.join(one.patient.name for one in wrong)}")

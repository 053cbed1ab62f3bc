"""buttress report FOLDER."""

from __future__ import annotations

from pathlib import Path

__all__ = ["report"]


def report(folder: Path) -> None:
    """Make the page of a run or a comparison again from its result files.

    Args:
        folder: The folder of a run or of a comparison.
    """
    from buttress.report.comparison import write_comparison
    from buttress.report.run import write_report

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give that of a run or a comparison")
    print(write_comparison(folder) if (folder / "comparison.json").exists() else write_report(folder))

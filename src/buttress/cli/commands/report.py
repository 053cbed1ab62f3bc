"""buttress report FOLDER."""

from __future__ import annotations

from pathlib import Path

__all__ = ["report"]


def report(folder: Path) -> None:
    """Make the page of a run or a comparison again from its result files.

    Args:
        folder: The folder of a run or of a comparison.

    Errors:
        FileNotFoundError: There is no such folder, or it holds neither.

    Example:
        On the command line::

            buttress report runs/comparison
    """
    from buttress.report.comparison import write_comparison
    from buttress.report.run import write_report
    from buttress.training.folder import RECIPE

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give that of a run or a comparison")
    if (folder / "comparison.json").exists():
        print(write_comparison(folder))
    elif (folder / RECIPE).exists():
        print(write_report(folder))
    else:
        raise FileNotFoundError(f"{folder} holds neither a run nor a finished comparison; give the folder of one")

"""buttress paper lagging_inference."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from buttress.experiments.papers.lagging_inference import LaggingInference

__all__ = ["lagging_inference"]


def lagging_inference(experiment: LaggingInference, out: Path = Path("runs/lagging_inference")) -> None:
    """He et al. 2019: does the encoder lag behind the true posterior, and does aggressive training bring it up?

    Args:
        experiment: What is trained, and how often.
        out: Folder of the experiment; finished runs in it are kept, a half-finished one goes on.

    Example:
        On the command line::

            buttress paper lagging_inference --steps 1000 --out runs/lagging_inference
    """
    from buttress.cli.commands.compare import bars
    from buttress.experiments.claims import claims_table
    from buttress.experiments.papers._posterior_means_page import write_figure

    console = Console()
    with bars(console, experiment.data) as watch:
        found = experiment.run(out, watch)
    console.print(claims_table(found))
    console.print(f"figure: {write_figure(out)}", soft_wrap=True)

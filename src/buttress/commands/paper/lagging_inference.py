"""buttress paper lagging_inference."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

__all__ = ["lagging_inference"]


def lagging_inference(
    out: Path = Path("runs/lagging_inference"),
    seeds: int = 3,
    seed: int = 0,
    steps: int = 1000,
    batch_size: int = 16,
    learning_rate: float = 1.0,
    max_inner: int = 30,
    epoch: int = 1000,
    every: int = 50,
    sentences: int = 200,
    grid_step: float = 0.2,
    data_latents: int = 1,
) -> None:
    """He et al. 2019: does the encoder lag behind the true posterior, and does aggressive training bring it up?

    Args:
        out: Folder of the experiment; finished runs in it are kept, a half-finished one goes on.
        seeds: Runs of each arm.
        seed: The first of them.
        steps: Steps of the decoder.
        batch_size: Sentences in a step.
        learning_rate: Of SGD without momentum.
        max_inner: Most encoder steps before one of the decoder, in the aggressive arm.
        epoch: Steps after which the aggressive arm looks whether mutual information still rises.
        every: Steps between looks at the posterior means.
        sentences: Held-out sentences whose posterior means are compared.
        grid_step: Step of the grid of z from -10 to 10.
        data_latents: Dimensions of the z that made the sentences; that of the model is one.
    """
    from buttress.commands.compare import bars
    from buttress.data.lstm_text import LstmText
    from buttress.papers.lagging_inference import LaggingInference
    from buttress.report.claims import claims_table
    from buttress.report.posterior_means import write_figure

    experiment = LaggingInference(
        LstmText(latent_dim=data_latents),
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_inner=max_inner,
        epoch=epoch,
        every=every,
        sentences=sentences,
        grid_step=grid_step,
        seed=seed,
        seeds=seeds,
    )
    console = Console()
    with bars(console) as watch:
        found = experiment.run(out, watch)
    console.print(claims_table(found))
    console.print(f"figure: {write_figure(out)}", soft_wrap=True)

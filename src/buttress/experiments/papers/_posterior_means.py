"""The encoder's posterior means beside the true ones, looked at while a model is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from buttress.core import Batch
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.grid_posterior import grid_posterior
from buttress.distributions.inspect import mean_of
from buttress.runtime.atomic_write import write_text
from buttress.training.callbacks import Callback
from buttress.training.held_out import VALIDATION_EXAMPLES, HeldOut, look

__all__ = ["PosteriorMeans", "read_means"]

SENTENCES = 0
"""The seed that chooses the examples: the same ones for every arm and every seed."""


class PosteriorMeans(Callback):
    """Write ``means/<step>.json`` at step 0 and at every so many steps; a resumed run writes the same files again.

    Args:
        folder: Of the run.
        every: Steps between looks.
        examples: Held-out examples whose means are compared.
        width: Of the grid.
        step: Of the grid.
    """

    def __init__(self, folder: Path, every: int, examples: int, width: float, step: float) -> None:
        self.folder, self.every, self.examples, self.grid = folder / "means", every, examples, (width, step)

    def begin(self, engine: Any) -> None:
        """See :class:`buttress.training.callbacks.Callback`."""
        self.engine = engine
        self.folder.mkdir(exist_ok=True)
        if engine.step_number == 0:
            self.measure(engine)

    def on_step(self, step: int, total: int, latest: Mapping[str, float]) -> None:
        """See :class:`buttress.training.callbacks.Callback`."""
        if step % self.every == 0 or step == total:
            self.measure(self.engine)

    def measure(self, engine: Any) -> None:
        """Look at the model as it is now."""
        model, held_out, seed = engine.model, engine.splits.held_out, engine.recipe.training.seed
        few = HeldOut(held_out, model.observe, SENTENCES, most=self.examples, device=engine.device)
        with evaluating(model):
            means = torch.cat([_means(model, few[i]) for i in range(len(few))]).flatten()
            validated = HeldOut(held_out, model.observe, seed, most=VALIDATION_EXAMPLES, device=engine.device)
            seen = look(model, validated, seed)
        width, step = self.grid
        true = grid_posterior(model, few, width=width, step=step)
        row = {
            "step": engine.step_number,
            "encoder": means.tolist(),
            "true": true.mean.tolist(),
            "nll": -true.log_marginal.mean().item(),
            **{name: seen[name] for name in ("elbo", "rate", "mutual_information")},
            "grid_edge": true.edge,
            "grid_error": true.error,
        }
        write_text(self.folder / f"{engine.step_number:06d}.json", json.dumps(row) + "\n")


def _means(model: Any, batch: Batch) -> torch.Tensor:
    """E_q[z] of a batch, on the CPU."""
    means = mean_of(model.posterior(batch.x, batch.given))
    if means is None:
        raise ValueError("posterior means: this family of q does not know its mean; use the gaussian posterior")
    return means.cpu()


def read_means(folder: Path) -> list[dict[str, Any]]:
    """What was written during the training of a run, in the order of the steps.

    With ``size_*``, the mean over examples of the absolute value, and ``apart_*``, that of the absolute distance from
    the mean over examples.

    Errors:
        FileNotFoundError: Nothing was written there.
    """
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "means").glob("*.json"))]
    if not rows:
        raise FileNotFoundError(f"{folder} has no posterior means; it was trained without looking at them")
    for row in rows:
        for name in ("encoder", "true"):
            means = np.array(row[name])
            row[f"size_{name}"] = float(np.abs(means).mean())
            row[f"apart_{name}"] = float(np.abs(means - means.mean()).mean())
    return rows

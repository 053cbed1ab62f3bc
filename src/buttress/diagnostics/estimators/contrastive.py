r"""How well a critic tells the true future of z from other candidates, where one stands in the decoder's place.

$$ \hat I = \log N - \frac{\sum_x d(x)}{\sum_x P(x)}, \qquad \hat I \le \log N $$

with d(x) the -log softmax of the true futures of an example, summed over its P(x) predictions, and N candidates for
each: what a critic trains by, unless its loss is another. It is a lower bound of the information that the context has
about z some positions ahead where the negatives know nothing of the context; see :mod:`buttress.critics.contrastive`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from buttress.diagnostics.estimate import Estimate, mean, ratio
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import draw, evaluating
from buttress.diagnostics.passes import passes
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import point

__all__ = ["contrastive"]


def contrastive(model: Model, batches: Batches, *, samples: int = 4, seed: int = 0) -> dict[str, Estimate]:
    """``contrastive_information`` and ``contrastive_accuracy``, also of each step ahead, and the critic's distortion.

    Args:
        model: A LatentVariableModel with a critic.
        batches: Held-out data.
        samples: Samples of z per example; one where q is a point.
        seed: Of the noise.

    Example:
        >>> from dataclasses import replace
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.baseline import baseline
        >>> from buttress.critics.contrastive import Contrastive
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> spec = DataSpec(Layout.frames(2, longest=16), mean=torch.zeros(2), std=torch.ones(2))
        >>> recipe = baseline(LinearGaussianData(), spec)
        >>> recipe = replace(recipe, encoder=recipe.encoder.replace(positions=True), critic=Contrastive(steps=2))
        >>> found = contrastive(recipe.model(spec), [torch.randn(9, 16, 2)])
        >>> list(found), round(found["contrastive_information"].ceiling, 3)  # log 11
        (['distortion', 'contrastive_information', 'contrastive_accuracy', 'contrastive_information/1', ...], 2.398)
    """
    loss, surprise, first, predictions = [], [], [], []
    with evaluating(model, seed) as asked:
        own = asked.model
        for block in passes(asked, batches):
            sampled = point(block.q) is None
            z = draw(block.q, block.index, samples if sampled else 1, seed, "contrastive")
            found = own.contrast(block.x, z, block.given)
            loss.append(found.distortion.mean(0).double().cpu())
            surprise.append(found.surprise.mean(0).double().cpu())
            first.append(found.first.mean(0).double().cpu())
            predictions.append(found.predictions.double().cpu())
            n, steps = found.candidates, found.steps
    lost, hits, told = torch.cat(surprise), torch.cat(first), torch.cat(predictions)
    what = "-log softmax" if found.softmax is None else "a loss of each candidate by itself,"
    note = f"{what} among {n} candidates, summed over {told.sum(1).mean().item():.4g} predictions; no -log p(x|z)"
    estimates = {
        "distortion": mean(torch.cat(loss), "contrastive", note=note),
        "contrastive_information": _information(lost.sum(1), told.sum(1), n),
        "contrastive_accuracy": _accuracy(hits.sum(1), told.sum(1), n),
    }
    each = {f"contrastive_information/{k}": _information(lost[:, i], told[:, i], n) for i, k in enumerate(steps)}
    return estimates | each


def _information(loss: Tensor, predictions: Tensor, n: int) -> Estimate:
    """log N minus the loss of a prediction."""
    if not predictions.sum() > 0:
        return Estimate(None, None, len(loss), "contrastive", note="every example is too short for a prediction")
    value, error = ratio(loss, predictions)
    note = "nats per prediction; negatives of the same sequence: a bound as far as they are independent of the context"
    return Estimate(math.log(n) - value, error, len(loss), f"log {n} - contrastive loss", math.log(n), note)


def _accuracy(first: Tensor, predictions: Tensor, n: int) -> Estimate:
    """The share of predictions that give the true future the highest score."""
    if not predictions.sum() > 0:
        return Estimate(None, None, len(first), "counting", note="every example is too short for a prediction")
    value, error = ratio(first, predictions)
    return Estimate(value, error, len(first), "counting", 1.0, f"not nats; by chance {1 / n:.3g}")


@estimator("bound")
def measure(subject: Subject) -> Mapping[str, Estimate]:
    """The numbers of the critic, where there is one."""
    if subject.model.density:
        return {}
    return contrastive(subject.model, subject.data, samples=subject.settings["samples"], seed=subject.seed)
